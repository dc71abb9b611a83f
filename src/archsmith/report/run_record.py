"""What a run folder holds, read without disturbing it: run.json, the trials and the record of every
finished stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from archsmith._internal.seals import read_transaction
from archsmith.problem import Trial
from archsmith.run.claim import STORE
from archsmith.run.database import content, value
from archsmith.run.decisions import SECTION
from archsmith.run.record import RunFile
from archsmith.run.records import (
    Finished,
    Looked,
    Part,
    Profiled,
    Screened,
    Searched,
    Shipped,
    Trained,
    Untrained,
    record_of,
)
from archsmith.run.records.finish import Finalist, Original, ReferenceArm, Rival
from archsmith.run.records.section import Section
from archsmith.run.records.ship import Tested
from archsmith.run.request import Request
from archsmith.run.store import STAGES, Run
from archsmith.searchers.sqlite import SqliteArchive, explained

__all__ = ["STAGES", "RunRecord", "read"]
_FIELDS = dict(
    zip(
        STAGES,
        ("looked", "profiled", "screened", "trained", "searched", "finished", "shipped"),
        strict=True,
    )
)


@dataclass(frozen=True)
class RunRecord:
    """A run as far as it has got: what a stage left is None where it has not finished; `seconds`
    has the one going on, too."""

    folder: Path
    run: RunFile
    request: Request  # what was asked for
    looked: Looked | None = None
    profiled: Profiled | None = None
    screened: Screened | None = None
    trained: Trained | Untrained | None = None
    searched: Searched | None = None
    finished: Finished | None = None
    shipped: Shipped | None = None
    section: Section | None = None  # what the method adds
    seconds: Mapping[str, float] = field(default_factory=dict)
    trials: Sequence[Trial] = ()
    # of the seconds, those lost to other work on the machine
    waits: Mapping[str, float] = field(default_factory=dict)

    def left(self, stage: str) -> Part | None:
        """What a stage left."""
        record: Part | None = getattr(self, _FIELDS[stage])
        return record

    @property
    def done(self) -> list[str]:
        """The stages that have finished, in order."""
        return [stage for stage in STAGES if self.left(stage) is not None]

    @property
    def task(self) -> str:
        """What the network is for."""
        return self.request.task

    @property
    def measure(self) -> str:
        """What networks were ranked by; the record calls it accuracy."""
        return self.looked.measure if self.looked is not None else "accuracy"

    @property
    def chosen(self) -> str | None:
        """The key of the search's network that was tested, or of the one about to be."""
        if self.shipped is not None:
            return self.shipped.search.key if self.shipped.search is not None else self.shipped.key
        return self.finished.chosen if self.finished is not None else None

    @property
    def hand_made(self) -> bool:
        """Whether it was the hand-made network that shipped."""
        return self.shipped is not None and self.shipped.network == "reference"

    @property
    def test(self) -> Tested | None:
        """The shipped network on the test images: accuracy, n, confusion and so on; None before."""
        return self.shipped.test if self.shipped is not None else None

    @property
    def search_test(self) -> Tested | None:
        """The search's network on the test images; None before."""
        return (
            self.shipped.search.test
            if self.shipped is not None and self.shipped.search is not None
            else self.test
        )

    @property
    def networks(self) -> Mapping[str, Finalist]:
        """The networks of the short-list as they were trained, by key; none before."""
        return self.finished.networks if self.finished is not None else {}

    @property
    def chosen_network(self) -> Finalist | None:
        """The chosen one of them; None before, and where the one that ships is a hand-made one that
        was trained further."""
        return self.networks.get(self.chosen) if self.chosen is not None else None

    @property
    def reference(self) -> ReferenceArm | None:
        """The hand-made networks, as they were trained; None where there are none."""
        return self.finished.reference if self.finished is not None else None

    @property
    def rivals(self) -> Mapping[str, Rival]:
        """Those by name."""
        return self.reference.networks if self.reference is not None else {}

    @property
    def reference_test(self) -> Tested | None:
        """The best hand-made network on the test images; None before."""
        return self.shipped.reference_test if self.shipped is not None else None

    @property
    def original(self) -> Original | None:
        """The whole network whose weights were given, as it came; None where there is none."""
        return self.finished.original if self.finished is not None else None

    @property
    def original_test(self) -> Tested | None:
        """It on the test images; None before, and where there is none."""
        return self.shipped.original_test if self.shipped is not None else None

    @property
    def proxy(self) -> str | None:
        """The score that the run ranked by, training-free or with shared weights; None where it
        used none."""
        if isinstance(self.trained, Trained):
            return "shared_accuracy"
        return self.screened.proxy if self.screened is not None else "zico"


def read(folder: Path) -> RunRecord:
    """The record of the run in `folder`; UserError where that is no run, Damaged where a file of it
    is torn."""
    run = Run.open(folder)
    store = folder / STORE
    with (
        closing(SqliteArchive(store, readonly=True)) as archive,
        explained(store),
        read_transaction(archive.connection),
    ):
        tables = content(archive.connection, store, run.record["id"])
        trials = list(archive)
    left: dict[str, Any] = {}
    for name, _, payload in tables["stages"]:
        left[_FIELDS[name]] = record_of(name, value(payload, store), str(store))
    for name, payload in tables["decisions"]:
        if name == SECTION.name:
            left["section"] = SECTION.read(value(payload, store), str(store))
    seconds = {name: seconds for name, seconds, _ in tables["stages"]} | {
        name: spent for name, spent, _ in tables["clock"]
    }
    waits = {name: waited for name, _, waited in tables["clock"]}
    file = RunFile.model_validate(run.record)
    return RunRecord(folder, file, run.request, **left, seconds=seconds, trials=trials, waits=waits)
