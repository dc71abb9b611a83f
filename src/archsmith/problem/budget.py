"""Budgets and times as people write them: "params<=3M, macs<=60M, latency<=8ms, memory<=2MiB,
depth<=40"; "45 min"."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from archsmith.errors import UserError, did_you_mean, shown
from archsmith.problem import excess

_COUNT = {
    "": 1.0,
    "k": 1e3,
    "m": 1e6,
    "g": 1e9,
    "b": 1e9,
    "t": 1e12,
    "thousand": 1e3,
    "mio": 1e6,
    "mn": 1e6,
    "million": 1e6,
    "millions": 1e6,
    "bn": 1e9,
    "billion": 1e9,
    "billions": 1e9,
}
_MILLISECONDS = {
    "": 1.0,
    "ms": 1.0,
    "us": 1e-3,
    "ns": 1e-6,
    "s": 1e3,
    "msec": 1.0,
    "msecs": 1.0,
    "usec": 1e-3,
    "sec": 1e3,
    "secs": 1e3,
    "millisecond": 1.0,
    "milliseconds": 1.0,
    "microsecond": 1e-3,
    "microseconds": 1e-3,
    "second": 1e3,
    "seconds": 1e3,
}
_BYTES = {
    "": 1.0,
    "b": 1.0,
    "kb": 1e3,
    "mb": 1e6,
    "gb": 1e9,
    "kib": 2.0**10,
    "mib": 2.0**20,
    "gib": 2.0**30,
    "k": 1e3,
    "m": 1e6,
    "g": 1e9,
    "ki": 2.0**10,
    "mi": 2.0**20,
    "gi": 2.0**30,
    "byte": 1.0,
    "bytes": 1.0,
    "kbyte": 1e3,
    "kbytes": 1e3,
    "mbyte": 1e6,
    "mbytes": 1e6,
    "gbyte": 1e9,
    "gbytes": 1e9,
    "kilobytes": 1e3,
    "megabytes": 1e6,
    "gigabytes": 1e9,
    "kibibytes": 2.0**10,
    "mebibytes": 2.0**20,
    "gibibytes": 2.0**30,
}
UNITS: dict[str, tuple[str, dict[str, float]]] = {  # metric -> (its unit, suffix -> factor)
    "params": ("", _COUNT),
    "macs": ("", _COUNT),
    "latency": ("ms", _MILLISECONDS),
    "memory": ("bytes", _BYTES),
    "depth": ("", {"": 1.0}),  # convolutions and linear layers
    "layers": ("", {"": 1.0}),  # as a space counts them that does so itself (`zen`)
}
_ALLOWED = {  # in messages, not every spelling
    "params": "k, M, G or none",
    "macs": "k, M, G or none",
    "latency": "us, ms, s or none (ms)",
    "memory": "B, KB, MB, GB, KiB, MiB, GiB or none (bytes)",
    "depth": "none",
    "layers": "none",
}
_SAME = {  # how else a metric is called
    "params": (
        "param",
        "parameter",
        "parameters",
        "weights",
        "num_params",
        "n_params",
        "nparams",
        "#params",
    ),
    "macs": (
        "mac",
        "madd",
        "madds",
        "mult_adds",
        "mult-adds",
        "multadds",
        "multiply_adds",
        "flops",
        "flop",
    ),
    "latency": ("lat", "delay", "inference_time"),
    "memory": ("mem", "ram", "peak_memory"),
    "depth": (),
    "layers": ("layer",),
}
_METRIC = {word: metric for metric, words in _SAME.items() for word in (metric, *words)}
_NOUNS = {  # what may follow the number: "60 MFLOPs", "3M parameters"
    "params": ("params", "param", "parameters", "parameter", "weights"),
    "macs": ("macs", "mac", "flops", "flop", "madds", "madd"),
    "depth": ("layers", "layer"),
    "layers": ("layers", "layer"),
}
_TAGGED = {  # metrics with their unit in the name: latency_ms<=8, mflops<=60
    **{f"latency_{unit}": ("latency", unit) for unit in ("us", "ms", "s")},
    **{
        f"memory_{unit}": ("memory", unit)
        for unit in ("b", "kb", "mb", "gb", "kib", "mib", "gib", "bytes")
    },
    **{
        f"{prefix}{noun}": (noun, prefix)
        for prefix in "kmg"
        for noun in ("macs", "flops", "params")
    },
    **{
        f"{noun}_{prefix}": (noun, prefix)
        for prefix in "kmg"
        for noun in ("macs", "flops", "params")
    },
}
_EXAMPLE = '"params<=3M, macs<=60M, latency<=8ms, memory<=2MiB"'
_OPS = {"<=": "<=", "=<": "<=", "<": "<=", ">=": ">=", "=>": ">=", ">": ">="}
_TURNED = {"<=": ">=", ">=": "<="}
_LETTERS = str.maketrans(
    {
        **dict.fromkeys("µμ", "u"),
        **dict.fromkeys("≤⩽≦", "<="),
        **dict.fromkeys("≥⩾≧", ">="),
        "−": "-",
        "×": "x",
        **{chr(code + 0xFEE0): chr(code) for code in range(0x21, 0x7F)},
        "、": ",",
        **dict.fromkeys("\u200b\u200e\u200f\ufeff"),
        **dict.fromkeys("\u00a0\u2007\u2009\u202f\u3000\t\r", " "),
        **dict.fromkeys("’‘", "'"),
        "\n": ";",
    }
)

_NUMBER = (
    r"[-+]?(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d{1,3}(?:'\d{3})+(?:\.\d+)?|\d{1,3}(?: "
    r"\d{3})+(?:\.\d+)?"
    r"|\d+(?:_\d+)+(?:\.\d+)?|\d+\.?\d*|\.\d+)(?:e[-+]?\d+| ?(?:x|\*) ?10(?:\^|\*\*)\d+)?(?![\d.])"
)
_OP = r"<=|=<|>=|=>|==|!=|<>|<|>|=|:"
_NAME = r"#?[a-z_](?:[a-z0-9_]|-(?=[a-z]))*"
_UNIT = r"[a-z]+(?: +[a-z]+)?"
_LIMIT = re.compile(
    rf"({_NAME})\s*({_OP})\s*({_NUMBER})\s*((?:{_UNIT}|)(?![a-z])(?!\s*(?:[<>=:!])))", re.I
)
_TURNED_LIMIT = re.compile(
    rf"({_NUMBER})\s*((?:{_UNIT})?)\s*({_OP})\s*({_NAME})(?:\s*({_OP})\s*({_NUMBER})\s*((?:{_UNIT}|)(?![a-z])(?!\s*[<>=:!])))?",
    re.I,
)
_BARE = re.compile(
    rf"(?:max(?:imum|\.)?|at most|under|below|up "
    rf"to)?\s*({_NUMBER})\s*({_UNIT})",
    re.I,
)
# 3,5M
_DECIMAL = re.compile(
    r"(?<![\d,.])\d+,\d{1,2}(?![\d,.])(?=\s*(?:[a-z]|$|[,;]))(?!\s*[a-z]*\s*[<>=≤≥])", re.I
)
_BETWEEN = re.compile(r"\s*(?:;|&+|\band\b|\n|(?<!\d),|,(?!\d{3}(?!\d)))\s*", re.I)


@dataclass(frozen=True)
class Limit:
    """One bound: `metric` at most (or at least) `value`, in the metric's own unit (a count, ms or
    bytes)."""

    metric: str
    op: str  # "<=" or ">="
    value: float

    @property
    def unit(self) -> str:
        """ "", "ms" or "bytes"."""
        return UNITS[self.metric][0]

    @property
    def low(self) -> float:
        """The least value it allows."""
        return -math.inf if self.op == "<=" else self.value

    @property
    def high(self) -> float:
        """The largest value it allows."""
        return self.value if self.op == "<=" else math.inf

    def excess(self, value: float) -> float:
        """How far a value misses it, as `Problem` counts: the share of the limit; 0 where it keeps
        to it."""
        return excess(value, self.low, self.high)

    def met(self, value: float) -> bool:
        """Whether a measured value keeps to it."""
        return self.excess(value) <= 0

    def __str__(self) -> str:
        return f"{self.metric}{self.op}{human(self.metric, self.value)}"


def parse(text: str) -> tuple[Limit, ...]:
    """The limits of a budget; raises UserError naming the part that cannot be read, and the form
    that can."""
    return read(text)[0]


def read(text: str) -> tuple[tuple[Limit, ...], tuple[str, ...]]:
    """The limits of a budget, and notes for the user on what could have been meant otherwise, each
    once."""
    limits: list[Limit] = []
    notes: list[str] = []
    if decimal := _DECIMAL.search(_plain(text)):
        one, two = decimal[0].replace(",", "."), decimal[0].replace(",", ", ")
        raise UserError(
            f"budget '{shown(text)}' can be read in two ways: write {one} for one number, or "
            f"'{two}' where the comma stands "
            "between two limits"
        )
    for part in _BETWEEN.split(_plain(text)):
        for limit in _limits(part.strip(), notes):
            if any(other.metric == limit.metric and other.op == limit.op for other in limits):
                raise UserError(f"budget bounds {limit.metric} twice with {limit.op}; give it once")
            limits.append(limit)
    for high in limits:
        for low in limits:
            if (
                high.metric == low.metric
                and high.op == "<="
                and low.op == ">="
                and low.value > high.value
            ):
                raise UserError(
                    f"budget: no {high.metric} is both {low} and {high}; relax one of them"
                )
    return tuple(limits), tuple(dict.fromkeys(notes))


def _plain(text: str) -> str:
    """One spelling of signs and spaces."""
    return text.translate(_LETTERS).strip(" \"'“”,;")


def _limits(part: str, notes: list[str]) -> list[Limit]:
    """Those of one part between separators; blanks separate as well: "params<=3M macs<=60M"."""
    found: list[Limit] = []
    rest = part
    while rest := rest.strip(" ."):
        if match := _LIMIT.match(rest):
            name, op, number, unit = match.groups()
            found.append(_limit(part, (name, op, number, unit), notes))
        elif match := _TURNED_LIMIT.match(rest):
            first, of_first, sign, name, op, number, unit = match.groups()
            flipped = _limit(part, (name, sign, first, of_first), notes)
            found.append(Limit(flipped.metric, _TURNED[flipped.op], flipped.value))
            if op:
                found.append(_limit(part, (name, op, number, unit), notes))
        elif (match := _BARE.fullmatch(rest)) and (metric := _named_by(match.group(2))):
            found.append(_limit(part, (metric, "<=", match.group(1), match.group(2)), notes))
            notes.append(f"{shown(part)} is taken as {found[-1]}")
        else:
            raise UserError(
                f"budget '{shown(part)}' cannot be read{_advice(rest)}; write limits "
                f"such as {_EXAMPLE}"
            )
        rest = rest[match.end() :]
    for limit in found:
        _sensible(part, limit)
    return found


def _named_by(unit: str) -> str | None:
    """The metric that a number's unit names by itself: "60 MFLOPs", "8 ms"."""
    word = unit.lower()
    if word in ("ms", "us", "msec", "milliseconds"):
        return "latency"
    return next((m for m in ("macs", "params") if word.endswith(_NOUNS[m])), None)


