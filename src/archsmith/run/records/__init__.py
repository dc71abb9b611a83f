"""What each stage of a run leaves, typed: `Looked`, `Profiled`, `Screened`, `Trained`, `Searched`,
`Finished`, `Shipped`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from archsmith.errors import Damaged, quoted
from archsmith.run.records.finish import Finished
from archsmith.run.records.look import Looked
from archsmith.run.records.part import Part
from archsmith.run.records.profile import Profiled
from archsmith.run.records.search import Screened, Searched, Trained, Untrained
from archsmith.run.records.ship import Shipped

RECORDS: dict[str, type[Part]] = {
    "look": Looked,
    "profile": Profiled,
    "screen": Screened,
    "train": Trained,
    "search": Searched,
    "finish": Finished,
    "ship": Shipped,
}


def record_of(stage: str, payload: Any, where: str) -> Part:
    """What a stage left, from its JSON; `where`: the file, for messages.

    Raises Damaged, naming the stage and the field, where one is missing or wrong, and for a stage
    that there is not.
    """
    if stage not in RECORDS:
        raise Damaged(f"{where} holds the stage {quoted(stage)}; there are {', '.join(RECORDS)}")
    skipped = stage == "train" and isinstance(payload, Mapping) and "skipped" in payload
    return (Untrained if skipped else RECORDS[stage]).from_json(payload, f"{where}, stage {stage}")


__all__ = [
    "RECORDS",
    "Finished",
    "Looked",
    "Part",
    "Profiled",
    "Screened",
    "Searched",
    "Shipped",
    "Trained",
    "Untrained",
    "record_of",
]
