"""What the images of a source hold: a checksum of each, taken from bytes that are read anyway."""

from __future__ import annotations

import hashlib
import io
import os
import stat
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from PIL import Image

from archsmith.data.attempts import SYSTEM, attempted
from archsmith.data.decode import open_picture
from archsmith.data.listing import Listing

_PIECE = 1 << 20
_CHUNK = 64


class Contents:
    """The checksums of a listing's images. Where they are files, `open` takes the checksum of what
    it decodes, and `digests` reads the files that were not opened: so each is read whole once,
    whether the pixels stay in memory or not."""

    def __init__(self, listing: Listing) -> None:
        self._listing = listing
        self._checksums: dict[int, str] = {}

    def open(self, index: int) -> Image.Image:
        """As the listing opens it; from any thread."""
        paths = self._listing.paths
        if paths is None or not is_regular(paths[index]):
            return self._listing.open(index)
        with open(paths[index], "rb") as stream:
            data = stream.read()
        self._checksums[index] = hashlib.sha256(data).hexdigest()
        return open_picture(io.BytesIO(data))

    def digests(self, threads: int | None) -> list[str]:
        """One checksum an image, in the order of the listing; "" for a file that cannot be read."""
        listing = self._listing
        if listing.paths is None:
            return [str(pin) for pin in listing.pins]
        missing = [row for row in range(len(listing.paths)) if row not in self._checksums]
        chunks = [missing[first : first + _CHUNK] for first in range(0, len(missing), _CHUNK)]
        with ThreadPoolExecutor(
            threads or os.cpu_count() or 1, thread_name_prefix="contents"
        ) as pool:
            for chunk, checksums in zip(chunks, pool.map(self._read, chunks), strict=True):
                self._checksums.update(zip(chunk, checksums, strict=True))
        return [self._checksums[row] for row in range(len(listing.paths))]

    def _read(self, rows: Sequence[int]) -> list[str]:
        assert self._listing.paths is not None
        paths, ids = self._listing.paths, self._listing.ids
        return [attempted(partial(_digest, paths[row]), ids[row]) for row in rows]


def data_hash(listing: Listing, digests: Sequence[str]) -> str:
    """Over id, label, declared part, group and contents of every image, whatever their order and
    wherever they lie."""
    declared = listing.declared or [""] * len(listing.ids)
    groups = listing.groups or [""] * len(listing.ids)
    lines = sorted(
        f"{row}"
        for row in zip(
            listing.ids, map(str, listing.labels), declared, groups, digests, strict=True
        )
    )
    return hashlib.sha256("\n".join(lines).encode("utf-8", "backslashreplace")).hexdigest()


def _digest(path: str) -> str:
    if not is_regular(path):
        return ""
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as stream:
            while piece := stream.read(_PIECE):
                digest.update(piece)
    except OSError as error:
        if error.errno in SYSTEM:
            raise
        return ""
    return digest.hexdigest()


def is_regular(path: str) -> bool:
    """Whether a file can be read to its end: no pipe, device or broken link."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except (OSError, ValueError):
        return False
