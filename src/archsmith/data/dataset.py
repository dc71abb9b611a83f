"""load: a folder, a CSV, parquet or npz file, or a built-in name becomes a Data with its split,
statistics and caveats."""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch

from archsmith.data import scan
from archsmith.data.contents import Contents, data_hash
from archsmith.data.decode import PLAIN, Preprocessing
from archsmith.data.facts import advise, copies, facts_of
from archsmith.data.labels import check_classes, labels_of, standardized, strata_by_value
from archsmith.data.listing import PARTS, Listing
from archsmith.data.masks import masks_beside
from archsmith.data.mirror import left_and_right
from archsmith.data.parts import Part, Resident, Streamed
from archsmith.data.preprocessing import decide
from archsmith.data.source import listing_of, shown
from archsmith.data.split import Split, divide, rows_of
from archsmith.errors import UserError
from archsmith.tasks import Classification, Reconstruction, Task, to_json

LARGEST_SIZE = 224  # of a suggested input
_GIB = 1 << 30
_VALIDATED, _VALIDATED_LEAST = 0.15, 0.05  # the share for validation, and the least of it
_VALIDATED_IMAGES = 500  # that tell good networks apart


@dataclass(frozen=True)
class Seen:
    """What is known of a set before its pixels are read: the suggested side, about how many images
    to train on, outputs."""

    suggested: int
    channels: int
    images: int
    outputs: int


# -> the side of the input, and what to say of it
Sizing = Callable[[Seen], tuple[int, "str | None"]]


