"""Images that come as arrays: npz files, and the digits that ship with scikit-learn."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from archsmith.data.decode import UNIT_SLACK, to_bytes
from archsmith.data.listing import PART_NAMES, PARTS, UNLABELLED, Listing, label_name, printable
from archsmith.data.preprocessing import check_alike, check_part, scale_note, scale_of
from archsmith.data.scan import Values
from archsmith.data.several import joined
from archsmith.errors import UserError, did_you_mean

IMAGES = ("images", "image", "x", "data", "imgs", "img", "pictures", "pixels", "inputs", "input")
LABELS = ("labels", "label", "y", "targets", "target", "lbls", "lbl")
NAMES = ("classes", "class_names", "names")
# Xtr, y_te: in names of arrays only
_SHORT = {"tr": "train", "te": "test", "va": "val", "ts": "test"}
_FILLING = ("set", "split", "part", "orig", "all", "arr", "array")


def list_digits() -> Listing:
    """scikit-learn's 1,797 handwritten digits, 8 x 8, grey, values 0-16."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    return _listing("digits", {"": (to_bytes(digits.images, 0, 16), digits.target)}, "digits")


def list_npz(path: Path, group: str | None, task: str = "classification") -> Listing:
    """Arrays images and labels (or x and y), or these for each part: x_train, y_train, x_test, ...
    or train_images, ...

    For regression labels may be (N, targets); for reconstruction there need be none.
    """
    where = printable(str(path))
    arrays = _arrays(path, where)
    labelled = task != "reconstruction"
    names = _pairs(arrays, labelled)
    if not names or (names.keys() != {""} and "train" not in names):
        raise UserError(
            f"{where} holds the arrays {_some(map(repr, arrays)) or 'none'}; expected images and "
            f"labels, "
            "or x_train, y_train, x_test, y_test."
        )
    notes: list[str] = []
    several: list[str] = []
    pairs: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    scale: _Scale | None = None
    for part, (images, labels) in names.items():
        shaped = as_images(arrays[images], f"{where}: {images}")
        scale = scale or _scale(shaped, images, where, notes)
        read = scale.read(shaped, images, where, notes)
        given = arrays[labels] if labelled else np.full(len(shaped), UNLABELLED)
        pairs[part] = read, _labels(given, f"{where}: {labels}", task, notes=notes, several=several)
        if len(read) != len(pairs[part][1]):
            raise UserError(
                f"{where}: {images} holds {len(read)} images, {labels} {len(given)} "
                f"labels; they must agree."
            )
    assert scale is not None
    listing = _listing("npz", pairs, where)
    listing.notes = [*listing.notes, *notes]
    listing.spots = partial(
        _entry, where, [(labels, len(pairs[part][1])) for part, (_, labels) in names.items()]
    )
    listing.several = next(iter(several), "") or joined(listing.labels, where, listing.notes)
    if scale.kind:
        listing.scales = {scale.kind: (scale.low, scale.high)}
    used = {name for pair in names.values() for name in pair} | ({group or "group"} & arrays.keys())
    if task == "classification":
        used |= set([name for name in NAMES if name in arrays][:1])
        _name_classes(
            listing,
            arrays,
            where,
            text=all(arrays[labels].dtype.kind in "US" for _, labels in names.values()),
        )
    if group is not None or "group" in arrays:
        listing.groups = _groups(arrays, group or "group", where, len(listing.ids))
    listing.notes += _left_out(arrays, names, used)
    return listing


def _groups(arrays: Mapping[str, Any], name: str, where: str, count: int) -> list[str]:
    """What must not be separated, an entry for each image; UserError where the array holds other
    than `count`."""
    if name not in arrays or arrays[name].ndim != 1 or len(arrays[name]) != count:
        raise UserError(
            f"{where} has no array {name!r} of {count} entries to group by"
            f"{did_you_mean(name, arrays) if name not in arrays else ''}."
        )
    return [label_name(value) or f"row {row}" for row, value in enumerate(arrays[name])]


def _entry(where: str, lengths: Sequence[tuple[str, int]], index: int) -> str:
    """Where the label of an image stands, as numpy counts."""
    for name, length in lengths:
        if index < length:
            return f"{where}: {name}[{index}]"
        index -= length
    return where


