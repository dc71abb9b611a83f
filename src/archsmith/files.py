"""Files that are whole or not there: written beside, flushed, renamed."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from archsmith.errors import UserError

_CHUNK = 1 << 20


def write_chunks(file: BinaryIO, data: bytes) -> None:
    """Writes all of it in pieces of 1 MiB."""
    view = memoryview(data)
    for begin in range(0, len(data), _CHUNK):
        file.write(view[begin : begin + _CHUNK])


def replace_file(path: Path, data: bytes, write: Callable[[BinaryIO, bytes], None] | None = None) -> None:
    """Puts `data` at `path` so that a reader, a crash or a full disk finds the old file or the new one, never half of one.

    Written beside it as NAME.partial (a left-over one is overwritten), flushed to the disk, renamed. Raises UserError naming
    the path where the system refuses; the old file is intact then. `write` stands in for `write_chunks` in fault tests.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(partial, "wb") as file:
            (write or write_chunks)(file, data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
        _sync_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        kept = "; the file that was there is intact" if path.exists() else ""
        raise UserError(
            f"cannot write {path} ({len(data) / 2**20:.1f} MiB): {error.strerror or error}{kept}. "
            "Make room or allow writing there, then resume"
        ) from error


def _sync_folder(folder: Path) -> None:
    """The rename itself reaches the disk (a folder cannot be opened on Windows; there the rename is durable by itself)."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_text(path: Path, text: str) -> None:
    """`replace_file` for text."""
    replace_file(path, text.encode())
