"""Stage 1, look: what the data is, and the split, made once and kept."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from archsmith.data import Resident, Sizing, load
from archsmith.errors import UserError, printable, quoted
from archsmith.stages.sizing import sized
from archsmith.stages.work import Work
from archsmith.tasks import of_run, to_json

_NOTES = 12  # so many remarks on the data are shown in the terminal


def look(work: Work) -> dict[str, Any]:
    """Loads the data and says what it is: classes, sizes, imbalance, unreadable files, duplicates, the split."""
    work.tell(f"reading {work.run.request.data}", None)
    size = work.run.request.size or (partial(sized, work) if work.timed else None)
    _load(work, size, None, None)
    _placed(work)
    split = work.run.decide("split", work.images.split.to_json)
    return {**work.images.facts, "mean": list(work.images.mean), "std": list(work.images.std), "split_ids": split}


def again(work: Work, payload: dict[str, Any]) -> None:
    """Loads the same data with the same split for a run that goes on; UserError where the data is not what it was."""
    decided = {"preprocessing": payload.get("preprocessing") or {"fit": "crop"}, "flip": payload["flip"]}
    decided["goal"] = to_json(of_run(payload))
    _load(work, payload["size"], payload["split_ids"], decided)
    names, recorded = list(work.images.classes), list(payload["classes"])
    if names != recorded:  # a network's outputs stand in this order
        place = next((i for i, pair in enumerate(zip(names, recorded, strict=False)) if pair[0] != pair[1]), len(names))
        was, is_ = (quoted(found[place]) if place < len(found) else "missing" for found in (recorded, names))
        raise UserError(
            f"{printable(work.run.request.data)} no longer gives the classes this run began with: number {place} is {is_}, "
            f"was {was}; put the data back to resume, or start a new run"
        )
    now, before = work.images.facts["data_hash"], payload["data_hash"]
    if now != before:
        raise UserError(
            f"{printable(work.run.request.data)} is not the data this run began with (hash {now[:12]}, was {before[:12]}); "
            "put it back to resume, or start a new run"
        )
    _placed(work)


def _placed(work: Work) -> None:
    """Keeps the place of images that were found at another one than before."""
    if work.run.record["request"]["data"] != work.run.request.data:
        work.run.update(request=work.run.request.model_dump())


def _load(work: Work, size: int | Sizing | None, split: dict[str, Any] | None, before: dict[str, Any] | None) -> None:
    request = work.run.request
    data = load(
        request.data,
        task=request.task,
        seed=request.seed,
        size=size,
        val_share=request.val_share,
        test_share=request.test_share,
        group=request.group,
        classes_at=request.classes_at,
        split=split,
        threads=work.threads,
        fit=request.fit,
        flip=request.flip,
        before=before,
    )
    if work.device.type != "cpu":  # small sets live on the device
        parts = {name: part.to(work.device) if isinstance(part, Resident) else part for name, part in data.parts.items()}
        data = replace(data, parts=parts)
    work.data = data


def said(payload: dict[str, Any]) -> str:
    """The line for the progress table."""
    counts = {name: sum(per_class) for name, per_class in payload["counts"].items()}
    text = f"{len(payload['classes'])} classes; " if payload["classes"] else f"{payload['goal']['task']}; "
    text += f"{counts['train']:,} train, {counts['val']:,} val, {counts['test']:,} test images"
    text += f" at {payload['size']} x {payload['size']}"
    fit = (payload.get("preprocessing") or {}).get("fit", "crop")
    text += "" if fit == "crop" else f", {'padded' if fit == 'pad' else 'squeezed'} to squares"
    text += "" if payload["flip"]["suggested"] else "; never mirrored"
    if payload["unreadable"]:
        text += f"; {len(payload['unreadable'])} unreadable, skipped"
    duplicates = payload["duplicates"]
    if duplicates["exact"] or duplicates["near"]:
        text += f"; {duplicates['exact']} exact and {duplicates['near']} near duplicates across the split"
    notes = payload.get("notes") or []
    text += "".join(f"\n  note: {note}" for note in notes[:_NOTES])
    if len(notes) > _NOTES:
        text += f"\n  note: {len(notes) - _NOTES} more in the report"
    return text
