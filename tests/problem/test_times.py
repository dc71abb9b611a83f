"""Times as people write them."""

import pytest

from archsmith.errors import UserError
from archsmith.problem.times import parse_seconds, read_seconds


def test_seconds() -> None:
    assert [parse_seconds(t) for t in ("90s", "20m", "1h30m", "45", 12)] == [
        90.0,
        1200.0,
        5400.0,
        45.0,
        12.0,
    ]
    for wrong in ("", "soon", "5 moons", "-3s"):
        with pytest.raises(UserError, match="cannot be read"):
            parse_seconds(wrong)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("45 min", 2700),
        ("45 m", 2700),
        ("45mins", 2700),
        ("1h30", 5400),
        ("1h30m", 5400),
        ("1 h 30 min", 5400),
        ("90 s", 90),
        ("1.5h", 5400),
        (".5 hours", 1800),
        ("20m30", 1230),
        ("1:30:00", 5400),
        ("2d", 172_800),
        ("5 minutes", 300),
    ],
)
def test_a_time_is_the_same_however_it_is_written(text: str, seconds: float) -> None:
    assert parse_seconds(text) == seconds


@pytest.mark.parametrize(
    "text", ["inf", "nan", "1e999", "0", "0s", "400d", "1:30", "1m 1h", "30 30"]
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="write 90s"):
        parse_seconds(text)


def test_the_unit_that_was_taken_is_noted() -> None:
    assert (
        "5 seconds; write 5m" in read_seconds("5")[1][0]
        and ("1 h 30 min") in read_seconds("1h30")[1][0]
    )
    assert read_seconds("5m")[1] == ()


@pytest.mark.parametrize("text", ["5'", '30"', "'5m"])
def test_a_mark_that_means_minutes_or_seconds_is_not_passed_over(text: str) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        parse_seconds(text)
    assert parse_seconds("'5m'") == 300.0
