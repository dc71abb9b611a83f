"""data/masks.py: masks beside photos are named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pictures import folder, picture
from PIL import Image

from archsmith.data import load


def _zeros() -> Image.Image:
    values = np.zeros((16, 16), np.uint8)
    values[4:7, 4:7] = 1
    return Image.fromarray(values)


def _two_values() -> Image.Image:
    return Image.fromarray((np.indices((16, 16)).sum(0) % 2 * 255).astype(np.uint8))


def _palette() -> Image.Image:
    image = _zeros().convert("P")
    image.putpalette([200, 30, 40, 10, 220, 90])
    return image


@pytest.mark.parametrize("made", [_zeros, _two_values, _palette])
@pytest.mark.parametrize("place", ["{0}/{1}.png", "{0}/{1}_mask.png", "{0}/masks/{1}.png"])
def test_masks_beside_photos_are_named(made: object, place: str, tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name / "masks").mkdir(parents=True)
        for number in range(6):
            picture(number + 10 * (name == "b")).save(tmp_path / name / f"{number}.jpg")
            made().save(tmp_path / place.format(name, number))  # type: ignore[operator]
    for limit in (None, 0):
        (note,) = [
            note
            for note in load(tmp_path, memory_limit_bytes=limit).facts["notes"]
            if "seem to be masks" in note
        ]
        assert "12 of 24 images seem to be masks, such as" in note


@pytest.mark.parametrize(
    ("photos", "masks"),
    [("images", "masks"), ("JPEGImages", "SegmentationClass"), ("photos", "gt")],
)
def test_a_class_of_masks_is_named(photos: str, masks: str, tmp_path: Path) -> None:
    folder(tmp_path, {photos: 6})
    (tmp_path / masks).mkdir()
    for number in range(6):
        _palette().save(tmp_path / masks / f"{number:03d}.png")
    assert any("6 of 12 images seem to be masks" in note for note in load(tmp_path).facts["notes"])


def test_dark_photos_and_photos_of_one_name_are_no_masks(tmp_path: Path) -> None:
    folder(tmp_path, {"a": 6, "b": 6})
    for number in range(6):
        picture(100 + number).save(tmp_path / "a" / f"{number:03d}.jpg")
        _zeros().save(tmp_path / "b" / f"night{number}.png")
    assert not [note for note in load(tmp_path).facts["notes"] if "seem to be masks" in note]
