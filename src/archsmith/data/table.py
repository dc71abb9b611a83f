"""Tables of images: CSV files of paths and labels, parquet files of encoded images and labels."""

from __future__ import annotations

import errno
import glob
import io
import json
import os
import re
import tempfile
import weakref
import zlib
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from archsmith.data.contents import is_regular
from archsmith.data.listing import PART_NAMES, PARTS, UNLABELLED, Listing, label_name, part_name, part_of, printable, unique_ids
from archsmith.data.rows import located, read_rows
from archsmith.errors import UserError, did_you_mean, quoted

IMAGE = ("image", "img", "picture", "x")
LABEL = ("label", "labels", "class", "target", "y")
PATH = ("path", "file_name", "filename", "file", "image_path", "image", "img_path")
SPLIT = ("split", "part", "subset")


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
    _check_single(labels, where)
    everything = range(len(files))
    places = [f"{where}, line {line}" for line in read.lines]
    declared = _declared(columns, everything, where, places)
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
    )


def _one_of(header: Sequence[str], known: Sequence[str], where: str, what: str) -> tuple[str, list[str]]:
    """The column for something, and a remark where others may be meant; UserError for two of that name."""
    name = _column(header, known, where, what)
    if sum(other.lower() == name.lower() for other in header) > 1:
        raise UserError(f"{where} has several columns {quoted(name)}; rename all but the one with {what}.")
    others = [other for other in header if other != name and other.lower() in known]
    rest = ", ".join(quoted(other) for other in others)
    return name, [f"{what} come from column {quoted(name)}; not used: {rest}"] if others else []


def _check_single(labels: Sequence[str | None], where: str) -> None:
    """UserError for labels that name several classes at once."""
    known = {label for label in labels if label is not None}
    for label in known:
        pieces = [piece.strip() for piece in re.split(r"[|;,]", label)]
        if re.fullmatch(r"[\[{(].*[,;|].*[\])}]", label) or (len(pieces) > 1 and all(piece in known for piece in pieces)):
            raise UserError(
                f"{where}: the label {quoted(label)} names several classes; images of several classes at once are not "
                "supported: keep one class an image."
            )


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
    if os.path.exists(paths[index]) and not is_regular(paths[index]):
        raise OSError("no regular file")  # a pipe would be waited for without end
    return Image.open(paths[index])


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
    name = _optional(columns, SPLIT)
    if name is None or all(columns[name][row] in (None, "") for row in keep):
        return None
    said = places or [f"{where}, row#{row}" for row in range(len(columns[name]))]
    return [part_name(columns[name][row] or "", f"{said[row]}, column {quoted(name)}") for row in keep]


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
    """Columns image (encoded bytes, or a struct with them), label (where `labelled`), optional split and group; several files
    are one table."""
    blobs = Blobs(memory_limit_bytes)
    columns: dict[str, list[Any]] = {}
    classes: tuple[str, ...] | None = None
    pins: list[int] = []
    origin: list[str] = []
    for path in files:
        table, names = _read_parquet(path, group, blobs, pins)
        if columns and table.keys() != columns.keys():
            raise UserError(
                f"{printable(str(path))} has the columns {', '.join(table)}, {printable(str(files[0]))} "
                f"{', '.join(columns)}; they must agree."
            )
        for name, values in table.items():
            columns.setdefault(name, []).extend(values)
        origin += [str(path)] * (len(blobs) - len(origin))
        classes = classes or names
    blobs.close()
    where = printable(str(files[0])) if len(files) == 1 else f"the {len(files)} parquet files"
    rows = range(len(blobs))
    if not rows:
        raise UserError(f"{where} holds no rows; expected an image and a label each.")
    labelling = _column(columns, LABEL, where, "the class labels") if labelled else None
    given = columns[labelling] if labelling else [UNLABELLED] * len(rows)
    labels = [label_name(value) for value in given]
    if classes and labelled:
        labels = [None if name is None else _named(name, classes, where) for name in labels]
    declared, said = _declared(columns, rows, where), list[str]()
    if declared is None:
        declared, said = _by_path(origin)
    named = _optional(columns, PATH)
    ids = unique_ids([printable(str(value)) for value in columns[named]] if named else [""] * len(rows), "row")
    return Listing(
        kind="parquet",
        ids=ids,
        labels=labels,
        open=partial(_open_blob, blobs.__getitem__),
        pins=pins,
        declared=declared,
        groups=_groups(columns, rows, group, where),
        classes=classes if labelled else None,
        target=labelling or "",
        notes=said,
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


def _named(name: str, classes: tuple[str, ...], where: str) -> str:
    """The name of a label that the file stores by number."""
    if name.isdecimal() and int(name) < len(classes):
        return classes[int(name)]
    raise UserError(f"{where}: label {name} is outside 0..{len(classes) - 1}, for which the file has names; correct the rows.")


def _open_blob(read: Callable[[int], bytes], index: int) -> Image.Image:
    return Image.open(io.BytesIO(read(index)))


def _read_parquet(
    path: Path, group: str | None, blobs: Blobs, pins: list[int]
) -> tuple[dict[str, list[Any]], tuple[str, ...] | None]:
    """One file: its images go to `blobs` and their checksums to `pins`; the other columns that matter are returned."""
    try:
        import pyarrow as arrow
        import pyarrow.parquet as parquet
    except ImportError as error:
        raise UserError('reading parquet needs pyarrow; install it with: pip install "archsmith[data]"') from error
    where = printable(str(path))
    try:
        with parquet.ParquetFile(path) as file:
            schema = file.schema_arrow
            image = _column(schema.names, IMAGE, where, "the encoded images")
            kept = [n for n in schema.names if n != image and (n == group or n.lower() in (*LABEL, *PATH, *SPLIT, "group"))]
            table: dict[str, list[Any]] = {name: [] for name in kept}
            for batch in file.iter_batches(batch_size=1024, columns=[image, *kept]):
                for value in batch.column(0 if batch.schema.names[0] == image else batch.schema.names.index(image)).to_pylist():
                    blob = value.get("bytes") if isinstance(value, dict) else value
                    if isinstance(blob, str):
                        raise UserError(
                            f"{where}: column {image!r} holds text, not encoded images; for paths and labels give a CSV file."
                        )
                    blobs.append(blob or b"")
                    pins.append(zlib.crc32(blob or b""))
                for name in kept:
                    table[name] += batch.column(batch.schema.names.index(name)).to_pylist()
    except (arrow.ArrowException, OSError) as error:
        if getattr(error, "errno", None) == errno.ENOSPC:
            raise UserError(
                f"no space left in {tempfile.gettempdir()} to lay out the images of {where}; set TMPDIR to a larger disk."
            ) from error
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            f"{where} cannot be read as parquet ({reason}); it may be truncated: fetch or write it again."
        ) from error
    return table, _class_names(schema)


def _class_names(schema: Any) -> tuple[str, ...] | None:
    """The class names that files written by the `datasets` library carry in their metadata."""
    try:
        features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
        names = next(features[name]["names"] for name in features if name.lower() in LABEL and "names" in features[name])
        return tuple(str(name) for name in names)
    except (TypeError, KeyError, ValueError, StopIteration):
        return None
