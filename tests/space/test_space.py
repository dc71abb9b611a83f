"""Search spaces: exact size, uniform draws, restriction, vectors, JSON; choices and derived
values."""

from __future__ import annotations

import copy
import json
import math
import os
import pickle
import subprocess
import sys
from collections import Counter
from operator import mul
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toys import chi_square, chi_square_bound, flat, gate, random_space, staged, staged_size

from archsmith.errors import OutOfSpace, UserError
from archsmith.space import (
    INACTIVE,
    Architecture,
    Choice,
    Concat,
    Derived,
    SearchSpace,
    choices_of,
    crossover,
    largest,
    make_divisible,
    mutate,
    resolve,
    simplify,
)

seeds = st.integers(0, 10**6)


def brute_force(space: SearchSpace) -> set[str]:
    """Every architecture by walking the full product and keeping what the conditions allow."""
    found: set[str] = set()

    def walk(names: list[str], known: dict) -> None:
        if not names:
            found.add(Architecture(known).key)
            return
        name, *rest = names
        condition = space.conditions.get(name)
        active = condition is None or any(
            all(
                all(n in known for n in g.names) and tuple(known[n] for n in g.names) in g.accepted
                for g in clause
            )
            for clause in condition
        )
        for option in space.options[name] if active else [None]:
            walk(rest, {**known, name: option} if active else known)

    walk(list(space.order), {})
    return found


# -- size and enumeration --------------------------------------------------------------------------


@given(seeds)
@settings(max_examples=200, deadline=None)
def test_size_is_the_count_of_distinct_architectures(seed):
    space = random_space(seed)
    archs = list(space.architectures())
    assert space.size == len(archs) == len(set(archs)) == len({a.key for a in archs})
    assert {a.key for a in archs} == brute_force(space)
    assert all(space.contains(a) for a in archs)


@pytest.mark.parametrize(("stages", "blocks"), [(1, 1), (2, 3), (5, 4), (8, 4)])
def test_size_in_closed_form(stages, blocks):
    assert staged(stages, blocks).size == staged_size(stages, blocks, 9)


def test_the_ofa_space_has_its_published_size():
    """Cai et al. 2020, section 3: ((3 x 3)^2 + (3 x 3)^3 + (3 x 3)^4)^5, about 2 x 10^19."""
    space = staged(5, 4).restrict({f"s{s}.depth": (2, 3, 4) for s in range(5)})
    assert space.size == (9**2 + 9**3 + 9**4) ** 5
    assert 2e19 < space.size < 3e19


def test_spaces_beyond_10_to_20_are_counted_and_drawn_from_exactly():
    space = staged(8, 4)
    assert space.size > 10**20
    rng = Random(0)
    for _ in range(200):
        for arch in (space.sample(rng), space.sample(rng, uniform=True)):
            assert space.contains(arch)
    depths = Counter(space.sample(rng, uniform=True)["s0.depth"] for _ in range(3000))
    total = sum(9**d for d in range(1, 5))
    expected = [3000 * 9**d / total for d in range(1, 5)]
    assert chi_square([depths[d] for d in range(1, 5)], expected) < chi_square_bound(3)


# -- drawing ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [1, 2, 3, 5, 8, 13])
def test_uniform_draws_are_uniform_over_architectures(seed):
    space = random_space(seed) if seed != 1 else staged(1, 2, (3, 5), (3, 6))
    archs = list(space.architectures())
    if len(archs) == 1:
        assert space.sample(Random(0), uniform=True) == archs[0]
        return
    rng = Random(seed)
    draws = 60 * len(archs)
    counts = Counter(space.sample(rng, uniform=True) for _ in range(draws))
    assert set(counts) <= set(archs)
    assert chi_square([counts[a] for a in archs], [60.0] * len(archs)) < chi_square_bound(
        len(archs) - 1
    )


def test_top_down_draws_take_each_active_decision_uniformly():
    # 4 architectures of depth 1 share one half, 16 of depth 2 the other
    space = staged(1, 2, (3, 5), (3, 6))
    rng, draws = Random(0), 8000
    counts = Counter(space.sample(rng) for _ in range(draws))
    archs = list(space.architectures())
    expected = [draws * (1 / 8 if a["s0.depth"] == 1 else 1 / 32) for a in archs]
    assert chi_square([counts[a] for a in archs], expected) < chi_square_bound(len(archs) - 1)


