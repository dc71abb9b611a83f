"""Budgets as people write them."""

import math
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from toys import flat

from archsmith.errors import UserError
from archsmith.problem import Constraint, Problem, minimize
from archsmith.problem.budget import Limit, human, parse, read
from archsmith.problem.times import parse_seconds


def test_units() -> None:
    found = parse("params<=3M, macs <= 60m, latency<=8ms, memory<=2MiB")
    assert found == (
        Limit("params", "<=", 3e6),
        Limit("macs", "<=", 60e6),
        Limit("latency", "<=", 8.0),
        Limit("memory", "<=", 2.0 * 2**20),
    )
    assert parse("latency<=0.5s, params>=10k") == (
        Limit("latency", "<=", 500.0),
        Limit("params", ">=", 10e3),
    )
    assert parse("depth<=40, layers<=14") == (
        Limit("depth", "<=", 40.0),
        Limit("layers", "<=", 14.0),
    )
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
    assert [
        human("params", 20_000),
        human("macs", 1.25e9),
        human("latency", 8.123),
        human("memory", 2**21),
    ] == ["20k", "1.25G", "8.12 ms", "2 MiB"]
    for text in ("params<=3M", "latency<=8 ms"):
        assert str(parse(text.replace(" ", ""))[0]) == text


@given(
    op=st.sampled_from(["<=", ">="]),
    bound=st.floats(0, 1e12) | st.sampled_from([0.0, 1.0]),
    value=st.floats(0, 1e12) | st.sampled_from([math.inf, math.nan]),
)
def test_a_limit_is_broken_by_as_much_as_the_problem_says_whatever_the_operator(
    op: str, bound: float, value: float
) -> None:
    limit = Limit("params", op, bound)
    high, low = (bound, -math.inf) if op == "<=" else (math.inf, bound)
    constraint = Constraint("params", lambda arch: value, low=low, high=high)
    problem = Problem(flat(2, 2), [minimize(lambda arch: 0.0, "x")], [constraint])
    assert limit.excess(value) == constraint.excess(value) == problem.violation({"params": value})
    assert limit.met(value) == (problem.violation({"params": value}) <= 0)


@pytest.mark.parametrize(
    ("budget", "near", "far"),
    [
        (
            "macs<=60M, params>=100k",
            {"macs": 61.2e6, "params": 120e3},
            {"macs": 50e6, "params": 50e3},
        ),
        ("params>=100k", {"params": 98e3}, {"params": 10e3}),
        ("params>=100k, params<=200k", {"params": 210e3}, {"params": 60e3}),
        ("latency<=8ms, macs>=1M", {"latency": 8.1, "macs": 2e6}, {"latency": 1.0, "macs": 0.5e6}),
    ],
)
def test_what_ships_is_the_network_of_the_least_violation(
    budget: str, near: dict, far: dict
) -> None:
    from archsmith.stages.ship import violation

    limits = parse(budget)
    measured = (
        [SimpleNamespace(value=values[limit.metric]) for limit in limits] for values in (near, far)
    )
    close, off = (violation(limits, rows) for rows in measured)  # type: ignore[arg-type]
    assert 0 < close < off


_NAMES = {
    "params": ("params", "PARAMS", "Parameters", "weights"),
    "macs": ("macs", "MACs", "flops", "FLOPs", "madds"),
    "latency": ("latency", "Latency", "lat"),
    "memory": ("memory", "mem", "RAM"),
}
_COUNTS = {
    1.0: ("", " "),
    1e3: ("k", " K", " thousand"),
    1e6: ("M", " m", " million", " mio"),
    1e9: ("G", " B", " billion"),
}
_UNITS = {
    "params": _COUNTS,
    "macs": {
        f: (*u, *(f"{x}FLOPs" for x in u if len(x) < 3), *(f"{x}MACs" for x in u if len(x) < 3))
        for f, u in _COUNTS.items()
    },
    "latency": {
        1.0: ("ms", " ms", " milliseconds"),
        1e-3: ("us", "\u00b5s", " \u03bcs"),
        1e3: ("s", " sec", " seconds"),
    },
    "memory": {
        1.0: ("B", " bytes"),
        1e3: ("KB", " kB"),
        1e6: ("MB", "M"),
        2.0**10: ("KiB", " kib"),
        2.0**20: ("MiB", " Mi"),
    },
}
_OPS = {
    "<=": ("<=", " <= ", "=<", "<", " \u2264 ", "\u2a7d"),
    ">=": (">=", " >= ", "=>", ">", " \u2265 "),
}
_DIGITS = ("{:d}", "{:,d}", "{:_d}", "{:d}.0", "{:d}e0", "{:.6e}")


