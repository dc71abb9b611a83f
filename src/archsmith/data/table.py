"""Tables of images: CSV files of paths and labels, parquet files of encoded images and labels."""

from __future__ import annotations

import errno
import glob
import io
import os
import tempfile
import weakref
import zlib
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from archsmith.data.attempts import attempted
from archsmith.data.decode import open_picture
from archsmith.data.features import LABEL, Columns, columns_of, named_labels, united
from archsmith.data.listing import PART_NAMES, PARTS, UNLABELLED, Listing, label_name, part_name, part_of, printable, unique_ids
from archsmith.data.rows import located, read_rows
from archsmith.data.several import joined, one_each
from archsmith.errors import UserError, did_you_mean, quoted

PATH = ("path", "file_name", "filename", "file", "image_path", "image", "img_path")
SPLIT = (
    *("split", "part", "subset", "set", "partition", "phase", "usage", "purpose", "mode", "data_split", "dataset_split"),
    *("split_name", "splitname", "data_set", "train_test", "traintest", "train_test_split", "set_name"),
)


def list_csv(path: Path, group: str | None, labelled: bool = True) -> Listing:
    """Columns path and label (where `labelled`), optional split and group; paths are relative to the folder of the file."""
    where, base = printable(str(path), 200), str(path.parent)
    read = read_rows(path)
    named_so = any(name.lower() in PATH for name in read.header)
    if not named_so and any(os.path.isfile(path.parent / cell) for cell in read.header if cell):
        raise UserError(f"{where} has no header: its line 1 names an image already; put a line such as path,label above it.")
    named, notes = _one_of(read.header, PATH, where, "the image paths")
    labelling = ""
    if labelled:
        labelling, more = _one_of([name for name in read.header if name != named], LABEL, where, "the class labels")
        notes += more
    columns = {name: [row[index] for row in read.rows] for index, name in enumerate(read.header)}
    files, told = located(columns[named], base, read.encoding, where)
    labels = [label_name(value) for value in columns[labelling]] if labelling else [UNLABELLED] * len(files)
    several = joined(labels, where, notes) if labelling else ""
    everything = range(len(files))
    places = [f"{where}, line {line}" for line in read.lines]
    declared = _declared(columns, everything, where, places)
    notes += _split_note(columns, everything)
    repeated = _repeated([os.path.normpath(file) for file in files], labels, declared, read.lines, where)
    keep = [row for row in everything if row not in repeated]
    if repeated:
        notes.append(f"{len(repeated)} rows of {where} repeat an image and were dropped")
    return Listing(
        kind="csv",
        ids=[printable(columns[named][row]) for row in keep],
        labels=[labels[row] for row in keep],
        open=partial(_open_path, [files[row] for row in keep]),
        pins=(),
        declared=[declared[row] for row in keep] if declared else None,
        groups=_groups(columns, keep, group, where),
        paths=[files[row] for row in keep],
        notes=[*read.notes, *notes, *told],
        target=labelling,
        several=several,
    )


def _one_of(header: Sequence[str], known: Sequence[str], where: str, what: str) -> tuple[str, list[str]]:
    """The column for something, and a remark where others may be meant; UserError for two of that name."""
    name = _column(header, known, where, what)
    if sum(other.lower() == name.lower() for other in header) > 1:
        raise UserError(f"{where} has several columns {quoted(name)}; rename all but the one with {what}.")
    others = [other for other in header if other != name and other.lower() in known]
    rest = ", ".join(quoted(other) for other in others)
    return name, [f"{what} come from column {quoted(name)}; not used: {rest}"] if others else []


def _repeated(
    files: Sequence[str], labels: Sequence[str | None], declared: Sequence[str] | None, lines: Sequence[int], where: str
) -> set[int]:
    """Rows whose file came before; with another label or in another part that is an error."""
    seen: dict[str, int] = {}
    repeated = set()
    for row, file in enumerate(files):
        first = seen.setdefault(file, row)
        if first == row:
            continue
        for what, values in (("labels", labels), ("splits", declared)):
            if values is not None and values[first] != values[row]:
                raise UserError(
                    f"{where}: {quoted(file, 150)} has two {what}, {quoted(values[first])} (line {lines[first]}) and "
                    f"{quoted(values[row])} (line {lines[row]}); keep one row per image (images of several classes at once "
                    "are not supported)."
                )
        repeated.add(row)
    return repeated


def _open_path(paths: Sequence[str], index: int) -> Image.Image:
    return open_picture(paths[index])


