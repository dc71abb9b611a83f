"""Claiming a folder for a run: one process at a time, never over anybody's files, again after one
that died half-way."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from archsmith._internal.files import is_partial, remove, sync_folder, write_text
from archsmith._internal.processes import WINDOWS
from archsmith.errors import UserError

RECORD, STORE = "run.json", "trials.sqlite"
_BEGINNING, _LOCK = ".beginning", ".lock"
_OWNER = ".lock.pid"  # who has the lock: beside it, since Windows lets nobody read a locked file
# written before anything is decided
# block times, a line each; the second name is that of runs of before
LATENCY, LATENCY_BEFORE = "latency.jsonl", "latency.json"
_FIRST = ("checkpoints", "events.jsonl", LATENCY, LATENCY_BEFORE, _BEGINNING, _LOCK, _OWNER)
_PATIENCE_S = 0.5  # that another process may have the folder, e.g. to look whether it is taken


@contextlib.contextmanager
def claimed(folder: Path) -> Iterator[tuple[Path, ...]]:
    """Makes the folder, for a run whose record is written inside, last of all; what failed before
    that leaves nothing.

    Gives the folders it had to make, the innermost first.
    Raises UserError where the folder holds anything but what a process left that died in here.
    """
    _refuse_taken(folder)
    made = tuple(parent for parent in (folder, *folder.parents) if not parent.exists())
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"cannot make the run folder {folder}: {error.strerror}; choose another --out"
        ) from error
    try:
        with locked(folder):
            _refuse_taken(folder)
            try:
                clear(folder)
                write_text(folder / _BEGINNING, "archsmith is making a run here\n")
                sync_folder(folder.parent)
                yield made
                remove(folder / _BEGINNING)
            except BaseException:
                if not (folder / RECORD).exists():
                    clear(folder)
                    if made:
                        remove(folder / _LOCK)
                raise
    except BaseException:
        unmake(made)
        raise


def unmake(folders: Iterable[Path]) -> None:
    """Removes folders that are empty, the innermost first."""
    for folder in folders:
        with contextlib.suppress(OSError):
            # where nobody can remove a lock that he holds; one that somebody has by now stays
            if WINDOWS:
                (folder / _LOCK).unlink(missing_ok=True)
            folder.rmdir()


def vacant(folder: Path) -> bool:
    """Whether a run can be made there: nothing is there, an empty folder, or what a process left
    that died claiming it."""
    try:
        if not folder.exists():
            return True
        names = {path.name for path in folder.iterdir()} - {_LOCK, _OWNER}
    except OSError:
        return False
    names = {name for name in names if not (name.startswith(_BEGINNING) and is_partial(name))}
    return not names or (_BEGINNING in names and all(map(_own, names)))


def holder(path: Path) -> Path | None:
    """The run folder that a path lies in, links followed; None where it lies in none."""
    with contextlib.suppress(OSError, RuntimeError):
        parents = path.resolve().parents
        return next((p for p in parents if (p / RECORD).is_file() and (p / STORE).is_file()), None)
    return None


def beginning(folder: Path) -> bool:
    """Whether a process died while it claimed the folder."""
    return (folder / _BEGINNING).exists()


def unclaimed(folder: Path) -> None:
    """Takes the claim back, inside `locked`: first the record, then the other files of a run that
    has decided nothing."""
    write_text(folder / _BEGINNING, "archsmith is taking a run back\n")
    remove(folder / RECORD)
    clear(folder)
    remove(folder / _LOCK)


def clear(folder: Path) -> None:
    """Removes what a process left that died while claiming; the mark that says so goes last."""
    if beginning(folder):
        for path in folder.iterdir():
            if _own(path.name) and path.name not in (_LOCK, _OWNER, _BEGINNING):
                remove(path)
        remove(folder / _BEGINNING)


def begun(folder: Path) -> None:
    """The mark of claiming is of no use once there is a record."""
    remove(folder / _BEGINNING)


def _own(name: str) -> bool:
    return name in _FIRST or name.startswith(STORE) or is_partial(name)


def _refuse_taken(folder: Path) -> None:
    try:
        taken = (folder / RECORD).exists()
    except OSError as error:
        raise UserError(
            f"cannot use the run folder {folder}: {error.strerror}; choose another --out"
        ) from error
    if taken:
        raise UserError(
            f"{folder} already holds a run; go on with `archsmith resume {folder}`, or "
            f"choose another --out"
        )
    if (run := holder(folder)) is not None:
        raise UserError(
            f"--out {folder} lies in the folder of another run, {run}; choose a place outside it"
        )
    if not vacant(folder):
        raise UserError(f"--out {folder} exists and is not an empty folder; choose another --out")


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Exclusive use; UserError where another process has the folder for longer than a moment.

    The system frees the lock of a killed process. A lock file that was removed holds nobody off.
    """
    lock = FileLock(folder / _LOCK, timeout=_PATIENCE_S, thread_local=False)
    try:
        lock.acquire(poll_interval=_PATIENCE_S / 5)
    except Timeout as error:
        raise UserError(
            f"another process (pid {_owner(folder)}) is working on {folder}; wait for it; a new "
            f"search needs another --out"
        ) from error
    except OSError as error:
        raise UserError(
            f"cannot write in {folder}: {error.strerror or error}; check its permissions"
        ) from error
    try:
        with contextlib.suppress(OSError):  # for messages only: the disk may be full
            (folder / _OWNER).write_text(str(os.getpid()), encoding="ascii")
        yield
    finally:
        remove(folder / _OWNER)
        lock.release()


def _owner(folder: Path) -> str:
    with contextlib.suppress(OSError):
        return (folder / _OWNER).read_bytes()[:20].decode("ascii", "replace").strip() or "unknown"
    return "unknown"
