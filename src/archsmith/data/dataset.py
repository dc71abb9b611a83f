"""load: a folder, a CSV, parquet or npz file, or a built-in name becomes a Data with its split, statistics and caveats."""

from __future__ import annotations

import contextlib
import glob
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch

from archsmith.data import duplicates, scan
from archsmith.data.arrays import list_digits, list_npz
from archsmith.data.contents import Contents, data_hash
from archsmith.data.decode import PLAIN, Preprocessing
from archsmith.data.folder import list_folder
from archsmith.data.layout import NoImages
from archsmith.data.listing import PARTS, Listing, class_order, printable
from archsmith.data.lookalike import check_names
from archsmith.data.masks import masks_beside
from archsmith.data.mirror import left_and_right
from archsmith.data.parts import Part, Resident, Streamed
from archsmith.data.preprocessing import decide
from archsmith.data.split import Split, divide, rows_of
from archsmith.data.table import list_csv, list_parquet, parquet_files
from archsmith.errors import UserError, did_you_mean, quoted
from archsmith.tasks import Classification, Goal, Reconstruction, Regression, to_json

LARGEST_SIZE = 224  # of a suggested input
BUILT_IN = ("digits",)
_GIB = 1 << 30
_VALIDATED, _VALIDATED_IMAGES, _VALIDATED_LEAST = (
    0.15,
    500,
    0.05,
)  # the share for validation, of so many images at most; at least
_LARGEST = 1e19  # of a value to predict: its square is a number in 32 bits
_FINEST = 2.0**-20  # of the values' deviation over their mean, in 32 bits
_ABSENT = frozenset(("na", "n/a", "#n/a", "<na>", "nan", "null", "none", "nil", "missing", "?", "-", "--"))
_SHOWN = 1000  # so many unreadable images are named in the facts; Data.unreadable has them all


@dataclass(frozen=True)
class Seen:
    """What is known of a set before its pixels are read: the suggested side, about how many images to train on, outputs."""

    suggested: int
    channels: int
    images: int
    outputs: int


Sizing = Callable[[Seen], tuple[int, "str | None"]]  # -> the side of the input, and what to say of it


