"""Stage 1, look: what the data is, and the split, made once and kept."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from archsmith.data import Data, Resident, Seen, Sizing, load
from archsmith.errors import UserError, printable, quoted
from archsmith.run.decisions import SPLIT
from archsmith.run.records import Looked
from archsmith.spaces import described
from archsmith.stages.beginning import begin
from archsmith.stages.sizing import sized
from archsmith.stages.work import Work
from archsmith.tasks import Classification, Task, from_json, to_json

_NOTES = 12  # so many remarks on the data are shown in the terminal


def look(work: Work) -> Looked:
    """Loads the data and says what it is: classes, sizes, imbalance, unreadable files, duplicates,
    the split."""
    work.tell(f"reading {work.run.request.data}", None)
    images = work.images
    _placed(work)
    split = work.run.decide(SPLIT, images.split.to_json)
    return Looked(**images.facts, mean=images.mean, std=images.std, split_ids=split)


def task_of(looked: Looked) -> Task:
    """What the networks of a run are for; in a run of before, to tell its classes apart."""
    return (
        Classification(looked.classes) if looked.goal is None else from_json(looked.goal.to_json())
    )


def restore(work: Work, looked: Looked) -> None:
    """Loads the same data with the same split for a run that goes on; UserError where the data is
    not what it was."""
    names, recorded = list(work.images.classes), list(looked.classes)
    if names != recorded:  # a network's outputs stand in this order
        place = next(
            (i for i, pair in enumerate(zip(names, recorded, strict=False)) if pair[0] != pair[1]),
            len(names),
        )
        was, is_ = (
            quoted(classes[place]) if place < len(classes) else "missing"
            for classes in (recorded, names)
        )
        raise UserError(
            f"{printable(work.run.request.data)} no longer gives the classes this run began with: "
            f"number {place} is {is_}, "
            f"was {was}; put the data back to resume, or start a new run"
        )
    now, before = work.images.facts["data_hash"], looked.data_hash
    if now != before:
        raise UserError(
            f"{printable(work.run.request.data)} is not the data this run began with (hash "
            f"{now[:12]}, was {before[:12]}); "
            "put it back to resume, or start a new run"
        )
    _placed(work)


def _placed(work: Work) -> None:
    """Keeps the place of images that were found at another one than before."""
    if work.run.record["request"]["data"] != work.run.request.data:
        work.run.update(request=work.run.request.model_dump())


def read(work: Work) -> Data:
    """The images as asked for; those of a run that goes on with the split, the size and the
    decoding that look left."""
    looked = work.run.looked
    if looked is None:
        return _as_trained(work, _loaded(work, partial(_begun, work), None, None))
    preprocessing = (
        {"fit": "crop"} if looked.preprocessing is None else looked.preprocessing.to_json()
    )
    decided = {
        "preprocessing": preprocessing,
        "flip": looked.flip.to_json(),
        "goal": to_json(task_of(looked)),
    }
    return _as_trained(work, _loaded(work, looked.size, looked.split_ids.to_json(), decided))


def _begun(work: Work, seen: Seen) -> tuple[int, str | None]:
    """The side, once it is decided what networks begin with, and what to say of both."""
    remark, size = begin(work.run, seen), work.run.request.size
    side, why = (size, None) if size is not None else sized(work, seen)
    return side, "; ".join(text for text in (remark, why) if text) or None


def _as_trained(work: Work, data: Data) -> Data:
    """Pixels scaled as those that published weights were trained on."""
    published = described(work.space_name).pretrained
    if not work.begins.published or published is None:
        return data
    channels = data.channels
    return replace(data, mean=(published.mean,) * channels, std=(published.std,) * channels)


def _loaded(
    work: Work,
    size: int | Sizing | None,
    split: dict[str, Any] | None,
    before: dict[str, Any] | None,
) -> Data:
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
        parts = {
            name: part.to(work.device) if isinstance(part, Resident) else part
            for name, part in data.parts.items()
        }
        data = replace(data, parts=parts)
    return data


def line(looked: Looked) -> str:
    """The line for the progress table."""
    train, val, test = (
        sum(counts) for counts in (looked.counts.train, looked.counts.val, looked.counts.test)
    )
    text = f"{len(looked.classes)} classes; " if looked.classes else f"{looked.task}; "
    text += f"{train:,} train, {val:,} val, {test:,} test images at {looked.size} x {looked.size}"
    text += (
        ""
        if looked.fit == "crop"
        else (f", {'padded' if looked.fit == 'pad' else 'squeezed'} to squares")
    )
    text += "" if looked.flip.suggested else "; never mirrored"
    if looked.unreadable:
        text += f"; {len(looked.unreadable)} unreadable, skipped"
    if looked.duplicates.exact or looked.duplicates.near:
        text += (
            f"; {looked.duplicates.exact} exact and {looked.duplicates.near} near duplicates "
            f"across the split"
        )
    text += "".join(f"\n  note: {note}" for note in looked.notes[:_NOTES])
    if len(looked.notes) > _NOTES:
        text += f"\n  note: {len(looked.notes) - _NOTES} more in the report"
    return text
