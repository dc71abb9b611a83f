"""What each sampler draws, how often, and what it refuses."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from archsmith.errors import UserError
from archsmith.space import Architecture, SearchSpace
from archsmith.training.samplers import (
    SAMPLINGS,
    among,
    balanced,
    named,
    sandwich,
    schedule,
    strata,
    uniform,
)

SPACE = SearchSpace({"a": (1, 2, 3), "b": (1, 2), "c": (0, 1)})


def drawn(sampler, times: int = 600, share: float = 0.0) -> Counter:
    rng = Random(0)
    return Counter(arch for _ in range(times) for arch in sampler(rng, share))


def test_uniform_draws_all_of_a_space_and_nothing_else() -> None:
    found = drawn(uniform(SPACE, 2))
    assert set(found) == set(SPACE.architectures()) and sum(found.values()) == 1200
    assert min(found.values()) > 60 and max(found.values()) < 145  # 100 expected
    alive = uniform(SPACE.where(lambda arch: arch["c"] == 1))
    assert {arch["c"] for arch in drawn(alive)} == {1}
    part = uniform(SPACE.restrict({"a": (3,)}), evenly=True)
    assert {arch["a"] for arch in drawn(part)} == {3}


def test_among_takes_the_given_ones_by_weight() -> None:
    first, second = SPACE.extreme(0), SPACE.extreme(-1)
    found = drawn(among([first, second], [1.0, 3.0]))
    assert set(found) == {first, second} and 2.2 < found[second] / found[first] < 4.2
    assert len(among([first], count=3)(Random(0), 0.0)) == 3


def test_balanced_gives_small_parts_as_much_as_large_ones() -> None:
    def ones(arch: Architecture) -> int:
        return sum(arch[name] == 1 for name in ("a", "b"))

    parts = strata(SPACE, ones, (0, 1, 2))
    sizes = Counter(ones(arch) for arch in SPACE.architectures())
    assert sizes == {0: 4, 1: 6, 2: 2}
    found = Counter(
        ones(arch) for arch in drawn(balanced([uniform(part) for part in parts]), 900).elements()
    )
    assert all(240 < count < 360 for count in found.values()) and set(found) == {0, 1, 2}


def test_a_sandwich_has_the_largest_first_and_the_smallest_last() -> None:
    found = sandwich(SPACE, 2)(Random(0), 0.0)
    assert len(found) == 4
    assert dict(found[0]) == {"a": 3, "b": 2, "c": 1} and dict(found[-1]) == {
        "a": 1,
        "b": 1,
        "c": 0,
    }
    assert len(sandwich(SPACE, 0)(Random(0), 0.0)) == 2


def test_a_schedule_changes_at_its_shares() -> None:
    first, second = SPACE.extreme(0), SPACE.extreme(-1)
    sampler = schedule((0.25, among([first])), (1.0, among([second])))
    shares = {share: sampler(Random(0), share)[0] for share in (0.0, 0.24, 0.25, 0.9, 1.0)}
    assert shares == {0.0: first, 0.24: first, 0.25: second, 0.9: second, 1.0: second}


def test_by_name() -> None:
    for how, count in SAMPLINGS.items():
        sampler = named(how, SPACE, lambda arch: arch["a"])
        assert all(len(sampler(Random(i), 0.0)) == count for i in range(5))
    rare = SPACE.where(lambda arch: arch["a"] < 3 or arch["b"] == arch["c"] == 1)
    threes = sum(
        n
        for arch, n in drawn(named("balanced", rare, lambda arch: arch["a"])).items()
        if arch["a"] == 3
    )
    assert threes > 150  # a third of the draws, though an eighth of the architectures
    with pytest.raises(UserError, match="did you mean 'uniform'"):
        named("unifrom", SPACE)
    with pytest.raises(UserError, match="balanced counts the convolutions"):
        named("balanced", SPACE)
    with pytest.raises(UserError, match="the options of 'op' have no order"):
        named("sandwich", SearchSpace({"op": ("conv", "pool")}))


def test_the_same_rng_draws_the_same() -> None:
    for sampler in (uniform(SPACE, 3), sandwich(SPACE), balanced([uniform(SPACE), uniform(SPACE)])):
        assert list(sampler(Random(7), 0.0)) == list(sampler(Random(7), 0.0))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: uniform(SPACE, 0), "count=0"),
        (lambda: among([]), "no architectures"),
        (lambda: among([SPACE.extreme(0)], [1.0, 2.0]), "2 weights for 1"),
        (lambda: among([SPACE.extreme(0)], [-1.0]), "none negative"),
        (lambda: balanced([]), "no samplers"),
        (lambda: sandwich(SPACE, -1), "middle=-1"),
        (lambda: schedule(), "must rise"),
        (lambda: schedule((0.5, uniform(SPACE))), "must rise"),
        (
            lambda: schedule((0.9, uniform(SPACE)), (0.5, uniform(SPACE)), (1.0, uniform(SPACE))),
            "must rise",
        ),
    ],
)
def test_what_is_refused(make, words: str) -> None:
    with pytest.raises(UserError, match=words):
        make()
