"""Numbers as people read them: thin spaces before units, three digits that matter, a dash for what
is not known."""

from __future__ import annotations

import math
from typing import Any, TypeGuard

from archsmith.run.records.profile import Bound

THIN = "\u202f"  # narrow no-break space
DASH = "\u2013"
MINUS = "\u2212"
AT_MOST, AT_LEAST = "\u2264", "\u2265"
TIMES = "\u202f\u00d7\u202f"  # the multiplication sign between thin spaces
LEVEL = "95\u202f%"  # of every interval on the page
_RAISED = str.maketrans(
    "0123456789", "\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079"
)
NAMES = {
    "params": "parameters",
    "macs": "MACs",
    "memory": "peak memory",
    "latency": "latency",
    "zico": "ZiCo",
    "archsmith": "rank-sum ensemble",
    "archsmith-mobile": "rank-sum ensemble",
    "archsmith-vit": "count of parameters",
    "depth": "depth",
    "random": "random",
    "val_accuracy": "validation accuracy",
    "val_measure": "measure on validation",
    "shared_accuracy": "estimated accuracy",
}


def is_number(value: Any) -> TypeGuard[float]:
    """A finite number (and not a truth value)."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def name(metric: str) -> str:
    """A metric as it is called in a sentence."""
    return NAMES.get(metric, metric.replace("_", " "))


def count(value: Any) -> str:
    """18234 -> 18,234"""
    return f"{round(value):,}" if is_number(value) else DASH


def short(value: Any) -> str:
    """18234 -> 18.2 k; 1200000 -> 1.2 M; three significant digits."""
    if not is_number(value):
        return DASH
    for size, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size * 0.9995:
            return f"{_three(value / size)}{THIN}{unit}"
    return _three(value)


def _three(value: float) -> str:
    """At most three significant digits, never an exponent, no trailing zeros behind the point."""
    if value == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{value:.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def percent(value: Any, digits: int = 1) -> str:
    """0.98712 -> 98.7 %"""
    return f"{100 * value:.{digits}f}{THIN}%" if is_number(value) else DASH


def points(value: Any) -> str:
    """A difference of shares in percentage points, with its sign: 0.0123 -> +1.2"""
    if not is_number(value):
        return DASH
    rounded = round(100 * value, 1)
    sign = "+" if rounded > 0 else MINUS if rounded < 0 else ""
    return f"{sign}{abs(rounded):.1f}"


def milliseconds(value: Any) -> str:
    """0.3142 -> 0.314 ms"""
    return f"{_three(value)}{THIN}ms" if is_number(value) else DASH


def size(value: Any) -> str:
    """Bytes: 71234 -> 69.6 KiB"""
    if not is_number(value):
        return DASH
    for factor, unit in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if abs(value) >= factor * 0.9995:
            return f"{_three(value / factor)}{THIN}{unit}"
    return f"{round(value)}{THIN}B"


def duration(seconds: Any) -> str:
    """174 -> 2 min 54 s; 3725 -> 1 h 2 min; 0.42 -> 0.4 s"""
    if not is_number(seconds):
        return DASH
    if seconds < 10:
        return f"{seconds:.1f}{THIN}s"
    whole = round(seconds)
    hours, minutes, rest = whole // 3600, whole % 3600 // 60, whole % 60
    if hours:
        return f"{hours}{THIN}h {minutes}{THIN}min"
    if minutes:
        return f"{minutes}{THIN}min {rest}{THIN}s"
    return f"{rest}{THIN}s"


def metric(value: Any, which: str) -> str:
    """A value of the named metric with its unit."""
    if which == "latency":
        return milliseconds(value)
    if which == "memory":
        return size(value)
    if which.endswith("accuracy"):
        return percent(value)
    return short(value)


def large(value: Any) -> str:
    """A size that may come as text: "1.17e+14" -> 1.17 x 10^14 in print, "4096" -> 4,096"""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return str(value or DASH)
    if not math.isfinite(number) or number < 1e6:
        return count(number)
    power = math.floor(math.log10(number))
    return f"{_three(number / 10**power)}{TIMES}10{str(power).translate(_RAISED)}"


def bound(limit: Bound) -> str:
    """A limit of the budget: params, <=, 20000 -> <= 20 k, with the sign as printed"""
    return f"{AT_LEAST if limit.op == '>=' else AT_MOST}{THIN}{metric(limit.limit, limit.metric)}"


def share_of_largest(limit: Bound) -> str:
    """What a limit was asked for as: 50 % of the largest network's 50.6 M"""
    assert limit.share is not None
    share = f"{100 * limit.share:.6g}{THIN}%"
    return f"{share} of the largest network's {metric(limit.limit / limit.share, limit.metric)}"


def span(low: Any, high: Any) -> str:
    """Two shares as a range: 95.9-98.6 % with an en dash"""
    return (
        f"{100 * low:.1f}{DASH}{100 * high:.1f}{THIN}%"
        if is_number(low) and is_number(high)
        else DASH
    )


def plural(number: Any, one: str, many: str | None = None) -> str:
    """1 image, 2 images"""
    return f"{count(number)} {one if number == 1 else many or one + 's'}"


def shape(sizes: Any) -> str:
    """[24, 8, 8] -> 24 x 8 x 8 with multiplication signs"""
    return TIMES.join(str(s) for s in sizes) if isinstance(sizes, list | tuple) else DASH
