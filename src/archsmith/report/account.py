"""What went in and what it cost: the images, the space, each stage's time; plain values, None
before they exist."""

from __future__ import annotations

from typing import Any

from archsmith.report import text
from archsmith.report.run_record import STAGES, RunRecord
from archsmith.run.records import (
    Finished,
    Looked,
    Part,
    Profiled,
    Screened,
    Searched,
    Shipped,
    Untrained,
)
from archsmith.run.records.look import Mirroring
from archsmith.run.request import Request

_BUSY = 0.05  # of the time lost to other work, from which on it is said
STAGE_TEXT = {
    "look": "reading the images, making the split",
    "profile": "what the space costs, what fits the budget",
    "screen": "scores without training",
    "train": "weights shared between networks",
    "search": "looking for the best score within the budget",
    "finish": "training the best few, and the reference beside them",
    "ship": "export, check, timing",
}


def cost(record: RunRecord) -> dict[str, Any]:
    """Seconds by stage, what each stage did, and the sum beside the time that was asked for."""
    stages = [name for name in STAGES if name in record.done or name in record.seconds]
    total = sum(record.seconds.get(name, 0.0) for name in stages)
    rows, start = [], 0.0
    for name in STAGES:
        seconds, left = record.seconds.get(name), record.left(name)
        planned = record.run.predicted_s.get(name)
        rows.append(
            {
                "name": name,
                "what": STAGE_TEXT[name],
                "did": _did(left),
                "state": "done"
                if left is not None
                else "running"
                if seconds is not None
                else "open",
                "seconds": text.duration(seconds) if seconds is not None else "",
                "planned": text.duration(planned) if text.is_number(planned) else "",
                "start": 100 * start / total if total else 0.0,
                "width": 100 * (seconds or 0.0) / total if total else 0.0,
            }
        )
        start += seconds or 0.0
    return {
        "rows": rows,
        "total": text.duration(total),
        "planned": any(row["planned"] for row in rows),
        "asked": _asked(record.request),
        "waited": text.duration(waited)
        if (waited := sum(record.waits.values())) > _BUSY * total
        else "",
    }


def _asked(request: Request) -> str:
    if request.steps is not None:
        return f"{text.count(request.steps)} training steps"
    return text.duration(request.time_s) if request.time_s is not None else ""


def _did(left: Part | None) -> str:
    """The outcome of a stage in a few words."""
    match left:
        case Looked():
            images, classes = text.plural(left.images, "image"), len(left.classes)
            return f"{images} of {text.plural(classes, 'class', 'classes')}" if classes else images
        case Profiled():
            drawn = left.feasible_share
            # none of those drawn
            fits = f"fewer than {_share(drawn.high)}" if drawn.share == 0 else _share(drawn.share)
            return f"{text.large(left.space_size)} networks, {fits} fit"
        case Screened():
            return f"{text.plural(left.scored, 'network')} scored"
        case Untrained():
            return f"skipped: {left.why}"
        case Searched():
            random = left.random.trials if left.random is not None else 0
            return text.plural(left.trials, "trial") + (
                f", as well {text.count(random)} at random" if random else ""
            )
        case Finished():
            by_hand = len(left.reference.networks) if left.reference is not None else 0
            return f"{text.plural(len(left.networks), 'network')} trained" + (
                f", and {by_hand} hand-made" if by_hand else ""
            )
        case Shipped():
            return text.plural(len(left.files), "file")
    return ""


def data(record: RunRecord) -> dict[str, Any] | None:
    """The data set: sizes, the split, each class, what could not be read, what occurs twice."""
    look = record.looked
    if look is None:
        return None
    counts = {"train": look.counts.train, "val": look.counts.val, "test": look.counts.test}
    classes: list[dict[str, Any]] = [
        {
            "name": name,
            **{part: (counts[part][i] if i < len(counts[part]) else 0) for part in counts},
        }
        for i, name in enumerate(look.classes)
    ]
    most = max((c["train"] + c["val"] + c["test"] for c in classes), default=0)
    for c in classes:
        c["shares"] = [100 * c[part] / most if most else 0.0 for part in ("train", "val", "test")]
    sides = {
        "min": look.original_sizes.min,
        "median": look.original_sizes.median,
        "max": look.original_sizes.max,
    }
    return {
        "look": look,
        "classes": classes[:40],
        "left_out": max(0, len(classes) - 40),
        "totals": {part: sum(counts[part]) for part in counts},
        "input": text.shape([look.channels, look.size, look.size]),
        "sizes": {which: text.shape(pair) for which, pair in sides.items()},
        "mixed": len(set(sides.values())) > 1,
        "unreadable": look.unreadable[:20],
        "unreadable_more": max(0, len(look.unreadable) - 20),
        "duplicates": look.duplicates,
        "flip": _flip(look.flip),
        "examples": look.duplicates.examples[:5],
    }


def _flip(flip: Mirroring) -> str:
    """Whether training mirrors the images, and why."""
    if not flip.why:
        return ""
    return (
        f"Training "
        f"{'mirrors the images at random' if flip.suggested else 'does not mirror the images'}: "
        f"{flip.why}."
    )


def profile(record: RunRecord) -> dict[str, Any] | None:
    """How many networks there are, what they cost at least, typically and at most, and which share
    fits the budget."""
    profiled = record.profiled
    if profiled is None:
        return None
    limits = {bound.metric: bound for bound in profiled.budget}
    share = profiled.feasible_share
    rows = []
    for metric, seen in profiled.metrics.items():
        limit = limits.get(metric)
        rows.append(
            {
                "name": text.name(metric),
                "values": [
                    text.metric(value, metric) for value in (seen.min, seen.median, seen.max)
                ],
                "limit": text.metric(limit.limit, metric) if limit is not None else "",
                "predicted": metric == "latency",
            }
        )
    return {
        "rows": rows,
        "space": profiled.space,
        "size": text.large(profiled.space_size),
        "share": _share(share.share),
        "range": f"{_share(share.low)} to {_share(share.high)}",
        "draws": text.count(share.draws),
    }


def _share(value: Any) -> str:
    """Small shares keep their digits."""
    if not text.is_number(value):
        return text.DASH
    return text.percent(value) if value >= 0.01 or value == 0 else f"{100 * value:.2g}{text.THIN}%"
