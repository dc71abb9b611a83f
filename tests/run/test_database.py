"""The run's database is as it was written, or Damaged: by a flipped bit, an editor, another run's
file."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from archsmith.errors import Damaged
from archsmith.problem import Candidate, Trial
from archsmith.report.run_record import read
from archsmith.run.request import request_from
from archsmith.run.store import Run
from archsmith.space import Architecture

LISTED = {"key": "a", "options": {}, "origin": "random"}
LEFT = {
    "screen": {"proxy": None, "scored": 0, "best": None, "passes": 0, "seconds_per_score": 0.0},
    "train": {"skipped": True, "why": "none"},
    "search": {
        "searcher": "random",
        "trials": 0,
        "best": None,
        "random": None,
        "shortlist": [LISTED],
    },
}


def make(folder: Path, seed: int = 0) -> Run:
    run = Run.create(folder, request_from(data="digits", steps=10, time_s=None, seed=seed))
    for name, payload in LEFT.items():
        run.clock(name, 1.5)
        run.finish_stage(name, payload)
        run.decide(f"{name}/x", lambda: 0.5)
    for i in range(4):
        arch = Architecture({"d": i})
        run.archive.extend(
            [
                Trial(
                    Candidate(arch),
                    {"val_measure": 0.5 + i / 10},
                    (-0.5 - i / 10,),
                    -0.0,
                    stage="finish",
                )
            ]
        )
    run.archive.close()
    return Run.open(folder)


@pytest.mark.parametrize(
    "look",
    [lambda run: run.stage("screen"), lambda run: read(run.folder)],
    ids=["resume", "report"],
)
@pytest.mark.parametrize(
    "change",
    [
        "UPDATE stages SET payload = replace(payload, 'random', 'guided')",
        "UPDATE stages SET seconds = 0 WHERE name = 'train'",
        "UPDATE stages SET payload = x'00ff' WHERE name = 'screen'",
        "DELETE FROM stages WHERE name = 'search'",
        "DELETE FROM stages",
        "UPDATE decisions SET payload = '0.25' WHERE name = 'train/x'",
        "DELETE FROM decisions WHERE name = 'screen/x'",
        "INSERT INTO decisions VALUES ('more', '1')",
        "UPDATE clock SET seconds = 1e9 WHERE stage = 'screen'",
        "DELETE FROM clock WHERE stage = 'screen'",
        "DROP TABLE decisions",
        "DELETE FROM seals",
        "UPDATE meta SET value = 'another' WHERE name = 'run'",
    ],
)
def test_a_changed_missing_or_added_row_is_damaged(
    tmp_path: Path, change: str, look: Callable[[Run], object]
) -> None:
    run = make(tmp_path / "run")
    with sqlite3.connect(run.folder / "trials.sqlite") as connection:
        connection.execute(change)
    connection.close()
    with pytest.raises(Damaged, match=r"trials\.sqlite.*(put back|start a new run)"):
        look(run)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE trials SET metrics = replace(metrics, '0.6', '0.9')",
        "UPDATE trials SET stage = 'search' WHERE id = 2",
        "UPDATE trials SET violation = 3.0 WHERE id = 4",
        "UPDATE trials SET reason = 'bad' WHERE id = 1",
        "DELETE FROM trials WHERE id = 2",
        "DELETE FROM trials WHERE id = 4",
        "DELETE FROM trials",
        "INSERT INTO trials SELECT 9, key, arch, fidelity, origin, metrics, losses, violation, "
        "cost, stage, measured, reason, "
        "created FROM trials WHERE id = 1",
    ],
)
def test_trials_are_those_that_were_written(tmp_path: Path, change: str) -> None:
    run = make(tmp_path / "run")
    assert len(run.archive) == 4
    run.archive.close()
    with sqlite3.connect(run.folder / "trials.sqlite") as connection:
        connection.execute(change)
    connection.close()
    for look in (lambda: len(Run.open(run.folder).archive), lambda: read(run.folder)):
        with pytest.raises(Damaged, match=r"trials\.sqlite.*put back"):
            look()


def test_the_database_of_another_run_or_none_is_damaged(tmp_path: Path) -> None:
    run, other = make(tmp_path / "run"), make(tmp_path / "other", 1)
    shutil.copy(other.folder / "trials.sqlite", run.folder / "trials.sqlite")
    with pytest.raises(Damaged, match="not the database of this run"):
        run.stage("screen")
    (run.folder / "trials.sqlite").unlink()
    with pytest.raises(Damaged, match="is missing"):
        run.stage("screen")
    assert not (run.folder / "trials.sqlite").exists()


def test_a_stage_taken_back_can_be_finished_again(tmp_path: Path) -> None:
    run = make(tmp_path / "run")
    run.reopen("search")
    assert run.stage("search") is None and run.stage("train") is not None
    again = {**LEFT["search"], "shortlist": []}
    run.finish_stage("search", again)
    assert Run.open(run.folder).stage("search") == again and read(run.folder).done == list(LEFT)


def test_every_flipped_byte_is_noticed_or_changes_nothing(tmp_path: Path) -> None:
    run = make(tmp_path / "run")
    path = run.folder / "trials.sqlite"
    whole, expected = path.read_bytes(), read(run.folder)
    noticed = 0
    for place in range(101, len(whole), 211):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
        try:
            found = read(run.folder)
        except Damaged:
            noticed += 1
        else:
            assert found == expected
    assert noticed > 5
