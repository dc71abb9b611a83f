"""Budgets as people write them: "params<=3M, macs<=60M, latency<=8ms, memory<=2MiB, depth<=40", or
as shares of what the largest network costs: "macs<=50%"."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from archsmith.errors import UserError, did_you_mean, shown
from archsmith.problem import excess
from archsmith.problem.words import (
    _BYTES,
    _MILLISECONDS,
    ALLOWED,
    LETTERS,
    METRIC,
    NOUNS,
    OPS,
    PERCENT,
    TAGGED,
    TURNED,
    UNITS,
)

_EXAMPLE = '"params<=3M, macs<=60M, latency<=8ms, memory<=2MiB"'
_NUMBER = (
    r"[-+]?(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d{1,3}(?:'\d{3})+(?:\.\d+)?|\d{1,3}(?: "
    r"\d{3})+(?:\.\d+)?"
    r"|\d+(?:_\d+)+(?:\.\d+)?|\d+\.?\d*|\.\d+)(?:e[-+]?\d+| ?(?:x|\*) ?10(?:\^|\*\*)\d+)?(?![\d.])"
)
_OP = r"<=|=<|>=|=>|==|!=|<>|<|>|=|:"
_NAME = r"#?[a-z_](?:[a-z0-9_]|-(?=[a-z]))*"
_UNIT = r"(?:%|[a-z]+(?: +[a-z]+)?)"
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
    r"(?<![\d,.])\d+,\d{1,2}(?![\d,.])(?=\s*(?:[a-z%]|$|[,;]))(?!\s*[a-z%]*\s*[<>=≤≥])", re.I
)
# a share in words that no number stands in
_SHARE = re.compile(
    r"[%\u2030]|\b(?:per ?cent|pct|half|third|quarter)\b|^/ *\d|\bof (?:the |its )?(?:larg|max)",
    re.I,
)
_SHARES = "a share of what the largest network of the space costs is written as"
_BETWEEN = re.compile(r"\s*(?:;|&+|\band\b|\n|(?<!\d),|,(?!\d{3}(?!\d)))\s*", re.I)


@dataclass(frozen=True)
class Limit:
    """One bound: `metric` at most (or at least) `value`, in the metric's own unit (a count, ms or
    bytes).

    `of` "largest": `value` is a share (0.5) of what the largest network of the space costs; before
    anything is held against it, `metrics.limits.resolved` makes an absolute one of it, whose
    `asked` it is then.
    """

    metric: str
    op: str  # "<=" or ">="
    value: float
    of: Literal["", "largest"] = ""
    asked: Limit | None = field(default=None, compare=False)

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

    @property
    def text(self) -> str:
        """As written, and with what it was asked for as: "macs<=50% of the largest network's 50.6M:
        macs<=25.3M"."""
        if self.asked is None:
            return str(self)
        whole = human(self.metric, self.value / self.asked.value)
        return f"{self.asked} of the largest network's {whole}: {self}"

    def __str__(self) -> str:
        value = f"{100 * self.value:.6g}%" if self.of else human(self.metric, self.value)
        return f"{self.metric}{self.op}{value}"


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
    require_room(limits)
    return tuple(limits), tuple(dict.fromkeys(notes))


def require_room(limits: Sequence[Limit]) -> None:
    """UserError where no value keeps both a lower and an upper limit of one metric; a share and an
    absolute one are not compared."""
    for high in limits:
        for low in limits:
            if (
                (high.metric, high.of) == (low.metric, low.of)
                and high.op == "<="
                and low.op == ">="
                and low.value > high.value
            ):
                raise UserError(
                    f"budget: no {high.metric} is both {low} and {high}; relax one of them"
                )


def _plain(text: str) -> str:
    """One spelling of signs and spaces."""
    return text.translate(LETTERS).strip(" \"'“”,;")


def _limits(part: str, notes: list[str]) -> list[Limit]:
    """Those of one part between separators; blanks separate as well: "params<=3M macs<=60M"."""
    limits: list[Limit] = []
    rest = part
    while rest := rest.strip(" ."):
        if match := _LIMIT.match(rest):
            name, op, number, unit = match.groups()
            limits.append(_limit(part, (name, op, number, unit), notes))
        elif match := _TURNED_LIMIT.match(rest):
            first, of_first, sign, name, op, number, unit = match.groups()
            flipped = _limit(part, (name, sign, first, of_first), notes)
            limits.append(replace(flipped, op=TURNED[flipped.op]))
            if op:
                limits.append(_limit(part, (name, op, number, unit), notes))
        elif (match := _BARE.fullmatch(rest)) and (metric := _named_by(match.group(2))):
            limits.append(_limit(part, (metric, "<=", match.group(1), match.group(2)), notes))
            notes.append(f"{shown(part)} is taken as {limits[-1]}")
        else:
            raise UserError(
                f"budget '{shown(part)}' cannot be read{_advice(rest)}; write limits "
                f"such as {_EXAMPLE}"
            )
        rest = rest[match.end() :]
    for limit in limits:
        _sensible(part, limit)
    return limits


