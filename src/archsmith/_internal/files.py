"""Files and folders that are whole or not there: written beside, flushed, renamed; lines that are
appended whole."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from archsmith._internal.processes import WINDOWS, alive
from archsmith.errors import UserError

_CHUNK = 1 << 20
_KEPT = 180  # characters of a name, which may have 255 bytes
_PARTIAL = re.compile(r"\.(\d+)-[0-9a-f]{8}\.partial$")  # of a process, and of one writing in it


def write_chunks(file: BinaryIO, data: bytes) -> None:
    """Writes all of it in pieces of 1 MiB."""
    view = memoryview(data)
    for begin in range(0, len(data), _CHUNK):
        file.write(view[begin : begin + _CHUNK])


def replace_file(
    path: Path, data: bytes, write: Callable[[BinaryIO, bytes], None] | None = None
) -> None:
    """Puts `data` at `path` so that a reader, a crash or a full disk finds the old file or the new
    one, never half of one.

    Written beside it under a name of its own, so that several processes may write the same file:
    the last one's is there then. Raises UserError naming the path where the system refuses; the old
    file is intact then. `write` stands in for `write_chunks` in fault tests.
    """
    partial = beside(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # a folder, or a device that a rename would replace
        if path.exists() and not path.is_file():
            raise UserError(
                f"cannot write {path}: it is there and is no regular file; give another name"
            )
        with open(partial, "wb") as file:
            (write or write_chunks)(file, data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
        sync_folder(path.parent)
        clear_partials(path.parent, path.name)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        kept = ""
        with contextlib.suppress(OSError):
            kept = "; the file that was there is intact" if path.exists() else ""
        raise UserError(
            f"cannot write {path} ({len(data) / 2**20:.1f} MiB): {error.strerror or error}{kept}. "
            "Make room or allow writing there, then resume, or give the same command again"
        ) from error
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise


def beside(path: Path) -> Path:
    """A name next to `path` that nobody else uses, for what is to be moved there; `clear_partials`
    knows it."""
    return path.with_name(f"{path.name[:_KEPT]}.{os.getpid()}-{os.urandom(4).hex()}.partial")


def clear_partials(folder: Path, name: str = "") -> None:
    """Removes what processes that are no more left half written in `folder` (of `name`); what a
    living one is writing stays."""
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            if path.name.startswith(name[:_KEPT]) and _abandoned(path.name):
                remove(path)


def _abandoned(name: str) -> bool:
    match = _PARTIAL.search(name)
    return match is not None and not alive(int(match[1]))


def is_partial(name: str) -> bool:
    """Whether `beside` gave this name."""
    return _PARTIAL.search(name) is not None


def remove(path: Path) -> None:
    """Removes a file or a folder with all it holds, as far as the system allows; one that is not
    there is no error."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
        return
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """The names in it reach the disk (a folder cannot be opened on Windows; there a rename is
    durable by itself)."""
    if WINDOWS:
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_text(path: Path, text: str) -> None:
    """`replace_file` for text."""
    replace_file(path, text.encode())


def copy_file(source: Path, target: Path) -> None:
    """`replace_file` with what `source` holds."""
    try:
        data = source.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {source}: {error.strerror or error}") from error
    replace_file(target, data)


def put_aside(path: Path) -> Path:
    """Renames a file that is of no use to NAME.damaged, .damaged2, ..., so that nothing is lost;
    returns where it is now."""
    place, number = path.with_suffix(".damaged"), 1
    while place.exists():
        number += 1
        place = path.with_suffix(f".damaged{number}")
    os.replace(path, place)
    sync_folder(path.parent)
    return place


def exchange_folder(new: Path, place: Path, old: Path) -> None:
    """Puts the folder `new` at `place`; what was there is moved to `old` first and removed last,
    and put back if that fails."""
    shutil.rmtree(old, ignore_errors=True)
    sync_folder(new)
    had = place.exists()
    if had:
        os.replace(place, old)
    try:
        os.replace(new, place)
    except OSError:
        if had:
            os.replace(old, place)
        raise
    sync_folder(place.parent)
    shutil.rmtree(old, ignore_errors=True)


def append_line(path: Path, text: str) -> None:
    """Adds a line, on the disk when this returns. A torn line before it is ended first; one that
    does not fit leaves nothing.

    Raises UserError naming the path where the system refuses.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        is_new = not path.exists()
        with open(path, "a+b", buffering=0) as file:
            length = file.seek(0, os.SEEK_END)
            data = b"" if length == 0 or _ends_line(file) else b"\n"
            data += text.encode("utf-8", "backslashreplace") + b"\n"
            try:
                if file.write(data) != len(data):  # as a disk does whose last block this is
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fsync(file.fileno())
            except OSError:
                with contextlib.suppress(OSError):
                    file.truncate(length)
                raise
        if is_new:
            sync_folder(path.parent)
    except OSError as error:
        raise UserError(
            f"cannot write {path}: {error.strerror or error}; make room or allow writing there, "
            f"then resume"
        ) from error


def _ends_line(file: BinaryIO) -> bool:
    file.seek(-1, os.SEEK_END)
    return file.read(1) == b"\n"