def _arrays(path: Path, where: str) -> dict[str, np.ndarray]:
    """What the file holds; members that are no arrays are passed over."""
    try:
        with path.open("rb") as stream:
            file = np.load(stream, allow_pickle=False)
            if not isinstance(file, np.lib.npyio.NpzFile):
                raise UserError(
                    f"{where} is a single array; save images and labels together: np.savez(path, "
                    f"images=..., labels=...)."
                )
            members = {name: file[name] for name in file.files}
    except UserError:
        raise
    except MemoryError as error:
        raise UserError(
            f"{where} does not fit into memory; write the images as files into a folder of classes."
        ) from error
    except OSError as error:
        if error.errno is not None:
            raise
        raise _unreadable(where, error) from error
    # zipfile, zlib and the parser of numpy's headers raise two dozen kinds for a strange file
    except Exception as error:
        raise _unreadable(where, error) from error
    return {name: array for name, array in members.items() if isinstance(array, np.ndarray)}


def _unreadable(where: str, error: Exception) -> UserError:
    why = str(error).partition(". ")[0] or type(error).__name__
    return UserError(
        f"{where} cannot be read as npz ({why}); it may be truncated, use a compression that "
        "Python does not know, or hold Python objects, which are never loaded. Save it again with "
        "np.savez_compressed."
    )


def _name_classes(
    listing: Listing, arrays: Mapping[str, np.ndarray], where: str, *, text: bool
) -> None:
    """The names of an array `classes`, `class_names` or `names` in place of the numbers that labels
    are. text: labels are text, which may be such names themselves."""
    name = next((name for name in NAMES if name in arrays), None)
    if name is None or arrays[name].ndim != 1:
        return
    names = [label_name(value) for value in arrays[name]]
    there = {label for label in listing.labels if label not in (None, "-1")}
    if len(names) == len(listing.ids) and len(names) > len(there):
        listing.notes.append(
            f"{name} has an entry for each image and was not taken for the names of the classes"
        )
        return
    if len(set(names)) < len(names) or None in names:
        raise UserError(
            f"{where}: {name} names two classes alike, or one not at all; give each a "
            f"name of its own."
        )
    classes = tuple(str(label) for label in names)
    if there <= set(classes) and (text or not all(label.isdecimal() for label in there)):
        listing.classes = classes
        return
    numbers = {label: int(label) for label in there if label.isdecimal()}
    if numbers.keys() != there or max(numbers.values(), default=0) >= len(classes):
        strange = sorted(
            there - {label for label, number in numbers.items() if number < len(classes)}
        )[0]
        raise UserError(
            f"{where}: label {strange!r} is not one of the numbers 0..{len(classes) - 1}, for "
            f"which {name} has names; "
            f"correct the labels or leave {name} out."
        )
    if there & set(classes) and any(classes[number] != label for label, number in numbers.items()):
        listing.notes.append(
            f"labels were read as places in {name}, from 0, though its names are numbers too"
        )
    listing.labels = [
        classes[numbers[label]] if label in numbers else None for label in listing.labels
    ]
    listing.classes = classes


def _pairs(arrays: dict[str, np.ndarray], labelled: bool = True) -> dict[str, tuple[str, str]]:
    """Part ("" for none) -> the names of its images and of its labels (of its images again where
    there need be none)."""
    roles: dict[str, dict[str, str]] = {}
    # the usual names first
    for name in sorted(arrays, key=lambda name: any(word in name.lower() for word in IMAGES[4:])):
        if meant := _role(name):
            roles.setdefault(meant[0], {}).setdefault(meant[1], name)
    second = "labels" if labelled else "images"
    whole = {
        part: (names["images"], names[second])
        for part, names in roles.items()
        if {"images", second} <= names.keys()
    }
    if "" in whole and len(whole) > 1 and "train" not in whole:
        whole["train"] = whole.pop("")  # x, y beside x_test, y_test
    return {part: whole[part] for part in PARTS if part in whole} or whole


