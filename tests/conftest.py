"""What holds for every test: it leaves torch with as many threads as it found, and the user's home
as it was."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="session")
def _own_key(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The key that signs runs (archsmith.run.trust) is the tests' own; processes that they start
    share it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
        yield


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test's name is the same in every process: one that holds an address (the repr of a
    function or an object) makes workers collect different tests, and the whole suite fails."""
    addressed = [item.nodeid for item in items if " at 0x" in item.nodeid]
    if addressed:
        raise pytest.UsageError(
            f"{addressed[0]!r} is named by an address, which differs between workers: give ids"
        )


def pytest_collection_finish() -> None:
    """Thousands of tests stay until the end: the garbage collector need not walk over them again
    and again (4 % of the suite's time)."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


@pytest.fixture(autouse=True)
def _as_many_threads() -> Iterator[None]:
    """Commands that run inside the process set all cores; two workers of the suite with all cores
    each are slow."""
    torch = sys.modules.get("torch")
    before = torch.get_num_threads() if torch else 1
    yield
    torch = sys.modules.get("torch")
    if torch and torch.get_num_threads() != before:
        torch.set_num_threads(before)
