"""data/duplicates.py: exact and near copies across the split, and what is no copy."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from archsmith.data import load
from archsmith.data.duplicates import across

ROWS = {"train": np.arange(0, 30), "val": np.arange(30, 40), "test": np.arange(40, 60)}
IDS = [f"i{row}" for row in range(60)]
LABELS = np.arange(60) % 3


def scenes(channels: int = 3, size: int = 32) -> np.ndarray:
    """60 different pictures with structure: enlarged noise."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (60, 8, 8, 3), dtype=np.uint8)
    large = [
        np.asarray(Image.fromarray(picture).resize((size, size), Image.Resampling.BICUBIC))
        for picture in coarse
    ]
    return np.ascontiguousarray(np.stack(large).transpose(0, 3, 1, 2)[:, :channels])


def test_nothing_to_find() -> None:
    found = across(scenes(), LABELS, ROWS, IDS)
    assert found == {"exact": 0, "near": 0, "searched": True, "conflicting": 0, "examples": []}


def test_exact_copies_and_conflicting_labels() -> None:
    pixels = scenes()
    pixels[50] = pixels[2]  # test and train, the same label
    pixels[41] = pixels[31]  # test and val, different labels
    pixels[5] = pixels[4]  # within train: no leak, but a conflict
    found = across(pixels, LABELS, ROWS, IDS)
    assert (found["exact"], found["near"], found["conflicting"]) == (2, 0, 2)
    assert found["examples"] == [["i31", "i41"], ["i2", "i50"]]


def test_near_copies_survive_noise_exposure_and_a_lossy_file() -> None:
    pixels = scenes()
    rng = np.random.default_rng(1)
    pixels[42] = np.clip(pixels[3] + rng.normal(0, 6, pixels[3].shape), 0, 255)
    pixels[43] = np.clip(pixels[7] * 0.6 + 30, 0, 255)
    pixels[33] = np.asarray(
        Image.fromarray(pixels[9].transpose(1, 2, 0)).resize((24, 24)).resize((32, 32))
    ).transpose(2, 0, 1)
    found = across(pixels, LABELS, ROWS, IDS)
    assert (found["exact"], found["near"]) == (0, 3)
    assert sorted(found["examples"]) == [["i3", "i42"], ["i7", "i43"], ["i9", "i33"]]


def test_flat_pictures_with_a_small_object_are_no_copies() -> None:
    pixels = np.full((60, 3, 32, 32), 180, dtype=np.uint8)
    pixels += (np.arange(32, dtype=np.uint8) * 2)[None, None, :, None]  # the same sky everywhere
    rng = np.random.default_rng(2)
    for picture in pixels:
        y, x = rng.integers(0, 24, 2)
        picture[:, y : y + 8, x : x + 8] = rng.integers(0, 256, (3, 8, 8))
    assert across(pixels, LABELS, ROWS, IDS)["near"] == 0


def test_tiny_pictures_are_not_searched() -> None:
    found = across(scenes(1, 8), LABELS, ROWS, IDS)
    assert not found["searched"]


def test_cifar_10_has_near_copies() -> None:
    """Barz and Denzler (2020, ciFAIR) judged 3.3 % of its test images to have one in the training
    set, altered ones included. Here a tenth of the test images are held against the rest of them, a
    fifth of their candidates."""
    root = os.environ.get("ARCHSMITH_DATA")
    if not root:
        pytest.skip("ARCHSMITH_DATA is not set: no real images")
    data = load(
        Path(root) / "images" / "cifar10_lossless_test.parquet", val_share=0.1, test_share=0.1
    )
    assert data.facts["duplicates"]["exact"] == 0
    assert 2 <= data.facts["duplicates"]["near"] <= 40
