"""Parquet files of encoded images and labels; several are one table."""

from __future__ import annotations

import contextlib
import errno
import glob
import io
import os
import tempfile
import threading
import weakref
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from archsmith.data.attempts import attempted
from archsmith.data.columns import (
    PATH,
    SPLIT,
    declared,
    groups,
    kept,
    optional,
    repeated,
    split_note,
)
from archsmith.data.decode import open_picture
from archsmith.data.features import Columns, columns_of, is_split, named_labels, united
from archsmith.data.listing import (
    PART_NAMES,
    PARTS,
    ROW,
    UNLABELLED,
    Listing,
    label_name,
    part_of,
    printable,
    unique_ids,
)
from archsmith.data.several import joined, one_each
from archsmith.errors import UserError, first_line, quoted


class Blobs:
    """Encoded images by row: in memory up to a limit, beyond it in a temporary file that vanishes
    with the process."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._held: list[bytes] = []
        self._spans: list[tuple[int, int]] = []
        self._total = 0
        self._file: Any = None
        self._reading = threading.Lock()

    def append(self, blob: bytes) -> None:
        self._spans.append((self._total, len(blob)))
        self._total += len(blob)
        if self._file is None and self._total > self._limit:
            self._file = tempfile.TemporaryFile(prefix="archsmith-")  # noqa: SIM115 - lives as long as this object
            weakref.finalize(self, self._file.close)
            self._file.write(b"".join(self._held))
            self._held = []
        if self._file is None:
            self._held.append(blob)
        else:
            self._file.write(blob)

    def close(self) -> None:
        """No more to come."""
        if self._file is not None:
            self._file.flush()

    def __getitem__(self, row: int) -> bytes:
        if self._file is None:
            return self._held[row]
        offset, length = self._spans[row]
        with self._reading:  # threads decode at the same time
            self._file.seek(offset)
            return self._file.read(length)

    def __len__(self) -> int:
        return len(self._spans)


def parquet_files(source: str) -> list[Path]:
    """The files of a path, a folder, a glob pattern or a comma-separated list of these, each once,
    in order."""
    files: list[Path] = []
    for piece in pieces(source):
        path = Path(piece).expanduser()
        if path.is_dir():
            paths = sorted(path.rglob("*.parquet"))
        elif path.exists():
            paths = [path]
        else:
            paths = [Path(name) for name in sorted(glob.glob(str(path), recursive=True))]
        if not paths:
            raise UserError(
                f"{printable(str(path), 200)}: no such file; give files, a folder or a pattern "
                f"such as 'data/train-*.parquet'."
            )
        files += paths
    return list(dict.fromkeys(files))


def pieces(source: str) -> list[str]:
    """The paths and patterns of a comma-separated list; a comma in a name that is there does not
    part it."""
    words = source.split(",")
    paths: list[str] = []
    while words:
        count = next(
            (n for n in range(len(words), 1, -1) if _is_there(",".join(words[:n]).strip())), 1
        )
        paths.append(",".join(words[:count]).strip())
        words = words[count:]
    return [piece for piece in paths if piece] or [source.strip()]


def _is_there(piece: str) -> bool:
    path = os.path.expanduser(piece)
    return os.path.exists(path) or (
        glob.has_magic(path) and any(True for _ in glob.iglob(path, recursive=True))
    )


def list_parquet(
    files: Sequence[Path], group: str | None, memory_limit_bytes: int, labelled: bool = True
) -> Listing:
    """Columns image (encoded bytes, or a struct with them or a path beside the file), label (where
    `labelled`), optional split and group; several files are one table, each with its own numbers
    for the classes."""
    together = _Together(Blobs(memory_limit_bytes))
    for path in files:
        together.add(path, group, labelled)
    blobs, beside, pins = together.blobs, together.beside, together.pins
    columns, origin, notes = together.columns, together.origin, together.notes
    blobs.close()
    where = printable(str(files[0])) if len(files) == 1 else f"the {len(files)} parquet files"
    rows, first = range(len(blobs)), together.first
    if not rows or first is None:
        raise UserError(f"{where} holds no rows; expected an image and a label each.")
    labels, classes = together.labels(len(rows))
    spot = partial(
        _row, origin, {file: len(origin) - 1 - row for row, file in enumerate(reversed(origin))}
    )
    parts = declared(columns, where, spot)
    notes += split_note(columns, first.rest, (first.label, first.image, group))
    if parts is None:
        parts, remarks = _by_path(origin)
        notes += remarks
    dropped, remarks = repeated(beside, labels, parts, spot=spot, where=where)
    notes += remarks
    keep = [row for row in rows if row not in dropped]
    named = optional(columns, PATH)
    ids = unique_ids(
        [printable(str(value)) for value in columns[named]] if named else [""] * len(rows), ROW
    )
    return Listing(
        kind="parquet",
        ids=[ids[row] for row in keep],
        labels=[labels[row] for row in keep],
        open=partial(_open_row, blobs, beside, keep),
        pins=[pins[row] for row in keep],
        declared=[parts[row] for row in keep] if parts else None,
        groups=groups(columns, keep, group, where),
        spots=partial(kept, spot, keep, f"{where}, "),
        classes=classes,
        target=first.label or "",
        several=together.several or joined(labels, where, notes),
        notes=notes,
    )


@dataclass
class _Together:
    """Several parquet files as one table: images in `blobs` or `beside` (row -> path), and the
    other columns."""

    blobs: Blobs
    columns: dict[str, list[Any]] = field(default_factory=dict)
    pins: list[int] = field(default_factory=list)
    beside: dict[int, str] = field(default_factory=dict)
    origin: list[str] = field(default_factory=list)  # the file of each row
    beginning: str = ""  # the first file
    notes: list[str] = field(default_factory=list)
    several: str = ""  # why labels are of no use as classes
    first: Columns | None = None
    _named: list[tuple[str, tuple[str, ...] | None, list[str | None]]] = field(default_factory=list)

    def add(self, path: Path, group: str | None, labelled: bool) -> None:
        """One more file; UserError where its columns are others."""
        own, table = _read_parquet(
            path, group, self.blobs, pins=self.pins, beside=self.beside, labelled=labelled
        )
        first = self.first or own
        if self.columns and (table.keys() != self.columns.keys() or own.label != first.label):
            raise UserError(
                f"{printable(str(path))} has the columns {', '.join((own.image, *table))}, "
                f"{printable(self.beginning)} "
                f"{', '.join((first.image, *self.columns))}; they must agree."
            )
        self.notes += own.notes if self.first is None else ()
        self.first, self.beginning = first, self.beginning or str(path)
        if own.label is not None:
            where = printable(str(path))
            table[own.label], note, refusal = one_each(table[own.label], where, own.label)
            self.notes += [note] if note else []
            self.several = self.several or refusal
            labels = [] if refusal else named_labels(table[own.label], own.names, where)
            self._named.append((where, own.names, labels))
        for name, values in table.items():
            self.columns.setdefault(name, []).extend(values)
        self.origin += [str(path)] * (len(self.blobs) - len(self.origin))

    def labels(self, rows: int) -> tuple[list[str | None], Any]:
        """The label of each row, and the classes where the files name them."""
        if self.first is None or self.first.label is None:
            return [UNLABELLED] * rows, None
        if self.several:  # of no use as classes, of some as numbers
            return [label_name(value) for value in self.columns[self.first.label]], None
        classes = united(self._named, self.notes)
        return [label for _, _, own_labels in self._named for label in own_labels], classes


def _by_path(origin: Sequence[str]) -> tuple[list[str] | None, list[str]]:
    """The part of each row by the file it comes from: by its name, otherwise by the nearest folder
    that is named for one. And a remark: which parts were taken, or that they were not because some
    files belong to none."""
    files = list(dict.fromkeys(origin))
    top = os.path.commonpath([os.path.dirname(os.path.abspath(file)) for file in files])
    part = {}
    for file in files:
        *folders, name = os.path.relpath(os.path.abspath(file), top).split(os.sep)
        words = [PART_NAMES[word] for word in _tokens(name) if word in PART_NAMES]
        above = [known for folder in reversed(folders) if (known := part_of(folder))]
        part[file] = next(iter([*words, *above]), "")
    parts = sorted({name for name in part.values() if name}, key=PARTS.index)
    if len(parts) > 1 and all(part.values()):
        return [part[file] for file in origin], [
            f"parts by the names of files and folders: {', '.join(parts)}"
        ]
    if len(parts) > 1:
        lost = next(file for file in files if not part[file])
        return None, [
            f"{', '.join(parts)} in file names were not taken as parts: {printable(lost, 100)} "
            f"belongs to none of them"
        ]
    return None, []


def _tokens(name: str) -> list[str]:
    return name.lower().replace("-", " ").replace("_", " ").replace(".", " ").split()


def _row(origin: Sequence[str], begins: Mapping[str, int], row: int) -> str:
    """Where a row stands; the first of each file is 1."""
    number = f"row {row - begins[origin[row]] + 1}"
    return number if len(begins) == 1 else f"{number} of {printable(origin[row], 100)}"


def _open_row(
    blobs: Blobs, beside: Mapping[int, str], keep: Sequence[int], place: int
) -> Image.Image:
    index = keep[place]
    return open_picture(beside[index] if index in beside else io.BytesIO(blobs[index]))


def _read_parquet(
    path: Path,
    group: str | None,
    blobs: Blobs,
    pins: list[int],
    beside: dict[int, str],
    labelled: bool,
) -> tuple[Columns, dict[str, list[Any]]]:
    """One file: its images go to `blobs` and their checksums to `pins`, the paths of those that lie
    beside it to `beside`; the other columns that matter are returned."""
    try:
        import pyarrow as arrow
        import pyarrow.parquet as parquet
    except ImportError as error:
        raise UserError(
            'reading parquet needs pyarrow; install it with: pip install "archsmith[data]"'
        ) from error
    where = printable(str(path))
    if not path.is_file():
        raise UserError(f"{where} is not a regular file; give parquet files.")
    with _read_whole(where, arrow.ArrowException), parquet.ParquetFile(path) as file:
        schema = file.schema_arrow
        own = columns_of(schema, where, labelled)
        wanted = (*PATH, *SPLIT, "group")
        named = {
            name: names
            for name, names in own.others.items()
            if is_split(names) or name.lower() in wanted
        }
        kept = [
            n
            for n in schema.names
            if n != own.image and (n in (group, own.label, *named) or n.lower() in wanted)
        ]
        table: dict[str, list[Any]] = {name: [] for name in kept}
        for batch in file.iter_batches(batch_size=1024, columns=[own.image, *kept]):
            for value in batch.column(batch.schema.names.index(own.image)).to_pylist():
                blob = value.get("bytes") if isinstance(value, dict) else value
                if not blob and isinstance(value, dict) and value.get("path"):
                    beside[len(blobs)] = _beside(path, str(value["path"]), where, len(blobs))
                    blobs.append(b"")
                    pins.append(_checksum(beside[len(blobs) - 1]))
                    continue
                blobs.append(blob or b"")
                pins.append(zlib.crc32(blob or b""))
            for name in kept:
                table[name] += batch.column(batch.schema.names.index(name)).to_pylist()
    for name, names in named.items():  # numbers with names, as a split may be
        table[name] = list(named_labels(table[name], names, f"{where}, column {quoted(name)}"))
    return own, table


@contextlib.contextmanager
def _read_whole(where: str, damaged: type[Exception]) -> Iterator[None]:
    """UserError where a parquet file cannot be read to its end; `damaged`: what pyarrow raises."""
    try:
        yield
    except UserError:
        raise
    except MemoryError as error:
        raise UserError(
            f"{where} does not fit into memory; write it again with smaller row groups."
        ) from error
    except (damaged, OSError, ValueError, TypeError, OverflowError) as error:
        if getattr(error, "errno", None) == errno.ENOSPC:
            raise UserError(
                f"no space left in {tempfile.gettempdir()} to lay out the images of {where}; set "
                f"TMPDIR to a larger disk."
            ) from error
        raise UserError(
            f"{where} cannot be read as parquet ({first_line(error)}); it may be truncated: fetch "
            f"or write it again."
        ) from error


def _beside(path: Path, name: str, where: str, row: int) -> str:
    """The file that a row names instead of holding the image; it lies in the folder of the table or
    below it."""
    folder = os.path.abspath(path.parent)
    full = os.path.normpath(os.path.join(folder, name))
    if "\0" in name or not Path(full).is_relative_to(folder):
        raise UserError(
            f"{where}, row {row + 1}: its image is the path {printable(name)!r}, outside the "
            f"folder of the file; such images "
            "are read from beside it only. For images elsewhere give a CSV file with the columns "
            "path and label."
        )
    return full


def _checksum(file: str) -> int:
    """Of the contents; -1 for what cannot be read, opening it will say so."""
    try:
        return (
            attempted(lambda: zlib.crc32(Path(file).read_bytes()), printable(file))
            if os.path.isfile(file)
            else -1
        )
    except OSError:
        return -1
