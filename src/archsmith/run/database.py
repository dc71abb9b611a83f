"""What a run's database holds beside the trials: what each stage decided, the decisions inside
stages, the clock; sealed."""

from __future__ import annotations

import contextlib
import functools
import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from archsmith._internal import former, seals
from archsmith.errors import Damaged
from archsmith.searchers.sqlite import SqliteArchive, connect, explained, may_write

_TABLES = {
    "stages": "name TEXT PRIMARY KEY, seconds REAL NOT NULL, payload TEXT NOT NULL",
    "decisions": "name TEXT PRIMARY KEY, payload TEXT NOT NULL",
    "clock": "stage TEXT PRIMARY KEY, seconds REAL NOT NULL, waited REAL NOT NULL",
}
_COLUMNS = {
    table: ", ".join(part.split()[0] for part in text.split(", "))
    for table, text in _TABLES.items()
}


class Store:
    """The database of one run. A connection is open only while something is read or written."""

    def __init__(self, path: Path, run: str) -> None:
        """`run`: the name that only this run has; another run's database is Damaged."""
        self.path, self._run = path, run

    def create(self) -> None:
        """An empty one, tied to its run."""
        with (
            SqliteArchive(self.path) as archive,
            explained(self.path),
            seals.changing(archive.connection),
        ):
            for table, columns in _TABLES.items():
                archive.connection.execute(f"CREATE TABLE {table} ({columns})")
            archive.connection.execute("INSERT INTO meta VALUES ('run', ?)", (self._run,))

    @functools.cached_property
    def _checked(self) -> bool:
        """Once, before anything is read: it is there, it is this run's, and its rows are those that
        were written."""
        if not self.path.is_file():
            raise Damaged(
                f"{self.path} is missing, though run.json is there; put back a copy of "
                f"it, or start a new run"
            )
        with self._connected() as connection, seals.read_transaction(connection):
            ((state,),) = connection.execute("pragma integrity_check(1)").fetchall()
            if state != "ok":
                raise sqlite3.DatabaseError(state)
            content(connection, self.path, self._run)
        return True

    @contextlib.contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        with explained(self.path):
            uri = f"{self.path.absolute().as_uri()}?mode=rw"
            # it can still be read: to export, or to go on from it elsewhere
            lent = not may_write(self.path)
            opened = (
                connect(self.path, True)
                if lent
                else sqlite3.connect(uri, uri=True, timeout=60, isolation_level=None)
            )
            with contextlib.closing(opened) as connection:
                connection.execute("PRAGMA trusted_schema=OFF")
                connection.execute("PRAGMA synchronous=FULL")
                yield connection

    def read(self, table: str, name: str) -> str | None:
        """The payload of a row; None where there is none."""
        assert self._checked
        with self._connected() as connection:
            row = connection.execute(
                f"SELECT payload FROM {table} WHERE name = ?", (name,)
            ).fetchone()
        return former.payload(name, row[0]) if row else None

    def insert(self, table: str, rows: Sequence[tuple[Any, ...]]) -> None:
        """Adds rows at the end, all or none, on the disk when this returns; Damaged where one is
        there already."""
        assert self._checked
        with self._connected() as connection, seals.changing(connection):
            self._insert(connection, table, rows)

    def finish(self, name: str, payload: str) -> None:
        """Commits a stage, with the seconds that the clock has for it."""
        assert self._checked
        with self._connected() as connection, seals.changing(connection):
            row = connection.execute(
                "SELECT seconds FROM clock WHERE stage = ?", (name,)
            ).fetchone()
            self._insert(connection, "stages", [(name, row[0] if row else 0.0, payload)])

    def forget(self, table: str, keep: Callable[[str], bool]) -> None:
        """Takes rows back, so that what they stand for is done again."""
        assert self._checked
        with self._connected() as connection, seals.changing(connection):
            for (name,) in connection.execute(f"SELECT name FROM {table}").fetchall():
                if not keep(name):
                    connection.execute(f"DELETE FROM {table} WHERE name = ?", (name,))
            seals.write(connection, table, seals.Seal().over(_rows(connection, table)))

    def clock(self, stage: str, seconds: float, waited: float = 0.0) -> None:
        """The seconds spent so far in a stage, and those of them in which other work on the machine
        kept it waiting."""
        assert self._checked
        with self._connected() as connection, seals.changing(connection):
            connection.execute(
                "INSERT OR REPLACE INTO clock VALUES (?, ?, ?)",
                (stage, float(seconds), float(waited)),
            )
            seals.write(connection, "clock", seals.Seal().over(_rows(connection, "clock")))

    def seconds(self) -> dict[str, float]:
        """Seconds by stage, the unfinished one included."""
        assert self._checked
        with self._connected() as connection:
            return dict(connection.execute("SELECT stage, seconds FROM clock"))

    def waits(self) -> dict[str, float]:
        """By stage the seconds in which the run was kept waiting."""
        assert self._checked
        with self._connected() as connection:
            return dict(connection.execute("SELECT stage, waited FROM clock"))

    def rows(self, table: str) -> list[tuple[Any, ...]]:
        """All rows of a table, in the order they came."""
        assert self._checked
        with self._connected() as connection:
            return _named_now(_rows(connection, table))

    def _insert(
        self, connection: sqlite3.Connection, table: str, rows: Sequence[tuple[Any, ...]]
    ) -> None:
        marks = ", ".join("?" * len(_COLUMNS[table].split(", ")))
        try:
            connection.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)
        except sqlite3.IntegrityError as error:
            raise Damaged(
                f"{self.path}: {rows[0][0]} stands in {table} already; is another "
                f"process at work on it?"
            ) from error
        seals.write(connection, table, seals.sealed(connection, table).over(rows))


def content(
    connection: sqlite3.Connection, path: Path, run: str
) -> Mapping[str, list[tuple[Any, ...]]]:
    """Table -> its rows, all of one moment and as they were written, but by the names of today;
    raises Damaged, naming the table."""
    with seals.read_transaction(connection):
        there = {
            name
            for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        }
        missing = sorted({*_TABLES, "trials", "meta", "seals"} - there)
        if missing:
            raise Damaged(
                f"{path} has no table {', '.join(missing)}; put back a copy of it, or "
                f"start a new run"
            )
        owner = connection.execute("SELECT value FROM meta WHERE name = 'run'").fetchone()
        if owner is None or owner[0] != run:
            raise Damaged(
                f"{path} is not the database of this run; put back the one that belongs "
                f"to its run.json"
            )
        tables = {table: _rows(connection, table) for table in _TABLES}
        for table, rows in tables.items():
            if seals.Seal().over(rows) != seals.sealed(connection, table):
                raise Damaged(
                    f"{path}: the table {table} was changed from outside; put back a copy of the "
                    f"file, or start a new run"
                )
    return {table: _named_now(rows) for table, rows in tables.items()}


def _rows(connection: sqlite3.Connection, table: str) -> list[tuple[Any, ...]]:
    return connection.execute(f"SELECT {_COLUMNS[table]} FROM {table} ORDER BY rowid").fetchall()


def _named_now(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Rows whose seal was checked, with the names of today in their payload, the last column."""
    return [
        (*row[:-1], former.payload(row[0], row[-1])) if isinstance(row[-1], str) else row
        for row in rows
    ]


def value(payload: str, path: Path) -> Any:
    """A payload as what it stands for."""
    try:
        return json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise Damaged(
            f"{path} holds what cannot be read ({error}); put back a copy of it, or start a new run"
        ) from error