@dataclass(frozen=True)
class Data:
    """A set of images, split and ready. `size` is the side of the square network input, `mean` and `std` those of the
    training pixels in 0..1, per channel; `goal` is what is wanted of an image, `classes` are there where that is its class;
    `facts` is what a report shows, plain JSON; `how` is how a picture becomes such an input."""

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
    goal: Goal
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

    task: "classification", "regression" (labels are numbers, one or more with spaces between them; an npz file may have them
    as (N, targets)) or "reconstruction" (of the image itself; labels are not read). test_share: 0.2, for the digits 0.3.
    group: the column whose equal values must not be separated. classes_at: of a folder, the level of the class folders below it
    (1: directly in it), where the tree alone does not say. split: what `Data.split.to_json()` gave, to get the same parts
    again; then seed and shares are those of the saved split. val_share: default `share_to_validate`. size: of the square input,
    or what decides it (`Sizing`). fit: auto, crop, pad or squeeze, how pictures become square. flip: auto, yes or no, whether
    training mirrors images. before: the facts of an earlier load of the same set, whose "preprocessing", "flip" and "goal" are
    kept to.
    memory_limit_bytes: above so many bytes of pixels the images are not kept but decoded when needed (default: half of the free
    memory, at most 8 GiB). threads: for reading, default one a core. UserError for whatever is wrong with the source.
    """
    limit_bytes = _memory_limit() if memory_limit_bytes is None else memory_limit_bytes
    listing = _listing(source, group, limit_bytes, task, classes_at=classes_at)
    saved = Split.from_json(split) if split is not None else None
    test_share = (0.3 if listing.kind == "digits" else 0.2) if test_share is None else test_share
    _check_request(size if isinstance(size, int) else None, val_share, test_share)
    contents = Contents(listing)
    classes, labels, values = _labels(listing, task)
    headers = scan.headers(listing, [i for i, label in enumerate(labels) if label >= 0], threads)
    if not headers:
        raise UserError(
            f"{_shown(source)}: not one image can be read; the first: {listing.unreadable[0][0]}: {listing.unreadable[0][1]}."
        )
    if val_share is None:
        val_share = share_to_validate(listing.declared.count("train") if listing.declared else len(headers))
    read, preprocessing = decide(listing, headers, fit=fit, threads=threads, before=(before or {}).get("preprocessing"))
    channels = 1 if all(header.grey for header in headers.values()) else 3
    if isinstance(size, int):
        side = size
    else:
        side = _suggested(list(headers.values()), read.fit, listing)
        if size is not None:
            count = listing.declared.count("train") if listing.declared else int(len(headers) * (1 - val_share - test_share))
            outputs = len(classes) or (1 if values is None else values.shape[1])
            side, why = size(Seen(side, channels, max(1, count), outputs))
            listing.notes += [why] if why else []
    kept = np.array(sorted(headers), dtype=np.int64)
    need = len(kept) * channels * side * side
    pixels: np.ndarray | None = None
    if need <= limit_bytes:
        pixels, kept = scan.pixels(replace(listing, open=contents.open), kept, channels, side, threads, how=read)
        if channels == 3 and scan.colorless(pixels):
            pixels, channels = np.ascontiguousarray(pixels[:, :1]), 1
            listing.notes.append("all images are grey although stored in color: one input channel")
    digests = contents.digests(threads)
    hashed = data_hash(listing, digests)
    labels = labels[kept]
    ids = [listing.ids[row] for row in kept]
    strata: Sequence[str] = classes
    if task == "classification":
        _check_classes(labels, classes, listing)
    else:
        labels = _strata(None if values is None else values[kept, 0], len(kept))
        strata = [f"{share + 1} of {labels.max() + 1} by value" for share in range(labels.max() + 1)]
    if listing.declared and len(set(listing.declared)) == 1:
        listing.notes.append(f"all images are declared as {listing.declared[0]}: taken as not split")
        listing.declared = None
    if saved is None:
        rows, how = divide(
            labels,
            classes=strata,
            strata=task != "classification",
            seed=seed,
            val_share=val_share,
            test_share=test_share,
            declared=[listing.declared[row] for row in kept] if listing.declared else None,
            groups=[listing.groups[row] for row in kept] if listing.groups else None,
        )
        saved = Split({part: tuple(ids[row] for row in rows[part]) for part in PARTS}, seed, how, val_share, test_share)
    else:
        rows = rows_of(saved, ids)
    parts: dict[str, Part] = {}
    wanted, own = None, None
    if values is not None:
        wanted, own = _standardized(values[kept], rows["train"], listing.target)
    for part in PARTS:
        chosen, names = rows[part], saved.parts[part]
        common: Any = {"values": None if wanted is None else wanted[chosen], "itself": task == "reconstruction"}
        if pixels is not None:
            held = torch.from_numpy(pixels), torch.from_numpy(chosen)
            parts[part] = Resident(*held, labels[chosen], names, len(strata), **common)
        else:
            which = kept[chosen], labels[chosen], names, len(strata)
            parts[part] = Streamed(listing.open, *which, channels, side, how=read, shown=listing.shown, **common)
    mean, std = _statistics(parts["train"])
    facts = _facts(source, listing, classes, parts, saved, headers, side, channels, hashed)
    facts["duplicates"] = _duplicates(pixels, labels, rows, ids, [digests[row].encode() for row in kept])
    facts["preprocessing"] = preprocessing
    facts["flip"] = (before or {}).get("flip") or left_and_right(parts["train"], parts["val"], classes, asked=flip)
    known = (before or {}).get("goal")
    mirrors = known.get("mirrors", False) if known else facts["flip"]["suggested"]
    goal = own or (Classification(classes, mirrors) if classes else Reconstruction(channels, side, mean, std))
    facts["goal"] = to_json(goal)
    facts["notes"] += masks_beside(listing, kept.tolist())
    _advise(facts, listing, mean)
    unreadable = tuple(listing.unreadable)
    return Data(facts["name"], listing.kind, classes, channels, side, parts, saved, unreadable, mean, std, facts, goal, read)


def _shown(source: str | Path) -> str:
    return printable(str(source), 300)


def _memory_limit() -> int:
    free = psutil.virtual_memory().available
    limit, used = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")
    with contextlib.suppress(OSError, ValueError):  # a container may have less than the machine
        free = min(free, int(limit.read_text(encoding="utf-8")) - int(used.read_text(encoding="utf-8")))
    return max(min(free // 2, 8 * _GIB), 0)


def _listing(source: str | Path, group: str | None, memory_limit_bytes: int, task: str, *, classes_at: int | None) -> Listing:
    text, labelled = str(source), task != "reconstruction"
    path = _path(text)
    try:
        if not path.exists():
            if text in BUILT_IN:
                return _by_folders(_ungrouped(list_digits(), group), classes_at)
            if "," in text or glob.has_magic(text):
                return _by_folders(list_parquet(parquet_files(text), group, memory_limit_bytes, labelled), classes_at)
            near = did_you_mean(text, [*BUILT_IN, *_siblings(path)])
            raise UserError(
                f"{_shown(text)}: no such file, folder or built-in data set{near}. Give a folder with one sub-folder of images "
                f"per class, a CSV (path,label), a parquet or npz file, or {', '.join(BUILT_IN)}."
            )
        if not path.is_dir() and not path.is_file():
            raise UserError(f"{_shown(text)} is a pipe, a device or a socket; give a folder or a regular file.")
        if path.is_dir():
            if any(path.glob("*.parquet")) or any(path.glob("data/*.parquet")):
                return _by_folders(list_parquet(parquet_files(text), group, memory_limit_bytes, labelled), classes_at)
            try:
                listing = _ungrouped(list_folder(path, labelled, classes_at), group)
            except NoImages:
                if not any(path.glob("*/*.parquet")) and not any(path.glob("*/*/*.parquet")):
                    raise
                return _by_folders(list_parquet(parquet_files(text), group, memory_limit_bytes, labelled), classes_at)
            if text in BUILT_IN:
                listing.notes.append(f"the folder {quoted(text)} was read, not the built-in data set of that name")
            return listing
        kind = path.suffix.lower()
        if kind in (".csv", ".tsv"):
            return _by_folders(list_csv(path, group, labelled), classes_at)
        if kind == ".parquet":
            return _by_folders(list_parquet([path], group, memory_limit_bytes, labelled), classes_at)
        if kind == ".npz":
            return _by_folders(list_npz(path, group, task), classes_at)
    except OSError as error:
        raise UserError(
            f"{_shown(text)} cannot be read: {error.strerror or error}; check the path, its mode and the disk."
        ) from error
    raise UserError(
        f"{_shown(text)}: files ending in {quoted(kind or 'nothing')} are not known; "
        "give a folder of images or a file ending in .csv, .tsv, .parquet or .npz."
    )


def _path(text: str) -> Path:
    """The path that somebody wrote; UserError where it is none."""
    if not text.strip():
        raise UserError("DATA is empty; give a folder of images, a CSV, parquet or npz file, or `digits`.")
    try:
        path = Path(text).expanduser()
        path.exists()
    except (RuntimeError, ValueError) as error:  # ~nobody; a NUL in it
        raise UserError(f"{_shown(text)} is no path ({error}); give a folder or a file.") from error
    except OSError:
        return Path(text)  # what is wrong is said by whoever opens it
    return path


def _by_folders(listing: Listing, classes_at: int | None) -> Listing:
    if classes_at is not None:
        raise UserError(f"--classes-at {classes_at}: a {listing.kind} source has no class folders; leave it out.")
    return listing


def _siblings(path: Path) -> list[str]:
    try:
        return [str(path.parent / entry.name) for entry in path.parent.iterdir()][:1000]
    except OSError:
        return []


def _ungrouped(listing: Listing, group: str | None) -> Listing:
    if group is not None:
        raise UserError(
            f"group {quoted(group)}: a {listing.kind} source has no columns to group by; "
            f"give a CSV with the columns path, label and {group}."
        )
    return listing


def share_to_validate(images: int) -> float:
    """The share of so many images, a given test part not among them, that is kept for validation where nobody says.

    15 %, but of many images no more than tell good networks apart: 500, and 5 % from 10,000 on. Others are for training.
    """
    return max(_VALIDATED_LEAST, min(_VALIDATED, _VALIDATED_IMAGES / max(1, images)))


def _check_request(size: int | None, val_share: float | None, test_share: float) -> None:
    if size is not None and not 4 <= size <= 1024:
        raise UserError(f"input size {size} (--size): allowed is 4 to 1024 pixels.")
    cut = _VALIDATED if val_share is None else val_share
    if not (0 < cut < 1 and 0 < test_share < 1 and cut + test_share < 0.95):
        raise UserError(
            f"shares of {cut} for validation (--val-share) and {test_share} for test (--test-share): each must be "
            "above 0, both together below 0.95."
        )


def _classes(listing: Listing) -> tuple[tuple[str, ...], np.ndarray]:
    """The class names and the label of each image, -1 where the source gives none (those are listed as unreadable)."""
    if listing.several:
        raise UserError(listing.several)
    present = {label for label in listing.labels if label is not None}
    _without(listing, [row for row, label in enumerate(listing.labels) if label is None], "no label (empty or NaN)")
    if strange := next((name for name in sorted(present) if "\0" in name), None):
        raise UserError(f"class name {strange!r} holds a NUL character, which no file can be named after; correct that label.")
    if not present:
        raise UserError(f"all {len(listing.ids)} labels are empty or NaN; give every image a class.")
    if len(present) > 20 and any("." in name and _is_number(name) for name in present):
        raise UserError(
            f"the labels are {len(present)} different numbers such as {quoted(sorted(present)[0])}: "
            "that is regression; ask for it with --task regression, or give class names or whole numbers."
        )
    classes = listing.classes or class_order(present)
    listing.notes += check_names(classes)
    for name in sorted(name for name in present if name.casefold() in _ABSENT):
        listing.notes.append(
            f"{quoted(name)} ({listing.labels.count(name)} images) counted as a class; if it says that there is no label, "
            "leave these images out"
        )
    empty = [name for name in classes if name not in present]
    if empty:
        listing.notes.append(f"{len(empty)} classes that the source names have no image: {', '.join(map(quoted, empty[:5]))}")
        classes = tuple(name for name in classes if name in present)
    if len(classes) > 1000 and len(classes) > len(listing.ids) / 3:
        raise UserError(f"{len(classes)} classes for {len(listing.ids)} images; is the label column the right one?")
    index = {name: place for place, name in enumerate(classes)}
    return classes, np.array([-1 if label is None else index[label] for label in listing.labels], dtype=np.int64)


def _without(listing: Listing, rows: Sequence[int], why: str) -> None:
    """Lists images as of no use for lack of a label, and says so."""
    listing.unreadable += [(listing.shown(row), why) for row in rows]
    if rows:
        listing.notes.append(f"{len(rows)} images have {why} and were left out, such as {listing.spot(rows[0])}")


def _labels(listing: Listing, task: str) -> tuple[tuple[str, ...], np.ndarray, np.ndarray | None]:
    """Classes (of classification), labels, -1 for an image that cannot be used, and values (of regression)."""
    if task == "classification":
        return *_classes(listing), None
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
                f"{listing.spot(index)}: its label {quoted(label)} is not a number; for --task regression give one, "
                "or several with spaces between."
            ) from None
        large = next((value for value in row or () if abs(value) > _LARGEST), None)
        if large is not None:
            raise UserError(
                f"{listing.spot(index)}: its label {large:g} is too large to train on; numbers from -{_LARGEST:g} to "
                f"{_LARGEST:g} are not: correct it, or give all labels in a larger unit."
            )
        rows.append(None if row is None or any(map(np.isnan, row)) else row)
    _without(listing, [index for index, row in enumerate(rows) if row is None], "no value (empty or NaN)")
    lengths = {len(row) for row in rows if row is not None}
    if len(lengths) != 1:
        why = "all labels are empty or NaN" if not lengths else f"some images have {min(lengths)}, some {max(lengths)} values"
        raise UserError(f"{why}; give every image the same number of values.")
    return np.array([row or [np.nan] * max(lengths) for row in rows], dtype=np.float64)


def _strata(values: np.ndarray | None, count: int) -> np.ndarray:
    """Up to ten groups of equal size by value, that each part gets its share of; one group where there are no values."""
    if values is None:
        return np.zeros(count, dtype=np.int64)
    groups = max(1, min(10, count // 30))
    places = np.empty(count, dtype=np.int64)
    places[np.argsort(values, kind="stable")] = np.arange(count)
    return places * groups // count


def _standardized(values: np.ndarray, train: np.ndarray, name: str) -> tuple[np.ndarray, Regression]:
    """(n, targets) float32 with mean 0 and deviation 1 over the rows `train`, and the goal that knows both."""
    mean, std = values[train].mean(axis=0), values[train].std(axis=0)
    if not (std > 0).all():
        raise UserError(f"all training images have the same {name}, {mean[np.argmin(std)]:g}; there is nothing to predict.")
    if not (std > np.maximum(_FINEST * np.abs(mean), 1 / _LARGEST)).all():
        place = int(np.argmin(std / np.maximum(np.abs(mean), 1 / _LARGEST)))
        raise UserError(
            f"the values of {name} are about {mean[place]:g} and differ by {std[place]:.2g} only, which the 32-bit numbers of "
            "a network cannot tell apart: subtract a constant from them, or give them in a smaller unit."
        )
    targets = (name,) if len(std) == 1 else tuple(f"{name} {place}" for place in range(1, len(std) + 1))
    goal = Regression(targets, tuple(map(float, mean)), tuple(map(float, std)))
    return ((values - mean) / std).astype(np.float32), goal


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _check_classes(labels: np.ndarray, classes: Sequence[str], listing: Listing) -> None:
    counts = np.bincount(labels, minlength=len(classes))
    lost = [name for name, count in zip(classes, counts, strict=True) if not count]
    if lost:
        name, reason = listing.unreadable[0]
        raise UserError(
            f"class {', '.join(map(quoted, lost[:3]))} has no image that can be read (for instance {name}: {reason}); "
            "replace the files or remove the class."
        )
    if len(classes) < 2:
        inner = "".join(f" {note}." for note in listing.notes if "nested" in note)
        raise UserError(
            f"only one class, {quoted(classes[0])}, with {counts[0]} image{'s' if counts[0] != 1 else ''}; "
            f"at least two classes are needed to tell apart.{inner}"
        )


def _suggested(headers: Sequence[scan.Header], fit: str, listing: Listing) -> int:
    """The median side of the square that holds what is seen, up to 224; where sizes differ a multiple of 8 (below 64) or 32.

    Seen is the central square, whose side is the shorter one; or all of the image: stretched to a square of equal area, or in
    one that is as long as its longer side.
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
    """Mean and standard deviation of each channel in 0..1: of all training images in memory, of 2,000 when streamed."""
    count = len(train)
    picked = np.arange(count) if train.resident else np.unique(np.linspace(0, count - 1, 2000).astype(np.int64))
    histogram: np.ndarray | None = None
    for first in range(0, len(picked), 1024):
        images = train.images(picked[first : first + 1024]).numpy()
        rows = np.stack([np.bincount(images[:, c].ravel(), minlength=256) for c in range(images.shape[1])])
        histogram = rows if histogram is None else histogram + rows
    assert histogram is not None
    values = np.arange(256) / 255
    mean = histogram @ values / histogram.sum(axis=1)
    variance = histogram @ values**2 / histogram.sum(axis=1) - mean**2
    std = np.sqrt(np.maximum(variance, (1 / 255) ** 2))  # a channel without any contrast stays finite
    return tuple(round(float(v), 6) for v in mean), tuple(round(float(v), 6) for v in std)


