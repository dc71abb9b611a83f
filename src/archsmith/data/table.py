"""Tables of images: CSV files of paths and labels, parquet files of encoded images and labels."""

from __future__ import annotations

import errno
import glob
import io
import os
import tempfile
import threading
import weakref
import zlib
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from archsmith.data.attempts import attempted
from archsmith.data.columns import (
    LABEL,
    PATH,
    SPLIT,
    declared,
    groups,
    kept,
    one_of,
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
from archsmith.data.rows import located, read_rows
from archsmith.data.several import joined, one_each
from archsmith.errors import UserError, first_line, quoted


def list_csv(path: Path, group: str | None, labelled: bool = True) -> Listing:
    """Columns path and label (where `labelled`), optional split and group; paths are relative to
    the folder of the file."""
    where, base = printable(str(path), 200), str(path.parent)
    read = read_rows(path)
    named_so = any(name.lower() in PATH for name in read.header)
    if not named_so and any(os.path.isfile(path.parent / cell) for cell in read.header if cell):
        raise UserError(
            f"{where} has no header: its line 1 names an image already; put a line "
            f"such as path,label above it."
        )
    named, notes = one_of(read.header, PATH, where, "the image paths")
    labelling = ""
    if labelled:
        labelling, more = one_of(
            [name for name in read.header if name != named], LABEL, where, "the class labels"
        )
        notes += more
    columns = {name: [row[index] for row in read.rows] for index, name in enumerate(read.header)}
    files, told = located(columns[named], base, read.encoding, where)
    labels = (
        [label_name(value) for value in columns[labelling]]
        if labelling
        else [UNLABELLED] * len(files)
    )
    several = joined(labels, where, notes) if labelling else ""
    notes += _as_read(labels, read.encoding) if labelling else []
    spot = partial(_line, read.lines)
    parts = declared(columns, where, spot)
    notes += split_note(columns, columns, (named, labelling, group))
    dropped, said = repeated(dict(enumerate(files)), labels, parts, spot=spot, where=where)
    keep = [row for row in range(len(files)) if row not in dropped]
    notes += said
    return Listing(
        kind="csv",
        ids=[printable(columns[named][row]) for row in keep],
        labels=[labels[row] for row in keep],
        open=partial(_open_path, [files[row] for row in keep]),
        pins=(),
        declared=[parts[row] for row in keep] if parts else None,
        groups=groups(columns, keep, group, where),
        spots=partial(kept, spot, keep, f"{where}, "),
        paths=[files[row] for row in keep],
        notes=[*read.notes, *notes, *told],
        target=labelling,
        several=several,
    )


def _line(lines: Sequence[int], row: int) -> str:
    return f"line {lines[row]}"


def _as_read(labels: Sequence[str | None], encoding: str) -> list[str]:
    """Some labels whose letters depend on the encoding, where that was guessed."""
    changed = sorted({label for label in labels if label is not None and not label.isascii()})
    if encoding != "cp1252" or not changed:
        return []
    shown = ", ".join(quoted(label) for label in changed[:3])
    more = f", ... {len(changed)} in all" if len(changed) > 3 else ""
    return [f"labels as they were read by that: {shown}{more}; look whether they are right"]


def _open_path(paths: Sequence[str], index: int) -> Image.Image:
    return open_picture(paths[index])


# ---------------------------------------------------------------------------------------- parquet


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
            found = sorted(path.rglob("*.parquet"))
        elif path.exists():
            found = [path]
        else:
            found = [Path(name) for name in sorted(glob.glob(str(path), recursive=True))]
        if not found:
            raise UserError(
                f"{printable(str(path), 200)}: no such file; give files, a folder or a pattern "
                f"such as 'data/train-*.parquet'."
            )
        files += found
    return list(dict.fromkeys(files))


def pieces(source: str) -> list[str]:
    """The paths and patterns of a comma-separated list; a comma in a name that is there does not
    part it."""
    words = source.split(",")
    found: list[str] = []
    while words:
        count = next(
            (n for n in range(len(words), 1, -1) if _is_there(",".join(words[:n]).strip())), 1
        )
        found.append(",".join(words[:count]).strip())
        words = words[count:]
    return [piece for piece in found if piece] or [source.strip()]


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
    blobs = Blobs(memory_limit_bytes)
    columns: dict[str, list[Any]] = {}
    pins: list[int] = []
    beside: dict[int, str] = {}
    origin: list[str] = []
    notes: list[str] = []
    several = ""
    found: list[tuple[str, tuple[str, ...] | None, list[str | None]]] = []
    first: Columns | None = None
    for path in files:
        own, table = _read_parquet(path, group, blobs, pins=pins, beside=beside, labelled=labelled)
        if columns and (table.keys() != columns.keys() or own.label != (first or own).label):
            raise UserError(
                f"{printable(str(path))} has the columns {', '.join((own.image, *table))}, "
                f"{printable(str(files[0]))} "
                f"{', '.join(((first or own).image, *columns))}; they must agree."
            )
        notes += own.notes if first is None else ()
        first = first or own
        if own.label is not None:
            said = printable(str(path))
            table[own.label], note, refusal = one_each(table[own.label], said, own.label)
            notes += [note] if note else []
            several = several or refusal
            found.append(
                (
                    said,
                    own.names,
                    [] if refusal else named_labels(table[own.label], own.names, said),
                )
            )
        for name, values in table.items():
            columns.setdefault(name, []).extend(values)
        origin += [str(path)] * (len(blobs) - len(origin))
    blobs.close()
    where = printable(str(files[0])) if len(files) == 1 else f"the {len(files)} parquet files"
    rows = range(len(blobs))
    if not rows or first is None:
        raise UserError(f"{where} holds no rows; expected an image and a label each.")
    labels: list[str | None] = [UNLABELLED] * len(rows)
    classes = None
    if first.label is not None and several:  # of no use as classes, of some as numbers
        labels = [label_name(value) for value in columns[first.label]]
    elif first.label is not None:
        classes = united(found, notes)
        labels = [label for _, _, own_labels in found for label in own_labels]
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
        several=several or joined(labels, where, notes),
        notes=notes,
    )


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
    found = sorted({name for name in part.values() if name}, key=PARTS.index)
    if len(found) > 1 and all(part.values()):
        return [part[file] for file in origin], [
            f"parts by the names of files and folders: {', '.join(found)}"
        ]
    if len(found) > 1:
        lost = next(file for file in files if not part[file])
        return None, [
            f"{', '.join(found)} in file names were not taken as parts: {printable(lost, 100)} "
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
    try:
        with parquet.ParquetFile(path) as file:
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
    except UserError:
        raise
    except MemoryError as error:
        raise UserError(
            f"{where} does not fit into memory; write it again with smaller row groups."
        ) from error
    except (arrow.ArrowException, OSError, ValueError, TypeError, OverflowError) as error:
        if getattr(error, "errno", None) == errno.ENOSPC:
            raise UserError(
                f"no space left in {tempfile.gettempdir()} to lay out the images of {where}; set "
                f"TMPDIR to a larger disk."
            ) from error
        raise UserError(
            f"{where} cannot be read as parquet ({first_line(error)}); it may be truncated: fetch "
            f"or write it again."
        ) from error
    for name, names in named.items():  # numbers with names, as a split may be
        table[name] = list(named_labels(table[name], names, f"{where}, column {quoted(name)}"))
    return own, table


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
