"""data/preprocessing.py: one scale and one way to become square for a whole set, decided once and
kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from archsmith.data import Streamed, load
from archsmith.data.arrays import list_npz
from archsmith.data.decode import Preprocessing, decode
from archsmith.data.preprocessing import fit_of, scale_of
from archsmith.errors import UserError

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (24, 6, 6), dtype=np.uint8)
LABELS = np.arange(24) % 2
UNIT = GREY / 255.0


@pytest.mark.parametrize(
    ("low", "high", "floats", "expected"),
    [
        (0, 1, True, (0, 1)),
        (0, 1.0000001, True, (0, 1)),
        (-0.03, 1.04, True, (0, 1)),
        (0.3, 0.4, True, (0, 1)),
        (-1, 1, True, (-1, 1)),
        (-0.98, 0.7, True, (-1, 1)),
        (0, 200, True, (0, 255)),
        (-2.0, 255.5, True, (0, 255)),
        (0, 16, True, (0, 16)),
        (-2.1, 2.6, True, (-2.1, 2.6)),
        (280, 310, True, (280, 310)),
        (0, 65535, True, (0, 65535)),
        (0, 1, False, (0, 1)),
        (0, 255, False, (0, 255)),
        (0, 900, False, (0, 1023)),
        (0, 4080, False, (0, 4095)),
        (0, 40000, False, (0, 65535)),
        (-1024, 3071, False, (-1024, 3071)),
        (0, 1_000_000, False, (0, 1_000_000)),
        (0, 0, True, (0, 1)),
        (5, 5, False, (5, 6)),
    ],
)
def test_what_is_black_and_white_follows_from_the_values_tolerant_of_rounding(
    low, high, floats, expected
) -> None:
    assert scale_of(low, high, floats) == expected


def arrays(root: Path, **given: np.ndarray) -> Path:
    np.savez(root / "set.npz", **given)
    return root / "set.npz"


PAIRS = {
    "rounded": (UNIT, UNIT * 1.0000001),
    "single precision": (UNIT, UNIT.astype(np.float32)),
    "signed": (UNIT * 2 - 1, UNIT * 2 - 1),
    "16 bits": (GREY.astype(np.uint16) * 257, GREY.astype(np.int64) * 257),
    "dark test images": (UNIT, UNIT * 0.2),
}


@pytest.mark.parametrize("name", PAIRS)
def test_every_part_of_an_npz_file_is_read_in_the_scale_of_the_training_part(
    tmp_path: Path, name: str
) -> None:
    train, test = PAIRS[name]
    listing = list_npz(
        arrays(tmp_path, x_train=train, y_train=LABELS, x_test=test, y_test=LABELS), None
    )
    got = np.stack([np.asarray(listing.open(row)) for row in range(48)]).astype(int)
    expected = np.rint(GREY * (0.2 if name == "dark test images" else 1)).astype(int)
    assert np.abs(got[:24] - GREY).max() == 0
    assert np.abs(got[24:] - expected).max() <= 1
    assert any("is read as black" in note for note in listing.notes)


OTHERS = {
    "bytes, then 0..1": (GREY, UNIT),
    "0..1, then bytes": (UNIT, GREY),
    "bytes, then 16 bits": (GREY, GREY.astype(np.uint16) * 257),
    "-1..1, then 0..1": (UNIT * 2 - 1, UNIT),
    "0..1, then -1..1": (UNIT, UNIT * 2 - 1),
    "16 bits, then bytes": (GREY.astype(np.uint16) * 257, GREY),
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_part_in_another_scale_is_refused(tmp_path: Path, name: str) -> None:
    train, test = OTHERS[name]
    with pytest.raises(
        UserError, match="x_test holds values from .* where those of x_train are read as"
    ):
        list_npz(arrays(tmp_path, x_train=train, y_train=LABELS, x_test=test, y_test=LABELS), None)


def pictures(root: Path, images: np.ndarray | list[np.ndarray]) -> Path:
    for number, image in enumerate(images):
        (root / "ab"[number % 2]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(root / "ab"[number % 2] / f"{number:02d}.tif")
    return root


DEEP = {
    "floats 0..1": (UNIT.astype(np.float32), {"floats": [0.0, 1.0]}),
    "floats 0..255": (GREY.astype(np.float32), {"floats": [0.0, 255.0]}),
    "signed floats": ((UNIT * 2 - 1).astype(np.float32), {"floats": [-1.0, 1.0]}),
    "12 bits": (GREY.astype(np.uint16) * 16, {"integers": [0.0, 4095.0]}),
    "16 bits": (GREY.astype(np.uint16) * 257, {"integers": [0.0, 65535.0]}),
}


@pytest.mark.parametrize("name", DEEP)
@pytest.mark.parametrize("memory", [None, 0])
def test_files_of_more_than_8_bits_are_read_in_one_scale_which_the_facts_keep(
    tmp_path: Path, name: str, memory
) -> None:
    images, scale = DEEP[name]
    dark = (images * 0.25).astype(images.dtype) if name != "signed floats" else images
    data = load(
        pictures(
            tmp_path,
            [a if row % 4 else b for row, (a, b) in enumerate(zip(images, dark, strict=True))],
        ),
        memory_limit_bytes=memory,
    )
    assert scale.items() <= data.facts["preprocessing"].items()
    assert any("is read as black" in note for note in data.facts["notes"])
    how = Preprocessing.of(data.facts["preprocessing"])
    assert how == data.how
    part = data.parts["train"]
    for place, name_ in enumerate(part.ids):  # what a shipped predict.py makes of a single file
        assert np.array_equal(decode(tmp_path / name_, 1, 6, how), part.images([place])[0].numpy())
    again = load(tmp_path, before=data.facts, split=data.split.to_json(), memory_limit_bytes=memory)
    assert again.how == how and torch.equal(
        again.parts["val"].images([0]), data.parts["val"].images([0])
    )


@pytest.mark.parametrize("share", [0.5, 0.1, 0.9])
def test_floats_up_to_1_and_up_to_255_in_one_set_are_refused(tmp_path: Path, share: float) -> None:
    images = [a * (255 if row < share * 24 else 1) for row, a in enumerate(UNIT.astype(np.float32))]
    with pytest.raises(UserError, match="one scale cannot read both"):
        load(pictures(tmp_path, images))
    with pytest.raises(UserError, match="one scale cannot read both"):
        list_npz(arrays(tmp_path, x=np.stack(images), y=LABELS), None)


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([(32, 32)], "crop"),
        ([(400, 300), (300, 400)], "crop"),
        ([(300, 200)], "crop"),
        ([(160, 32)], "squeeze"),
        ([(40, 200), (42, 200)], "squeeze"),
        ([(1920, 1080)], "squeeze"),
        ([(160, 32), (32, 160)], "pad"),
        ([(300, 100), (500, 100)], "pad"),
        ([(100, 100)] * 7 + [(400, 100)] * 3, "pad"),
    ],
)
def test_how_images_become_square_follows_from_their_forms(sizes, expected) -> None:
    assert fit_of(sizes * 10)[0] == expected
    assert fit_of(sizes * 10, "pad") == ("pad", "as asked")


def test_an_unknown_fit_is_told() -> None:
    with pytest.raises(UserError, match="fit 'squeze' is not one of .*did you mean 'squeeze'"):
        fit_of([(1, 1)], "squeze")


def strips(root: Path, width: int = 80, height: int = 16) -> Path:
    """What tells the classes apart lies at the end of each strip."""
    for number in range(24):
        pixels = np.full((height, width, 3), 90, np.uint8)
        pixels[:, :4] = (255, 0, 0) if number % 2 else (0, 0, 255)
        pixels[number % height, width // 2] = number
        (root / "ab"[number % 2]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels if height < width else pixels.transpose(1, 0, 2)).save(
            root / "ab"[number % 2] / f"{number}.png"
        )
    return root


@pytest.mark.parametrize(("fit", "size"), [("auto", 36), ("squeeze", 36), ("pad", 80)])
@pytest.mark.parametrize("memory", [None, 0])
def test_the_ends_of_strips_are_seen_unless_cropping_is_asked_for(
    tmp_path: Path, fit: str, size: int, memory
) -> None:
    data = load(strips(tmp_path), fit=fit, memory_limit_bytes=memory)
    assert data.size == size and data.facts["preprocessing"]["fit"] == (
        "squeeze" if fit == "auto" else fit
    )
    assert isinstance(data.parts["train"], Streamed) == (memory == 0)
    image = data.parts["train"].images([0])[0].float()
    assert (image[0] - image[2]).abs().amax() > 200
    assert fit != "auto" or any("--fit squeeze" in note for note in data.facts["notes"])


def test_a_crop_that_cuts_much_is_said(tmp_path: Path) -> None:
    data = load(strips(tmp_path), fit="crop")
    assert data.size == 16
    assert any(
        "leaves out more than a third of 24 of 24 images, up to 80%" in note
        for note in data.facts["notes"]
    )
    assert data.channels == 1  # nothing of the colored ends is seen


@pytest.mark.parametrize("shape", [(40, 8), (8, 40), (7, 5), (1, 30)])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_padding_keeps_the_form_and_puts_the_picture_in_the_middle(
    shape: tuple[int, int], mode: str
) -> None:
    result = decode(Image.new(mode, shape, "white"), len(mode), 20, Preprocessing("pad"))
    assert result.shape == (len(mode), 20, 20)
    white = result[0] == 255
    width, height = (
        max(1, round(20 * shape[0] / max(shape))),
        max(1, round(20 * shape[1] / max(shape))),
    )
    assert white.sum() == width * height and set(np.unique(result)) <= {128, 255}
    assert abs(int(white.any(0).argmax()) - (20 - width) / 2) <= 0.5
