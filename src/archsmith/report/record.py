"""What a run folder holds, read without disturbing it: run.json, the trials and the payload of every finished stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from archsmith._internal.seals import reading
from archsmith.problem import Trial
from archsmith.run.claim import STORE
from archsmith.run.database import content, value
from archsmith.run.store import STAGES, Run
from archsmith.searchers.sqlite import SqliteArchive, explained

__all__ = ["STAGES", "Record", "read"]


@dataclass(frozen=True)
class Record:
    """A run as far as it has got: a stage that is not in `stages` has not finished; `seconds` has the one going on, too."""

    folder: Path
    run: Mapping[str, Any]
    stages: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    trials: Sequence[Trial] = ()
    waits: Mapping[str, float] = field(default_factory=dict)  # of the seconds, those lost to other work on the machine

    @property
    def request(self) -> Mapping[str, Any]:
        """What was asked for."""
        return self.run.get("request") or {}

    def stage(self, name: str) -> Mapping[str, Any]:
        """The payload of a stage, empty where it has not finished."""
        return self.stages.get(name) or {}

    @property
    def task(self) -> str:
        """What the network is for."""
        return self.request.get("task") or "classification"

    @property
    def measure(self) -> str:
        """What networks were ranked by; the record calls it accuracy."""
        return (self.stage("look").get("goal") or {}).get("measure") or "accuracy"

    @property
    def chosen(self) -> str | None:
        """The key of the search's network that was tested, or of the one about to be."""
        ship = self.stage("ship")
        return (ship.get("search") or {}).get("key") or ship.get("key") or self.stage("finish").get("chosen")

    @property
    def hand_made(self) -> bool:
        """Whether it was the hand-made network that shipped."""
        return self.stage("ship").get("network") == "reference"

    @property
    def test(self) -> Mapping[str, Any]:
        """The shipped network on the test images: accuracy, n, confusion and so on; empty before."""
        return self.stage("ship").get("test") or self.stage("finish").get("test") or {}

    @property
    def search_test(self) -> Mapping[str, Any]:
        """The search's network on the test images; empty before."""
        return (self.stage("ship").get("search") or {}).get("test") or self.test

    @property
    def reference(self) -> Mapping[str, Any]:
        """The hand-made networks, as they were trained; empty where there are none."""
        return self.stage("finish").get("reference") or {}

    @property
    def reference_test(self) -> Mapping[str, Any]:
        """The best hand-made network on the test images; empty before."""
        return self.stage("ship").get("reference_test") or self.reference.get("test") or {}

    @property
    def proxy(self) -> str | None:
        """The score that the run ranked by, training-free or with shared weights; None where it used none."""
        if self.stage("train").get("trust"):
            return "shared_accuracy"
        return self.stage("screen").get("proxy") if "screen" in self.stages else "zico"


def read(folder: Path) -> Record:
    """The record of the run in `folder`; UserError where that is no run, Damaged where a file of it is torn."""
    run = Run.open(folder).record
    store = folder / STORE
    with closing(SqliteArchive(store, readonly=True)) as archive, explained(store), reading(archive.connection):
        tables = content(archive.connection, store, run["id"])
        trials = list(archive)
    stages = {name: value(payload, store) for name, _, payload in tables["stages"]}
    seconds = {name: seconds for name, seconds, _ in tables["stages"]} | {name: spent for name, spent, _ in tables["clock"]}
    return Record(folder, run, stages, seconds, trials, {name: waited for name, _, waited in tables["clock"]})