def _named_by(unit: str) -> str | None:
    """The metric that a number's unit names by itself: "60 MFLOPs", "8 ms"."""
    word = unit.lower()
    if word in ("ms", "us", "msec", "milliseconds"):
        return "latency"
    return next((m for m in ("macs", "params") if word.endswith(NOUNS[m])), None)


def _is_share(unit: str) -> bool:
    return re.sub(r"\s+", " ", unit.lower()).strip() in PERCENT


def _sensible(part: str, limit: Limit) -> None:
    if not math.isfinite(limit.value):
        raise UserError(
            f"budget '{shown(part)}': that is no finite number; leave {limit.metric} "
            f"out where it has no limit"
        )
    if limit.of and limit.value > 1:
        end = (
            "a budget above the largest network's own cost bounds nothing; leave it out"
            if limit.op == "<="
            else "no network of the space costs more than its largest; give at most 100%"
        )
        raise UserError(f"budget '{shown(part)}': {end}")
    if limit.op == "<=" and limit.value <= 0:
        raise UserError(f"budget '{shown(part)}' allows nothing; give a positive limit")
    if limit.of and limit.value <= 0:
        raise UserError(f"budget '{shown(part)}' bounds nothing; leave it out")
    if limit.op == "<=" and limit.value < 1 and limit.unit != "ms" and not limit.of:
        raise UserError(
            f"budget '{shown(part)}' allows nothing: less than one; give a unit, e.g. "
            f"{limit.metric}<=.5M, or a share of what the largest network costs: "
            f"{limit.metric}<=50%"
        )


def _advice(rest: str) -> str:
    if _SHARE.search(rest):
        return f" ({_SHARES} macs<=50%)"
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
    if op not in OPS:
        raise UserError(f"budget '{shown(part)}': use <= or >= instead of {op}")
    if op in ("<", ">"):
        notes.append(f"{metric}{op} is taken as {metric}{OPS[op]}")
    if number.startswith("-"):
        raise UserError(f"budget '{shown(part)}' allows nothing; give a positive limit")
    if "," in number:
        notes.append(f"{number} is read as {_value(number):.15g} (commas between thousands)")
    if _is_share(unit):
        return Limit(metric, OPS[op], _value(number) / 100, "largest")
    factor = _factor(part, metric, tag, unit=unit, notes=notes)
    return Limit(metric, OPS[op], _value(number) * factor)


def _metric(part: str, name: str, number: str, unit: str, notes: list[str]) -> tuple[str, str]:
    """The metric that a word means, and the unit that the word holds ("" where it holds none)."""
    word = name.lower()
    word, tag = TAGGED.get(word, (word, ""))
    counted = word in ("flops", "flop") and not _is_share(unit)  # half of either count is half
    if counted or re.search(r"flops?$", unit, re.I):
        notes.append(
            "FLOPs are taken as multiply-accumulates (MACs), as papers count them; where yours "
            "counts two operations "
            "for each, give half as macs<="
        )
    metric = METRIC.get(word)
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
    factors, own, written = UNITS[metric][1], UNITS[metric][0], unit
    word = re.sub(r"\s+", " ", unit.lower()).strip()
    for noun in sorted(NOUNS.get(metric, ()), key=len, reverse=True):
        if word.endswith(noun):
            word = word.removesuffix(noun).strip()
            break
    if tag and not word:
        word, written = tag, tag
    elif tag and word != tag:
        raise UserError(f"budget '{shown(part)}' names two units, {tag} and {unit}; give one")
    count = factors.get(word)
    if count is None:
        message = f"budget '{shown(part)}': '{shown(unit)}' is no unit of {metric}"
        if re.match(r"(?:x|times|of|per ?cent|pct)\b", word):
            raise UserError(f"{message}; {_SHARES} {metric}<=50%")
        raise UserError(f"{message}; use {ALLOWED[metric]}")
    if own and not word:
        notes.append(
            f"{shown(part)}: no unit is given, "
            f"{'milliseconds' if own == 'ms' else 'bytes'} are taken"
        )
    if metric == "memory" and count in (1e3, 1e6, 1e9):
        letter = {1e3: "K", 1e6: "M", 1e9: "G"}[count]
        notes.append(
            f"{written} is taken as {count:,.0f} bytes; {letter}iB is "
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
