"""Numbers as people read them."""

from __future__ import annotations

import math
from typing import Any

import pytest

from archsmith.report import text
from archsmith.run.records.profile import Bound


def plain(shown: str) -> str:
    """With ordinary spaces and signs, for reading here."""
    return (
        shown.replace(text.THIN, " ")
        .replace(text.MINUS, "-")
        .replace(text.DASH, "--")
        .replace("\u00d7", "x")
    )


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (text.count(18234), "18,234"),
        (text.short(18234), "18.2 k"),
        (text.short(999_960), "1 M"),
        (text.short(1_200_000), "1.2 M"),
        (text.short(0), "0"),
        (text.short(100), "100"),
        (text.short(0.0123), "0.0123"),
        (text.percent(0.98712), "98.7 %"),
        (text.points(0.0123), "+1.2"),
        (text.points(-0.0123), "-1.2"),
        (text.points(0.0001), "0.0"),
        (text.milliseconds(0.0871), "0.0871 ms"),
        (text.size(612), "612 B"),
        (text.size(81234), "79.3 KiB"),
        (text.size(3 * 2**20), "3 MiB"),
        (text.duration(0.42), "0.4 s"),
        (text.duration(59.7), "1 min 0 s"),
        (text.duration(174), "2 min 54 s"),
        (text.duration(3725), "1 h 2 min"),
        (text.metric(8.0, "latency"), "8 ms"),
        (text.metric(0.5, "val_accuracy"), "50.0 %"),
        (text.metric(2048, "memory"), "2 KiB"),
        (text.plural(1, "image"), "1 image"),
        (text.plural(1200, "class", "classes"), "1,200 classes"),
        (text.span(0.959, 0.986), "95.9--98.6 %"),
        (text.shape([24, 8, 8]), "24 x 8 x 8"),
        (text.large("4096"), "4,096"),
        (text.large("1.17e+14"), "1.17 x 10\u00b9\u2074"),
        (text.large("many"), "many"),
        (
            text.bound(Bound(metric="params", op="<=", limit=20000, unit="", text="params<=20k")),
            "\u2264 20 k",
        ),
    ],
)
def test_shown(shown: str, expected: str) -> None:
    assert plain(shown) == expected


@pytest.mark.parametrize("value", [None, math.nan, math.inf, "x", True, [], {}])
def test_what_is_no_number_is_a_dash(value: Any) -> None:
    for show in (
        text.count,
        text.short,
        text.percent,
        text.points,
        text.milliseconds,
        text.size,
        text.duration,
    ):
        assert show(value) == text.DASH
