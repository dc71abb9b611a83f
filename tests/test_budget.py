"""Budgets and times as people write them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from toys import flat

from archsmith.budget import Limit, human, parse, parse_seconds
from archsmith.errors import UserError
from archsmith.problem import Constraint, Problem, minimize


def test_units() -> None:
    found = parse("params<=3M, macs <= 60m, latency<=8ms, memory<=2MiB")
    assert found == (
        Limit("params", "<=", 3e6),
        Limit("macs", "<=", 60e6),
        Limit("latency", "<=", 8.0),
        Limit("memory", "<=", 2.0 * 2**20),
    )
    assert parse("latency<=0.5s, params>=10k") == (Limit("latency", "<=", 500.0), Limit("params", ">=", 10e3))
    assert parse("depth<=40, layers<=14") == (Limit("depth", "<=", 40.0), Limit("layers", "<=", 14.0))
    assert parse("") == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("params=3M", "use <= or >="),
        ("prams<=3M", "did you mean 'params'"),
        ("params<=3ms", "no unit of params"),
        ("depth<=3k", "is no unit of depth; use none"),
        ("params", "cannot be read"),
        ("params<=0", "allows nothing"),
        ("params<=1k, params<=2k", "twice"),
    ],
)
def test_mistakes_are_named(text: str, said: str) -> None:
    with pytest.raises(UserError, match=said.replace("(", r"\(")):
        parse(text)


def test_limit_is_met_at_its_value() -> None:
    assert Limit("params", "<=", 10).met(10) and not Limit("params", "<=", 10).met(10.1)
    assert Limit("params", ">=", 10).met(10) and not Limit("params", ">=", 10).met(9)


def test_human_reads_back() -> None:
    assert [human("params", 20_000), human("macs", 1.25e9), human("latency", 8.123), human("memory", 2**21)] == [
        "20k", "1.25G", "8.12 ms", "2 MiB",
    ]  # fmt: skip
    for text in ("params<=3M", "latency<=8 ms"):
        assert str(parse(text.replace(" ", ""))[0]) == text


def test_seconds() -> None:
    assert [parse_seconds(t) for t in ("90s", "20m", "1h30m", "45", 12)] == [90.0, 1200.0, 5400.0, 45.0, 12.0]
    for wrong in ("", "soon", "5 moons", "-3s"):
        with pytest.raises(UserError, match="cannot be read"):
            parse_seconds(wrong)


@given(
    op=st.sampled_from(["<=", ">="]),
    bound=st.floats(0, 1e12) | st.sampled_from([0.0, 1.0]),
    value=st.floats(0, 1e12) | st.sampled_from([math.inf, math.nan]),
)
def test_a_limit_is_broken_by_as_much_as_the_problem_says_whatever_the_operator(op: str, bound: float, value: float) -> None:
    limit = Limit("params", op, bound)
    high, low = (bound, -math.inf) if op == "<=" else (math.inf, bound)
    constraint = Constraint("params", lambda arch: value, low=low, high=high)
    problem = Problem(flat(2, 2), [minimize(lambda arch: 0.0, "x")], [constraint])
    assert limit.excess(value) == constraint.excess(value) == problem.violation({"params": value})
    assert limit.met(value) == (problem.violation({"params": value}) <= 0)


@pytest.mark.parametrize(
    ("budget", "near", "far"),
    [
        ("macs<=60M, params>=100k", {"macs": 61.2e6, "params": 120e3}, {"macs": 50e6, "params": 50e3}),
        ("params>=100k", {"params": 98e3}, {"params": 10e3}),
        ("params>=100k, params<=200k", {"params": 210e3}, {"params": 60e3}),
        ("latency<=8ms, macs>=1M", {"latency": 8.1, "macs": 2e6}, {"latency": 1.0, "macs": 0.5e6}),
    ],
)
def test_what_ships_is_the_network_of_the_least_violation(budget: str, near: dict, far: dict) -> None:
    from archsmith.stages.ship import violation

    limits = parse(budget)
    close, off = (violation(limits, [{"value": values[limit.metric]} for limit in limits]) for values in (near, far))
    assert 0 < close < off
