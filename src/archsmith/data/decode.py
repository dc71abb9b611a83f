"""From an image file to the pixels a network sees: pillow and numpy only, so that a shipped
predict.py can repeat it exactly.

Order of the steps: refuse what is no regular file, no format of pictures, or a bomb; let a JPEG
decode at a reduced scale that is still at least twice the wanted size; turn by the EXIF
orientation; more than 8 bits a channel to 8 bits, by the scale of the set; lay transparency over
white; grey or RGB; a square, as `Preprocessing.fit` says, resized with the bilinear (area-weighted
when shrinking) filter of pillow.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from PIL import Image

MAX_PIXELS = 89_478_485  # where pillow begins to warn of a decompression bomb
GREY_MODES = ("1", "L", "LA", "La", "I", "F", "I;16", "I;16B", "I;16L", "I;16N")
# pictures only: pillow knows more, and opens EPS by running Ghostscript
FORMATS = (
    "JPEG",
    "PNG",
    "BMP",
    "DIB",
    "GIF",
    "WEBP",
    "TIFF",
    "PPM",
    "JPEG2000",
    "TGA",
    "ICO",
    "AVIF",
    "PCX",
    "SGI",
)
FITS = ("crop", "pad", "squeeze")
PAD = 128  # the grey around a picture that does not fill the square
UNIT_SLACK = 0.05  # floats may pass 0 and 1 by so much: rounding, or a filter that overshoots
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_KINDS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}


class Preprocessing(NamedTuple):
    """What a set of images decided once for every picture, also for those that come later.

    fit: how a picture that is not square becomes so: its central square ("crop"), all of it between
    grey bars ("pad"), or all of it, stretched ("squeeze"). integers, floats: of pictures with more
    than 8 bits a channel, the values that become 0 and 255; the defaults are what such files mean
    by themselves.
    """

    fit: str = "crop"
    integers: tuple[float, float] = (0.0, 65535.0)
    floats: tuple[float, float] = (0.0, 1.0)

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in self._asdict().items()
        }

    @staticmethod
    def of(document: Mapping[str, Any] | None) -> Preprocessing:
        """From JSON; what is not said is the default."""
        fields = {**PLAIN.document(), **(document or {})}
        (first, last), (low, high) = fields["integers"], fields["floats"]
        return Preprocessing(
            str(fields["fit"]), (float(first), float(last)), (float(low), float(high))
        )


PLAIN = Preprocessing()


def decode(
    source: str | Path | IO[bytes] | Image.Image,
    channels: int,
    size: int,
    how: Preprocessing = PLAIN,
) -> np.ndarray:
    """uint8 pixels of shape (channels, size, size); channels is 1 (grey) or 3 (RGB). Any error of
    pillow passes through."""
    with source if isinstance(source, Image.Image) else open_picture(source) as image:
        if image.width * image.height > MAX_PIXELS:
            raise ValueError(
                f"{image.width} x {image.height} pixels, more than the {MAX_PIXELS} "
                f"that are accepted"
            )
        image.draft(None, (2 * size, 2 * size))  # changes nothing but JPEG
        image.load()
        picture = flatten(upright(image), how).convert("L" if channels == 1 else "RGB")
    pixels = np.asarray(square(picture, size, how.fit))
    return pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)


def open_picture(source: str | Path | IO[bytes]) -> Image.Image:
    """The picture, not yet decoded. OSError for what is no regular file: opening a pipe would wait
    for ever."""
    if isinstance(source, str | Path):
        mode = os.stat(source).st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            raise OSError(f"{_KINDS.get(stat.S_IFMT(mode), 'something else')}, not a file")
    Image.init()
    # a pillow may be built without some
    return Image.open(source, formats=[name for name in FORMATS if name in Image.OPEN])


def square(picture: Image.Image, size: int, fit: str) -> Image.Image:
    """size x size, from the central square of the picture or from all of it."""
    width, height = picture.size
    if fit == "squeeze":
        return picture.resize((size, size), Image.Resampling.BILINEAR)
    if fit == "pad":
        inner = [max(1, round(side * size / max(width, height))) for side in (width, height)]
        whole = Image.new(picture.mode, (size, size), PAD if picture.mode == "L" else (PAD,) * 3)
        small = picture.resize((inner[0], inner[1]), Image.Resampling.BILINEAR)
        whole.paste(small, ((size - inner[0]) // 2, (size - inner[1]) // 2))
        return whole
    if fit != "crop":
        raise ValueError(f"fit {fit!r} is not one of {', '.join(FITS)}")
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    return picture.resize(
        (size, size), Image.Resampling.BILINEAR, box=(left, top, left + side, top + side)
    )


def upright(image: Image.Image) -> Image.Image:
    """Turned as its EXIF orientation says; an EXIF block that cannot be read counts as absent."""
    turn = _TURNS.get(orientation(image))
    return image if turn is None else image.transpose(turn)


def orientation(image: Image.Image) -> int:
    """Of the EXIF standard, 1 to 8; an EXIF block that cannot be read counts as absent."""
    try:
        return int(image.getexif().get(0x0112, 1))
    except OSError as error:
        if error.errno is not None:  # the disk failed, not the block
            raise
    except Exception:  # pillow raises a dozen kinds here; the pixels are fine all the same
        pass
    return 1


def deep(mode: str) -> str:
    """ "integers" or "floats" for pictures with more than 8 bits a channel, "" for all others."""
    return "floats" if mode == "F" else "integers" if mode == "I" or mode.startswith("I;16") else ""


def flatten(image: Image.Image, how: Preprocessing) -> Image.Image:
    """8 bits a channel, no transparency: deeper pictures by the scale of the set, alpha over
    white."""
    kind = deep(image.mode)
    if kind:
        low, high = how.floats if kind == "floats" else how.integers
        values = np.asarray(image, dtype=np.float64)
        why = strange(values, low, high, kind == "floats")
        if why:
            raise ValueError(why)
        return Image.fromarray(to_bytes(values, low, high))
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return image


def to_bytes(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """uint8 of the same shape: low becomes 0, high 255, what lies beyond is cut, NaN counts as
    low."""
    values = np.nan_to_num(values.astype(np.float64), nan=low, posinf=high, neginf=low)
    return np.clip(np.rint((values - low) * (255 / (high - low))), 0, 255).astype(np.uint8)


def strange(values: np.ndarray, low: float, high: float, floats: bool) -> str:
    """Why these values cannot be of the scale low..high: read by it the picture would be white or
    black. "" where they can."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return "no value in it is a number"
    least, most, span = float(finite.min()), float(finite.max()), high - low
    beyond = np.count_nonzero((finite > high + span) | (finite < low - span))
    edge = 1 + UNIT_SLACK
    tiny = (
        floats
        and span >= 64
        and -edge <= least < most <= edge
        and bool((finite != np.rint(finite)).any())
    )
    if tiny or beyond > finite.size // 100:
        return (
            f"it holds values from {least:g} to {most:g}, where those of this set go from {low:g} "
            f"to {high:g}; scale it alike"
        )
    return ""
