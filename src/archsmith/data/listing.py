"""What a source holds before any image is decoded: ids, labels, declared parts, groups, and how to
open each image."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

from archsmith.errors import UserError, did_you_mean, quoted
from archsmith.errors import printable as printable

PART_NAMES = {
    **dict.fromkeys(("train", "training", "trn", "trains"), "train"),
    **dict.fromkeys(
        ("val", "valid", "validation", "validate", "vals", "dev", "devel", "eval", "evaluation"),
        "val",
    ),
    **dict.fromkeys(("test", "testing", "tst", "tests", "holdout", "heldout"), "test"),
}
_FILLING = (
    *(
        "set",
        "sets",
        "data",
        "dataset",
        "datasets",
        "image",
        "images",
        "img",
        "imgs",
        "picture",
        "pictures",
        "photo",
        "photos",
    ),
    *("split", "splits", "part", "subset", "sample", "samples", "folder", "dir", "the"),
)
PARTS = ("train", "val", "test")
_WHOLE = re.compile(r"[+-]?[0-9]{1,15}\.0*")
ROW = "row"  # of a table, whose images have no names: begins their ids
UNLABELLED = "image"  # the label of every image where none is read


@dataclass
class Listing:
    """Parallel lists, one entry an image. `labels` holds class names, None where the source gives
    none.

    Where numbers are wanted of an image, its label is those, with spaces between them. Where
    nothing is wanted (`labelled` is False for what lists), all labels are the same.
    """

    kind: str
    ids: list[str]
    labels: list[str | None]
    open: Callable[[int], Image.Image]  # from any thread; may raise whatever pillow raises
    # a checksum of each image; none where each is a file, whose contents are read later
    pins: Sequence[int]
    # "train", "val" or "test" of each image, where the source says so
    declared: list[str] | None = None
    groups: list[str] | None = None
    # where the source names them: also those without an image
    classes: tuple[str, ...] | None = None
    target: str = "value"  # what the source calls the labels
    paths: list[str] | None = None  # the files, where each image is one
    # as Preprocessing has them, of arrays
    scales: dict[str, tuple[float, float]] = field(default_factory=dict)
    several: str = ""  # where labels are lists: which, so that nobody takes a list for a class
    unreadable: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    # where the row of an image stands: "labels.csv, line 3"
    spots: Callable[[int], str] | None = None

    def spot(self, index: int) -> str:
        """How a message names the entry of an image: the line or row of its table, otherwise its
        id."""
        return self.spots(index) if self.spots else self.ids[index]

    def shown(self, index: int) -> str:
        """How a message names an image: its id, or where that is a number, the row of its table."""
        return self.spot(index) if self.ids[index].startswith(f"{ROW}#") else self.ids[index]


def label_name(value: Any) -> str | None:
    """The class name that a cell of a table stands for; None for an empty cell or NaN."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, list | tuple | np.ndarray):
        return " ".join(label_name(item) or "nan" for item in value) or None
    if isinstance(value, bytes):
        value = value.decode("utf-8", "backslashreplace")
    if isinstance(value, float) and not math.isnan(value) and value.is_integer():
        value = int(value)
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    text = str(value).strip()
    # a NUL is refused where it is found in a class
    text = text if "\0" in text else printable(text)
    if _WHOLE.fullmatch(text):  # text that means a number is named as that number is
        text = str(int(text.partition(".")[0]))
    return None if text.lower() in ("", "nan") else text


def part_name(value: Any, where: str) -> str:
    """train, val or test for the many ways to write them."""
    part = part_of(str(value))
    if part is None:
        raise UserError(
            f"{where}: unknown split "
            f"{quoted(value)}{did_you_mean(str(value).strip().lower()[:40], PART_NAMES)}; "
            f"allowed: {', '.join(PART_NAMES)}. Correct the value or drop the column to have the "
            f"split made."
        )
    return part


def part_of(name: str) -> str | None:
    """train, val or test where that is all a name says (Training, test_set, 01-val, trainData,
    VAL2017), otherwise None."""
    if len(name) > 60:
        return None
    spaced = re.sub(r"([a-z])([A-Z])", r"\1 \2", name)
    words = [word for word in re.split(r"[^a-z]+", spaced.lower()) if word and word not in _FILLING]
    if "".join(words) in ("holdout", "heldout"):
        return "test"
    if len(words) != 1:
        return None
    word = words[0]
    for filling in ("", *sorted(_FILLING, key=len, reverse=True)):  # trainset, imagestrain
        for rest in (word.removesuffix(filling), word.removeprefix(filling)):
            if rest in PART_NAMES:
                return PART_NAMES[rest]
    return None


def joined_parts(names: Sequence[str]) -> tuple[str, str] | None:
    """Two names of which each joins a part and the same other word (trainA and testA, cat_train and
    cat_val), where most of the names are of this form and train is among the parts; otherwise
    None."""
    split = {name: pair for name in names if (pair := part_and_rest(name))}
    if 2 * len(split) <= len(names) or "train" not in {part for part, _ in split.values()}:
        return None
    first: dict[str, str] = {}
    for name, (part, rest) in split.items():
        other = first.setdefault(rest, name)
        if split[other][0] != part:
            return other, name
    return None


def joined_alike(names: Sequence[str]) -> bool:
    """Whether all names join a part and one word that is the same everywhere, each part once, train
    among them."""
    split = [part_and_rest(name) for name in names]
    parts = [pair[0] for pair in split if pair]
    return (
        len(parts) == len(names) == len(set(parts)) > 1
        and "train" in parts
        and len({pair[1] for pair in split if pair}) == 1
    )


def part_and_rest(name: str) -> tuple[str, str] | None:
    """The part that one word of a name says, and the other words."""
    words = re.findall(r"[a-z]+|[0-9]+", re.sub(r"([a-z])([A-Z])", r"\1 \2", name[:200]).lower())
    parts = [word for word in words if word in PART_NAMES]
    if (
        len(words) == 1
        and (glued := re.fullmatch("(train|test|val)([a-z]{1,2})", words[0]))
        and not parts
    ):
        return PART_NAMES[glued[1]], glued[2]
    rest = " ".join(word for word in words if word not in PART_NAMES)
    return (PART_NAMES[parts[0]], rest) if len(parts) == 1 and rest else None


def class_order(names: Iterable[str]) -> tuple[str, ...]:
    """Whole numbers by value (those of one value by how they are written), everything else by name:
    one order for any set."""
    distinct = set(names)
    try:
        return tuple(sorted(distinct, key=lambda name: (int(name), name)))
    except ValueError:
        return tuple(sorted(distinct))


def unique_ids(names: Sequence[str], fallback: str) -> list[str]:
    """The names where they tell the images apart, otherwise `fallback` and the row."""
    if len(set(names)) == len(names) and all(names):
        return list(names)
    return [f"{fallback}#{row}" for row in range(len(names))]
