"""The record of trials in a run's SQLite file."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from archsmith._internal import seals
from archsmith._internal.former import current
from archsmith.errors import Damaged, UserError
from archsmith.problem import Candidate, Trial
from archsmith.searchers.archive import Archive, bound_to
from archsmith.space import Architecture, SearchSpace

_APPLICATION = 0x41524348  # "ARCH" in the file's header
_SCHEMA = (
    """
create table if not exists trials (
  id integer primary key, key text not null, arch text not null, fidelity real,
  origin text not null, metrics text not null, losses text not null, violation real not null,
  cost text not null, stage text not null,
  measured integer not null, reason text, created real not null);
create table if not exists meta (name text primary key, value text not null);
"""
    + seals.SCHEMA
)
_COLUMNS = (
    "key, arch, fidelity, origin, metrics, losses, violation, cost, stage, measured, "
    "reason, created"
)


class SqliteArchive:
    """The same record in table `trials` of a SQLite file, one row per trial, on the disk when
    `extend` returns.

    One process writes; any number read at the same time (`readonly=True`) and see what is
    committed. A file that is not ours, is torn, or holds other rows than were written, raises
    Damaged.
    """

    def __init__(self, path: str | Path, *, readonly: bool = False) -> None:
        self.path = Path(path)
        self._known = Archive()
        self._last, self._seal = 0, seals.Seal()
        self._of_run = False
        if readonly and not self.path.is_file():
            raise UserError(f"there is no file {self.path}; give the folder of a run")
        if not self.path.parent.is_dir():
            raise UserError(
                f"there is no folder {self.path.parent} to write {self.path.name} "
                f"into; create it first"
            )
        self.connection = connect(self.path, readonly)
        with explained(self.path):
            try:
                self._open(readonly)
            except BaseException:
                self.connection.close()
                raise

    def _open(self, readonly: bool) -> None:
        ask = self.connection.execute
        (application,) = ask("pragma application_id").fetchone()
        tables = {name for (name,) in ask("select name from sqlite_master where type = 'table'")}
        if application != _APPLICATION and (
            application or (tables and not tables & {"stages", "trials"})
        ):
            raise Damaged(
                f"{self.path} is a SQLite file of another program; give the folder of a "
                f"run, or a new one"
            )
        self._of_run = "stages" in tables
        ((state,),) = ask("pragma quick_check(1)").fetchall()
        if state != "ok":
            raise sqlite3.DatabaseError(state)
        if not readonly:
            ask("pragma journal_mode = wal")
            # in WAL mode only this is on the disk after a power cut
            ask("pragma synchronous = full")
            ask(f"pragma application_id = {_APPLICATION}")
            for statement in filter(str.strip, _SCHEMA.split(";")):
                ask(statement)
        elif "trials" not in tables:
            return
        columns = {row[1] for row in ask("pragma table_info(trials)")}
        missing = set(_COLUMNS.split(", ")) - columns
        if missing:
            raise Damaged(
                f"table trials of {self.path} lacks {', '.join(sorted(missing))}; it was "
                f"written by another version"
            )
        if "seals" not in tables and "trials" in tables:
            raise Damaged(
                f"{self.path} has no seals; it was written by an earlier version: read "
                f"it with that, or start anew"
            )

    def close(self) -> None:
        """Closes the file; the object is of no use afterwards."""
        self.connection.close()

    def __enter__(self) -> SqliteArchive:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def bind(self, space: SearchSpace) -> None:
        """Ties the file to a space (and its restrictions); another space is refused from then
        on."""
        with explained(self.path):
            row = self.connection.execute("select value from meta where name = 'space'").fetchone()
            fingerprint = bound_to(row and row[0], space, str(self.path))
            if row is None:
                self.connection.execute("insert into meta values ('space', ?)", (fingerprint,))

    def extend(self, trials: Iterable[Trial]) -> None:
        """Adds trials at the end, all of them or none; they are on the disk when this returns."""
        rows = [_row(trial) for trial in trials]
        if not rows:
            return
        with explained(self.path), seals.changing(self.connection):
            marks = ", ".join("?" * len(rows[0]))
            self.connection.executemany(f"insert into trials ({_COLUMNS}) values ({marks})", rows)
            seals.write(
                self.connection, "trials", seals.sealed(self.connection, "trials").over(rows)
            )

    def _refresh(self) -> Archive:
        """Everything that is in the file by now; only what is new is read."""
        with explained(self.path):
            try:
                with seals.read_transaction(self.connection):
                    stored = seals.sealed(self.connection, "trials")
                    rows = self.connection.execute(
                        f"select id, {_COLUMNS} from trials where id > ? order by id", (self._last,)
                    )
                    fresh = rows.fetchall()
            except sqlite3.OperationalError as error:
                if "no such table" not in str(error) or self._last:
                    raise
                return self._known  # opened for reading before the writer came that far
        read = _trained if self._of_run else _trial
        known = [(number, read(row, f"row {number} of {self.path}")) for number, *row in fresh]
        seal = self._seal.over(row for _, *row in fresh)
        if seal != stored:
            raise Damaged(
                f"{self.path} does not hold the {stored.rows} trials that were written to it: a "
                "row was changed, added or removed; put back a copy of the file, or start a new run"
            )
        self._known.extend(trial for _, trial in known)
        self._last, self._seal = (known[-1][0] if known else self._last), seal
        return self._known

    def __iter__(self) -> Iterator[Trial]:
        return iter(self._refresh())

    def __len__(self) -> int:
        return len(self._refresh())

    def stage(self, name: str) -> list[Trial]:
        """The trials of one stage, in order."""
        return self._refresh().stage(name)

    @property
    def best(self) -> Trial | None:
        """As Archive.best."""
        return self._refresh().best

    def top(self, k: int, stage: str | None = None) -> list[Trial]:
        """As Archive.top."""
        return self._refresh().top(k, stage)

    def pareto(self, stage: str | None = None) -> list[Trial]:
        """As Archive.pareto."""
        return self._refresh().pareto(stage)


Record = Archive | SqliteArchive


def may_write(path: Path) -> bool:
    """Whether this user may write the file, and what SQLite keeps beside it."""
    return os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)


def connect(path: Path, readonly: bool) -> sqlite3.Connection:
    """An open database; `readonly`: also in a folder that nothing can be written into."""
    uri = path.absolute().as_uri() + ("?mode=ro" if readonly else "?mode=rwc")
    with explained(path):
        connection = sqlite3.connect(uri, uri=True, timeout=30.0, isolation_level=None)
        try:
            connection.execute("select count(*) from sqlite_master").fetchone()
        except sqlite3.OperationalError:
            connection.close()
            if not readonly or path.with_name(path.name + "-wal").exists():
                raise
            # a read-only folder has no room for the shared-memory file; with no log there is nobody
            # to share with
            connection = sqlite3.connect(uri + "&immutable=1", uri=True, isolation_level=None)
        except BaseException:
            connection.close()
            raise
    return connection


class explained:
    """Turns SQLite's errors into messages that say what to do."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        # the latter where SQLite quotes torn bytes
        if not isinstance(error, sqlite3.DatabaseError | UnicodeDecodeError):
            return
        if isinstance(error, sqlite3.ProgrammingError | sqlite3.IntegrityError):
            return  # not about the file
        text = str(error)
        if "full" in text:
            raise UserError(
                f"no space left on the disk for {self._path}; free some and resume: "
                f"nothing was lost"
            ) from error
        if "readonly" in text or "unable to open" in text or "permission" in text:
            raise UserError(
                f"{self._path} cannot be opened for this ({text}); check its permissions"
            ) from error
        if "I/O" in text:
            raise UserError(
                f"{self._path} cannot be read or written ({text}); check the disk, then resume"
            ) from error
        if "locked" in text:
            raise UserError(
                f"{self._path} is being written by another process; wait for it to end"
            ) from error
        raise Damaged(
            f"{self._path} is damaged or not a record of trials ({text}); put back a copy of it, "
            "or move it away and start again with the same command and seed"
        ) from error