def _role(name: str) -> tuple[str, str] | None:
    """(part, or "" for none; images or labels) of an array by its name, whatever its case, its
    signs, the order of its words: Xval, x_val, val-x, validationImages."""
    text = re.sub(r"[^a-z0-9]", "", name.lower())
    parts = {**PART_NAMES, **_SHORT}
    ends = [("", text)]
    for word in sorted(parts, key=len, reverse=True):
        if text.startswith(word):
            ends.append((parts[word], text.removeprefix(word)))
        if text.endswith(word):
            ends.append((parts[word], text.removesuffix(word)))
    for part, rest in ends:
        for filling in ("", *_FILLING):
            for core in (rest.removeprefix(filling), rest.removesuffix(filling)):
                if core in IMAGES or core in LABELS:
                    return part, "images" if core in IMAGES else "labels"
    words = [
        word
        for word in re.split(r"[^a-z0-9]+", re.sub("([a-z])([A-Z])", r"\1_\2", name).lower())
        if word
    ]
    named = [parts[word] for word in words if word in parts]  # in the midst: set_train_x
    kinds = [word for word in words if word not in parts and word not in _FILLING]
    if len(named) == 1 and len(kinds) == 1 and kinds[0] in (*IMAGES, *LABELS):
        return named[0], "images" if kinds[0] in IMAGES else "labels"
    return None


def _left_out(
    arrays: Mapping[str, np.ndarray], pairs: Mapping[str, tuple[str, str]], used: set[str]
) -> list[str]:
    """A remark on arrays that nothing uses, and on arrays without a part's name that were taken for
    training."""
    whole = {name for name in arrays if (meant := _role(name)) and not meant[0]}
    plain = pairs.get("train", ("", ""))
    notes = (
        [f"arrays {', '.join(plain)} were taken as the training part"]
        if whole.intersection(plain)
        else []
    )
    rest = [name for name in arrays if name not in used]
    return notes + ([f"arrays {_some(rest)} were not used"] if rest else [])


def _some(names: Iterable[str]) -> str:
    shown = [printable(name, 40) for name in names]
    return ", ".join(shown[:20]) + (f", ... {len(shown)} in all" if len(shown) > 20 else "")


def as_images(images: np.ndarray, where: str) -> np.ndarray:
    """(N, H, W) or (N, H, W, 3 or 4) of numbers, also from (N, H, W, 1) and channels first; nothing
    is copied."""
    if images.ndim == 4 and images.shape[1] in (1, 3, 4) and images.shape[3] not in (1, 3, 4):
        images = images.transpose(0, 2, 3, 1)
    if images.ndim == 4 and images.shape[3] == 1:
        images = images[..., 0]
    if images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[3] not in (3, 4)):
        raise UserError(
            f"{where} has the shape {images.shape}; expected (N, H, W), (N, H, W, 3) "
            f"or (N, 3, H, W)."
        )
    if images.dtype.kind not in "buif" or not images.size:
        raise UserError(
            f"{where} holds {images.dtype} values, {images.size} in all; expected numbers, one per "
            f"pixel and channel."
        )
    return images


_DIM = 64  # bytes that are all below it are told to be dark


@dataclass(frozen=True)
class _Scale:
    """How the arrays of one file become bytes: `low` 0, `high` 255, in every part. kind: as
    `Preprocessing` names deep pictures, "" for bytes; train: the array that it was decided by."""

    low: float
    high: float
    kind: str
    train: str
    dtype: np.dtype

    def read(self, images: np.ndarray, name: str, where: str, notes: list[str]) -> np.ndarray:
        """uint8 of the same shape. UserError where the array cannot be meant in this scale."""
        low, high = _range(images, f"{where}: {name}")
        # bytes are bytes, dark or not
        own = (low, high) if self.kind or images.dtype != self.dtype else (self.low, self.high)
        check_part(*own, (self.low, self.high), f"{where}: {name}", self.train)
        if images.dtype != self.dtype and scale_of(low, high, images.dtype.kind == "f") != (
            self.low,
            self.high,
        ):
            raise UserError(
                f"{where}: {name} are {images.dtype} from {low:g} to {high:g}, {self.train} are "
                f"{self.dtype} that are read as "
                f"{self.low:g}..{self.high:g}; all parts must have one scale: save them in one "
                f"type and scale."
            )
        if images.dtype == np.uint8 and (self.low, self.high) == (0.0, 255.0):
            return np.ascontiguousarray(images)
        slack = UNIT_SLACK * (self.high - self.low)
        if low < self.low - slack or high > self.high + slack:
            notes.append(
                f"{name} holds values from {low:g} to {high:g}: what lies outside "
                f"{self.low:g}..{self.high:g} was cut off"
            )
        result = np.empty(images.shape, np.uint8)
        for first in range(0, len(images), 256):  # in pieces: to_bytes takes eight bytes a value
            result[first : first + 256] = to_bytes(images[first : first + 256], self.low, self.high)
        return result


