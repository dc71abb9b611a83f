"""What holds for every test: it leaves torch with as many threads as it found."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _as_many_threads() -> Iterator[None]:
    """Commands that run inside the process set all cores; two workers of the suite with all cores each are slow."""
    torch = sys.modules.get("torch")
    before = torch.get_num_threads() if torch else 1
    yield
    torch = sys.modules.get("torch")
    if torch and torch.get_num_threads() != before:
        torch.set_num_threads(before)