def _row(trial: Trial) -> tuple[Any, ...]:
    candidate = trial.candidate
    return (
        candidate.arch.key,
        candidate.arch.to_json(),
        # SQLite keeps no -0.0
        None if candidate.fidelity is None else float(candidate.fidelity) + 0.0,
        candidate.origin,
        _dump(dict(trial.metrics)),
        _dump(list(trial.losses)),
        float(trial.violation) + 0.0,
        _dump(dict(trial.cost)),
        trial.stage,
        int(trial.measured),
        trial.reason,
        time.time(),
    )


def _dump(value: Any) -> str:
    return json.dumps(value, default=lambda number: number.item())  # numbers of numpy and torch


def _trial(row: list[Any], where: str) -> Trial:
    key, arch, fidelity, origin, metrics, losses, violation, cost, stage, measured, reason, _ = row
    try:
        architecture = Architecture.from_json(arch)
        if architecture.key != key:
            raise ValueError(f"the architecture does not match its key {key}")
        return Trial(
            Candidate(architecture, fidelity, origin),
            dict(json.loads(metrics)),
            tuple(json.loads(losses)),
            violation=float(violation),
            cost=dict(json.loads(cost)),
            stage=stage,
            measured=bool(measured),
            reason=reason,
        )
    except (ValueError, TypeError) as error:
        raise Damaged(
            f"{where} was changed from outside ({error}); put back a copy of the file, "
            f"or start a new run"
        ) from error


def _trained(row: list[Any], where: str) -> Trial:
    """A trial of a run. What its stage finish measured is named as today; all else was named by
    its user."""
    trial = _trial(row, where)
    return replace(trial, metrics=current(trial.metrics)) if trial.stage == "finish" else trial
