"""The parts of a published network: what is reckoned from two sides is what would be counted."""

from __future__ import annotations

from random import Random

import pytest

from archsmith.data import Seen
from archsmith.elastic.supernet import extract, search_space
from archsmith.problem.budget import parse
from archsmith.spaces import SPACES, build
from archsmith.stages.parts import SIDES, costs_at, parts

PUBLISHED = [name for name, space in SPACES.items() if space.pretrained is not None]


@pytest.mark.parametrize("space", PUBLISHED)
def test_costs_reckoned_from_two_sides_are_those_counted_at_each(space: str) -> None:
    model = build(space, 10, 3, 224)
    decisions = search_space(model)
    for arch in (decisions.extreme(-1), decisions.extreme(0), decisions.sample(Random(0))):
        plain = extract(model, arch, "fresh", device="meta").eval()
        named = {"macs", "params"}
        reckoned = costs_at(plain, 3, [*SIDES, 100], named)
        assert list(reckoned) == [*SIDES, 100]
        for side in (*SIDES, 100):
            assert reckoned[side] == costs_at(plain, 3, [side], named)[side]


@pytest.mark.parametrize("budget", ["macs<=20M", "macs<=50%", "params<=1M", "memory<=2M", ""])
def test_parts_are_the_same_side_by_side_and_alone(budget: str) -> None:
    seen = Seen(suggested=224, channels=3, images=1000, outputs=10)
    limits = parse(budget) if budget else []
    together = list(parts("efficientnet-lite0", seen, SIDES, limits))
    alone = [part for side in SIDES for part in parts("efficientnet-lite0", seen, [side], limits)]
    assert together == alone and (together or budget)
