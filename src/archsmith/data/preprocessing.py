"""Decides once for a whole set how its pictures are read: how they become square, and which values
are black and white."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from archsmith.data import scan
from archsmith.data.decode import FITS, UNIT_SLACK, Preprocessing
from archsmith.data.listing import Listing
from archsmith.errors import UserError, did_you_mean

_TOPS = (1023, 4095, 16383, 65535)  # of 10, 12, 14 and 16 bits
_DARK = 64  # pictures of 8 bits reach this somewhere; what stays below is not meant to go up to 255
# a share of a picture that is much; the central square of a 3:2 photo leaves out a third
_CUT = 0.34
_MOST = 5000  # deep pictures that are looked at for their scale
_STRAY = 0.05  # a share of the pictures: so many of another scale are no accident

Scale = tuple[float, float]


# -- which values are black and white ------------------------------------------------------------


_USUAL: tuple[Scale, ...] = (
    (0.0, 1.0),
    (-1.0, 1.0),
    (0.0, 255.0),
    *((0.0, float(top)) for top in _TOPS),
)


def scale_of(low: float, high: float, floats: bool) -> Scale:
    """The values that become 0 and 255, for a set whose pixels go from `low` to `high`.

    What is usual is taken, tolerant of rounding: 0..1 and -1..1 of floats, 0..255 and the full
    range of 10, 12, 14 or 16 bits; whole numbers that are only 0 and 1 are black and white.
    Anything else is stretched from its least to its greatest value.
    """
    edge = 1 + UNIT_SLACK
    if floats and low >= -UNIT_SLACK and high <= edge:
        return 0.0, 1.0
    if floats and -edge <= low and high <= edge:
        return -1.0, 1.0
    if not floats and low >= 0 and high <= 1:
        return 0.0, 1.0
    slack = UNIT_SLACK * high if floats else 0.0
    if low >= -slack and _DARK < high <= 255 * (edge if floats else 1.0):
        return 0.0, 255.0
    if low < -slack or low > max(high / 2, 1.0):
        return (low, high) if low < high else (low, low + 1.0)
    if high <= _DARK:
        return 0.0, high
    return 0.0, float(next((top for top in _TOPS if high <= top), high))


def check_alike(values: Sequence[scan.Values], scale: Scale, what: str) -> None:
    """UserError where some of these pictures of floats go up to 1 and the others to hundreds: one
    scale cannot read both."""
    if scale[1] - scale[0] < _DARK:
        return
    unit = [
        v for v in values if -1 - UNIT_SLACK <= v.least < v.most <= 1 + UNIT_SLACK and not v.whole
    ]
    if len(unit) > _STRAY * len(values):
        most = max(v.most for v in values)
        raise UserError(
            f"{what}: {len(unit)} of {len(values)} images hold floats up to "
            f"{max(v.most for v in unit):g}, the others up to "
            f"{most:g}; one scale cannot read both. Bring them to one scale, 0..1 or 0..255, and "
            f"start again."
        )


def check_part(low: float, high: float, scale: Scale, what: str, train: str) -> None:
    """UserError where values from `low` to `high` cannot be meant in the scale of the training
    images.

    A part that leaves it by more than a quarter, fills no eighth of it, or has a usual scale of its
    own where the training part has none, was written by another hand.
    """
    span = scale[1] - scale[0]
    beyond = high > scale[1] + span / 4 or low < scale[0] - span / 4
    within = low < high and high - low < span / 8
    lifted = scale == (-1.0, 1.0) and low >= -UNIT_SLACK
    usual = scale not in _USUAL and scale_of(low, high, True) in _USUAL[:2]
    if beyond or within or lifted or usual:
        raise UserError(
            f"{what} holds values from {low:g} to {high:g}, where those of {train} are read as "
            f"{scale[0]:g}..{scale[1]:g}; "
            "all parts must have one scale: scale them alike and save the file again."
        )


def scale_note(low: float, high: float, scale: Scale, what: str) -> str:
    """The note about a scale that was decided."""
    return (
        f"{what} hold values from {low:g} to {high:g}: {scale[0]:g} is read as black, "
        f"{scale[1]:g} as white, in every image"
    )


def _scales(
    listing: Listing, headers: Mapping[int, scan.Header], rows: Sequence[int], threads: int | None
) -> dict[str, Scale]:
    """By "integers" and "floats", as far as there are such pictures. rows: the training images, as
    far as they are known."""
    scales = {}
    for kind in ("integers", "floats"):
        there = [row for row, header in headers.items() if header.deep == kind]
        if not there:
            continue
        chosen = sorted(set(there) & set(rows)) or sorted(there)
        chosen = [
            chosen[place] for place in np.unique(np.linspace(0, len(chosen) - 1, _MOST).astype(int))
        ]
        values = list(scan.ranges(listing, chosen, threads).values())
        if not values:
            continue
        low, high = min(v.least for v in values), max(v.most for v in values)
        scales[kind] = scale_of(low, high, kind == "floats")
        what = "floats" if kind == "floats" else "whole numbers of more than 8 bits"
        if kind == "floats":
            check_alike(values, scales[kind], listing.kind)
        dim = sum(v.most < scales[kind][1] / _DARK for v in values)
        share = f", {dim} of them nearly black in that scale" if dim > _STRAY * len(values) else ""
        listing.notes.append(
            f"{scale_note(low, high, scales[kind], f'the {len(there)} images of {what}')}{share}"
        )
    plain = sum(not header.deep for header in headers.values())
    if scales and plain:
        listing.notes.append(f"the {plain} images of 8 bits a channel are read as they are")
    return scales


# -- how a picture becomes square ----------------------------------------------------------------


def fit_of(sizes: Iterable[tuple[int, int]], asked: str = "auto") -> tuple[str, str]:
    """(fit, why) for training images of these widths and heights.

    The central square where most of nearly every image lies within it; else all of the image is
    kept: stretched where the images have one form (what is stretched alike can be learned), between
    bars where they have many.
    """
    if asked not in ("auto", *FITS):
        raise UserError(
            f"fit '{asked}' is not one of auto, {', '.join(FITS)}{did_you_mean(asked, FITS)}."
        )
    aspects = sorted(width / height for width, height in sizes)
    cuts = sorted(1 - min(aspect, 1 / aspect) for aspect in aspects)
    lost, tenth = statistics.fmean(cuts), cuts[(9 * len(cuts)) // 10]
    if asked != "auto":
        return asked, "as asked"
    if lost <= 0.36 and tenth <= 0.45:
        return "crop", f"the central square leaves out {lost:.0%} of an image"
    why = f"the central square would leave out {lost:.0%} of an image"
    narrow, wide = aspects[len(aspects) // 20], aspects[-1 - len(aspects) // 20]
    if wide <= 1.25 * narrow:
        return "squeeze", f"{why}, and all have much the same form"
    return "pad", f"{why}, and their forms differ"


def _cut(sizes: Sequence[tuple[int, int]]) -> str:
    """The note about what the central square leaves out; "" where that is little."""
    cuts = [1 - min(size) / max(size) for size in sizes]
    much = sum(cut > _CUT for cut in cuts)
    if much <= _STRAY * len(cuts):
        return ""
    return (
        f"the central square leaves out more than a third of {much} of {len(cuts)} images, up to "
        f"{max(cuts):.0%}: what lies "
        "there is not seen; --fit pad or --fit squeeze keeps all of it"
    )


def decide(
    listing: Listing,
    headers: Mapping[int, scan.Header],
    *,
    fit: str,
    threads: int | None,
    before: Mapping[str, Any] | None,
) -> tuple[Preprocessing, dict[str, Any]]:
    """How every picture of the set is read, and that as plain JSON, with the reason; remarks go to
    `listing.notes`.

    Decided by the training images where the source says which those are, else by all. before: the
    JSON of an earlier load of the same set, which is kept to.
    """
    if before is not None:
        return Preprocessing.of(before), dict(before)
    declared = listing.declared or ()
    rows = [row for row in headers if declared and declared[row] == "train"] or list(headers)
    sizes = [(headers[row].width, headers[row].height) for row in rows]
    chosen, why = fit_of(sizes, fit)
    scales = listing.scales or _scales(listing, headers, rows, threads)
    how = Preprocessing(chosen, **scales)
    if chosen == "crop":
        if note := _cut(sizes):
            listing.notes.append(note)
    elif fit == "auto":
        what = (
            "stretched to a square"
            if chosen == "squeeze"
            else ("set into a square, with grey bars")
        )
        listing.notes.append(f"all of each image is seen, {what} (--fit {chosen}): {why}")
    return how, {**how.document(), "why": why}