def _sensible(part: str, limit: Limit) -> None:
    if not math.isfinite(limit.value):
        raise UserError(
            f"budget '{shown(part)}': that is no finite number; leave {limit.metric} "
            f"out where it has no limit"
        )
    if limit.op == "<=" and limit.value <= 0:
        raise UserError(f"budget '{shown(part)}' allows nothing; give a positive limit")
    if limit.op == "<=" and limit.value < 1 and limit.unit != "ms":
        raise UserError(
            f"budget '{shown(part)}' allows nothing: less than one; give a unit, e.g. "
            f"{limit.metric}<=.5M"
        )


def _advice(rest: str) -> str:
    if (
        (bare := _BARE.fullmatch(rest))
        and bare.group(2).lower() in (*_BYTES, *_MILLISECONDS)
        and len(bare.group(2)) > 1
    ):
        metric = "memory" if bare.group(2).lower() in _BYTES else "latency"
        return f" (say what it bounds: {metric}<={shown(rest)})"
    if re.search(r"\d[.,]\d{3}[.,]\d{3}", rest) or re.match(r"\d+\s*[a-z]*$", rest, re.I):
        return (
            " (write 1.5 for one and a half, 1000000 or 1M for a million, and what a number "
            "bounds: macs<=60M)"
        )
    if re.search(r"\b(?:inf|nan|infinity|none)\b", rest, re.I):
        return " (leave a metric out where it has no limit)"
    if re.search(r"\d\s*(?:-|\.\.|to)\s*\d", rest):
        return ' (write a range as "params>=1M, params<=3M")'
    return ""