@st.composite
def _written(draw: st.DrawFn) -> tuple[str, Limit]:
    metric = draw(st.sampled_from(sorted(_NAMES)))
    op = draw(st.sampled_from(sorted(_OPS)))
    factor = draw(st.sampled_from(sorted(_UNITS[metric])))
    number = draw(st.integers(1, 999_999))
    name, sign, unit, digits = (
        draw(st.sampled_from(words))
        for words in (_NAMES[metric], _OPS[op], _UNITS[metric][factor], _DIGITS)
    )
    return f"{name}{sign}{digits.format(number)}{unit}", Limit(metric, op, number * factor)


@given(
    st.lists(_written(), min_size=1, max_size=3, unique_by=lambda one: one[1].metric),
    st.sampled_from([",", ", ", "; ", " and ", " ", " , ,"]),
)
def test_a_limit_is_the_same_however_it_is_written(
    written: list[tuple[str, Limit]], between: str
) -> None:
    found = parse(
        between.join(text for text, _ in written) + ("," if between.startswith(",") else "")
    )
    assert [(f.metric, f.op) for f in found] == [(limit.metric, limit.op) for _, limit in written]
    assert [f.value for f in found] == pytest.approx([limit.value for _, limit in written])


@given(st.text(max_size=60) | st.text("paramscl<>=.,;0123456789eMKB -", max_size=40))
def test_any_text_is_limits_or_a_clear_error(text: str) -> None:
    for reading in (parse, parse_seconds):
        try:
            reading(text)
        except UserError as error:
            assert len(str(error)) < 600


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("60 MFLOPs", Limit("macs", "<=", 60e6)),
        ("1.5GMACs", Limit("macs", "<=", 1.5e9)),
        ("60M>=macs", Limit("macs", "<=", 60e6)),
        ("gflops<=1.5", Limit("macs", "<=", 1.5e9)),
        ("latency_ms<=8", Limit("latency", "<=", 8.0)),
        ("params<=1 000 000", Limit("params", "<=", 1e6)),
        ("params<=3x10^6", Limit("params", "<=", 3e6)),
        ("params<=.5M", Limit("params", "<=", 0.5e6)),
    ],
)
def test_forms_of_papers_and_tools_are_read(text: str, limit: Limit) -> None:
    assert parse(text) == (limit,)


def test_both_ends_of_a_range() -> None:
    assert parse("100k<=params<=3M") == (Limit("params", ">=", 1e5), Limit("params", "<=", 3e6))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("latency<=5", "milliseconds are taken"),
        ("memory<=3000000", "bytes are taken"),
        ("memory<=300KB", "1,000 bytes; KiB is 1,024"),
        ("flops<=60M, macs>=1k", "multiply-accumulates"),
        ("macs<=60 MFLOPs", "multiply-accumulates"),
        ("params<=1,000", "read as 1000"),
        ("params<3M", "taken as params<="),
        ("60 MFLOPs", "taken as macs<=60M"),
    ],
)
def test_what_could_be_meant_otherwise_is_noted(text: str, said: str) -> None:
    assert said in " ".join(read(text)[1])


@pytest.mark.parametrize(
    "text", ["params<=3M", "macs<=60MMACs, latency<=8 ms", "memory<=2MiB", "depth<=40"]
)
def test_what_is_clear_needs_no_note(text: str) -> None:
    assert read(text)[1] == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("params<=1e999", "no finite number"),
        ("params<=nan", "no limit"),
        ("params<=.5", "less than one"),
        ("params<=-3", "allows nothing"),
        ("size<=3MB", "params<=750k"),
        ("fps>=100", "latency<=10ms"),
        ("300KB", "memory<=300KB"),
        ("params<=1,5M", "1.5"),
        ("params<=1.000.000", "1M"),
        ("params>=3M, params<=1M", "both"),
        ("time<=45m", "--time"),
    ],
)
def test_what_cannot_be_read_is_answered_with_the_form_that_works(text: str, said: str) -> None:
    with pytest.raises(UserError) as caught:
        parse(text)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "text",
    ["params<=3,5M", "params<=0,3M", "macs<=1,5G, params<=3M", "latency<=8,5", "depth<=5,6 layers"],
)
def test_a_comma_that_may_be_a_decimal_one_is_asked_about(text: str) -> None:
    with pytest.raises(UserError, match="can be read in two ways"):
        parse(text)
    parse(text.replace(", ", "; ").replace(",", "."))


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("params＜＝300k", "params<=300k"),
        ("params<=１．５M，macs<=３M", "params<=1.5M, macs<=3M"),
        ("params<=300k、macs<=20M", "params<=300k, macs<=20M"),
        ("\u200eparams\u200b<=300k\ufeff", "params<=300k"),
    ],
)
def test_full_width_letters_and_marks_that_nobody_sees_change_nothing(text: str, same: str) -> None:
    assert parse(text) == parse(same)