def _column(header: Iterable[str], known: Sequence[str], where: str, what: str) -> str:
    """The first of the `known` names that the header has, whatever its case."""
    lowered = {name.lower(): name for name in reversed(list(header))}
    for name in known:
        if name in lowered:
            return lowered[name]
    raise UserError(f"{where} has no column for {what}; it has {_some(header)}; name the column {quoted(known[0])}.")


def _some(names: Iterable[str]) -> str:
    """The names of columns, for a message."""
    shown = [printable(name, 40) for name in names]
    return ", ".join(shown[:20]) + (f", ... {len(shown)} in all" if len(shown) > 20 else "")


def _optional(header: Iterable[str], known: Sequence[str]) -> str | None:
    lowered = {name.lower(): name for name in header}
    return next((lowered[name] for name in known if name in lowered), None)


def _declared(
    columns: dict[str, list[Any]], keep: Sequence[int], where: str, places: Sequence[str] | None = None
) -> list[str] | None:
    """The part of each row that is kept; `places`: how messages name a row, by default as the ids do."""
    name = _split_column(columns, keep)
    if name is None or all(columns[name][row] in (None, "") for row in keep):
        return None
    said = places or [f"{where}, row#{row}" for row in range(len(columns[name]))]
    return [part_name(columns[name][row] or "", f"{said[row]}, column {quoted(name)}") for row in keep]


def _split_column(columns: dict[str, list[Any]], keep: Sequence[int]) -> str | None:
    """By its name, or by what stands in it; never the column of the paths or of the labels."""
    known = [name for name in SPLIT if (found := _optional(columns, (name,))) and _parts(columns[found], keep)]
    free = [name for name in columns if name.lower() not in (*PATH, *LABEL)]
    others = [name for name in free if len(_parts(columns[name], keep)) > 1]
    return _optional(columns, (*known[:1], *SPLIT[:3])) or next(iter(others), None)


def _split_note(columns: dict[str, list[Any]], keep: Sequence[int]) -> list[str]:
    """A remark on a column with another name than split that was taken for it."""
    name = _split_column(columns, keep)
    return [] if name is None or name.lower() in SPLIT[:3] else [f"column {quoted(name)} was taken for the given split"]


def _parts(values: Sequence[Any], keep: Sequence[int]) -> set[str]:
    """The parts that a column names, where each of its cells names one, train among them; else none."""
    found = {part_of(text) if (text := str(values[row] or "").strip()) else None for row in keep}
    return {part for part in found if part} if None not in found and "train" in found else set()


def _groups(columns: dict[str, list[Any]], keep: Sequence[int], group: str | None, where: str) -> list[str] | None:
    """The group of each image; an image without one is a group of its own."""
    if group is not None and group not in columns:
        raise UserError(
            f"{where} has no column {quoted(group)} to group by{did_you_mean(group, columns)}; it has {_some(columns)}."
        )
    name = group or _optional(columns, ("group",))
    if name is None:
        return None
    return [label_name(columns[name][row]) or f"row {row}" for row in keep]


# ---------------------------------------------------------------------------------------------------------------- parquet


