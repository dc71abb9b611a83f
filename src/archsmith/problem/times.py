"""Times as people write them: "45 min", "1h30m"."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from archsmith.errors import UserError, shown
from archsmith.problem.words import LETTERS

_SECONDS: Mapping[str, float] = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1.0),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), 3600.0),
    **dict.fromkeys(("d", "day", "days"), 86400.0),
}
_LONGEST = 366 * 86400.0
_SPAN = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*([a-z]*)[\s,]*(?:and\s+)?", re.I)


def parse_seconds(text: str | float) -> float:
    """Seconds of "20m", "1h30m", "45 min", "90s" or a number of seconds; raises UserError for what
    is no time above 0."""
    return read_seconds(text)[0]


def read_seconds(text: str | float) -> tuple[float, tuple[str, ...]]:
    """Seconds of a time, and notes for the user on the unit that was taken where none is given."""
    if isinstance(text, int | float):
        return float(text), ()
    total, last, notes = 0.0, math.inf, list[str]()
    rest = text.translate(LETTERS).strip()
    if rest[:1] in ("'", '"') and rest[:1] == rest[-1:]:  # alone they mean minutes, or seconds
        rest = rest[1:-1].strip()
    if clock := re.fullmatch(r"(\d+):([0-5]\d):([0-5]\d)", rest):
        hours, minutes, seconds = map(int, clock.groups())
        total, rest = hours * 3600.0 + minutes * 60.0 + seconds, ""
    unreadable = UserError(f"time '{shown(text)}' cannot be read; write 90s, 20m, 1h30m or 45 min")
    if not rest and not total:
        raise unreadable
    while rest:
        match = _SPAN.match(rest)
        if match is None:
            raise unreadable
        number, unit = float(match.group(1)), match.group(2).lower()
        if unit:
            factor = _SECONDS.get(unit, math.inf)
        elif last == math.inf:
            factor = 1.0
            notes.append(
                f"--time {shown(text)} is taken as {number:g} seconds; write {number:g}m "
                f"for minutes"
            )
        else:  # the next smaller unit: 1h30
            factor = {86400.0: 3600.0, 3600.0: 60.0, 60.0: 1.0}.get(last, math.inf)
            notes.append(f"--time {shown(text)} is taken as {_clock(total + number * factor)}")
        if factor >= last:
            raise unreadable
        total, last, rest = total + number * factor, factor, rest[match.end() :]
    if not 0 < total <= _LONGEST:
        raise UserError(
            f"time '{shown(text)}' is {'no time at all' if total <= 0 else 'more than a year'}; "
            f"write 90s, 20m or 1h30m"
        )
    return total, tuple(notes)


def _clock(seconds: float) -> str:
    """1 h 30 min; 20 min 30 s."""
    parts = ((seconds // 3600, "h"), (seconds % 3600 // 60, "min"), (seconds % 60, "s"))
    return " ".join(f"{number:g} {unit}" for number, unit in parts if number)