def _limit(part: str, words: tuple[str, str, str, str], notes: list[str]) -> Limit:
    name, op, number, unit = words
    metric, tag = _metric(part, name, number, unit=unit, notes=notes)
    if op not in _OPS:
        raise UserError(f"budget '{shown(part)}': use <= or >= instead of {op}")
    if op in ("<", ">"):
        notes.append(f"{metric}{op} is taken as {metric}{_OPS[op]}")
    if number.startswith("-"):
        raise UserError(f"budget '{shown(part)}' allows nothing; give a positive limit")
    if "," in number:
        notes.append(f"{number} is read as {_value(number):.15g} (commas between thousands)")
    factor = _factor(part, metric, tag, unit=unit, notes=notes)
    return Limit(metric, _OPS[op], _value(number) * factor)


def _metric(part: str, name: str, number: str, unit: str, notes: list[str]) -> tuple[str, str]:
    """The metric that a word means, and the unit that the word holds ("" where it holds none)."""
    word = name.lower()
    word, tag = _TAGGED.get(word, (word, ""))
    if word in ("flops", "flop") or re.search(r"flops?$", unit, re.I):
        notes.append(
            "FLOPs are taken as multiply-accumulates (MACs), as papers count them; where yours "
            "counts two operations "
            "for each, give half as macs<="
        )
    metric = _METRIC.get(word)
    if metric is None:
        raise UserError(
            f"budget: no metric '{shown(name)}'; there are "
            f"{', '.join(UNITS)}{_instead(word, number, unit)}"
        )
    return metric, tag


