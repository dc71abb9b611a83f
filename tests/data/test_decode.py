"""data/decode.py: modes, orientation, transparency, bit depth, the central square, bombs."""

from __future__ import annotations

import io

import numpy as np
import pytest
from pictures import encoded, picture
from PIL import Image

from archsmith.data import decode as module
from archsmith.data.decode import Preprocessing, decode


def roundtrip(
    image: Image.Image, channels: int, size: int, kind: str = "PNG", **options: object
) -> np.ndarray:
    return decode(io.BytesIO(encoded(image, kind, **options)), channels, size)


def test_a_picture_of_the_right_size_passes_unchanged() -> None:
    image = picture(1, 32)
    assert np.array_equal(roundtrip(image, 3, 32), np.asarray(image).transpose(2, 0, 1))
    grey = picture(2, 9, "L")
    assert np.array_equal(roundtrip(grey, 1, 9), np.asarray(grey)[None])


def test_grey_to_color_repeats_and_back_is_the_same() -> None:
    grey = picture(3, 12, "L")
    color = roundtrip(grey, 3, 12)
    assert np.array_equal(color, np.repeat(np.asarray(grey)[None], 3, axis=0))
    assert np.array_equal(
        roundtrip(Image.fromarray(color.transpose(1, 2, 0)), 1, 12)[0], np.asarray(grey)
    )


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(orientation: int) -> None:
    stored = picture(4, (12, 20))
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = np.asarray(stored)
    shown = {  # as the EXIF standard words it: where row 0 and column 0 of the file appear
        1: pixels,
        2: pixels[:, ::-1],
        3: pixels[::-1, ::-1],
        4: pixels[::-1],
        5: pixels.transpose(1, 0, 2),
        6: np.rot90(pixels, -1),
        7: pixels[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(pixels, 1),
    }[orientation]
    expected = decode(Image.fromarray(np.ascontiguousarray(shown)), 3, 12)
    assert np.array_equal(roundtrip(stored, 3, 12, exif=exif), expected)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")  # pillow's, while it opens the file
def test_a_broken_exif_block_does_no_harm() -> None:
    image = picture(5, 16)
    plain = roundtrip(image, 3, 16, "JPEG")
    assert np.array_equal(
        roundtrip(image, 3, 16, "JPEG", exif=b"Exif\0\0" + b"MM\0*\xff\xff\xff\xff garbage"), plain
    )


def test_sixteen_bits_keep_the_high_byte() -> None:
    values = np.array([[0, 257], [257 * 128, 65535]], dtype=np.uint16)
    assert roundtrip(Image.fromarray(values), 1, 2).tolist() == [[[0, 1], [128, 255]]]
    assert roundtrip(Image.fromarray(values.astype(np.int32)), 1, 2, "TIFF").tolist() == [
        [[0, 1], [128, 255]]
    ]


def test_floats() -> None:
    unit = np.array([[0.0, 0.5], [1.0, np.nan]], dtype=np.float32)
    assert roundtrip(Image.fromarray(unit), 1, 2, "TIFF").tolist() == [[[0, 128], [255, 0]]]
    wide = decode(Image.fromarray(unit * np.float32(200)), 1, 2, Preprocessing(floats=(0, 255)))
    assert wide.tolist() == [[[0, 100], [200, 0]]]
    with pytest.raises(
        ValueError, match="values from 0 to 200, where those of this set go from 0 to 1"
    ):
        decode(Image.fromarray(unit * np.float32(200)), 1, 2)


def test_transparency_lies_over_white() -> None:
    pixels = np.zeros((2, 2, 4), dtype=np.uint8)
    pixels[0, 0] = (10, 20, 30, 255)
    result = roundtrip(Image.fromarray(pixels), 3, 2)
    assert result[:, 0, 0].tolist() == [10, 20, 30]
    assert (result.reshape(3, -1)[:, 1:] == 255).all()
    palette = Image.new("P", (2, 2), 0)
    palette.putpalette([1, 2, 3, 9, 9, 9])
    palette.putpixel((1, 1), 1)
    assert roundtrip(palette, 3, 2, transparency=0)[:, 0].tolist() == [[255, 255]] * 3
    assert roundtrip(palette, 3, 2)[:, 0, 0].tolist() == [1, 2, 3]
    assert roundtrip(picture(6, 8, "L").convert("LA"), 1, 8).shape == (1, 8, 8)


def test_cmyk_and_bilevel() -> None:
    red = Image.new("RGB", (16, 16), (255, 0, 0)).convert("CMYK")
    assert (
        np.abs(roundtrip(red, 3, 16, "JPEG").astype(int).mean(axis=(1, 2)) - [255, 0, 0]).max() < 6
    )
    bits = Image.fromarray(np.array([[0, 255], [255, 0]], dtype=np.uint8)).convert("1")
    assert roundtrip(bits, 1, 2).tolist() == [[[0, 255], [255, 0]]]


@pytest.mark.parametrize(("width", "height"), [(40, 20), (20, 40), (41, 20)])
def test_the_central_square(width: int, height: int) -> None:
    pixels = np.zeros((height, width, 3), dtype=np.uint8)
    ys, xs = np.mgrid[:height, :width]
    inside = (abs(ys + 0.5 - height / 2) <= 10) & (abs(xs + 0.5 - width / 2) <= 10)
    pixels[inside] = 200
    result = roundtrip(Image.fromarray(pixels), 3, 20)
    assert (result[:, 1:-1, 1:-1] == 200).all()
    # the filter of an edge reaches outside
    assert (roundtrip(Image.fromarray(pixels), 3, 5)[:, 1:-1, 1:-1] == 200).all()


def test_a_large_jpeg_is_decoded_at_a_reduced_scale_with_nearly_the_same_result() -> None:
    ys, xs = np.mgrid[:900, :1200] / 1200
    smooth = np.stack([xs, ys, (xs + ys) / 2], axis=-1)
    image = Image.fromarray((smooth * 255).astype(np.uint8))
    data = encoded(image, "JPEG", quality=95)
    reduced = decode(io.BytesIO(data), 3, 64).astype(int)
    with Image.open(io.BytesIO(data)) as image:
        full = decode(image.convert("RGB"), 3, 64).astype(int)
    assert np.abs(reduced - full).max() <= 4


def test_a_bomb_is_refused_before_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_PIXELS", 100)
    with pytest.raises(ValueError, match="11 x 11 pixels"):
        roundtrip(picture(7, 11), 3, 4)
