"""Masks that lie beside the photos they belong to, and would be taken for photos of the same
class."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

import numpy as np
from PIL import Image

from archsmith.data.listing import Listing
from archsmith.errors import quoted

_TRIED = 40  # pairs looked at
_DARK, _MOSTLY, _FEW = 30, 0.9, 8
_MASK = r"masks?|seg(mentation)?(s|class|object)?|labels?|gt|annotations?|instances?|mattes?"
_NAMED = re.compile(
    rf"[_\-. ]*({_MASK}|(jpeg)?images?|imgs?|photos?|pictures?)[_\-. "
    rf"]*",
    re.IGNORECASE,
)
_ENDING = re.compile(rf"[_\-. ]({_MASK})$", re.IGNORECASE)


def masks_beside(listing: Listing, kept: Sequence[int]) -> list[str]:
    """A remark where images that share the name of another one, but for a suffix or a word such as
    mask, hold next to nothing: nearly all zero, or a few values only where the other one has
    many."""
    if listing.paths is None:
        return []
    twins: dict[str, list[int]] = {}
    for row in kept:
        twins.setdefault(_root(listing.ids[row]), []).append(row)
    groups = [rows for rows in twins.values() if len(rows) > 1]
    tried = [
        groups[place]
        for place in sorted(
            set(np.linspace(0, len(groups) - 1, min(_TRIED, len(groups))).astype(int))
        )
    ]
    pairs = []
    for rows in tried:
        held = [(row, pixels) for row in rows if (pixels := _values(listing, row)) is not None]
        photos = [row for row, pixels in held if not _is_empty(pixels)]
        pairs += [(row, photos[0]) for row, pixels in held if photos and _is_empty(pixels)]
    if not pairs:
        return []
    count = (
        (f"about {round(len(pairs) / len(tried) * len(groups))}")
        if len(tried) < len(groups)
        else f"{len(pairs)}"
    )
    mask, photo = (listing.ids[row] for row in pairs[0])
    return [
        f"{count} of {len(kept)} images seem to be masks, such as {quoted(mask, 100)} beside "
        f"{quoted(photo, 100)}: "
        "they were read as images of that class; move them out of the folder"
    ]


def _root(name: str) -> str:
    """What a photo and its mask have in common: the name without its ending and without folders and
    words for masks."""
    folder, file = os.path.split(os.path.splitext(name)[0])
    kept = [part for part in folder.split("/") if not _NAMED.fullmatch(part)]
    return "/".join([*kept, _ENDING.sub("", file)])


def _values(listing: Listing, row: int) -> np.ndarray | None:
    try:
        with listing.open(row) as image:
            small = image.resize((96, 96), Image.Resampling.NEAREST)
            return np.asarray(
                small if small.mode in ("P", "L", "1", "I", "F") else small.convert("L")
            )
    except Exception:  # as in scan: what cannot be read is listed there
        return None


def _is_empty(pixels: np.ndarray) -> bool:
    return bool((pixels <= _DARK).mean() >= _MOSTLY) or len(np.unique(pixels)) <= _FEW