def _duplicates(
    pixels: np.ndarray | None,
    labels: np.ndarray,
    rows: Mapping[str, np.ndarray],
    ids: Sequence[str],
    digests: Sequence[bytes],
) -> dict[str, Any]:
    if pixels is not None:
        return duplicates.across(pixels, labels, rows, ids)
    return duplicates.across_files(digests, labels, rows, ids)


def _facts(
    source: str | Path,
    listing: Listing,
    classes: Sequence[str],
    parts: Mapping[str, Part],
    split: Split,
    headers: Mapping[int, scan.Header],
    side: int,
    channels: int,
    hashed: str,
) -> dict[str, Any]:
    held = {part: parts[part].labels if classes else np.zeros(len(parts[part]), np.int64) for part in PARTS}
    counts = {part: np.bincount(held[part], minlength=len(classes)) for part in PARTS}
    total = np.sum(list(counts.values()), axis=0)
    ordered = sorted(headers.values(), key=lambda header: (header.width * header.height, header.width))
    return {
        "name": source
        if isinstance(source, str) and listing.kind == "digits"
        else printable(Path(str(source)).expanduser().resolve().stem),
        "kind": listing.kind,
        "source": _shown(source),
        "images": int(total.sum()),
        "classes": list(classes),
        "counts": {part: counts[part].tolist() for part in PARTS},
        "channels": channels,
        "size": side,
        "original_sizes": {
            name: [header.width, header.height]
            for name, header in (("min", ordered[0]), ("median", ordered[len(ordered) // 2]), ("max", ordered[-1]))
        },
        "unreadable": [{"path": name, "reason": reason} for name, reason in listing.unreadable[:_SHOWN]],
        "split": {
            "sha256": split.sha256,
            "seed": split.seed,
            "how": split.how,
            "val_share": split.val_share,
            "test_share": split.test_share,
        },
        "data_hash": hashed,
        "resident": parts["train"].resident,
        "imbalance": round(float(total.max() / total.min()), 3),
        "notes": listing.notes,
    }


def _advise(facts: dict[str, Any], listing: Listing, mean: Sequence[float]) -> None:
    """Remarks on what may mislead."""
    notes = facts["notes"]
    found = facts["duplicates"]
    if listing.unreadable:
        notes.append(f"{len(listing.unreadable)} of {len(listing.ids)} images could not be used and were skipped")
    if found["exact"] or found["near"]:
        notes.append(
            f"{found['exact']} exact and {found['near']} near copies of training or validation images in a later part: "
            "the result looks better than it is"
        )
    if not found["searched"]:
        why = "the pictures are too small" if facts["size"] < duplicates.SMALLEST else "there are too many images"
        notes.append(f"near copies across the split were not looked for: {why}")
    if max(mean) < 0.03:
        notes.append(
            "the images are nearly black; 16-bit files that hold 12-bit values, say, should be scaled to the full range"
        )
    if found["conflicting"]:
        notes.append(f"{found['conflicting']} images occur several times with different labels")
    if facts["imbalance"] >= 3:
        notes.append(
            f"the largest class has {facts['imbalance']:.3g} times the images of the smallest: look at balanced accuracy"
        )
    for part in ("val", "test"):
        absent = [name for name, count in zip(facts["classes"], facts["counts"][part], strict=False) if not count]
        if absent:
            notes.append(
                f"no {part} image of {', '.join(printable(name, 60) for name in absent[:5])}{' ...' if len(absent) > 5 else ''}"
            )
        total = sum(facts["counts"][part])
        if total < 200 and facts["classes"]:
            notes.append(f"only {total} {part} images: accuracies are good to about {100 / total**0.5:.0f} points")
