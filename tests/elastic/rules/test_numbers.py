"""Numbers in views that a narrower network has, too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
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


@pytest.mark.parametrize(
    ("sizes", "free_width"),
    [
        (lambda m, x: (-1, x.shape[1], 64), True),
        (lambda m, x: (x.size(0), m.width, 64), True),
        (lambda m, x: (x.size(0), -1, x.size(2) * x.size(3)), True),
        (lambda m, x: (-1, 2 * (x.shape[1] // 2), 64), False),  # half of what is no two halves
        (lambda m, x: (-1, 16, 64), False),
    ],
)
def test_a_size_is_right_in_each_network_or_keeps_the_width(
    sizes: Callable[[Any, Tensor], tuple[int, ...]], free_width: bool
) -> None:
    found = channels(
        lambda m, x: m.c((y := m.a(x)).reshape(sizes(m, y)).mean(2)),
        a=conv(3, 16),
        c=nn.Linear(16, 4),
        width=16,
    )
    assert free(found) == ({"a": 16} if free_width else {})
    assert free_width or "written with numbers" in found.fixed()["a"]


def test_a_number_that_a_module_holds_is_the_width_that_it_is_read_for() -> None:
    found = channels(
        lambda m, x: m.c(m.a(x).view(-1, m.width, 64).mean(2)),
        a=conv(3, 16),
        c=nn.Linear(16, 4),
        width=16,
    )
    (bound,) = found.numbers.values()
    assert set(found.numbers) == {("", "width", None)}
    assert found.groups.opened(bound) == found.groups.opened(found.ends["a"][1] or ())
