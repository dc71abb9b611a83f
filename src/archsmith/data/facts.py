"""What a report says of a set of images: counts and sizes, copies across its parts, remarks on what
may mislead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from archsmith.data import duplicates, scan
from archsmith.data.listing import PARTS, Listing, printable
from archsmith.data.parts import Part
from archsmith.data.split import Split

_SHOWN = 1000  # so many unreadable images are named in the facts; Data.unreadable has them all


def copies(
    pixels: np.ndarray | None,
    labels: np.ndarray,
    *,
    rows: Mapping[str, np.ndarray],
    ids: Sequence[str],
    digests: Sequence[bytes],
) -> dict[str, Any]:
    """Copies of an image in several parts: of its pixels where they are in memory, else of its
    file."""
    if pixels is not None:
        return duplicates.across(pixels, labels, rows, ids)
    return duplicates.across_files(digests, labels, rows, ids)


def facts_of(
    source: str | Path,
    listing: Listing,
    *,
    classes: Sequence[str],
    parts: Mapping[str, Part],
    split: Split,
    headers: Mapping[int, scan.Header],
    side: int,
    channels: int,
    hashed: str,
) -> dict[str, Any]:
    """What a report shows of a set, plain JSON: counts, sizes, the split, what was not read."""
    held = {
        part: parts[part].labels if classes else np.zeros(len(parts[part]), np.int64)
        for part in PARTS
    }
    counts = {part: np.bincount(held[part], minlength=len(classes)) for part in PARTS}
    total = np.sum(list(counts.values()), axis=0)
    ordered = sorted(
        headers.values(), key=lambda header: (header.width * header.height, header.width)
    )
    return {
        "name": source
        if isinstance(source, str) and listing.kind == "digits"
        else printable(Path(str(source)).expanduser().resolve().stem),
        "kind": listing.kind,
        "source": printable(str(source), 300),
        "images": int(total.sum()),
        "classes": list(classes),
        "counts": {part: counts[part].tolist() for part in PARTS},
        "channels": channels,
        "size": side,
        "original_sizes": {
            name: [header.width, header.height]
            for name, header in (
                ("min", ordered[0]),
                ("median", ordered[len(ordered) // 2]),
                ("max", ordered[-1]),
            )
        },
        "unreadable": [
            {"path": name, "reason": reason} for name, reason in listing.unreadable[:_SHOWN]
        ],
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


def advise(facts: dict[str, Any], listing: Listing, mean: Sequence[float]) -> None:
    """Remarks on what may mislead."""
    notes = facts["notes"]
    twins = facts["duplicates"]
    if listing.unreadable:
        notes.append(
            f"{len(listing.unreadable)} of {len(listing.ids)} images could not be used "
            f"and were skipped"
        )
    if twins["exact"] or twins["near"]:
        notes.append(
            f"{twins['exact']} exact and {twins['near']} near copies of training or validation "
            f"images in a later part: "
            "the result looks better than it is"
        )
    if not twins["searched"]:
        why = (
            "the pictures are too small"
            if facts["size"] < duplicates.SMALLEST
            else ("there are too many images")
        )
        notes.append(f"near copies across the split were not looked for: {why}")
    if max(mean) < 0.03:
        notes.append(
            "the images are nearly black; 16-bit files that hold 12-bit values, say, should be "
            "scaled to the full range"
        )
    if twins["conflicting"]:
        notes.append(f"{twins['conflicting']} images occur several times with different labels")
    if facts["imbalance"] >= 3:
        notes.append(
            f"the largest class has {facts['imbalance']:.3g} times the images of the smallest: "
            f"look at balanced accuracy"
        )
    for part in ("val", "test"):
        absent = [
            name
            for name, count in zip(facts["classes"], facts["counts"][part], strict=False)
            if not count
        ]
        if absent:
            notes.append(
                f"no {part} image of "
                f"{', '.join(printable(name, 60) for name in absent[:5])}"
                f"{' ...' if len(absent) > 5 else ''}"
            )
        total = sum(facts["counts"][part])
        if total < 200 and facts["classes"]:
            notes.append(
                f"only {total} {part} images: accuracies are good to about "
                f"{100 / total**0.5:.0f} points"
            )