@given(seeds)
@settings(max_examples=100, deadline=None)
def test_a_completion_keeps_what_was_given_where_it_is_active(seed):
    space, rng = random_space(seed), Random(seed)
    partial = {name: rng.choice(space[name]) for name in space if rng.random() < 0.5}
    arch = space.complete(partial, rng)
    assert space.contains(arch)
    assert all(arch[name] == option for name, option in partial.items() if name in arch)


def test_a_completion_refuses_unknown_names_and_options():
    with pytest.raises(OutOfSpace, match=r"no decision named 's0\.dept'.*did you mean 's0\.depth'"):
        staged().complete({"s0.dept": 2}, Random(0))
    with pytest.raises(OutOfSpace, match=r"s0\.depth=9 is not one of \(1, 2, 3\)"):
        staged().complete({"s0.depth": 9}, Random(0))


@given(seeds)
@settings(max_examples=100, deadline=None)
def test_draws_and_moves_stay_inside(seed):
    space, rng = random_space(seed), Random(seed)
    first, second = space.sample(rng), space.sample(rng, uniform=True)
    for arch in (first, second, mutate(space, first, rng), mutate(space, first, rng, count=3)):
        assert space.contains(arch)
    assert space.contains(mutate(space, first, rng, probability=0.3))
    child = crossover(space, first, second, rng)
    assert space.contains(child)
    for name in child:
        if name in first or name in second:
            assert child[name] in [parent[name] for parent in (first, second) if name in parent]
    assert space.contains(space.extreme()) and space.contains(space.extreme(0))


def test_a_mutation_changes_exactly_the_decisions_asked_for():
    space, rng = staged(), Random(0)
    arch = space.sample(rng)
    for count in (1, 2):
        moved = mutate(space, arch, rng, count=count)
        assert sum(arch[n] != moved[n] for n in arch if n in moved) == count
    single = SearchSpace({"a": (1,), "b": (2,)})
    assert mutate(single, single.sample(rng), rng) == single.sample(rng)
    assert all(mutate(space, arch, rng, probability=0.0) != arch for _ in range(20))  # at least one


def test_moves_in_a_restricted_space_stay_in_it_even_from_parents_outside():
    space, rng = staged(), Random(0)
    small = space.restrict({"s0.depth": (1,), "s1.b0.kernel": (3, 7)})
    for _ in range(100):
        first, second = space.sample(rng), space.sample(rng)
        assert small.contains(mutate(small, first, rng))
        assert small.contains(crossover(small, first, second, rng))


@given(seeds)
@settings(max_examples=60, deadline=None)
def test_neighbors_are_one_decision_away(seed):
    space = random_space(seed)
    arch = space.sample(Random(seed))
    neighbors = list(space.neighbors(arch))
    assert len(neighbors) == len(set(neighbors)) == sum(len(space[n]) - 1 for n in arch)
    names = list(arch)[::2]
    some = {o for o in neighbors if any(o.get(n) != arch[n] for n in names)}
    assert list(space.neighbors(arch, ())) == [] and list(space.neighbors(arch, arch)) == neighbors
    assert set(space.neighbors(arch, names)) <= some
    assert len(set(space.neighbors(arch, names))) == sum(len(space[n]) - 1 for n in names)
    for other in neighbors:
        assert space.contains(other)
        assert sum(arch[n] != other[n] for n in arch if n in other) == 1


# -- subsets ---------------------------------------------------------------------------------------


@given(seeds)
@settings(max_examples=100, deadline=None)
def test_a_restricted_space_is_a_space_of_the_same_architectures_keys_and_vectors(seed):
    space, rng = random_space(seed), Random(seed)
    small = space.restrict(
        {
            n: rng.sample(space[n], rng.randint(1, len(space[n])))
            for n in space
            if rng.random() < 0.6
        }
    )
    smaller = small.restrict(
        {
            n: rng.sample(small[n], rng.randint(1, len(small[n])))
            for n in small
            if rng.random() < 0.4
        }
    )
    assert smaller.fingerprint == small.fingerprint == space.fingerprint
    for one in (small, smaller):
        expected = {a.key for a in space.architectures() if all(a[n] in one[n] for n in a)}
        archs = list(one.architectures())
        assert {a.key for a in archs} == expected
        assert one.size == len(expected)
        for arch in archs:
            assert space.contains(arch)
            assert one.encode(arch) == space.encode(arch)
            assert one.decode(space.encode(arch)) == arch == space.decode(one.encode(arch))


