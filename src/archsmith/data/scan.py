"""Passes over all images of a source with a pool of threads: their headers, their pixels."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
from PIL import Image, UnidentifiedImageError

from archsmith.data.attempts import attempted
from archsmith.data.decode import (
    GREY_MODES,
    MAX_PIXELS,
    PLAIN,
    Preprocessing,
    decode,
    deep,
    orientation,
)
from archsmith.data.listing import Listing
from archsmith.errors import UserError, first_line

_CHUNK = 64
_TAILS = {"JPEG": b"\xff\xd9", "MPO": b"\xff\xd9", "PNG": b"IEND\xaeB`\x82"}
Result = TypeVar("Result")


@dataclass(frozen=True)
class Header:
    """Of an image as shown: width and height in pixels, whether it is grey, and whether it holds
    "integers" or "floats" of more than 8 bits."""

    width: int
    height: int
    grey: bool
    deep: str = ""


@dataclass(frozen=True)
class Values:
    """What the pixels of one deep image hold: the least and the greatest finite number, and whether
    all are whole."""

    least: float
    most: float
    whole: bool


def headers(listing: Listing, indices: Sequence[int], threads: int | None) -> dict[int, Header]:
    """The headers of the images that have one; the others are listed as unreadable. A file that
    seems cut off is decoded."""

    def one(index: int) -> Header:
        with listing.open(index) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ValueError(
                    f"{image.width} x {image.height} pixels, more than the "
                    f"{MAX_PIXELS} that are accepted"
                )
            turned = image.format in ("JPEG", "MPO") and orientation(image) >= 5
            size = image.size[::-1] if turned else image.size
            header = Header(*size, grey=image.mode in GREY_MODES, deep=deep(image.mode))
            if listing.paths is not None and _cut_off(listing.paths[index], image.format):
                image.load()
            return header

    return {
        index: header
        for index, header in _each(one, indices, listing, threads)
        if header is not None
    }


def ranges(listing: Listing, indices: Sequence[int], threads: int | None) -> dict[int, Values]:
    """What the pixels of deep images hold; those that cannot be decoded or hold no number are left
    out, to be listed later."""

    def one(index: int) -> Values | None:
        with listing.open(index) as image:
            numbers = np.asarray(image)
        finite = numbers[np.isfinite(numbers)]
        if not finite.size:
            return None
        return Values(
            float(finite.min()), float(finite.max()), bool((finite == np.rint(finite)).all())
        )

    known = len(listing.unreadable)
    values = {
        index: held for index, held in _each(one, indices, listing, threads) if held is not None
    }
    del listing.unreadable[known:]
    return values


def pixels(
    listing: Listing,
    indices: np.ndarray,
    channels: int,
    size: int,
    threads: int | None,
    *,
    how: Preprocessing = PLAIN,
) -> tuple[np.ndarray, np.ndarray]:
    """uint8 (n, channels, size, size) of the images that can be decoded, and their indices; the
    others are listed."""
    result = np.empty((len(indices), channels, size, size), dtype=np.uint8)

    def one(place: int) -> bool:
        result[place] = decode(listing.open(int(indices[place])), channels, size, how)
        return True

    names = indices.tolist()
    good = [
        place
        for place, done in _each(one, range(len(indices)), listing, threads=threads, rows=names)
        if done
    ]
    if len(good) == len(indices):
        return result, indices
    for target, place in enumerate(good):  # in place: the array may fill half of the memory
        result[target] = result[place]
    return result[: len(good)], indices[good]


def colorless(pixels: np.ndarray) -> bool:
    """Whether the three channels of every image are equal."""
    pieces = (pixels[first : first + 512] for first in range(0, len(pixels), 512))
    return all(
        np.array_equal(piece[:, 0], piece[:, 1]) and np.array_equal(piece[:, 0], piece[:, 2])
        for piece in pieces
    )


def _each(
    work: Callable[[int], Result],
    places: Iterable[int],
    listing: Listing,
    threads: int | None,
    rows: Sequence[int] | None = None,
) -> Iterator[tuple[int, Result | None]]:
    """work(place) of every place, in order; where it fails None, and a line in
    `listing.unreadable`. rows: place -> row.

    UserError where not the image fails but the system.
    """

    def safely(chunk: list[int]) -> list[tuple[int, Result | None, str]]:
        done: list[tuple[int, Result | None, str]] = []
        for place in chunk:
            try:
                name = listing.shown(place if rows is None else rows[place])
                done.append((place, attempted(partial(work, place), name), ""))
            except UserError:
                raise
            except Exception as error:  # pillow raises a dozen kinds for damaged files
                done.append((place, None, reason(error)))
        return done

    everything = list(places)
    chunks = [everything[first : first + _CHUNK] for first in range(0, len(everything), _CHUNK)]
    with (
        _without_warnings(),
        ThreadPoolExecutor(threads or os.cpu_count() or 1, thread_name_prefix="scan") as pool,
    ):
        for chunk in pool.map(safely, chunks):
            for place, result, why in chunk:
                if why:
                    listing.unreadable.append(
                        (listing.shown(place if rows is None else rows[place]), why)
                    )
                yield place, result


@contextmanager
def _without_warnings() -> Iterator[None]:
    """pillow warns of bombs, odd EXIF blocks and palettes; bombs are refused by us, the rest does
    no harm."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def reason(error: BaseException) -> str:
    """One line, never empty, without the address of a buffer in it."""
    if isinstance(error, UnidentifiedImageError):
        return "not an image that pillow can read"
    if isinstance(error, Image.DecompressionBombError):
        return f"more than the {MAX_PIXELS} pixels that are accepted"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return first_line(error)


def _cut_off(path: str, kind: str | None) -> bool:
    """Whether the last bytes lack the end mark of the format."""
    if kind not in _TAILS:
        return False
    with open(path, "rb") as stream:
        stream.seek(0, os.SEEK_END)
        stream.seek(max(stream.tell() - 64, 0))
        return _TAILS[kind] not in stream.read()
