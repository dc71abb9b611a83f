"""The laws of the supernet functions."""

from __future__ import annotations

from random import Random

import pytest
import torch

from archsmith.models import build
from archsmith.supernet import active, extract, search_space


@pytest.mark.parametrize("size", [8, 32])
def test_extracted_equals_active(size: int) -> None:
    model = build("mobilenet", 10, 1, size, device="cpu")
    space, rng = search_space(model), Random(0)
    x = torch.randn(2, 1, size, size)
    for _ in range(10):
        arch = space.sample(rng)
        for mode in (True, False):
            model.train(mode)
            plain = extract(model, arch)
            with active(model, arch):
                expected = model(x)
            torch.testing.assert_close(plain(x), expected, rtol=1e-5, atol=1e-5)
