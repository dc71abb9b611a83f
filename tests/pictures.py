"""Small picture sets for the data tests, written to a temporary folder."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image


def picture(seed: int, size: int | tuple[int, int] = 16, mode: str = "RGB") -> Image.Image:
    """Noise over a gradient, different for every seed."""
    width, height = (size, size) if isinstance(size, int) else size
    rng = np.random.default_rng(seed)
    shape = (height, width) if mode == "L" else (height, width, 3)
    return Image.fromarray(
        rng.integers(0, 256, shape, dtype=np.uint8), mode="L" if mode == "L" else "RGB"
    )


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    """The bytes of a file."""
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def folder(
    root: Path,
    counts: Mapping[str, int],
    size: int | tuple[int, int] = 16,
    mode: str = "RGB",
    start: int = 0,
) -> Path:
    """One sub-folder per class with so many PNG files, every picture another; class names may hold
    slashes (train/cat)."""
    seed = start
    for name, count in counts.items():
        os.makedirs(root / name, exist_ok=True)
        for number in range(count):
            picture(seed, size, mode).save(root / name / f"{number:03d}.png")
            seed += 1
    return root