_PERCENT = ("%", " %", "percent", " Percent", " per cent", " pct", "％")


@st.composite
def _shared(draw: st.DrawFn) -> tuple[str, Limit]:
    metric = draw(st.sampled_from(sorted(_NAMES)))
    op = draw(st.sampled_from(sorted(_OPS)))
    percent = draw(st.integers(1, 100) | st.floats(0.1, 100).map(lambda x: round(x, 1)))
    name, sign, unit = (
        draw(st.sampled_from(words)) for words in (_NAMES[metric], _OPS[op], _PERCENT)
    )
    return f"{name}{sign}{percent}{unit}", Limit(metric, op, percent / 100, "largest")


@given(
    st.lists(_shared() | _written(), min_size=1, max_size=3, unique_by=lambda one: one[1].metric),
    st.sampled_from([",", ", ", "; ", " and ", " "]),
)
def test_shares_of_the_largest_network_stand_among_other_limits(
    written: list[tuple[str, Limit]], between: str
) -> None:
    found, notes = read(between.join(text for text, _ in written))
    assert [(f.metric, f.op, f.of) for f in found] == [(w.metric, w.op, w.of) for _, w in written]
    assert [f.value for f in found] == pytest.approx([limit.value for _, limit in written])
    if all(limit.of for limit in found):  # half is half, whatever is counted and in which unit
        assert all("is taken as" in note for note in notes)
        assert parse(", ".join(map(str, found))) == tuple(
            Limit(f.metric, f.op, pytest.approx(f.value), "largest") for f in found
        )


@pytest.mark.parametrize(
    ("text", "limits"),
    [
        ("macs<=50%", ["macs<=50%"]),
        ("20%<=macs<=50%", ["macs>=20%", "macs<=50%"]),
        ("50% >= latency", ["latency<=50%"]),
        ("mflops<=33.3 pct", ["macs<=33.3%"]),
        ("depth<=100%, params>=100%", ["depth<=100%", "params>=100%"]),
        ("macs>=20% and macs<=5M", ["macs>=20%", "macs<=5M"]),
    ],
)
def test_shares_are_written_as_they_are_read(text: str, limits: list[str]) -> None:
    assert list(map(str, parse(text))) == limits


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("macs<=120%", "above the largest network's own cost bounds nothing; leave it out"),
        ("macs>=101%", "give at most 100%"),
        ("macs<=0%", "allows nothing"),
        ("macs>=0%", "bounds nothing"),
        ("macs<=-5%", "allows nothing"),
        ("macs<=1e999%", "no finite number"),
        ("macs<=12,5%", "can be read in two ways: write 12.5"),
        ("macs=50%", "use <= or >="),
        ("macs>=60%, macs<=50%", "no macs is both macs>=60% and macs<=50%"),
        ("macs<=50%, macs<=5M", "twice"),
        ("params<=0.5", "params<=50%"),
        *(
            (text, "is written as macs<=50%")
            for text in (
                *("macs<=0.5x", "macs<=0.5×", "macs<=0.5 of max", "macs<=half", "macs<=1/2"),
                *("macs<=50% of the largest", "macs<=50 percent of it", "50%", "macs<=50‰"),
            )
        ),
    ],
)
def test_a_share_that_is_none_is_answered_with_the_form_that_works(text: str, said: str) -> None:
    with pytest.raises(UserError) as caught:
        parse(text)
    assert said in str(caught.value)


def test_an_absolute_limit_says_what_it_was_asked_for_as() -> None:
    share = Limit("macs", "<=", 0.5, "largest")
    limit = Limit("macs", "<=", 25.3e6, asked=share)
    assert limit.text == "macs<=50% of the largest network's 50.6M: macs<=25.3M"
    assert limit == Limit("macs", "<=", 25.3e6) and str(limit) == "macs<=25.3M"
    assert parse("macs<=25.3M")[0].text == "macs<=25.3M"
