"""What a source holds before any image is decoded: ids, labels, declared parts, groups, and how to open each image."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

from archsmith.errors import UserError, did_you_mean

PART_NAMES = {
    **dict.fromkeys(("train", "training", "trn"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing", "tst"), "test"),
}
PARTS = ("train", "val", "test")
UNLABELLED = "image"  # the label of every image where none is read


@dataclass
class Listing:
    """Parallel lists, one entry an image. `labels` holds class names, None where the source gives none.

    Where numbers are wanted of an image, its label is those, with spaces between them. Where nothing is wanted (`labelled` is
    False for what lists), all labels are the same.
    """

    kind: str
    ids: list[str]
    labels: list[str | None]
    open: Callable[[int], Image.Image]  # from any thread; may raise whatever pillow raises
    pins: Sequence[int]  # the size in bytes or a checksum of each image: what the data hash rests on
    declared: list[str] | None = None  # "train", "val" or "test" of each image, where the source says so
    groups: list[str] | None = None
    classes: tuple[str, ...] | None = None  # where the source names them: also those without an image
    target: str = "value"  # what the source calls the labels
    paths: list[str] | None = None  # the files, where each image is one
    scales: dict[str, tuple[float, float]] = field(default_factory=dict)  # as Preprocessing has them, of arrays
    several: str = ""  # where labels are lists: which, so that nobody takes a list for a class
    unreadable: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def printable(name: str) -> str:
    """A file name as valid Unicode: bytes that are no UTF-8 are written as \\xff."""
    try:
        return os.fsencode(name).decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # half a surrogate pair, which no file name holds
        return name.encode("utf-8", "backslashreplace").decode()


def label_name(value: Any) -> str | None:
    """The class name that a cell of a table stands for; None for an empty cell or NaN."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, list | tuple | np.ndarray):
        return " ".join(str(label_name(item)) for item in value) or None
    if isinstance(value, bytes):
        value = value.decode("utf-8", "backslashreplace")
    if isinstance(value, float) and not math.isnan(value) and value.is_integer():
        value = int(value)
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    text = printable(str(value).strip())
    return None if text.lower() in ("", "nan") else text


def part_name(value: Any, where: str) -> str:
    """train, val or test for the many ways to write them."""
    text = str(value).strip().lower()
    if text not in PART_NAMES:
        raise UserError(
            f"{where}: unknown split {value!r}{did_you_mean(text, PART_NAMES)}; allowed: {', '.join(PART_NAMES)}. "
            "Correct the value or drop the column to have the split made."
        )
    return PART_NAMES[text]


def class_order(names: Iterable[str]) -> tuple[str, ...]:
    """Whole numbers by value, everything else by name."""
    distinct = set(names)
    try:
        return tuple(sorted(distinct, key=int))
    except ValueError:
        return tuple(sorted(distinct))


def unique_ids(names: Sequence[str], fallback: str) -> list[str]:
    """The names where they tell the images apart, otherwise `fallback` and the row."""
    if len(set(names)) == len(names) and all(names):
        return list(names)
    return [f"{fallback}#{row}" for row in range(len(names))]