@dataclass(frozen=True)
class Data:
    """A set of images, split and ready. `size` is the side of the square network input, `mean` and
    `std` those of the training pixels in 0..1, per channel; `task` is what is wanted of an image,
    `classes` are there where that is its class; `facts` is what a report shows, plain JSON; `how`
    is how a picture becomes such an input."""

    name: str
    kind: str
    classes: tuple[str, ...]
    channels: int
    size: int
    parts: dict[str, Part]
    split: Split
    unreadable: tuple[tuple[str, str], ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    facts: dict[str, Any]
    task: Task
    how: Preprocessing = PLAIN


def load(
    source: str | Path,
    *,
    task: str = "classification",
    seed: int = 0,
    size: int | Sizing | None = None,
    val_share: float | None = None,
    test_share: float | None = None,
    group: str | None = None,
    classes_at: int | None = None,
    memory_limit_bytes: int | None = None,
    split: Mapping[str, Any] | None = None,
    threads: int | None = None,
    fit: str = "auto",
    flip: str = "auto",
    before: Mapping[str, Any] | None = None,
) -> Data:
    """Read `source` whole, unreadable images set aside, and split it.

    task: "classification", "regression" (labels are numbers, one or more with spaces between them;
    an npz file may have them as (N, targets)) or "reconstruction" (of the image itself; labels are
    not read). test_share: 0.2, for the digits 0.3. group: the column whose equal values must not be
    separated. classes_at: of a folder, the level of the class folders below it (1: directly in it),
    where the tree alone does not say. split: what `Data.split.to_json()` gave, to get the same
    parts again; then seed and shares are those of the saved split. val_share: default
    `share_to_validate`. size: of the square input, or what decides it (`Sizing`). fit: auto, crop,
    pad or squeeze, how pictures become square. flip: auto, yes or no, whether training mirrors
    images. before: the facts of an earlier load of the same set, whose "preprocessing", "flip" and
    "goal" are kept to. memory_limit_bytes: above so many bytes of pixels the images are not kept
    but decoded when needed (default: half of the free memory, at most 8 GiB). threads: for reading,
    default one a core. UserError for whatever is wrong with the source.
    """
    limit_bytes = _memory_limit() if memory_limit_bytes is None else memory_limit_bytes
    listing = listing_of(source, group, limit_bytes, task, classes_at=classes_at)
    saved = Split.from_json(split) if split is not None else None
    before = before or {}
    test_share = (0.3 if listing.kind == "digits" else 0.2) if test_share is None else test_share
    _check_request(size if isinstance(size, int) else None, val_share, test_share)
    contents = Contents(listing)
    classes, labels, values = labels_of(listing, task)
    headers = scan.headers(listing, [i for i, label in enumerate(labels) if label >= 0], threads)
    if not headers:
        raise UserError(
            f"{shown(source)}: not one image can be read; the first: {listing.unreadable[0][0]}: "
            f"{listing.unreadable[0][1]}."
        )
    to_train = listing.declared.count("train") if listing.declared else None
    if val_share is None:
        val_share = share_to_validate(len(headers) if to_train is None else to_train)
    how, preprocessing = decide(
        listing, headers, fit=fit, threads=threads, before=before.get("preprocessing")
    )
    channels = 1 if all(header.grey for header in headers.values()) else 3
    if isinstance(size, int):
        side = size
    else:
        count = int(len(headers) * (1 - val_share - test_share)) if to_train is None else to_train
        outputs = len(classes) or (1 if values is None else values.shape[1])
        suggested = _suggested(list(headers.values()), how.fit, listing)
        side = _sized(size, Seen(suggested, channels, max(1, count), outputs), listing)
    pictures = _pictures(
        listing,
        headers,
        contents,
        side=side,
        channels=channels,
        how=how,
        threads=threads,
        most=limit_bytes,
    )
    asked = _Asked(
        source,
        task,
        seed=seed,
        val_share=val_share,
        test_share=test_share,
        saved=saved,
        flip=flip,
        before=before,
    )
    known = _Known(
        classes, labels, values=values, headers=headers, digests=contents.digests(threads)
    )
    return _assembled(asked, pictures, known, preprocessing)


@dataclass(frozen=True)
class _Asked:
    """What `load` was asked for, its defaults resolved."""

    source: str | Path
    task: str
    seed: int
    val_share: float
    test_share: float
    saved: Split | None
    flip: str
    before: Mapping[str, Any]


@dataclass(frozen=True)
class _Known:
    """What is known of every image of the listing: its class or values, its header, the hash of its
    file."""

    classes: tuple[str, ...]
    labels: np.ndarray
    values: np.ndarray | None
    headers: Mapping[int, scan.Header]
    digests: Sequence[str]


def _assembled(asked: _Asked, pictures: _Pictures, known: _Known, preprocessing: Any) -> Data:
    """Splits what was read and says what is to be said of it."""
    listing, kept, classes, values = pictures.listing, pictures.kept, known.classes, known.values
    # of the listing as it was read: the split may forget declared parts
    hashed = data_hash(listing, known.digests)
    labels, strata = _strata(asked, pictures, known)
    saved, rows = _divided(asked, listing, kept, labels, strata=strata)
    wanted, own = None, None
    if values is not None:
        wanted, own = standardized(values[kept], rows["train"], listing.target)
    itself = asked.task == "reconstruction"
    parts = {
        part: _part(
            pictures,
            rows[part],
            labels,
            names=saved.parts[part],
            classes=len(strata),
            wanted=wanted,
            itself=itself,
        )
        for part in PARTS
    }
    side, channels, (mean, std) = pictures.side, pictures.channels, _statistics(parts["train"])
    facts = facts_of(
        asked.source,
        listing,
        classes=classes,
        parts=parts,
        split=saved,
        headers=known.headers,
        side=side,
        channels=channels,
        hashed=hashed,
    )
    ids, files = [listing.ids[row] for row in kept], [known.digests[row].encode() for row in kept]
    facts["duplicates"] = copies(pictures.pixels, labels, rows=rows, ids=ids, digests=files)
    facts["preprocessing"] = preprocessing
    facts["flip"] = asked.before.get("flip") or left_and_right(
        parts["train"], parts["val"], classes, asked=asked.flip
    )
    old = asked.before.get("goal")
    mirrors = old.get("mirrors", False) if old else facts["flip"]["suggested"]
    task = own or (
        Classification(classes, mirrors) if classes else Reconstruction(channels, side, mean, std)
    )
    facts["goal"] = to_json(task)
    facts["notes"] += masks_beside(listing, kept.tolist())
    advise(facts, listing, mean)
    return Data(
        name=facts["name"],
        kind=listing.kind,
        classes=classes,
        channels=channels,
        size=side,
        parts=parts,
        split=saved,
        unreadable=tuple(listing.unreadable),
        mean=mean,
        std=std,
        facts=facts,
        task=task,
        how=pictures.how,
    )


def _strata(asked: _Asked, pictures: _Pictures, known: _Known) -> tuple[np.ndarray, Sequence[str]]:
    """Labels (n,) of the images that were read, and the names of what each part of a split gets its
    share of."""
    labels = known.labels[pictures.kept]
    if asked.task == "classification":
        check_classes(labels, known.classes, pictures.listing)
        return labels, known.classes
    values = None if known.values is None else known.values[pictures.kept, 0]
    labels = strata_by_value(values, len(pictures.kept))
    return labels, [
        f"{share + 1} of {labels.max() + 1} by value" for share in range(labels.max() + 1)
    ]


@dataclass(frozen=True)
class _Pictures:
    """The images that can be read: their rows in the listing, and their pixels (n, C, side, side)
    where memory holds them."""

    listing: Listing
    kept: np.ndarray
    pixels: np.ndarray | None
    channels: int
    side: int
    how: Preprocessing


def _pictures(
    listing: Listing,
    headers: Mapping[int, scan.Header],
    contents: Contents,
    *,
    side: int,
    channels: int,
    how: Preprocessing,
    threads: int | None,
    most: int,
) -> _Pictures:
    """Reads them, where all take at most so many bytes; others are decoded when needed."""
    kept = np.array(sorted(headers), dtype=np.int64)
    if len(kept) * channels * side * side > most:
        return _Pictures(listing, kept, None, channels=channels, side=side, how=how)
    opened = replace(listing, open=contents.open)
    pixels, kept = scan.pixels(opened, kept, channels=channels, size=side, threads=threads, how=how)
    if channels == 3 and scan.colorless(pixels):
        pixels, channels = np.ascontiguousarray(pixels[:, :1]), 1
        listing.notes.append("all images are grey although stored in color: one input channel")
    return _Pictures(listing, kept, pixels, channels=channels, side=side, how=how)


def _sized(size: Sizing | None, seen: Seen, listing: Listing) -> int:
    """The side that `size` decides on, with its remark; the suggested one where nobody decides."""
    if size is None:
        return seen.suggested
    side, why = size(seen)
    listing.notes += [why] if why else []
    return side


def _divided(
    asked: _Asked, listing: Listing, kept: np.ndarray, labels: np.ndarray, *, strata: Sequence[str]
) -> tuple[Split, Mapping[str, np.ndarray]]:
    """The split, that of before where there is one, and the rows of `kept` that each part has."""
    if listing.declared and len(set(listing.declared)) == 1:
        listing.notes.append(
            f"all images are declared as {listing.declared[0]}: taken as not split"
        )
        listing.declared = None
    ids = [listing.ids[row] for row in kept]
    if asked.saved is not None:
        return asked.saved, rows_of(asked.saved, ids)
    shares = {"val_share": asked.val_share, "test_share": asked.test_share}
    rows, how = divide(
        labels,
        classes=strata,
        strata=asked.task != "classification",
        seed=asked.seed,
        declared=[listing.declared[row] for row in kept] if listing.declared else None,
        groups=[listing.groups[row] for row in kept] if listing.groups else None,
        **shares,
    )
    parts = {part: tuple(ids[row] for row in rows[part]) for part in PARTS}
    return Split(parts, asked.seed, how, **shares), rows


def _part(
    pictures: _Pictures,
    chosen: np.ndarray,
    labels: np.ndarray,
    *,
    names: tuple[str, ...],
    classes: int,
    wanted: np.ndarray | None,
    itself: bool,
) -> Part:
    """The images of some rows, with what is wanted of them."""
    values = None if wanted is None else wanted[chosen]
    if pictures.pixels is not None:
        held = torch.from_numpy(pictures.pixels), torch.from_numpy(chosen)
        return Resident(*held, labels[chosen], names, classes, values=values, itself=itself)
    listing, which = pictures.listing, (pictures.kept[chosen], labels[chosen])
    return Streamed(
        listing.open,
        *which,
        names,
        classes=classes,
        channels=pictures.channels,
        size=pictures.side,
        how=pictures.how,
        shown=listing.shown,
        values=values,
        itself=itself,
    )


def _memory_limit() -> int:
    free = psutil.virtual_memory().available
    limit, used = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")
    with contextlib.suppress(OSError, ValueError):  # a container may have less than the machine
        free = min(
            free, int(limit.read_text(encoding="utf-8")) - int(used.read_text(encoding="utf-8"))
        )
    return max(min(free // 2, 8 * _GIB), 0)


def share_to_validate(images: int) -> float:
    """The share of so many images, a given test part not among them, that is kept for validation
    where nobody says.

    15 %, but of many images no more than tell good networks apart: 500, and 5 % from 10,000 on.
    Others are for training.
    """
    return max(_VALIDATED_LEAST, min(_VALIDATED, _VALIDATED_IMAGES / max(1, images)))


def _check_request(size: int | None, val_share: float | None, test_share: float) -> None:
    if size is not None and not 4 <= size <= 1024:
        raise UserError(f"input size {size} (--size): allowed is 4 to 1024 pixels.")
    cut = _VALIDATED if val_share is None else val_share
    if not (0 < cut < 1 and 0 < test_share < 1 and cut + test_share < 0.95):
        raise UserError(
            f"shares of {cut} for validation (--val-share) and {test_share} for test "
            f"(--test-share): each must be "
            "above 0, both together below 0.95."
        )


def _suggested(headers: Sequence[scan.Header], fit: str, listing: Listing) -> int:
    """The median side of the square that holds what is seen, up to 224; where sizes differ a
    multiple of 8 (below 64) or 32.

    Seen is the central square, whose side is the shorter one; or all of the image: stretched to a
    square of equal area, or in one that is as long as its longer side.
    """
    own = {
        "crop": lambda header: min(header.width, header.height),
        "pad": lambda header: max(header.width, header.height),
        "squeeze": lambda header: round((header.width * header.height) ** 0.5),
    }[fit]
    sides = [own(header) for header in headers]
    side = int(min(statistics.median_low(sides), LARGEST_SIZE))
    if min(sides) != max(sides):
        side = side // 32 * 32 if side >= 64 else side // 8 * 8 if side >= 16 else side
    if side < 4:
        listing.notes.append(f"the images are only {side} pixels wide or high; enlarged to 8")
        return 8
    return side


def _statistics(train: Part) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel in 0..1: of all training images in memory, of
    2,000 when streamed."""
    count = len(train)
    picked = (
        np.arange(count)
        if train.resident
        else np.unique(np.linspace(0, count - 1, 2000).astype(np.int64))
    )
    histogram: np.ndarray | None = None
    for first in range(0, len(picked), 1024):
        images = train.images(picked[first : first + 1024]).numpy()
        rows = np.stack(
            [np.bincount(images[:, c].ravel(), minlength=256) for c in range(images.shape[1])]
        )
        histogram = rows if histogram is None else histogram + rows
    assert histogram is not None
    values = np.arange(256) / 255
    mean = histogram @ values / histogram.sum(axis=1)
    variance = histogram @ values**2 / histogram.sum(axis=1) - mean**2
    # a channel without any contrast stays finite
    std = np.sqrt(np.maximum(variance, (1 / 255) ** 2))
    return tuple(round(float(v), 6) for v in mean), tuple(round(float(v), 6) for v in std)
