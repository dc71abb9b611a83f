"""The record: queries, durability, readers beside the writer, files that are damaged or not
ours."""

from __future__ import annotations

import math
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from toys import flat, staged

from archsmith.errors import Damaged, UserError
from archsmith.problem import Candidate, Trial
from archsmith.searchers.archive import Archive
from archsmith.searchers.sqlite import SqliteArchive
from archsmith.space import Architecture


def trial(a: int, *losses: float, stage: str = "search", **more) -> Trial:
    arch = Architecture({"d0": a, "shape": (1, 2)})
    return Trial(
        Candidate(arch, more.pop("fidelity", None), "random"),
        {"x": 0.1 + a},
        losses,
        stage=stage,
        **more,
    )


SOME = [
    trial(0, 3.0, 1.0),
    trial(1, 1.0, 3.0, cost={"seconds": 0.25, "images": 64}),
    trial(2, 2.0, 4.0, fidelity=0.5),
    trial(3, violation=0.5),
    trial(4, reason="RuntimeError: Zeichen ä\u0000ö"),
    trial(5, violation=math.inf, measured=False),
]


@pytest.fixture(params=["memory", "sqlite"])
def archive(request, tmp_path):
    if request.param == "memory":
        yield Archive()
    else:
        with SqliteArchive(tmp_path / "trials.sqlite") as one:
            yield one


def test_the_contract(archive):
    assert (
        len(archive) == 0
        and list(archive) == []
        and archive.best is None
        and archive.pareto() == []
    )
    archive.extend(SOME[:2])
    archive.extend(iter(SOME[2:]))
    archive.extend([])
    assert list(archive) == SOME and len(archive) == 6
    assert archive.best == SOME[1]
    assert archive.top(2) == [SOME[1], SOME[2]] and archive.top(99) == [SOME[1], SOME[2], SOME[0]]
    assert archive.pareto() == [SOME[1], SOME[0]]
    assert archive.stage("search") == SOME and archive.stage("screen") == []


def test_queries_take_the_newest_trial_of_an_architecture(archive):
    archive.extend([trial(0, 1.0), trial(1, 2.0), trial(0, 3.0)])
    assert [t.losses for t in archive.top(5)] == [(2.0,), (3.0,)]
    archive.extend([trial(1, reason="it broke")])
    assert archive.best == trial(0, 3.0)


def test_stages_are_kept_apart(archive):
    archive.extend([trial(0, 1.0, stage="screen"), trial(1, 5.0, 2.0, stage="finish")])
    assert archive.top(1, stage="finish") == [trial(1, 5.0, 2.0, stage="finish")]
    assert archive.pareto(stage="screen") == [trial(0, 1.0, stage="screen")]
    with pytest.raises(UserError, match=r"different numbers of objectives.*\['finish', 'screen'\]"):
        archive.pareto()


def test_a_record_is_bound_to_a_space_and_its_restrictions(archive):
    space = staged(2, 2)
    archive.bind(space)
    archive.bind(space.restrict({"s0.depth": (1,)}))
    with pytest.raises(UserError, match="another search space"):
        archive.bind(flat(2, 2))


def test_a_file_is_read_back_exactly_and_stays_bound(tmp_path):
    path = tmp_path / "ö x%20y?.sqlite"
    with SqliteArchive(path) as archive:
        archive.bind(flat(2, 2))
        archive.extend(SOME)
        archive.extend([trial(7, 0.1 + 0.2, 1e-300)])
    with SqliteArchive(path) as archive:
        assert list(archive) == [*SOME, trial(7, 0.1 + 0.2, 1e-300)]
        with pytest.raises(UserError, match="another search space"):
            archive.bind(flat(3, 2))
    assert path.exists()


def test_numbers_of_numpy_are_written_as_numbers(tmp_path):
    with SqliteArchive(tmp_path / "t.sqlite") as archive:
        archive.extend(
            [
                Trial(
                    Candidate(Architecture({"d": 1})),
                    {"x": np.float32(0.5), "n": np.int64(3)},
                    (np.float64(0.25),),
                )
            ]
        )
        (back,) = archive
        assert back.metrics == {"x": 0.5, "n": 3} and back.losses == (0.25,)


