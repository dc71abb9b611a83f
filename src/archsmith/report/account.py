"""What went in and what it cost: the images, the space, each stage's time; plain values, None before they exist."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from archsmith.report import text
from archsmith.report.record import STAGES, Record

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


def cost(record: Record) -> dict[str, Any]:
    """Seconds by stage, what each stage did, and the sum beside the time that was asked for."""
    stages = [name for name in STAGES if name in record.stages or name in record.seconds]
    total = sum(record.seconds.get(name, 0.0) for name in stages)
    predicted = record.run.get("predicted_s") or {}
    rows, start = [], 0.0
    for name in STAGES:
        seconds, payload = record.seconds.get(name), record.stages.get(name)
        planned = predicted.get(name)
        rows.append(
            {
                "name": name,
                "what": STAGE_TEXT[name],
                "did": _did(name, payload or {}),
                "state": "done" if payload is not None else "running" if seconds is not None else "open",
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
        "waited": text.duration(waited) if (waited := sum(record.waits.values())) > _BUSY * total else "",
    }


def _asked(request: Mapping[str, Any]) -> str:
    if text.is_number(request.get("steps")):
        return f"{text.count(request['steps'])} training steps"
    return text.duration(request["time_s"]) if text.is_number(request.get("time_s")) else ""


def _did(name: str, payload: Mapping[str, Any]) -> str:
    """The outcome of a stage in a few words."""
    if not payload:
        return ""
    if name == "look":
        classes = len(payload.get("classes") or ())
        if not classes:
            return text.plural(payload.get("images"), "image")
        return f"{text.plural(payload.get('images'), 'image')} of {text.plural(classes, 'class', 'classes')}"
    if name == "profile":
        drawn = payload.get("feasible_share") or {}
        share, high = drawn.get("share"), drawn.get("high")
        fits = f", {_share(share)} fit" if text.is_number(share) else ""
        if share == 0 and text.is_number(high):  # none of those that were drawn
            fits = f", fewer than {_share(high)} fit"
        return f"{text.large(payload.get('space_size'))} networks{fits}"
    if name == "screen":
        return f"{text.plural(payload.get('scored'), 'network')} scored"
    if name == "train":
        return f"skipped: {payload.get('why')}" if payload.get("skipped") else ""
    if name == "search":
        random = (payload.get("random") or {}).get("trials")
        return f"{text.plural(payload.get('trials'), 'trial')}" + (
            f", as well {text.count(random)} at random" if random else ""
        )
    if name == "finish":
        reference = (payload.get("reference") or {}).get("networks") or ()
        extra = f", and {len(reference)} hand-made" if reference else ""
        return f"{text.plural(len(payload.get('networks') or ()), 'network')} trained{extra}"
    return f"{text.plural(len(payload.get('files') or ()), 'file')}"


def data(record: Record) -> dict[str, Any] | None:
    """The data set: sizes, the split, each class, what could not be read, what occurs twice."""
    look = record.stage("look")
    if not look:
        return None
    counts = {part: list((look.get("counts") or {}).get(part) or ()) for part in ("train", "val", "test")}
    classes: list[dict[str, Any]] = [
        {"name": str(name), **{part: (counts[part][i] if i < len(counts[part]) else 0) for part in counts}}
        for i, name in enumerate(look.get("classes") or ())
    ]
    most = max((c["train"] + c["val"] + c["test"] for c in classes), default=0)
    for c in classes:
        c["shares"] = [100 * c[part] / most if most else 0.0 for part in ("train", "val", "test")]
    sizes = look.get("original_sizes") or {}
    return {
        "look": look,
        "classes": classes[:40],
        "left_out": max(0, len(classes) - 40),
        "totals": {part: sum(counts[part]) for part in counts},
        "input": text.shape([look.get("channels"), look.get("size"), look.get("size")]),
        "sizes": {which: text.shape(pair) for which, pair in sizes.items()},
        "mixed": len({tuple(pair) for pair in sizes.values()}) > 1,
        "unreadable": (look.get("unreadable") or [])[:20],
        "unreadable_more": max(0, len(look.get("unreadable") or ()) - 20),
        "duplicates": {which: (look.get("duplicates") or {}).get(which) or 0 for which in ("exact", "near")},
        "flip": _flip(look.get("flip") or {}),
        "examples": ((look.get("duplicates") or {}).get("examples") or [])[:5],
    }


def _flip(flip: Mapping[str, Any]) -> str:
    """Whether training mirrors the images, and why."""
    if not flip.get("why"):
        return ""
    return (
        f"Training {'mirrors the images at random' if flip.get('suggested') else 'does not mirror the images'}: {flip['why']}."
    )


def profile(record: Record) -> dict[str, Any] | None:
    """How many networks there are, what they cost at least, typically and at most, and which share fits the budget."""
    payload = record.stage("profile")
    if not payload:
        return None
    limits = {limit.get("metric"): limit for limit in payload.get("budget") or ()}
    share = payload.get("feasible_share") or {}
    rows = []
    for metric, seen in (payload.get("metrics") or {}).items():
        limit = limits.get(metric) or {}
        rows.append(
            {
                "name": text.name(metric),
                "values": [text.metric(seen.get(which), metric) for which in ("min", "median", "max")],
                "limit": text.metric(limit.get("limit"), metric) if limit else "",
                "predicted": metric == "latency",
            }
        )
    return {
        "rows": rows,
        "space": payload.get("space") or "",
        "size": text.large(payload.get("space_size")),
        "share": _share(share.get("share")) if share else "",
        "range": f"{_share(share.get('low'))} to {_share(share.get('high'))}" if share else "",
        "draws": text.count(share.get("draws")),
    }


def _share(value: Any) -> str:
    """Small shares keep their digits."""
    if not text.is_number(value):
        return text.DASH
    return text.percent(value) if value >= 0.01 or value == 0 else f"{100 * value:.2g}{text.THIN}%"
