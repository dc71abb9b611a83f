"""The ProxylessNAS-like chain space: its size, counts by hand, blocks that may be left out, costs
that add up."""

from __future__ import annotations

import math
from random import Random

import pytest
import torch

from archsmith.elastic.supernet import extract, search_space
from archsmith.metrics.cost import Costs
from archsmith.problem import at_most
from archsmith.searchers.generation import front
from archsmith.spaces import build
from archsmith.spaces.proxyless import proxyless


def test_21_blocks_of_six_candidates_and_identity_where_the_shape_stays() -> None:
    space = search_space(build("proxyless", 10, 3, 224))
    assert len(space) == 21
    assert space.size == 7**15 * 6**6
    assert {len(options) for name, options in space.items() if name.endswith("block1")} == {6}
    assert {options[0] for name, options in space.items() if not name.endswith("block1")} == {
        "none"
    }


def test_the_smallest_network_counted_by_hand() -> None:
    """Six blocks k3e3, everything else left out, at 32 pixels."""
    model = build("proxyless", 10, 3, 32)
    space, costs = search_space(model), Costs(model, (3, 32, 32), ("params", "macs"))
    smallest = space.check(
        {name: "none" if "none" in options else "k3e3" for name, options in space.items()}
    )
    widths, pixels = (8, 12, 20, 40, 48, 96, 160), (32, 32, 16, 8, 8, 4, 4)
    params = 3 * 16 * 9 + 32 + 16 * 9 + 32 + 16 * 8 + 16 + 160 * 320 + 640 + 320 * 10 + 10
    macs = (3 * 16 * 9 + 16 * 9 + 16 * 8) * 32**2 + 160 * 320 * 16 + 320 * 10
    middles = [24, 40, 64, 120, 144, 288]  # three times the input, rounded to eights
    for (a, b), (before, after), middle in zip(
        zip(widths, widths[1:], strict=False),
        zip(pixels, pixels[1:], strict=False),
        middles,
        strict=True,
    ):
        params += a * middle + 9 * middle + middle * b + 2 * (2 * middle + b)
        macs += a * middle * before**2 + (9 * middle + middle * b) * after**2
    assert costs(smallest) == {"params": params, "macs": macs}
    assert costs.additive


@pytest.mark.parametrize("size", [8, 32, 96])
def test_any_image_size(size: int) -> None:
    model = proxyless(5, 1, size)
    space = search_space(model)
    for seed in range(2):
        network = extract(
            model, space.sample(Random(seed)), "fresh", torch.Generator().manual_seed(seed)
        ).eval()
        assert network(torch.zeros(2, 1, size, size)).shape == (2, 5)


def test_six_budgets_from_one_front_all_kept_by_exact_count() -> None:
    model = build("proxyless", 10, 3, 32)
    space, costs, rng = (
        search_space(model),
        Costs(model, (3, 32, 32), ("params", "macs")),
        Random(0),
    )
    worth = {name: {option: rng.random() for option in options} for name, options in space.items()}
    found = front(space, worth, [at_most(costs, math.inf, name=name) for name in ("macs",)])
    largest = costs(space.extreme(-1))["macs"]
    for share in (0.2, 0.4, 0.6, 0.8, 1.0):
        arch = found.arch(found.within({"macs": share * largest})[0])
        assert costs.exact(arch)["macs"] <= share * largest