def test_readers_see_what_is_committed_while_one_writes(tmp_path):
    path = tmp_path / "t.sqlite"
    with (
        SqliteArchive(path) as writer,
        SqliteArchive(path, readonly=True) as one,
        SqliteArchive(path, readonly=True) as two,
    ):
        writer.extend(SOME[:2])
        assert list(one) == SOME[:2]
        writer.extend(SOME[2:])
        assert list(one) == list(two) == SOME
        with pytest.raises(UserError, match="permissions"):
            one.extend(SOME)


def test_extend_takes_all_or_nothing(tmp_path):
    with SqliteArchive(tmp_path / "t.sqlite") as archive:
        archive.extend(SOME[:1])
        with pytest.raises(AttributeError):
            archive.extend([SOME[1], Trial(SOME[2].candidate, metrics={"x": object()})])
        # nan becomes NULL, which the table refuses
        broken = Trial(SOME[2].candidate, violation=math.nan)
        with pytest.raises(sqlite3.IntegrityError):
            archive.extend([SOME[1], broken])
        assert list(archive) == SOME[:1]
        archive.extend(SOME[1:])
        assert list(archive) == SOME


def test_what_extend_wrote_survives_kill_9(tmp_path):
    path = tmp_path / "t.sqlite"
    code = (
        "import sys, os, signal\n"
        "from archsmith.searchers.sqlite import SqliteArchive\n"
        "from archsmith.problem import Candidate, Trial\n"
        "from archsmith.space import Architecture\n"
        "archive = SqliteArchive(sys.argv[1])\n"
        "for i in range(5):\n"
        "    archive.extend([Trial(Candidate(Architecture({'d': i})), losses=(1.0,))])\n"
        "archive.connection.execute('begin immediate')\n"
        "archive.connection.execute('delete from trials')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        env={**os.environ, "PYTHONPATH": "src"},
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    with SqliteArchive(path, readonly=True) as archive:
        assert [t.arch["d"] for t in archive] == [0, 1, 2, 3, 4]
    with SqliteArchive(path) as archive:
        archive.extend(SOME)
        assert len(archive) == 5 + len(SOME)


def test_a_torn_log_loses_only_what_was_not_committed(tmp_path):
    path, copy = tmp_path / "t.sqlite", tmp_path / "copy.sqlite"
    with SqliteArchive(path) as archive:
        for one in SOME:
            archive.extend([one])
        log = Path(f"{path}-wal").read_bytes()
        copy.write_bytes(path.read_bytes())
        Path(f"{copy}-wal").write_bytes(log[:-100])
    with SqliteArchive(copy) as archive:
        kept = list(archive)
    assert kept == SOME[: len(kept)] and len(kept) == len(SOME) - 1


def filled(path: Path) -> Path:
    with SqliteArchive(path) as archive:
        archive.extend([trial(i, float(i)) for i in range(400)])
    return path


def read_all(path: Path) -> list[Trial]:
    with SqliteArchive(path) as archive:
        return list(archive)


def test_files_that_are_not_ours_are_refused(tmp_path):
    text = tmp_path / "a.sqlite"
    text.write_text("not a database, but long enough to be looked at " * 40)
    with pytest.raises(Damaged, match="damaged or not a record of trials.*start again"):
        SqliteArchive(text)
    other = tmp_path / "b.sqlite"
    with sqlite3.connect(other) as connection:
        connection.execute("create table books (title)")
    connection.close()
    with pytest.raises(Damaged, match="SQLite file of another program"):
        SqliteArchive(other)
    with sqlite3.connect(other) as connection:
        # untouched
        assert connection.execute("select count(*) from sqlite_master").fetchone() == (1,)
    connection.close()
    with pytest.raises(UserError, match="there is no file"):
        SqliteArchive(tmp_path / "c.sqlite", readonly=True)
    with pytest.raises(UserError, match="there is no folder"):
        SqliteArchive(tmp_path / "nowhere" / "d.sqlite")
    with pytest.raises(UserError, match="cannot be opened"):
        SqliteArchive(tmp_path)


def test_torn_files_are_recognized(tmp_path):
    path = filled(tmp_path / "t.sqlite")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(Damaged, match="put back a copy"):
        SqliteArchive(path)
    middle = len(whole) // 2
    path.write_bytes(whole[:middle] + b"\xff" * 4096 + whole[middle + 4096 :])
    with pytest.raises(Damaged, match="put back a copy"):
        read_all(path)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"CREATE TABLE", b"CREATE T\xe9BLE"),
        (b"CREATE TABLE trials", b"CREATE TABLE tr\xffals"),
        (b"primary key", b"prim\x80ry key"),
    ],
)
def test_bytes_that_are_no_text_are_damage_too(tmp_path, old, new):
    """SQLite quotes them in its messages."""
    path = filled(tmp_path / "t.sqlite")
    whole = path.read_bytes()
    where = whole.lower().index(old.lower())
    path.write_bytes(whole[:where] + new + whole[where + len(old) :])
    with pytest.raises(Damaged, match="put back a copy"):
        read_all(path)