def test_restrict_keeps_the_declared_order_and_refuses_what_is_not_there():
    space = flat(2, 4)
    assert space.restrict({"d0": (3, 1)})["d0"] == (1, 3)
    with pytest.raises(OutOfSpace, match="d0=7 is not one of"):
        space.restrict({"d0": (7,)})
    with pytest.raises(UserError, match="no option left for 'd0'"):
        space.restrict({"d0": ()})
    with pytest.raises(OutOfSpace, match="no decision named"):
        space.restrict({"nowhere": (7,)})


def test_where_filters_draws_size_moves_and_vectors():
    space = flat(3, 4).where(lambda a: sum(a.values()) % 3 == 0)
    archs = set(space.architectures())
    assert (
        space.size
        == len(archs)
        == sum(1 for a in flat(3, 4).architectures() if sum(a.values()) % 3 == 0)
    )
    rng = Random(0)
    counts = Counter(space.sample(rng, uniform=True) for _ in range(60 * len(archs)))
    assert chi_square([counts[a] for a in archs], [60.0] * len(archs)) < chi_square_bound(
        len(archs) - 1
    )
    for _ in range(100):
        first, second = space.sample(rng), space.sample(rng)
        for arch in (
            mutate(space, first, rng),
            crossover(space, first, second, rng),
            space.complete({"d0": 2}, rng),
        ):
            assert arch in archs
        assert space.decode([rng.uniform(-2, 6) for _ in range(3)]) in archs
    assert all(arch in archs for arch in space.neighbors(space.sample(rng)))
    assert all(space.decode(space.encode(arch)) == arch for arch in archs)
    assert not space.contains(Architecture({"d0": 1, "d1": 0, "d2": 0}))


def test_where_that_nothing_passes_says_so():
    space = flat(2, 2).where(lambda a: False)
    with pytest.raises(UserError, match="passed the `where` predicate"):
        space.sample(Random(0))
    with pytest.raises(UserError, match="passed the `where` predicate"):
        space.complete({"d0": 1}, Random(0))
    assert space.size == 0
    with pytest.raises(UserError, match="enumeration"):
        _ = flat(20, 4).where(lambda a: True).size


def test_split_is_a_partition():
    space = staged(2, 2)
    parts = space.split("s0.depth")
    assert sum(part.size for part in parts) == space.size
    rng = Random(0)
    for _ in range(50):
        arch = space.sample(rng)
        assert sum(part.contains(arch) for part in parts) == 1


def test_split_on_a_conditional_decision_is_refused_until_it_always_exists():
    space = staged(2, 2)
    with pytest.raises(UserError, match=r"does not exist in every architecture.*s0\.depth"):
        space.split("s0.b1.kernel")
    parts = space.restrict({"s0.depth": (2,)}).split("s0.b1.kernel")
    assert sum(part.size for part in parts) == 81 * 90


# -- membership ------------------------------------------------------------------------------------


def test_check_says_what_is_wrong():
    space = staged(1, 2)
    good = space.complete({"s0.depth": 1}, Random(0))
    assert space.check(good) is good
    assert space.check(dict(good)) == good
    with pytest.raises(OutOfSpace, match="no decision named"):
        space.check({**good, "other": 1})
    with pytest.raises(OutOfSpace, match="does not exist under the other decisions"):
        space.check({**good, "s0.b1.kernel": 3})
    with pytest.raises(OutOfSpace, match=r"does not decide 's0\.b1\.kernel'"):
        space.check({**good, "s0.depth": 2})
    with pytest.raises(OutOfSpace, match="is not one of"):
        space.check({**good, "s0.depth": [1]})


