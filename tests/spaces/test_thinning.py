"""A network made smaller by hand: one share for all widths, as much of the budget used as options
allow."""

from __future__ import annotations

from random import Random

import pytest
import torch
from torch import nn

from archsmith.elastic import BatchNorm2d, Conv2d, Linear, Repeat
from archsmith.elastic.supernet import extract, search_space
from archsmith.metrics.cost import params
from archsmith.space import Architecture, Choice
from archsmith.spaces import build
from archsmith.spaces.thinning import Thinned, depths_of, thinned, widths_of


def network() -> nn.Sequential:
    one, two = (Choice(4, 8, 12, 16, name=name) for name in ("one", "two"))
    kernel, depth = Choice(3, 5, name="kernel"), Choice(1, 2, 3, name="depth")
    blocks = [nn.Sequential(Conv2d(one, one, kernel, padding="same")) for _ in range(3)]
    return nn.Sequential(
        Conv2d(3, one, 3),
        BatchNorm2d(one),
        Repeat(*blocks, depth=depth),
        Conv2d(one, two, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        Linear(two, 5),
    )


MODEL = network()
SPACE = search_space(MODEL)


def cost(arch: Architecture) -> int:
    return params(extract(MODEL, arch, "fresh", device="meta"))


def test_widths_lie_along_tensors_and_depths_along_none() -> None:
    assert set(widths_of(MODEL)) == {"one", "two"}  # a kernel is neither
    assert depths_of(SPACE, MODEL) == ("depth",)


@pytest.mark.parametrize("share", [1.0, 0.8, 0.5, 0.3, 0.1])
def test_it_keeps_the_budget_and_no_width_could_be_wider(share: float) -> None:
    limit = share * cost(SPACE.extreme(-1))
    found = thinned(SPACE, widths_of(MODEL), lambda arch: cost(arch) <= limit)
    assert found is not None and cost(found) <= limit
    assert found["depth"] == 3 and found["kernel"] == 5  # all else is as it was
    if share > 0.1:
        assert abs(found["one"] - found["two"]) <= 8
    for name in ("one", "two"):
        for wider in (option for option in SPACE[name] if option > found[name]):
            more = SPACE.complete({**found, name: wider}, Random(0))
            assert cost(more) > limit


def test_what_is_fixed_stays_and_where_nothing_fits_there_is_none() -> None:
    found = thinned(SPACE, widths_of(MODEL), lambda arch: True, {"depth": 1})
    assert found is not None and found["depth"] == 1 and found["one"] == 16
    assert thinned(SPACE, widths_of(MODEL), lambda arch: False) is None


def test_its_description_makes_it_again() -> None:
    own = search_space(build("efficientnet-lite0", 4, 3, 64)).extreme(0)
    shape = {"classes": 4, "channels": 3, "size": 64}
    one = Thinned("a", "efficientnet-lite0", **shape, options=dict(own), text="narrower")
    made, again = one.make(3), one.make(3)
    assert all(
        torch.equal(a, b)
        for a, b in zip(made.state_dict().values(), again.state_dict().values(), strict=True)
    )
    assert made.eval()(torch.zeros(1, 3, 64, 64)).shape == (1, 4)
    assert params(one.make(None)) == params(made)