@pytest.mark.parametrize(
    "change",
    [
        'update trials set arch = \'{"d0":9,"shape":[1,2]}\' where id = 3',
        "update trials set arch = 'x' where id = 3",
        "update trials set losses = '[' where id = 3",
        "update trials set violation = 'much' where id = 3",
    ],
)
def test_tampered_rows_are_named(tmp_path, change):
    path = filled(tmp_path / "t.sqlite")
    connection = sqlite3.connect(path)
    connection.execute(change)
    connection.commit()
    connection.close()
    with pytest.raises(Damaged, match="row 3 of .* was changed from outside"):
        read_all(path)


def test_an_older_table_is_refused(tmp_path):
    path = tmp_path / "t.sqlite"
    connection = sqlite3.connect(path)
    connection.execute("create table trials (id integer primary key, key text)")
    connection.close()
    with pytest.raises(Damaged, match="lacks arch, cost"):
        SqliteArchive(path)


def test_a_full_disk_is_said_and_loses_nothing(tmp_path):
    path = filled(tmp_path / "t.sqlite")
    with SqliteArchive(path) as archive:
        before = len(archive)
        (pages,) = archive.connection.execute("pragma page_count").fetchone()
        archive.connection.execute(f"pragma max_page_count = {pages}")
        with pytest.raises(UserError, match="no space left on the disk"):
            archive.extend([trial(i, 1.0) for i in range(2000)])
        assert len(archive) == before
        archive.connection.execute(f"pragma max_page_count = {pages + 1000}")
        archive.extend(SOME)
    with SqliteArchive(path) as archive:
        assert len(archive) == before + len(SOME)


def test_other_tables_of_a_run_may_be_there_first(tmp_path):
    path = tmp_path / "t.sqlite"
    connection = sqlite3.connect(path)
    connection.execute("create table stages (name text primary key, seconds real, payload text)")
    connection.close()
    with SqliteArchive(path, readonly=True) as early:
        assert list(early) == []
        with SqliteArchive(path) as archive:
            archive.extend(SOME)
        assert list(early) == SOME


def test_losses_at_a_lower_fidelity_do_not_compare(archive) -> None:
    archive.extend([trial(0, 1.0, fidelity=1.0), trial(1, 2.0, fidelity=1.0)])
    assert archive.best.arch["d0"] == 0  # all at the highest there is
    archive.extend([trial(1, 5.0, fidelity=9.0), trial(2, 6.0)])  # none said: the full one
    assert [t.arch["d0"] for t in archive.top(5)] == [1, 2] and archive.best.losses == (5.0,)
    archive.extend([trial(1, 0.5, fidelity=1.0)])  # newer, but lower
    assert archive.best.losses == (5.0,) and [t.arch["d0"] for t in archive.pareto()] == [1]
