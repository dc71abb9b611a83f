"""Labels as a task reads them: classes, numbers to predict, groups of them that every part of a
split gets its share of."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from archsmith.data.listing import Listing, class_order
from archsmith.data.lookalike import check_names
from archsmith.errors import UserError, quoted
from archsmith.tasks import Regression

_LARGEST = 1e19  # of a value to predict: its square is a number in 32 bits
_FINEST = 2.0**-20  # of the values' deviation over their mean, in 32 bits
_ABSENT = frozenset(
    ("na", "n/a", "#n/a", "<na>", "nan", "null", "none", "nil", "missing", "?", "-", "--")
)


def classes_of(listing: Listing) -> tuple[tuple[str, ...], np.ndarray]:
    """The class names and the label of each image, -1 where the source gives none (those are listed
    as unreadable)."""
    if listing.several:
        raise UserError(listing.several)
    present = {label for label in listing.labels if label is not None}
    _without(
        listing,
        [row for row, label in enumerate(listing.labels) if label is None],
        "no label (empty or NaN)",
    )
    if strange := next((name for name in sorted(present) if "\0" in name), None):
        raise UserError(
            f"class name {strange!r} holds a NUL character, which no file can be named "
            f"after; correct that label."
        )
    if not present:
        raise UserError(
            f"all {len(listing.ids)} labels are empty or NaN; give every image a class."
        )
    if len(present) > 20 and any("." in name and _is_number(name) for name in present):
        raise UserError(
            f"the labels are {len(present)} different numbers such as "
            f"{quoted(sorted(present)[0])}: "
            "that is regression; ask for it with --task regression, or give class names or whole "
            "numbers."
        )
    classes = listing.classes or class_order(present)
    listing.notes += check_names(classes)
    for name in sorted(name for name in present if name.casefold() in _ABSENT):
        listing.notes.append(
            f"{quoted(name)} ({listing.labels.count(name)} images) counted as a class; if it says "
            f"that there is no label, "
            "leave these images out"
        )
    empty = [name for name in classes if name not in present]
    if empty:
        listing.notes.append(
            f"{len(empty)} classes that the source names have no image: "
            f"{', '.join(map(quoted, empty[:5]))}"
        )
        classes = tuple(name for name in classes if name in present)
    if len(classes) > 1000 and len(classes) > len(listing.ids) / 3:
        raise UserError(
            f"{len(classes)} classes for {len(listing.ids)} images; is the label "
            f"column the right one?"
        )
    index = {name: place for place, name in enumerate(classes)}
    return classes, np.array(
        [-1 if label is None else index[label] for label in listing.labels], dtype=np.int64
    )


def _without(listing: Listing, rows: Sequence[int], why: str) -> None:
    """Lists images as of no use for lack of a label, and says so."""
    listing.unreadable += [(listing.shown(row), why) for row in rows]
    if rows:
        listing.notes.append(
            f"{len(rows)} images have {why} and were left out, such as {listing.spot(rows[0])}"
        )


def labels_of(listing: Listing, task: str) -> tuple[tuple[str, ...], np.ndarray, np.ndarray | None]:
    """Classes (of classification), labels, -1 for an image that cannot be used, and values (of
    regression)."""
    if task == "classification":
        return *classes_of(listing), None
    if task == "regression":
        values = _values(listing)
        return (), np.where(np.isnan(values[:, 0]), -1, 0), values
    return (), np.zeros(len(listing.ids), dtype=np.int64), None


def _values(listing: Listing) -> np.ndarray:
    """(n, targets), NaN where the source gives none (those are listed as unreadable)."""
    rows: list[list[float] | None] = []
    for index, label in enumerate(listing.labels):
        try:
            row = None if label is None else [float(word) for word in label.split()]
        except ValueError:
            raise UserError(
                f"{listing.spot(index)}: its label {quoted(label)} is not a number; for --task "
                f"regression give one, "
                "or several with spaces between."
            ) from None
        large = next((value for value in row or () if abs(value) > _LARGEST), None)
        if large is not None:
            raise UserError(
                f"{listing.spot(index)}: its label {large:g} is too large to train on; numbers "
                f"from -{_LARGEST:g} to "
                f"{_LARGEST:g} are not: correct it, or give all labels in a larger unit."
            )
        rows.append(None if row is None or any(map(np.isnan, row)) else row)
    _without(
        listing, [index for index, row in enumerate(rows) if row is None], "no value (empty or NaN)"
    )
    lengths = {len(row) for row in rows if row is not None}
    if len(lengths) != 1:
        why = (
            "all labels are empty or NaN"
            if not lengths
            else (f"some images have {min(lengths)}, some {max(lengths)} values")
        )
        raise UserError(f"{why}; give every image the same number of values.")
    return np.array([row or [np.nan] * max(lengths) for row in rows], dtype=np.float64)


def strata_by_value(values: np.ndarray | None, count: int) -> np.ndarray:
    """Up to ten groups of equal size by value, that each part gets its share of; one group where
    there are no values."""
    if values is None:
        return np.zeros(count, dtype=np.int64)
    groups = max(1, min(10, count // 30))
    places = np.empty(count, dtype=np.int64)
    places[np.argsort(values, kind="stable")] = np.arange(count)
    return places * groups // count


def standardized(values: np.ndarray, train: np.ndarray, name: str) -> tuple[np.ndarray, Regression]:
    """(n, targets) float32 with mean 0 and deviation 1 over the rows `train`, and the task that
    knows both."""
    mean, std = values[train].mean(axis=0), values[train].std(axis=0)
    if not (std > 0).all():
        raise UserError(
            f"all training images have the same {name}, {mean[np.argmin(std)]:g}; "
            f"there is nothing to predict."
        )
    if not (std > np.maximum(_FINEST * np.abs(mean), 1 / _LARGEST)).all():
        place = int(np.argmin(std / np.maximum(np.abs(mean), 1 / _LARGEST)))
        raise UserError(
            f"the values of {name} are about {mean[place]:g} and differ by {std[place]:.2g} only, "
            f"which the 32-bit numbers of "
            "a network cannot tell apart: subtract a constant from them, or give them in a smaller "
            "unit."
        )
    targets = (
        (name,) if len(std) == 1 else tuple(f"{name} {place}" for place in range(1, len(std) + 1))
    )
    task = Regression(targets, tuple(map(float, mean)), tuple(map(float, std)))
    return ((values - mean) / std).astype(np.float32), task


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def check_classes(labels: np.ndarray, classes: Sequence[str], listing: Listing) -> None:
    counts = np.bincount(labels, minlength=len(classes))
    lost = [name for name, count in zip(classes, counts, strict=True) if not count]
    if lost:
        name, reason = listing.unreadable[0]
        raise UserError(
            f"class {', '.join(map(quoted, lost[:3]))} has no image that can be read (for instance "
            f"{name}: {reason}); "
            "replace the files or remove the class."
        )
    if len(classes) < 2:
        inner = "".join(f" {note}." for note in listing.notes if "nested" in note)
        raise UserError(
            f"only one class, {quoted(classes[0])}, with {counts[0]} "
            f"image{'s' if counts[0] != 1 else ''}; "
            f"at least two classes are needed to tell apart.{inner}"
        )
