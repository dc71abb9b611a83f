"""What disturbs a run, for campaign.py: kills at chosen points, every state that a kill can leave,
damaged files."""

from __future__ import annotations

import builtins
import contextlib
import hashlib
import os
import re
import signal
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

State = dict[str, str]  # path inside a folder -> hash of its content, "" for a folder


def child(
    work: Callable[[], None], kill_after: float | None = None, told: Path | None = None
) -> int:
    """Runs `work` in a fork; 0 where it ended well, 2 where it ended in an error of archsmith, 1 in
    any other, -9 if killed.

    What ended it is written to `told`.
    """
    pid = os.fork()
    if pid == 0:
        code = 0
        try:
            work()
        except BaseException as error:
            from archsmith.errors import ArchsmithError

            code = 2 if isinstance(error, ArchsmithError) else 1
            if told is not None:
                told.write_text(f"{type(error).__name__}: {error}")
            if code == 1:
                print(f"{type(error).__name__}: {error}", file=sys.stderr)
        finally:
            os._exit(code)
    if kill_after is not None:
        time.sleep(kill_after)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return ended(pid)


def ended(pid: int) -> int:
    """Exit code of a child, -9 for one that was killed."""
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


def die() -> None:
    """As `kill -9` does it."""
    os.kill(os.getpid(), signal.SIGKILL)


def arm(point: str, at: int) -> None:
    """Makes this process die at the `at`-th pass of a point: training, checkpoint (half of it
    written), database, between."""
    passes = [0]

    def passed() -> bool:
        passes[0] += 1
        return passes[0] == at

    if point == "training":
        from archsmith.training import loop

        step = loop.train_step

        def dying_step(*args: Any, **kwargs: Any) -> Any:
            if passed():
                die()
            return step(*args, **kwargs)

        loop.train_step = dying_step
    elif point == "checkpoint":
        from archsmith.training import checkpoint

        def half(file: BinaryIO, data: bytes) -> None:
            if passed():
                file.write(data[: len(data) // 2])
                file.flush()
                die()
            file.write(data)

        checkpoint.write_chunks = half
    elif point == "between":
        from archsmith.run.store import Run

        finish = Run.finish_stage

        def dying_finish(self: Run, *args: Any) -> None:
            finish(self, *args)
            if passed():
                die()

        Run.finish_stage = dying_finish  # type: ignore[method-assign]
    else:
        assert point == "database"
        _on_statements(
            lambda sql: die() if "insert into trials" in sql.lower() and passed() else None
        )


def _on_statements(seen: Callable[[str], None]) -> None:
    """Calls `seen` after each statement that this process has SQLite execute."""
    connect = sqlite3.connect

    class Watched(sqlite3.Connection):
        def execute(self, sql: str, *args: Any) -> Any:
            result = super().execute(sql, *args)
            seen(sql)
            return result

        def executemany(self, sql: str, *args: Any) -> Any:
            result = super().executemany(sql, *args)
            seen(sql)
            return result

    def watched(*args: Any, **kwargs: Any) -> sqlite3.Connection:
        return connect(*args, **{**kwargs, "factory": Watched})

    sqlite3.connect = watched  # type: ignore[assignment]


class States:
    """Every state of a folder that a kill could leave: looked at after each write, kept where it is
    a new one.

    A kill loses nothing that was handed to the system, so a copy of the folder made between two
    writes is what a kill there leaves. Contents are kept once, by their hash, in `store`, so one
    pass over a command gives all of its states.
    """

    def __init__(self, folder: Path, store: Path) -> None:
        self.folder, self.store, self.seen = folder, store, list[State]()
        store.mkdir(parents=True, exist_ok=True)

    def watch(self) -> None:
        """From here on in this process: after every call that writes, moves, makes or removes
        something."""
        for module, names in (
            (os, ("replace", "rename", "fsync", "mkdir", "unlink", "rmdir", "link")),
            (builtins, ("open",)),
        ):
            for name in names:
                setattr(module, name, self._around(getattr(module, name)))
        _on_statements(
            lambda sql: (
                None if sql.lstrip().lower().startswith(("select", "pragma")) else self.look()
            )
        )
        from archsmith._internal import files
        from archsmith.training import checkpoint

        def halves(file: BinaryIO, data: bytes) -> None:
            file.write(data[: len(data) // 2])
            file.flush()
            self.look()
            file.write(data[len(data) // 2 :])
            file.flush()

        files.write_chunks = checkpoint.write_chunks = halves

    def _around(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def called(*args: Any, **kwargs: Any) -> Any:
            result = call(*args, **kwargs)
            writes = call is not _OPEN or set("wax+") & set(
                str(kwargs.get("mode", args[1] if len(args) > 1 else "r"))
            )
            if writes:
                self.look()
            return result

        return called

    def look(self) -> None:
        """Keeps the state where it is not the one before."""
        state: State = {}
        if self.folder.exists():
            state["."] = ""
            for path in _paths(self.folder):
                name = str(path.relative_to(self.folder))
                try:
                    data = path.read_bytes() if path.is_file() else b""
                except OSError:
                    continue  # gone meanwhile
                digest = hashlib.sha256(data).hexdigest() if path.is_file() else ""
                state[name] = digest
                if digest and not (self.store / digest).exists():
                    with _OPEN(self.store / digest, "wb") as file:
                        file.write(data)
        if not self.seen or _plain(state) != _plain(self.seen[-1]):
            self.seen.append(state)


_OPEN = builtins.open


def _paths(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if not path.name.endswith("-shm"):  # made anew by whoever opens the database
            yield path


def _plain(state: State) -> State:
    """Without what differs from process to process."""
    return {
        re.sub(r"\.\d+-[0-9a-f]{8}\.partial", ".partial", name): digest
        for name, digest in state.items()
    }


def restore(state: State, store: Path, folder: Path) -> None:
    """Puts a state into an empty place; half-written files get the name of a process that is no
    more."""
    for name, digest in state.items():
        path = folder / re.sub(r"\.\d+-([0-9a-f]{8}\.partial)", r".4194305-\1", name)
        if digest:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes((store / digest).read_bytes())
        else:
            path.mkdir(parents=True, exist_ok=True)


# -- damage ----------------------------------------------------------------------------------------

KINDS = ("truncated", "flipped", "deleted", "swapped")


def damage(path: Path, kind: str, other: Path) -> bool:
    """Does it to a file; swapped: with that of another run. False where that makes no sense."""
    data = path.read_bytes()
    if kind == "deleted":
        path.unlink()
    elif kind == "truncated":
        path.write_bytes(data[: len(data) // 2])
    elif kind == "flipped" and data:
        place = len(data) * 2 // 3
        path.write_bytes(data[:place] + bytes([data[place] ^ 0x10]) + data[place + 1 :])
    elif kind == "swapped" and other.is_file() and other.read_bytes() != data:
        path.write_bytes(other.read_bytes())
    else:
        return False
    return True