def _scale(images: np.ndarray, name: str, where: str, notes: list[str]) -> _Scale:
    """Decided by the training images, or by all where no parts are given."""
    low, high = _range(images, f"{where}: {name}")
    if images.dtype == np.uint8 and high != 1:
        if 0 < high < _DIM:
            notes.append(
                f"{name} are bytes of at most {high:g}, read as 0..255: the images are dark"
            )
        return _Scale(0.0, 255.0, "", train=name, dtype=images.dtype)
    floats = images.dtype.kind == "f"
    scale = scale_of(low, high, floats)
    if floats:
        least, most = (
            extreme(images, axis=tuple(range(1, images.ndim))) for extreme in (np.min, np.max)
        )
        # whether these are all whole matters only here
        dim = np.flatnonzero(most <= 1 + UNIT_SLACK)
        whole = np.ones(len(images), bool)
        whole[dim] = [bool((images[row] == np.rint(images[row])).all()) for row in dim]
        values = [
            Values(float(a), float(b), bool(c)) for a, b, c in zip(least, most, whole, strict=True)
        ]
        check_alike(values, scale, f"{where}: {name}")
    notes.append(scale_note(low, high, scale, f"the {images.dtype} images of {name}"))
    kind = (
        ""
        if images.dtype == np.uint8
        else {"f": "floats", "b": ""}.get(images.dtype.kind, "integers")
    )
    return _Scale(*scale, kind, name, images.dtype)


def _range(images: np.ndarray, where: str) -> tuple[float, float]:
    low, high = float(images.min()), float(images.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise UserError(
            f"{where} holds values from {low} to {high}; expected finite numbers: "
            f"replace NaN and infinity."
        )
    return low, high


def _labels(
    labels: np.ndarray, where: str, task: str, notes: list[str], several: list[str]
) -> np.ndarray:
    """One label an image, from (N,), (N, 1) or one-hot rows; for regression any (N, targets)."""
    if labels.ndim not in (1, 2) or labels.dtype.kind not in "buifUS":
        raise UserError(
            f"{where} has the shape {labels.shape} of {labels.dtype}; expected one label an image, "
            f"(N,), or one-hot rows, "
            "of numbers or text."
        )
    if labels.ndim == 1 or task != "classification":
        return labels
    if labels.shape[1] == 1:
        return labels[:, 0]
    if (
        labels.dtype.kind in "uifb"
        and np.isin(labels, (0, 1)).all()
        and (np.count_nonzero(labels, axis=1) == 1).all()
    ):
        notes.append(
            f"{where}: each row has a single 1 and was read as one-hot, {labels.shape[1]} classes"
        )
        return labels.argmax(axis=1)
    several.append(
        f"{where} has the shape {labels.shape}, and its rows are not one-hot; expected one label "
        f"an image, (N,): "
        "several labels an image are not supported (numbers are predicted with --task regression)."
    )
    return labels


def _listing(kind: str, pairs: dict[str, tuple[np.ndarray, Any]], where: str) -> Listing:
    pictures = [image for images, _ in pairs.values() for image in images]
    labels = [label_name(value) for _, values in pairs.values() for value in values]
    parts = [part for part, (images, _) in pairs.items() for _ in range(len(images))]
    if not pictures:
        raise UserError(f"{where} holds no images.")
    return Listing(
        kind=kind,
        ids=[
            f"{part or kind}:{row}"
            for part, (images, _) in pairs.items()
            for row in range(len(images))
        ],
        labels=labels,
        open=partial(_open_array, pictures),
        pins=[zlib.crc32(picture.tobytes()) for picture in pictures],
        declared=None if pairs.keys() == {""} else parts,
    )


def _open_array(pictures: list[np.ndarray], index: int) -> Image.Image:
    return Image.fromarray(pictures[index])
