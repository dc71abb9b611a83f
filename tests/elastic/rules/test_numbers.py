"""Numbers in views that a narrower network has, too."""

from __future__ import annotations

from typing import Any

import torch
from small_graphs import channels, conv, free, read
from torch import Tensor, nn


def merged(m: Any, x: Tensor) -> Tensor:
    """Four neighboring places as one, with four times the channels."""
    x = m.a(x).permute(0, 2, 3, 1)
    b, h, w, c = x.shape
    places = [x[:, i::2, j::2, :] for i in (0, 1) for j in (0, 1)]
    return m.c(torch.cat(places, -1).view(b, -1, 4 * c))


def test_a_width_times_a_number_is_followed() -> None:
    found = channels(merged, a=conv(3, 16), c=nn.Linear(64, 4))
    assert free(found) == {"a": 16} and read(found, "c") == [("a", 1)] * 4
