"""CSV files of the paths and labels of images."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from PIL import Image

from archsmith.data.columns import LABEL, PATH, declared, groups, kept, one_of, repeated, split_note
from archsmith.data.decode import open_picture
from archsmith.data.listing import UNLABELLED, Listing, label_name, printable
from archsmith.data.rows import located, read_rows
from archsmith.data.several import joined
from archsmith.errors import UserError, quoted


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
    files, remarks = located(columns[named], base, read.encoding, where)
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
    dropped, more = repeated(dict(enumerate(files)), labels, parts, spot=spot, where=where)
    keep = [row for row in range(len(files)) if row not in dropped]
    notes += more
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
        notes=[*read.notes, *notes, *remarks],
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
