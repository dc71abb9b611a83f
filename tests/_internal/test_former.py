"""What earlier versions stored under other names is read by the names of today, and users' own
names are left alone."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from short_runs import SIZES, Stop, UntilSearched

from archsmith._internal import seals
from archsmith._internal.former import current, payload
from archsmith.api import Result, open_run
from archsmith.problem import Candidate, Trial
from archsmith.report.front import write_front
from archsmith.report.page import write
from archsmith.report.run_record import read as read_run
from archsmith.run.decisions import BEGUN_WITH, BegunWith
from archsmith.run.request import Request, request_from
from archsmith.run.store import Run
from archsmith.searchers.sqlite import SqliteArchive
from archsmith.space import Architecture
from archsmith.stages.pipeline import carry_on
from archsmith.stages.requests import again, start, train
from archsmith.training.checkpoint import pack
from archsmith.training.checkpoint import read as read_checkpoint

OLD, NEW = '"val_accuracy"', '"val_measure"'


def as_before(folder: Path) -> int:
    """Stores a run as earlier versions did: their names, sealed as they sealed; how many rows and
    checkpoints that changed."""
    changed = 0
    with (
        contextlib.closing(sqlite3.connect(folder / "trials.sqlite")) as connection,
        connection,
    ):
        for table, column in (
            ("stages", "payload"),
            ("decisions", "payload"),
            ("trials", "metrics"),
        ):
            changed += connection.execute(
                f"update {table} set {column} = replace({column}, ?, ?) where instr({column}, ?)",
                (NEW, OLD, NEW),
            ).rowcount
            names = [row[1] for row in connection.execute(f"pragma table_info({table})")]
            listed = ", ".join(name for name in names if name != "id")
            rows = connection.execute(f"select {listed} from {table} order by rowid").fetchall()
            seals.write(connection, table, seals.Seal().over(rows))
    for path in (folder / "checkpoints").glob("*.safetensors"):
        tensors, about = read_checkpoint(path)
        old = json.loads(json.dumps(about).replace(NEW, OLD))
        changed += old != about
        path.write_bytes(pack(tensors, old))
    return changed


def holding(folder: Path, name: str) -> list[str]:
    """Files of a folder that hold the name."""
    return sorted(
        path.name
        for path in folder.rglob("*")
        if path.is_file() and name.encode() in path.read_bytes()
    )


def placeless(value: Any, folder: Path) -> str:
    """As JSON, without the place where the run lies."""
    return json.dumps(value).replace(str(folder), "")


def asked(folder: Path) -> Request:
    (folder / "sizes.py").write_text(SIZES)
    return request_from(
        data="digits",
        space=f"{folder / 'sizes.py'}:Net",
        budget="params<=20k",
        steps=40,
        time_s=None,
        trials=8,
        threads=1,
        method="zico",
    )


@pytest.fixture(scope="module")
def new(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("former")
    return start(asked(folder), folder / "run")


@pytest.fixture
def old(new: Run, tmp_path: Path) -> Path:
    folder = tmp_path / "old" / new.folder.name
    shutil.copytree(new.folder, folder)
    assert as_before(folder) > 5 and holding(folder, "val_accuracy")
    return folder


def test_a_run_of_today_holds_the_former_name_nowhere(new: Run) -> None:
    write_front(new.folder)
    assert holding(new.folder, "val_accuracy") == []
    found = holding(new.folder, "val_measure")
    assert "front.csv" in found and any(name.startswith("trials.sqlite") for name in found)


def test_what_an_earlier_version_left_is_what_would_be_left_today(new: Run, old: Path) -> None:
    run = open_run(old)
    assert run.stage("finish") == new.stage("finish") and Run.open(old).finished == new.finished
    assert list(run.archive) == list(new.archive)
    assert all("val_measure" in trial.metrics for trial in run.archive.stage("finish"))
    assert placeless(run.summary(), old) == placeless(Result(new).summary(), new.folder)
    assert read_run(old).finished == new.finished
    assert write_front(old).read_bytes() == write_front(new.folder).read_bytes()
    pages = [placeless(write(folder).read_text(), folder) for folder in (old, new.folder)]
    assert pages[0] == pages[1]


def test_it_is_exported_and_trained_further_and_answers_again(old: Path, tmp_path: Path) -> None:
    run = Run.open(old, trust=True)
    assert open_run(old, trust=True).export(tmp_path / "net.safetensors").stat().st_size > 0
    runs = [
        train(run, tmp_path / "further", epochs=1),
        again(run, "params<=10k", tmp_path / "again", steps=20),
    ]
    for made in runs:
        assert made.finished is not None and made.finished.best.val_measure is not None
        assert holding(made.folder, "val_accuracy") == []


class InTheRace(UntilSearched):
    """A watch that ends the process when networks were cut and others train on."""

    def end(self, stage: str, text: str, seconds: float) -> None:
        """Nothing."""

    def tick(self, text: str, share: float | None) -> None:
        """Stops."""
        if "rung 2" in text:
            raise Stop


def test_one_stopped_in_its_race_by_an_earlier_version_ends_as_it_would_have(
    new: Run, tmp_path: Path
) -> None:
    run = Run.create(tmp_path / "run", new.request)
    with pytest.raises(Stop):
        carry_on(Run.open(run.folder), InTheRace())
    assert as_before(run.folder) > 2
    carry_on(Run.open(run.folder))
    ours, theirs = Run.open(run.folder).finished, new.finished
    assert ours is not None and theirs is not None
    assert ours.ranking == theirs.ranking and ours.chosen == theirs.chosen
    for key, network in theirs.networks.items():
        assert ours.networks[key].val_measure == network.val_measure
        assert [point.val_measure for point in ours.networks[key].curve] == [
            point.val_measure for point in network.curve
        ]


def test_a_decision_of_what_a_run_begins_with_is_read(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run", request_from(data="digits", steps=10, time_s=None))
    begun = BegunWith(
        key="a",
        arm="search",
        options={},
        val_measure=0.5,
        above=None,
        origin="",
        costs={},
        test=None,
    )
    run.decide(BEGUN_WITH, lambda: begun)
    run.archive.close()
    assert as_before(run.folder) == 1
    assert Run.open(run.folder).decided(BEGUN_WITH) == begun


def test_names_of_users_stay(tmp_path: Path) -> None:
    """In an archive of their own, in trials and decisions of their methods, in their spaces."""
    own = {"val_accuracy": 0.5}
    searched, finished = (
        Trial(Candidate(Architecture({"d": 1})), own, (-0.5,), stage=stage)
        for stage in ("search", "finish")
    )
    with SqliteArchive(tmp_path / "own.sqlite") as archive:
        archive.extend([searched, finished])
        assert [dict(trial.metrics) for trial in archive] == [own, own]
    run = Run.create(tmp_path / "run", request_from(data="digits", steps=10, time_s=None))
    with run.archive as archive:
        archive.extend([searched, finished])
    run.decide("promising", lambda: own)
    run = Run.open(run.folder)
    assert [dict(trial.metrics) for trial in run.archive] == [own, {"val_measure": 0.5}]
    assert run.decided("promising") == own
    assert current({"options": own, **own}) == {"options": own, "val_measure": 0.5}
    assert current({**own, "val_measure": 0.25}) == {**own, "val_measure": 0.25}


@pytest.mark.parametrize("text", ['{"val_accuracy": ', "[" * 100_000 + OLD])
def test_what_is_no_json_is_left_for_the_reader_to_refuse(text: str) -> None:
    assert payload("finish", text) == text