class Blobs:
    """Encoded images by row: in memory up to a limit, beyond it in a temporary file that vanishes with the process."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._held: list[bytes] = []
        self._spans: list[tuple[int, int]] = []
        self._total = 0
        self._file: Any = None

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
        return os.pread(self._file.fileno(), length, offset)

    def __len__(self) -> int:
        return len(self._spans)


def parquet_files(source: str) -> list[Path]:
    """The files of a path, a folder, a glob pattern or a comma-separated list of these, each once, in order."""
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
                f"{printable(str(path), 200)}: no such file; give files, a folder or a pattern such as 'data/train-*.parquet'."
            )
        files += found
    return list(dict.fromkeys(files))


def pieces(source: str) -> list[str]:
    """The paths and patterns of a comma-separated list; a comma in a name that is there does not part it."""
    words = source.split(",")
    found: list[str] = []
    while words:
        count = next((n for n in range(len(words), 1, -1) if _is_there(",".join(words[:n]).strip())), 1)
        found.append(",".join(words[:count]).strip())
        words = words[count:]
    return [piece for piece in found if piece] or [source.strip()]


def _is_there(piece: str) -> bool:
    path = os.path.expanduser(piece)
    return os.path.exists(path) or (glob.has_magic(path) and any(True for _ in glob.iglob(path, recursive=True)))


def list_parquet(files: Sequence[Path], group: str | None, memory_limit_bytes: int, labelled: bool = True) -> Listing:
    """Columns image (encoded bytes, or a struct with them or a path beside the file), label (where `labelled`), optional split
    and group; several files are one table, each with its own numbers for the classes."""
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
        own, table = _read_parquet(path, group, blobs, pins, beside, labelled)
        if columns and (table.keys() != columns.keys() or own.label != (first or own).label):
            raise UserError(
                f"{printable(str(path))} has the columns {', '.join((own.image, *table))}, {printable(str(files[0]))} "
                f"{', '.join(((first or own).image, *columns))}; they must agree."
            )
        notes += own.notes if first is None else ()
        first = first or own
        if own.label is not None:
            said = printable(str(path))
            table[own.label], note, refusal = one_each(table[own.label], said, own.label)
            notes += [note] if note else []
            several = several or refusal
            found.append((said, own.names, [] if refusal else named_labels(table[own.label], own.names, said)))
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
    declared = _declared(columns, rows, where)
    notes += _split_note(columns, rows)
    if declared is None:
        declared, remarks = _by_path(origin)
        notes += remarks
    named = _optional(columns, PATH)
    ids = unique_ids([printable(str(value)) for value in columns[named]] if named else [""] * len(rows), "row")
    return Listing(
        kind="parquet",
        ids=ids,
        labels=labels,
        open=partial(_open_row, blobs, beside),
        pins=pins,
        declared=declared,
        groups=_groups(columns, rows, group, where),
        classes=classes,
        target=first.label or "",
        several=several or joined(labels, where, notes),
        notes=notes,
    )


def _by_path(origin: Sequence[str]) -> tuple[list[str] | None, list[str]]:
    """The part of each row by the file it comes from: by its name, otherwise by the nearest folder that is named for one. And
    a remark: which parts were taken, or that they were not because some files belong to none."""
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
        return [part[file] for file in origin], [f"parts by the names of files and folders: {', '.join(found)}"]
    if len(found) > 1:
        lost = next(file for file in files if not part[file])
        return None, [
            f"{', '.join(found)} in file names were not taken as parts: {printable(lost, 100)} belongs to none of them"
        ]
    return None, []


def _tokens(name: str) -> list[str]:
    return name.lower().replace("-", " ").replace("_", " ").replace(".", " ").split()


def _open_row(blobs: Blobs, beside: Mapping[int, str], index: int) -> Image.Image:
    return open_picture(beside[index] if index in beside else io.BytesIO(blobs[index]))


def _read_parquet(
    path: Path, group: str | None, blobs: Blobs, pins: list[int], beside: dict[int, str], labelled: bool
) -> tuple[Columns, dict[str, list[Any]]]:
    """One file: its images go to `blobs` and their checksums to `pins`, the paths of those that lie beside it to `beside`; the
    other columns that matter are returned."""
    try:
        import pyarrow as arrow
        import pyarrow.parquet as parquet
    except ImportError as error:
        raise UserError('reading parquet needs pyarrow; install it with: pip install "archsmith[data]"') from error
    where = printable(str(path))
    if not path.is_file():
        raise UserError(f"{where} is not a regular file; give parquet files.")
    try:
        with parquet.ParquetFile(path) as file:
            schema = file.schema_arrow
            own = columns_of(schema, where, labelled)
            wanted = (*PATH, *SPLIT, "group")
            kept = [n for n in schema.names if n != own.image and (n in (group, own.label) or n.lower() in wanted)]
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
        raise UserError(f"{where} does not fit into memory; write it again with smaller row groups.") from error
    except (arrow.ArrowException, OSError, ValueError, TypeError, OverflowError) as error:
        if getattr(error, "errno", None) == errno.ENOSPC:
            raise UserError(
                f"no space left in {tempfile.gettempdir()} to lay out the images of {where}; set TMPDIR to a larger disk."
            ) from error
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            f"{where} cannot be read as parquet ({reason}); it may be truncated: fetch or write it again."
        ) from error
    return own, table


def _beside(path: Path, name: str, where: str, row: int) -> str:
    """The file that a row names instead of holding the image; it lies in the folder of the table or below it."""
    folder = os.path.abspath(path.parent)
    full = os.path.normpath(os.path.join(folder, name))
    if "\0" in name or os.path.commonpath([folder, full]) != folder:
        raise UserError(
            f"{where}, row {row + 1}: its image is the path {printable(name)!r}, outside the folder of the file; such images "
            "are read from beside it only. For images elsewhere give a CSV file with the columns path and label."
        )
    return full


def _checksum(file: str) -> int:
    """Of the contents; -1 for what cannot be read, opening it will say so."""
    try:
        return attempted(lambda: zlib.crc32(Path(file).read_bytes()), printable(file)) if os.path.isfile(file) else -1
    except OSError:
        return -1
