"""From an image file to the pixels a network sees: pillow and numpy only, so that a shipped predict.py can repeat it exactly.

Order of the steps: refuse bombs; let a JPEG decode at a reduced scale that is still at least twice the wanted size; turn by the
EXIF orientation; 16-bit to 8-bit; lay transparency over white; grey or RGB; the central square, resized with the bilinear
(area-weighted when shrinking) filter of pillow.
"""

from __future__ import annotations

from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image

MAX_PIXELS = 89_478_485  # where pillow begins to warn of a decompression bomb
GREY_MODES = ("1", "L", "LA", "La", "I", "F", "I;16", "I;16B", "I;16L", "I;16N")
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def decode(source: str | Path | IO[bytes] | Image.Image, channels: int, size: int) -> np.ndarray:
    """uint8 pixels of shape (channels, size, size); channels is 1 (grey) or 3 (RGB). Any error of pillow passes through."""
    with source if isinstance(source, Image.Image) else Image.open(source) as image:
        if image.width * image.height > MAX_PIXELS:
            raise ValueError(f"{image.width} x {image.height} pixels, more than the {MAX_PIXELS} that are accepted")
        image.draft(None, (2 * size, 2 * size))  # changes nothing but JPEG
        image.load()
        picture = flatten(upright(image)).convert("L" if channels == 1 else "RGB")
    width, height = picture.size
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    square = picture.resize((size, size), Image.Resampling.BILINEAR, box=(left, top, left + side, top + side))
    pixels = np.asarray(square)
    return pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)


def upright(image: Image.Image) -> Image.Image:
    """Turned as its EXIF orientation says; an EXIF block that cannot be read counts as absent."""
    try:
        turn = _TURNS.get(image.getexif().get(0x0112, 1))
    except Exception:  # pillow raises a dozen kinds here; the pixels are fine all the same
        turn = None
    return image if turn is None else image.transpose(turn)


def flatten(image: Image.Image) -> Image.Image:
    """8 bits a channel, no transparency: 16-bit values divided by 257, floats up to 1 multiplied by 255, alpha over white."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        values = np.nan_to_num(np.asarray(image, dtype=np.float64))
        scale = 1 / 257 if image.mode != "F" else 255.0 if values.max() <= 1 else 1.0
        return Image.fromarray(np.clip(np.rint(values * scale), 0, 255).astype(np.uint8))
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return image