def test_equal_options_of_another_type_never_make_a_second_key():
    space = SearchSpace({"kernel": (3, 5), "shape": ((1, 2), (3, 4)), "flag": (True, False)})
    want = Architecture({"kernel": 3, "shape": (1, 2), "flag": True})
    for given_options in (
        {"kernel": 3.0, "shape": [1, 2], "flag": 1},
        {"kernel": 3, "shape": (1.0, 2), "flag": 1.0},
    ):
        assert space.check(given_options).key == want.key
        assert space.complete(given_options, Random(0)).key == want.key
    assert space.check(Architecture({"kernel": 3.0, "shape": (1, 2), "flag": 1})).key == want.key
    assert type(space.restrict({"kernel": (3.0,)})["kernel"][0]) is int


def test_declarations_that_make_no_sense_are_refused():
    with pytest.raises(UserError, match="has no options"):
        SearchSpace({"a": ()})
    with pytest.raises(UserError, match="depends on 'b', which the space does not hold"):
        SearchSpace({"a": (1,)}, {"a": ((gate("b", 1),),)})
    circle = SearchSpace({"a": (1,), "b": (1,)}, {"a": ((gate("b", 1),),), "b": ((gate("a", 1),),)})
    with pytest.raises(UserError, match="circle: a -> b -> a"):
        _ = circle.order


# -- vectors ---------------------------------------------------------------------------------------


@given(seeds, st.data())
@settings(max_examples=150, deadline=None)
def test_decode_is_total_and_inverts_encode(seed, data):
    space = random_space(seed)
    arch = space.sample(Random(seed))
    vector = space.encode(arch)
    assert space.decode(vector) == arch
    assert [v == INACTIVE for v in vector] == [n not in arch for n in space.universe]
    floats = st.one_of(st.floats(), st.integers(-10, 10))
    wild = data.draw(st.lists(floats, min_size=len(space), max_size=len(space)))
    decoded = space.decode(wild)
    assert space.contains(decoded)
    assert space.decode(space.encode(decoded)) == decoded
    small = space.restrict({name: space[name][-1:] for name in list(space)[::2]})
    assert small.contains(small.decode(wild))


def test_decode_takes_the_nearest_allowed_option():
    space = SearchSpace({"k": (1, 3, 5, 7, 9)})
    assert [space.decode([x])["k"] for x in (-3, 0.4, 1.6, 99, math.nan)] == [1, 1, 5, 9, 1]
    small = space.restrict({"k": (3, 9)})
    assert [small.decode([x])["k"] for x in (0, 1, 2, 3, 4)] == [3, 3, 3, 9, 9]
    with pytest.raises(UserError, match="a vector of 2 entries for a space of 1 decisions"):
        space.decode([1, 2])


def test_encode_refuses_what_the_space_does_not_hold():
    with pytest.raises(OutOfSpace, match="d0=9"):
        flat(2, 2).encode({"d0": 9, "d1": 0})
    with pytest.raises(OutOfSpace, match="no decision named 'x'"):
        flat(2, 2).encode({"x": 9})


# -- identity --------------------------------------------------------------------------------------


def test_keys_are_the_same_for_good():
    """A pinned value: runs of earlier versions find their architectures again."""
    arch = Architecture({"width": 16, "kernel": (3, 5), "name": "äö", "on": True})
    assert arch.key == Architecture({"on": True, "name": "äö", "kernel": (3, 5), "width": 16}).key
    assert arch.to_json() == '{"kernel":[3,5],"name":"\\u00e4\\u00f6","on":true,"width":16}'
    assert arch.key == "13488e2a9647bd5f"


@given(seeds)
@settings(max_examples=100, deadline=None)
def test_architectures_survive_json_and_pickling(seed):
    arch = random_space(seed).sample(Random(seed))
    for copied in (
        Architecture.from_json(arch.to_json()),
        Architecture.from_json(json.loads(arch.to_json())),
    ):
        assert copied == arch and copied.key == arch.key and hash(copied) == hash(arch)
    again = pickle.loads(pickle.dumps(arch))
    assert again == arch and again.key == arch.key


def test_architectures_are_found_in_sets_of_another_process():
    archs = [random_space(seed).sample(Random(seed)) for seed in range(100)]
    code = (
        f"import pickle\nfor a in pickle.loads({pickle.dumps(archs)!r}):\n    assert a in "
        f"{{type(a)(dict(a))}}"
    )
    env = {**os.environ, "PYTHONHASHSEED": "7"}
    subprocess.run([sys.executable, "-c", code], check=True, env=env, timeout=60)


