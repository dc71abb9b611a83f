"""Images that come as arrays: npz files, and the digits that ship with scikit-learn."""

from __future__ import annotations

import zipfile
import zlib
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from archsmith.data.listing import PART_NAMES, PARTS, UNLABELLED, Listing, label_name, printable
from archsmith.errors import UserError, did_you_mean

IMAGES = ("images", "image", "x", "data")
LABELS = ("labels", "label", "y", "targets")


def list_digits() -> Listing:
    """scikit-learn's 1,797 handwritten digits, 8 x 8, grey, values 0-16."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    return _listing("digits", {"": (np.rint(digits.images * (255 / 16)).astype(np.uint8), digits.target)}, "digits")


def list_npz(path: Path, group: str | None, task: str = "classification") -> Listing:
    """Arrays images and labels (or x and y), or these for each part: x_train, y_train, x_test, ... or train_images, ...

    For regression labels may be (N, targets); for reconstruction there need be none.
    """
    where = printable(str(path))
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(
            f"{where} cannot be read as npz ({error}); it may be truncated, or hold Python objects, which are never loaded."
        ) from error
    except MemoryError as error:
        raise UserError(f"{where} does not fit into memory; write the images as files into a folder of classes.") from error
    pairs: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    labelled = task != "reconstruction"
    for part, (images, labels) in _pairs(arrays, labelled).items():
        given = arrays[labels] if labelled else np.full(len(arrays[images]), UNLABELLED)
        whole = given if task == "regression" and given.ndim == 2 else _labels(given, f"{where}: {labels}")
        pairs[part] = (as_uint8(arrays[images], f"{where}: {images}"), whole)
        if len(pairs[part][0]) != len(pairs[part][1]):
            raise UserError(
                f"{where}: {images} holds {len(arrays[images])} images, {labels} {len(arrays[labels])} labels; they must agree."
            )
    if not pairs or (pairs.keys() != {""} and "train" not in pairs):
        raise UserError(
            f"{where} holds the arrays {', '.join(arrays) or 'none'}; expected images and labels, "
            "or x_train, y_train, x_test, y_test."
        )
    listing = _listing("npz", pairs, where)
    listing.notes += _left_out(arrays, _pairs(arrays, labelled))
    named = next((arrays[name] for name in ("classes", "class_names", "names") if name in arrays), None)
    if named is not None and named.ndim == 1 and task == "classification":
        names = tuple(str(name) for name in named)
        numbers = [int(name) if name is not None and name.isdecimal() else -1 for name in listing.labels]
        if max(numbers) < len(names):
            listing.labels = [names[number] if number >= 0 else None for number in numbers]
            listing.classes = names
    if group is not None or "group" in arrays:
        name = group or "group"
        if name not in arrays or len(arrays[name]) != len(listing.ids):
            raise UserError(
                f"{where} has no array {name!r} of {len(listing.ids)} entries to group by{did_you_mean(name, arrays)}."
            )
        listing.groups = [str(value) for value in arrays[name]]
    return listing


def _pairs(arrays: dict[str, np.ndarray], labelled: bool = True) -> dict[str, tuple[str, str]]:
    """Part ("" for none) -> the names of its images and of its labels (of its images again where there need be none)."""
    roles: dict[str, dict[str, str]] = {}
    for name in arrays:
        words = name.lower().split("_")
        part = next((PART_NAMES[word] for word in words if word in PART_NAMES), "")
        rest = "_".join(word for word in words if word not in PART_NAMES)
        role = "images" if rest in IMAGES else "labels" if rest in LABELS else None
        if role:
            roles.setdefault(part, {}).setdefault(role, name)
    second = "labels" if labelled else "images"
    whole = {part: (found["images"], found[second]) for part, found in roles.items() if {"images", second} <= found.keys()}
    if "" in whole and len(whole) > 1 and "train" not in whole:
        whole["train"] = whole.pop("")  # x, y beside x_test, y_test
    return {part: whole[part] for part in PARTS if part in whole} or whole


def _left_out(arrays: dict[str, np.ndarray], pairs: dict[str, tuple[str, str]]) -> list[str]:
    """A remark on arrays of images or labels that no part uses, or on arrays without a part's name taken for training."""
    used = {name for pair in pairs.values() for name in pair}
    whole = [name for name in arrays if name.lower() in (*IMAGES, *LABELS)]
    notes = (
        [f"arrays {', '.join(pairs['train'])} were taken as the training part"]
        if used & set(whole) and "train" in pairs
        else []
    )
    alike = [n for n in arrays if n not in used and any(word in (*IMAGES, *LABELS) for word in n.lower().split("_"))]
    return notes + ([f"arrays {', '.join(printable(n, 40) for n in alike[:8])} were not used"] if alike else [])


