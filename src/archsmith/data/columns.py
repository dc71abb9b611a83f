"""Columns of a table by what they hold: image paths, labels, the part of each row, its group; and
rows that name one file."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from archsmith.data.listing import PARTS, label_name, part_name, part_of
from archsmith.errors import UserError, did_you_mean, printable, quoted

PATH = ("path", "file_name", "filename", "file", "image_path", "image", "img_path")
LABEL = ("label", "labels", "class", "target", "y")
SPLIT = (
    *(
        "split",
        "part",
        "subset",
        "set",
        "partition",
        "phase",
        "usage",
        "purpose",
        "mode",
        "data_split",
        "dataset_split",
    ),
    *(
        "split_name",
        "splitname",
        "data_set",
        "train_test",
        "traintest",
        "train_test_split",
        "set_name",
    ),
)
_LABEL_LIKE = re.compile(
    r"label|class|categor|target|species|breed|genus|(^|[^a-z])(y|tags?|kind)($|[^a-z])",
    re.IGNORECASE,
)

_PART_LIKE = re.compile(
    r"(^|[^a-z])(train|training|test|testing|val|valid|validation|split|fold|partition|subset)s?($|[^a-z])",
    re.IGNORECASE,
)
_SAYS_NOTHING = frozenset(("0", "1", "2", "3", "true", "false", "yes", "no", "y", "n"))  # as a part

# row -> how a message says where it stands: "line 3", "row 2 of a.parquet"
Spot = Callable[[int], str]


def one_of(
    header: Sequence[str], known: Sequence[str], where: str, what: str
) -> tuple[str, list[str]]:
    """The column for something, and a remark where others may be meant; UserError for two of that
    name."""
    name = _column(header, known, where, what)
    if sum(other.lower() == name.lower() for other in header) > 1:
        raise UserError(
            f"{where} has several columns {quoted(name)}; rename all but the one with {what}."
        )
    others = [
        other
        for other in header
        if other != name and (other.lower() in known or (known is LABEL and label_like(other)))
    ]
    rest = ", ".join(quoted(other) for other in others)
    return name, [f"{what} come from column {quoted(name)}; not used: {rest}"] if others else []


def label_like(name: str) -> bool:
    """Whether a column may hold classes, by its name."""
    return name.lower() not in (*SPLIT, *PATH) and _LABEL_LIKE.search(name) is not None


def _column(header: Iterable[str], known: Sequence[str], where: str, what: str) -> str:
    """The first of the `known` names that the header has, whatever its case."""
    lowered = {name.lower(): name for name in reversed(list(header))}
    for name in known:
        if name in lowered:
            return lowered[name]
    raise UserError(
        f"{where} has no column for {what}; it has {_some(header)}; name the column "
        f"{quoted(known[0])}."
    )


def _some(names: Iterable[str]) -> str:
    """The names of columns, for a message."""
    shown = [printable(name, 40) for name in names]
    return ", ".join(shown[:20]) + (f", ... {len(shown)} in all" if len(shown) > 20 else "")


def optional(header: Iterable[str], known: Sequence[str]) -> str | None:
    """The first of the known names that the header has, whatever its case."""
    lowered = {name.lower(): name for name in header}
    return next((lowered[name] for name in known if name in lowered), None)


# ------------------------------------------------------------------------------- parts and groups


def declared(columns: Mapping[str, list[Any]], where: str, spot: Spot) -> list[str] | None:
    """The part of each row, where the table says so."""
    name = split_column(columns)
    if name is None or all(value in (None, "") for value in columns[name]):
        return None
    parts = []
    for row, value in enumerate(columns[name]):
        if isinstance(value, int | float) or str(value).strip().lower() in _SAYS_NOTHING:
            raise UserError(
                f"{where}, {spot(row)}, column {quoted(name)}: {value} does not say which part it "
                f"is; write "
                f"{', '.join(PARTS)} into that column, or drop it to have the split made."
            )
        parts.append(
            part_name(
                "" if value is None else value, f"{where}, {spot(row)}, column {quoted(name)}"
            )
        )
    return parts


def split_column(columns: Mapping[str, list[Any]]) -> str | None:
    """By its name, or by what stands in it; never the column of the paths or of the labels."""
    known = [
        name for name in SPLIT if (column := optional(columns, (name,))) and _parts(columns[column])
    ]
    free = [name for name in columns if name.lower() not in (*PATH, *LABEL)]
    others = [name for name in free if len(_parts(columns[name])) > 1]
    return optional(columns, (*known[:1], *SPLIT[:3])) or next(iter(others), None)


def split_note(
    columns: Mapping[str, list[Any]], header: Iterable[str], also: Sequence[str | None] = ()
) -> list[str]:
    """Remarks on a column with another name than split that was taken for it, and on those of all
    in the header that are named for parts and were not. also: columns that were taken for something
    else."""
    name = split_column(columns)
    left = [other for other in header if other not in (name, *also) and _PART_LIKE.search(other)]
    notes = (
        []
        if name is None or name.lower() in SPLIT[:3]
        else [f"column {quoted(name)} was taken for the given split"]
    )
    if left:
        notes.append(
            f"not taken for the given split: column {', '.join(map(quoted, left[:5]))}; one called "
            f"split says it by name"
        )
    return notes


def _parts(values: Iterable[Any]) -> set[str]:
    """The parts that a column names, where each of its cells names one, train among them; else
    none."""
    parts = {part_of(text) if (text := str(value or "").strip()) else None for value in values}
    return {part for part in parts if part} if None not in parts and "train" in parts else set()


def groups(
    columns: Mapping[str, list[Any]], keep: Sequence[int], group: str | None, where: str
) -> list[str] | None:
    """The group of each image; an image without one is a group of its own."""
    if group is not None and group not in columns:
        raise UserError(
            f"{where} has no column {quoted(group)} to group by{did_you_mean(group, columns)}; it "
            f"has {_some(columns)}."
        )
    name = group or optional(columns, ("group",))
    if name is None:
        return None
    return [label_name(columns[name][row]) or f"row {row}" for row in keep]


# ---------------------------------------------------------------------------------- the same file


def repeated(
    files: Mapping[int, str],
    labels: Sequence[str | None],
    parts: Sequence[str] | None,
    *,
    spot: Spot,
    where: str,
) -> tuple[set[int], list[str]]:
    """Rows whose file came before, by whatever path, and a remark on them; with another label or in
    another part that is an error. files: row -> path of its file."""
    seen: dict[str, int] = {}
    repeats: dict[int, int] = {}
    folders: dict[str, str] = {}
    for row, file in files.items():
        first = seen.setdefault(_resolved(file, folders), row)
        if first == row:
            continue
        as_well = "" if files[first] == file else f" (the same file as {quoted(files[first], 150)})"
        for what, values in (("labels", labels), ("splits", parts)):
            if values is not None and values[first] != values[row]:
                raise UserError(
                    f"{where}: {quoted(file, 150)}{as_well} has two {what}, "
                    f"{quoted(values[first])} ({spot(first)}) and "
                    f"{quoted(values[row])} ({spot(row)}); keep one row per image (images of "
                    f"several classes at once "
                    "are not supported)."
                )
        repeats[row] = first
    if not repeats:
        return set(), []
    row, first = next(iter(repeats.items()))
    such = f"such as {spot(row)}, which names the file of {spot(first)}"
    return set(repeats), [
        f"{len(repeats)} rows of {where} repeat an image and were dropped, {such}"
    ]


def kept(spot: Spot, keep: Sequence[int], before: str, place: int) -> str:
    """Where the row stands that is the `place`th of those kept."""
    return before + spot(keep[place])


def _resolved(file: str, folders: dict[str, str]) -> str:
    """The path without links, in its folder as that was resolved before."""
    folder, name = os.path.split(file)
    if name in ("", ".", ".."):
        return os.path.realpath(file)
    if folder not in folders:
        folders[folder] = os.path.realpath(folder)
    path = os.path.join(folders[folder], name)
    return os.path.realpath(path) if os.path.islink(path) else path