@pytest.mark.parametrize("text", ["", "[1]", "{", '"a"', '{"a": {"b": 1}}', b"\xff"])
def test_what_is_not_an_architecture_is_refused(text):
    with pytest.raises(UserError, match="not an architecture"):
        Architecture.from_json(text)


def test_spaces_survive_pickling_and_copying_with_their_caches_warm():
    space = staged(2, 2)
    assert space.size == 8100
    for other in (pickle.loads(pickle.dumps(space)), copy.deepcopy(space)):
        assert (
            other == space and hash(other) == hash(space) and other.fingerprint == space.fingerprint
        )
        draws = [other.sample(Random(i), uniform=True) for i in range(200)]
        assert draws == [space.sample(Random(i), uniform=True) for i in range(200)]


def test_draws_and_fingerprint_do_not_depend_on_the_hash_seed():
    code = (
        "import sys; sys.path.insert(0, 'tests'); from toys import random_space; from random "
        "import Random\n"
        "for s in range(30):\n"
        "    space = random_space(s); r = Random(s)\n"
        "    print(space.fingerprint, space.size, space.sample(r).key, space.sample(r, "
        "uniform=True).key, space.order)\n"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": h}, capture_output=True, check=True
        ).stdout
        for h in ("0", "1", "77")
    }
    assert len(outputs) == 1


def test_simplify_drops_implied_clauses():
    a, b = gate("a", 1), gate("b", 1)
    assert simplify([(a,), (a, b)]) == ((a,),)
    assert simplify([(a,), ()]) is None
    assert simplify([(a, b), (b, a)]) == ((a, b),)


# -- choices ---------------------------------------------------------------------------------------


def test_choices_are_compared_by_identity_and_refuse_nonsense():
    assert Choice(1, 2) != Choice(1, 2)
    assert Choice([3, 5]).options == ((3, 5),)
    with pytest.raises(UserError, match="no options"):
        Choice()
    with pytest.raises(UserError, match="twice"):
        Choice(1, 1.0)


def test_derived_values_nest_and_survive_pickling_with_a_lambda():
    width, ratio = Choice(16, 24, name="width"), Choice(3, 6, name="ratio")
    hidden = Derived(make_divisible, Derived(mul, width, ratio))
    doubled = Derived(lambda h, w: h * 2 + w, hidden, width)
    values = {width: 24, ratio: 6}
    assert resolve(doubled, values) == 2 * 144 + 24
    assert choices_of(doubled) == (width, ratio)
    assert set(hidden.options) == {48, 96, 72, 144} and largest(hidden) == 144
    (again, w, r) = pickle.loads(pickle.dumps((doubled, width, ratio)))
    assert resolve(again, {w: 24, r: 6}) == resolve(doubled, values)


def test_a_derived_value_over_too_many_combinations_is_computed_when_asked():
    many = [Choice(*range(10), name=str(i)) for i in range(5)]
    total = Derived(lambda *parts: sum(parts), *many)
    assert resolve(total, dict.fromkeys(many, 9)) == 45


def test_a_concatenation_remembers_its_parts():
    a, b = Choice(2, 4), Choice(3, 5)
    both = Concat(a, b, 7)
    width = resolve(both, {a: 2, b: 5})
    assert width == 14 and width.widths == (2, 5, 7) and width.capacities == (4, 5, 7)
    assert largest(both) == 16 and choices_of(both) == (a, b)
    again = pickle.loads(pickle.dumps(width))
    assert again == 14 and again.widths == width.widths


@pytest.mark.parametrize(
    ("value", "rounded"),
    [(16 * 6, 96), (1, 8), (12, 16), (11, 16), (20 * 0.75, 16), (30, 32), (100, 104)],
)
def test_make_divisible(value, rounded):
    """MobileNetV2 rounding: the nearest multiple of 8, never more than 10 % below."""
    assert make_divisible(value) == rounded


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"a":' * 100_000,
        b'{"caf\xe9": 1}',
        b"\xff\xfe\x00",
        "",
        "null",
        "[1]",
        '{"a": {}}',
        '{"a": ' + "9" * 9000 + "}",
    ],
)
def test_what_is_no_architecture_is_a_short_error(text: str | bytes) -> None:
    with pytest.raises(UserError, match="not an architecture") as caught:
        Architecture.from_json(text)
    assert len(str(caught.value)) < 400
