"""Seals over the tables of a run's database: a changed, missing, added or moved row is noticed when
the table is read.

A seal is the number of rows and a chain of SHA-256 over them in the order they came, written in the
transaction that writes the rows. It tells what was changed from outside or by a failing disk; it is
no secret, so it does not keep out who means to forge.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

SCHEMA = (
    "create table if not exists seals (name text primary key, rows integer not null, digest "
    "text not null)"
)


@dataclass(frozen=True)
class Seal:
    """So many rows, and the last link of their chain."""

    rows: int = 0
    digest: str = ""

    def over(self, rows: Iterable[Sequence[Any]]) -> Seal:
        """The seal when these rows (of text, numbers, None) follow."""
        count, digest = self.rows, self.digest
        for row in rows:
            count += 1
            digest = hashlib.sha256(
                f"{digest}{json.dumps(list(row), default=repr)}".encode()
            ).hexdigest()
        return Seal(count, digest)


def sealed(connection: sqlite3.Connection, table: str) -> Seal:
    """The seal that is written for a table; of no rows where there is none."""
    row = connection.execute("select rows, digest from seals where name = ?", (table,)).fetchone()
    return Seal(*row) if row else Seal()


def write(connection: sqlite3.Connection, table: str, seal: Seal) -> None:
    """Writes the seal of a table, in the transaction that is open."""
    connection.execute(
        "insert or replace into seals values (?, ?, ?)", (table, seal.rows, seal.digest)
    )


@contextlib.contextmanager
def changing(connection: sqlite3.Connection) -> Iterator[None]:
    """One transaction that writes: all of it, or nothing."""
    connection.execute("begin immediate")
    try:
        yield
        connection.execute("commit")
    except BaseException:
        if connection.in_transaction:
            connection.execute("rollback")
        raise


@contextlib.contextmanager
def read_transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Everything read inside is of one moment, whatever another process writes meanwhile."""
    if connection.in_transaction:
        yield
        return
    connection.execute("begin")
    try:
        yield
    finally:
        if connection.in_transaction:
            connection.execute("rollback")
