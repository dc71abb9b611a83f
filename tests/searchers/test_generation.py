"""Networks for any budget: every small instance against brute force, conditions, shared decisions,
what does not add up."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping
from random import Random
from typing import Any

import numpy as np
import pytest

from archsmith.errors import NothingFits, UserError
from archsmith.problem import Term, at_least, at_most
from archsmith.searchers import generation
from archsmith.searchers.generation import front, generate, worth_of
from archsmith.space import Architecture, Gate, SearchSpace
from archsmith.spaces import described
from archsmith.spaces.catalog.darts import DARTS
from archsmith.spaces.catalog.nasbench201 import NASBENCH201


class Additive:
    """A metric with parts "a", "b", ...: a sum of random tables, each over a few decisions."""

    name = "additive"

    def __init__(
        self, space: SearchSpace, rng: Random, parts: int, whole: bool, reach: int = 1
    ) -> None:
        self.parts = "abc"[:parts]
        names = list(space)
        scopes = [tuple(names[i : i + reach]) for i in range(len(names))] + [()]
        self._tables: dict[Any, dict[str, float]] = {}
        self._draw = lambda: float(rng.randint(0, 9)) if whole else rng.uniform(0.0, 9.0)
        self.terms: Any = [
            Term(scope, lambda arch, scope=scope: self._value(scope, arch)) for scope in scopes
        ]  # type: ignore[misc]

    def _value(self, scope: tuple[str, ...], arch: Mapping[str, Any]) -> dict[str, float]:
        key = (scope, tuple(arch.get(name) for name in scope))
        if key not in self._tables:
            self._tables[key] = {part: self._draw() for part in self.parts}
        return self._tables[key]

    def __call__(self, arch: Architecture) -> dict[str, float]:
        values = [term.value(arch) for term in self.terms]
        return {part: math.fsum(value[part] for value in values) for part in self.parts}


def random_space(rng: Random, conditional: bool) -> SearchSpace:
    options: dict[str, tuple[int, ...]] = {
        f"x{i}": tuple(range(rng.randint(1, 4))) for i in range(rng.randint(2, 4))
    }
    if not conditional:
        return SearchSpace(options)
    depth = (0, 1, 2)
    gates = {"x0": {1, 2}, "x1": {2}}
    conditions = {
        name: ((Gate(("depth",), frozenset((d,) for d in open_)),),)
        for name, open_ in gates.items()
    }
    return SearchSpace({**options, "depth": depth}, conditions)


def random_worth(space: SearchSpace, rng: Random) -> dict[str, dict[Any, float]]:
    return {
        name: {option: rng.choice((rng.random(), 0.5)) for option in options}
        for name, options in space.items()
    }


@pytest.mark.parametrize("hundred", range(10))
def test_every_small_instance_is_as_good_as_brute_force_and_within_every_budget(
    hundred: int,
) -> None:
    for seed in range(100 * hundred, 100 * hundred + 100):
        check(seed)


def check(seed: int) -> None:
    """One random instance."""
    rng = Random(seed)
    space = random_space(rng, conditional=seed % 3 == 0)
    worth = random_worth(space, rng)
    metric = Additive(space, rng, parts=1 + seed % 2, whole=seed % 5 < 3, reach=1 + (seed // 7) % 3)
    everything = list(space.architectures())
    costs = {arch: metric(arch) for arch in everything}
    found = front(space, worth, [at_most(metric, math.inf, name=part) for part in metric.parts])
    for part in metric.parts:
        for limit in rng.sample(sorted({cost[part] for cost in costs.values()}), 1):
            limits = {
                p: limit if p == part else rng.choice([c[p] for c in costs.values()])
                for p in metric.parts
            }
            fitting = [
                arch
                for arch in everything
                if all(costs[arch][p] <= limits[p] + 1e-9 for p in limits)
            ]
            roomy = {p: limit + 1e-9 for p, limit in limits.items()}
            if not fitting:
                with pytest.raises(NothingFits):
                    found.within(roomy)
                continue
            best = found.arch(found.within(roomy)[0])
            assert best in costs
            assert all(costs[best][p] <= roomy[p] for p in limits)
            assert worth_of(worth, best) == pytest.approx(
                max(worth_of(worth, arch) for arch in fitting)
            )
    assert found.exact


def test_the_front_holds_what_nothing_beats_and_nothing_else() -> None:
    rng = Random(5)
    space = SearchSpace({f"x{i}": (0, 1, 2) for i in range(5)})
    worth, metric = random_worth(space, rng), Additive(space, rng, parts=2, whole=True)
    found = front(space, worth, [at_most(metric, math.inf, name=part) for part in "ab"])
    points = [(worth_of(worth, a), *metric(a).values()) for a in space.architectures()]

    def beaten(p: tuple[float, ...]) -> bool:
        return any(
            q[0] >= p[0] - 1e-12 and q[1] <= p[1] and q[2] <= p[2] and q[1:] != p[1:]
            for q in points
        ) or any(q[0] > p[0] + 1e-12 and q[1:] == p[1:] for q in points)

    wanted = {tuple(np.round(p, 9)) for p in points if not beaten(p)}
    got = {tuple(np.round((w, *c), 9)) for w, c in zip(found.worths, found.costs, strict=True)}
    assert got == wanted
    assert list(found.worths) == sorted(found.worths, reverse=True)
    for i in range(len(found)):
        assert worth_of(worth, found.arch(i)) == pytest.approx(found.worths[i])
        assert [metric(found.arch(i))[p] for p in "ab"] == pytest.approx(list(found.costs[i]))


def test_a_budget_that_nothing_keeps_names_the_nearest() -> None:
    space = SearchSpace({"x": (1, 2), "y": (1, 2)})
    metric = Additive(space, Random(0), parts=1, whole=True)
    least = min(metric(arch)["a"] for arch in space.architectures())
    with pytest.raises(NothingFits, match=rf"keeps a<={least - 1:g}; the nearest has a={least:g}"):
        front(space, {}, [at_most(metric, least - 1, name="a")])
    with pytest.raises(UserError, match="no cost 'b' in this front"):
        front(space, {}, [at_most(metric, 99, name="a")]).within({"b": 1.0})


def test_without_limits_the_worthiest_option_of_every_decision() -> None:
    space = random_space(Random(3), conditional=True)
    worth = random_worth(space, Random(3))
    (best,), how = generate(space, worth)
    assert how == "exact"
    assert worth_of(worth, best) == pytest.approx(
        max(worth_of(worth, a) for a in space.architectures())
    )


def test_what_is_not_a_sum_is_searched() -> None:
    space = SearchSpace({f"x{i}": (0, 1, 2, 3) for i in range(4)})
    worth = {name: {option: float(option) for option in options} for name, options in space.items()}
    peak = lambda arch: float(max(arch.values()))  # noqa: E731
    archs, how = generate(space, worth, [at_most(peak, 2, name="peak")], count=3)
    assert how == "search"
    assert set(archs[0].values()) == {2} and len(archs) == 3
    assert all(max(arch.values()) <= 2 for arch in archs)
    metric = Additive(space, Random(1), parts=1, whole=True)

    class Lying:
        terms = metric.terms[1:]

        def __call__(self, arch: Architecture) -> dict[str, float]:
            return metric(arch)

    lying = Lying()
    assert lying(space.extreme(0))["a"] != math.fsum(
        term.value(space.extreme(0))["a"] for term in lying.terms
    )
    assert generate(space, worth, [at_most(lying, 30, name="a")])[1] == "search"
    assert (
        generate(space, worth, [at_least(Additive(space, Random(1), 1, True), 3, name="a")])[1]
        == "search"
    )
    with pytest.raises(NothingFits):
        generate(space, worth, [at_most(peak, -1, name="peak")], trials=50)


def test_what_the_space_excludes_is_passed_over() -> None:
    space = SearchSpace({"x": (0, 1, 2), "y": (0, 1)}).where(lambda arch: arch["x"] != 2)
    metric = Additive(space, Random(2), parts=1, whole=True)
    worth = {"x": {0: 0.0, 1: 1.0, 2: 2.0}}
    (best,), _ = generate(space, worth, [at_most(metric, 99, name="a")])
    assert best["x"] == 1
    assert generate(space, worth)[0][0]["x"] == 1


def test_a_front_too_long_to_keep_is_thinned_within_every_budget(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(generation, "MOST", 16)
    rng = Random(4)
    space = SearchSpace({f"x{i}": tuple(range(5)) for i in range(8)})
    worth = {name: {option: rng.random() for option in options} for name, options in space.items()}
    for parts in (1, 2):
        metric = Additive(space, rng, parts=parts, whole=False)
        found = front(space, worth, [at_most(metric, math.inf, name=part) for part in metric.parts])
        assert not found.exact and len(found) <= 16
        for i in range(len(found)):
            assert [metric(found.arch(i))[p] for p in metric.parts] == pytest.approx(
                list(found.costs[i])
            )
        cheapest = min(metric(a)["a"] for a in itertools.islice(space.architectures(), 2000))
        assert found.within({"a": cheapest + 20})


def test_21_blocks_of_7_options() -> None:
    """A chain space of that size is solved whole."""
    rng = Random(0)
    space = SearchSpace({f"block{i}": tuple(range(7)) for i in range(21)})
    worth = {name: {option: rng.random() for option in options} for name, options in space.items()}
    metric = Additive(space, rng, parts=1, whole=True)
    found = front(space, worth, [at_most(metric, math.inf, name="a")])
    assert found.exact
    values = [found.worths[found.within({"a": limit})[0]] for limit in (40, 60, 80, 100)]
    assert values == sorted(values)


@pytest.mark.parametrize(("height", "free"), [(1, None), (2, 2), (None, 4), (1, 0)])
def test_cells_of_a_height_with_so_many_operations_without_parameters(
    height: int | None, free: int | None
) -> None:
    """The worthiest of all 15,625 cells that are so, by brute force."""
    rng, shape = Random(7), described("nasbench201").shape
    worth = random_worth(NASBENCH201, rng)
    found, how = generate(NASBENCH201, worth, shape.limits(height, free), count=2)

    def keeps(arch: Architecture) -> bool:
        counts = shape(arch)
        return counts["height.cell"] <= (3 if height is None else height) and (
            free is None or counts["free.cell"] == free
        )

    best = max(worth_of(worth, arch) for arch in NASBENCH201.architectures() if keeps(arch))
    assert (
        how == "exact"
        and all(map(keeps, found))
        and worth_of(worth, found[0]) == pytest.approx(best)
    )


def test_darts_cells_by_height_and_operations_without_parameters() -> None:
    """As DDPNAS's generator has it: of every edge the best operation of either kind, the best way
    to connect them."""
    rng, shape = Random(1), described("darts").shape
    worth = {name: {option: rng.random() for option in options} for name, options in DARTS.items()}
    (found,), how = generate(DARTS, worth, shape.limits(2, 4))
    total = 0.0
    for cell in ("normal", "reduce"):
        operations = [worth[name] for name in DARTS if name.startswith(cell) and ".op" in name]
        kinds = [
            [
                max(v for o, v in row.items() if bool(re.search("skip|pool", o)) is free)
                for free in (False, True)
            ]
            for row in operations
        ]
        gains = sorted((row[1] - row[0] for row in kinds), reverse=True)
        inputs = [name for name in DARTS if name.startswith(cell) and name.endswith("inputs")]
        low = [
            ways
            for ways in itertools.product(*(DARTS[name] for name in inputs))
            if shape({**found, **dict(zip(inputs, ways, strict=True))})[f"height.{cell}"] <= 2
        ]
        total += sum(row[0] for row in kinds) + sum(gains[:4])
        total += max(
            sum(worth[name][way] for name, way in zip(inputs, ways, strict=True)) for ways in low
        )
    assert how == "exact" and worth_of(worth, found) == pytest.approx(total)