def as_uint8(images: np.ndarray, where: str) -> np.ndarray:
    """(N, H, W) or (N, H, W, 3 or 4) of uint8; also from (N, 1 or 3, H, W), floats in 0..1 or 0..255, and 16 bits."""
    if images.ndim == 4 and images.shape[1] in (1, 3, 4) and images.shape[3] not in (1, 3, 4):
        images = images.transpose(0, 2, 3, 1)
    if images.ndim == 4 and images.shape[3] == 1:
        images = images[..., 0]
    if images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[3] not in (3, 4)):
        raise UserError(f"{where} has the shape {images.shape}; expected (N, H, W), (N, H, W, 3) or (N, 3, H, W).")
    if images.dtype == np.uint8:
        return np.ascontiguousarray(images)
    if images.dtype == np.bool_:
        return images.astype(np.uint8) * np.uint8(255)
    if images.dtype.kind not in "uif" or not images.size:
        raise UserError(
            f"{where} holds {images.dtype} values, {images.size} in all; expected numbers, one per pixel and channel."
        )
    low, high = float(images.min()), float(images.max())
    if not (np.isfinite(low) and np.isfinite(high)) or low < 0 or high > 65535:
        raise UserError(
            f"{where} holds values from {low} to {high}; expected 0..255, 0..1 or 0..65535: scale the images, without NaN."
        )
    scale = 255.0 if images.dtype.kind == "f" and high <= 1 else 1.0 if high <= 255 else 1 / 257
    return np.rint(images * scale).astype(np.uint8)


def _labels(labels: np.ndarray, where: str) -> np.ndarray:
    """One label an image, from (N,), (N, 1) or one-hot rows."""
    if labels.ndim == 2 and labels.shape[1] == 1:
        return labels[:, 0]
    if labels.ndim == 2 and labels.dtype.kind in "uifb" and np.all(labels.sum(axis=1) == 1) and np.all(labels.max(axis=1) == 1):
        return labels.argmax(axis=1)
    if labels.ndim != 1:
        raise UserError(f"{where} has the shape {labels.shape}; expected one label an image, (N,), or one-hot rows.")
    return labels


def _listing(kind: str, pairs: dict[str, tuple[np.ndarray, Any]], where: str) -> Listing:
    pictures = [image for images, _ in pairs.values() for image in images]
    labels = [label_name(value) for _, values in pairs.values() for value in values]
    parts = [part for part, (images, _) in pairs.items() for _ in range(len(images))]
    if not pictures:
        raise UserError(f"{where} holds no images.")
    return Listing(
        kind=kind,
        ids=[f"{part or kind}:{row}" for part, (images, _) in pairs.items() for row in range(len(images))],
        labels=labels,
        open=partial(_open_array, pictures),
        pins=[zlib.crc32(picture.tobytes()) for picture in pictures],
        declared=None if pairs.keys() == {""} else parts,
    )


def _open_array(pictures: list[np.ndarray], index: int) -> Image.Image:
    return Image.fromarray(pictures[index])