def _instead(word: str, number: str, unit: str) -> str:
    """What bounds that which has another name here."""
    value = _value(number)
    if word in (
        "size",
        "model_size",
        "modelsize",
        "file",
        "file_size",
        "filesize",
        "disk",
        "storage",
    ):
        count = human("params", value * _BYTES.get(unit.lower(), 1.0) / 4)
        return (
            f"; for the size of the file bound params (4 bytes each: params<={count}), for what "
            f"it needs to run memory"
        )
    if word in ("fps", "throughput", "speed") and value > 0:
        return f"; bound the time of one image instead: latency<={1000 / value:.3g}ms"
    if word in ("time", "duration", "hours", "minutes"):
        return "; how long the search may take is --time, how long one image takes is latency"
    if word in ("acc", "accuracy", "error", "loss", "top1"):
        return "; the accuracy is what is searched for, a budget bounds what a network costs"
    if word in ("ops", "gops", "mops"):
        return "; count multiply-accumulates (half the operations) as macs"
    return did_you_mean(word, UNITS)


def _value(number: str) -> float:
    text = re.sub(r" ?(?:x|\*) ?10(?:\^|\*\*)", "e", number.lower())
    return float(re.sub(r"[,_' ]", "", text))


def _factor(part: str, metric: str, tag: str, unit: str, notes: list[str]) -> float:
    """What the number is to be multiplied by; UserError for a unit that the metric has not."""
    factors, own, said = UNITS[metric][1], UNITS[metric][0], unit
    word = re.sub(r"\s+", " ", unit.lower()).strip()
    for noun in sorted(_NOUNS.get(metric, ()), key=len, reverse=True):
        if word.endswith(noun):
            word = word.removesuffix(noun).strip()
            break
    if tag and not word:
        word, said = tag, tag
    elif tag and word != tag:
        raise UserError(f"budget '{shown(part)}' names two units, {tag} and {unit}; give one")
    count = factors.get(word)
    if count is None:
        raise UserError(
            f"budget '{shown(part)}': '{shown(unit)}' is no unit of {metric}; use "
            f"{_ALLOWED[metric]}"
        )
    if own and not word:
        notes.append(
            f"{shown(part)}: no unit is given, "
            f"{'milliseconds' if own == 'ms' else 'bytes'} are taken"
        )
    if metric == "memory" and count in (1e3, 1e6, 1e9):
        letter = {1e3: "K", 1e6: "M", 1e9: "G"}[count]
        notes.append(
            f"{said} is taken as {count:,.0f} bytes; {letter}iB is "
            f"{2 ** (round(math.log10(count)) // 3 * 10):,} bytes"
        )
    return count


def human(metric: str, value: float) -> str:
    """A value with its unit, as a person writes it: 1.25M, 8.1 ms, 2.0 MiB."""
    unit = UNITS[metric][0] if metric in UNITS else ""
    if unit == "ms":
        return f"{value:.3g} ms" if value < 1000 else f"{value / 1000:.3g} s"
    if unit == "bytes":
        for factor, name in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
            if value >= factor:
                return f"{value / factor:.3g} {name}"
        return f"{value:.0f} B"
    for limit, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:.3g}{name}"
    return f"{value:.6g}"


# -- times ---------------------------------------------------------------------------------------

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
    rest = text.translate(_LETTERS).strip()
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
