"""An ONNX file that takes pictures of any size makes them square as pillow does."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from archsmith.data.decode import FITS, square
from archsmith.export.fit import PICTURES, with_fit
from archsmith.graph.export import onnx_bytes
from archsmith.graph.writer import Deployment

SIZE = 24
# width, height
SIZES = [
    (160, 32),
    (32, 160),
    (24, 24),
    (47, 53),
    (7, 9),
    (1, 1),
    (1, 200),
    (300, 211),
    (25, 24),
    (640, 427),
]


def session(data: bytes) -> object:
    ort = pytest.importorskip("onnxruntime")
    return ort.InferenceSession(data, providers=["CPUExecutionProvider"])


def seen(channels: int) -> bytes:
    """A model that gives back the pixels it sees, in 0..1."""
    deployment = Deployment(
        (0.5,) * channels, (0.25,) * channels, "pixels", (0.25,) * channels, (0.5,) * channels
    )
    return onnx_bytes(nn.Identity(), (channels, SIZE, SIZE), deployment)


def picture(width: int, height: int, channels: int) -> Image.Image:
    rng = np.random.default_rng(width * 1000 + height)
    coarse = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
    smooth = np.asarray(
        Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC), np.int16
    )
    noisy = np.clip(smooth + rng.integers(-40, 41, smooth.shape), 0, 255).astype(np.uint8)
    return Image.fromarray(noisy).convert("L" if channels == 1 else "RGB")


def planes(image: Image.Image) -> np.ndarray:
    pixels = np.asarray(image)
    return pixels[None, None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)[None]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("fit", FITS)
def test_every_fit_is_that_of_the_decoder_for_any_form_of_picture(fit: str, channels: int) -> None:
    run = session(with_fit(seen(channels), fit)).run
    for width, height in SIZES:
        image = picture(width, height, channels)
        expected = planes(square(image, SIZE, fit)).astype(int)
        found = np.rint(255 * run(None, {PICTURES: planes(image)})[0]).astype(int)
        difference = np.abs(found - expected)
        # pillow chooses by the form which axis goes first
        assert difference.max() <= 1, (width, height)
        assert difference.mean() < 0.25, (width, height)


@pytest.mark.parametrize("fit", FITS)
def test_a_picture_of_the_networks_own_size_is_seen_to_the_bit(fit: str) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5)
    )
    plain = onnx_bytes(network, (3, SIZE, SIZE), Deployment((0.5,) * 3, (0.2,) * 3))
    batch = np.random.default_rng(1).integers(0, 256, (3, 3, SIZE, SIZE), dtype=np.uint8)
    found = session(with_fit(plain, fit)).run(None, {PICTURES: batch})[0]
    assert (found == session(plain).run(None, {"images": batch})[0]).all()


def test_what_the_file_says_of_itself_stays() -> None:
    onnx = pytest.importorskip("onnx")
    from archsmith.graph.writer import annotate

    model = onnx.load(io.BytesIO(with_fit(annotate(seen(3), {"labels": ["a", "b"]}), "pad")))
    assert {p.key: p.value for p in model.metadata_props} == {"labels": '["a", "b"]'}


def test_another_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="crop, pad, squeeze"):
        with_fit(seen(1), "stretch")
