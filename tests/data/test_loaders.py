"""data/loaders.py: what a program holds becomes a file that is read as any other; what cannot be
read once through is refused by place."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from archsmith.data import load
from archsmith.data.loaders import gather
from archsmith.errors import UserError

GENERATOR = torch.Generator().manual_seed(0)
IMAGES = torch.randint(0, 256, (90, 3, 9, 9), generator=GENERATOR, dtype=torch.uint8)
LABELS = torch.arange(90) % 3
FLOATS = IMAGES.float() / 255


def batches(images: Any, labels: Any, size: int = 16) -> list[tuple[Any, Any]]:
    return [(images[i : i + size], labels[i : i + size]) for i in range(0, len(images), size)]


WHOLE: dict[str, Callable[[], Any]] = {
    "a DataLoader": lambda: DataLoader(TensorDataset(IMAGES, LABELS), batch_size=16),
    "a data set": lambda: TensorDataset(IMAGES, LABELS),
    "a list of batches": lambda: batches(IMAGES, LABELS),
    "a generator of arrays": lambda: (one for one in batches(IMAGES.numpy(), LABELS.numpy())),
    "floats": lambda: batches(FLOATS, LABELS),
    "single images": lambda: [(x, int(y)) for x, y in zip(IMAGES, LABELS, strict=True)],
    "labels in columns of one": lambda: [(x, y[None]) for x, y in zip(IMAGES, LABELS, strict=True)],
}


@pytest.mark.parametrize("kind", WHOLE)
def test_all_kinds_of_loaders_are_the_same_data(kind: str, tmp_path: Path) -> None:
    gather(WHOLE[kind](), tmp_path / "data.npz")
    data = load(tmp_path / "data.npz")
    assert data.classes == ("0", "1", "2") and data.channels == 3 and data.size == 9
    assert sum(len(part) for part in data.parts.values()) == 90
    with np.load(tmp_path / "data.npz") as kept:
        held = kept["images"]
        scaled = held if held.dtype == np.uint8 else np.rint(held * 255)
        np.testing.assert_array_equal(scaled, IMAGES.numpy().transpose(0, 2, 3, 1))
        np.testing.assert_array_equal(kept["labels"], LABELS.numpy())


@pytest.mark.parametrize("parts", [("train",), ("train", "test"), ("train", "val", "test")])
def test_parts_stay_parts(parts: tuple[str, ...], tmp_path: Path) -> None:
    each = 90 // len(parts)
    given = {
        part: batches(IMAGES[i * each : (i + 1) * each], LABELS[:each])
        for i, part in enumerate(parts)
    }
    gather({**given, "test": given.get("test")}, tmp_path / "data.npz")
    data = load(tmp_path / "data.npz")
    for part in parts[1:]:
        assert len(data.parts[part]) == each
    assert len(data.parts["train"]) <= each and len(data.parts["val"]) > 0


def test_grey_images_with_or_without_a_channel(tmp_path: Path) -> None:
    for name, images in (("with", IMAGES[:, :1]), ("without", IMAGES[:, 0])):
        gather(batches(images, LABELS), tmp_path / f"{name}.npz")
    with np.load(tmp_path / "with.npz") as one, np.load(tmp_path / "without.npz") as other:
        np.testing.assert_array_equal(one["images"], other["images"])


def test_values_are_labels_too(tmp_path: Path) -> None:
    values = torch.rand(90, 2, generator=torch.Generator().manual_seed(1))
    gather(batches(IMAGES, values), tmp_path / "data.npz", task="regression")
    data = load(tmp_path / "data.npz", task="regression")
    assert data.task.outputs == 2


@pytest.mark.parametrize("kind", ["imagenet", "by number", "one scale", "halves"])
def test_normalised_images_are_read_in_the_scale_that_is_said(kind: str, tmp_path: Path) -> None:
    """What a run feeds its networks follows from a raw batch by that scale alone, to half a
    byte."""
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    made = {
        "imagenet": (FLOATS - mean[:, None, None]) / std[:, None, None],
        "by number": (FLOATS - FLOATS.mean()) / FLOATS.std(),
        "one scale": FLOATS * 255,
        "halves": ((FLOATS - 0.5) / 0.5).half(),
    }[kind]
    train, test = (slice(0, 60), slice(60, 90))
    gather(
        {n: batches(made[r], LABELS[r]) for n, r in (("train", train), ("test", test))},
        tmp_path / "data.npz",
    )
    data = load(tmp_path / "data.npz")
    low, high = data.facts["preprocessing"]["floats"]
    read = torch.from_numpy(np.array(data.parts["test"].images(range(30)))).float() / 255
    asked = ((made[test].float() - low) / (high - low)).clamp(0, 1)
    assert read.reshape(asked.shape).sub(asked).abs().max() <= 0.5 / 255 + 1e-3


def test_whole_floats_are_labels_of_classes(tmp_path: Path) -> None:
    gather(batches(IMAGES, LABELS.float()), tmp_path / "data.npz")
    assert load(tmp_path / "data.npz").classes == ("0", "1", "2")


def endless() -> Iterator[Any]:
    return itertools.cycle(batches(IMAGES, LABELS))


WRONG: dict[str, tuple[Callable[[], Any], str]] = {
    "endless": (endless, "has no end"),
    "read before": (lambda: iter(()), "gives no images"),
    "no labels": (lambda: [IMAGES], "gives Tensor at place 0"),
    "three things": (lambda: [(IMAGES, LABELS, LABELS)], "gives 3 things at place 0"),
    "other numbers": (lambda: [(IMAGES, LABELS[:5])], "90 images and 5 labels"),
    "sizes": (
        lambda: [*batches(IMAGES, LABELS), (IMAGES[..., 1:], LABELS)],
        "9 x 8, the first ones have 9 x 9",
    ),
    "channels": (lambda: [(IMAGES.expand(90, 3, 9, 9).repeat(1, 2, 1, 1), LABELS)], "channels"),
    "a fourth channel": (
        lambda: [(torch.cat([IMAGES, IMAGES[:, :1]], 1), LABELS)],
        "read as transparency",
    ),
    "rows": (lambda: [(IMAGES.flatten(1), LABELS)], "expected \\(B, C, H, W\\)"),
    "halves": (lambda: batches(IMAGES, LABELS + 0.5), "label 0.5; classes are whole numbers"),
    "not a label": (lambda: batches(IMAGES, LABELS.float() * torch.nan), "label nan"),
    "words": (lambda: [(IMAGES[:2], ["cat", "dog"])], "expected numbers"),
    "a number": (lambda: 7, "is a int; give a path"),
    "another part": (lambda: {"train": WHOLE["floats"](), "dev": []}, "'train', 'dev'"),
    "no training": (lambda: {"test": WHOLE["floats"]()}, '"train": loader'),
    "kinds": (
        lambda: {"train": batches(IMAGES, LABELS), "val": batches(IMAGES[:, 0], LABELS)},
        "different kinds",
    ),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_cannot_be_read_is_refused_and_nothing_is_written(kind: str, tmp_path: Path) -> None:
    make, said = WRONG[kind]
    with pytest.raises(UserError, match=said):
        gather(make(), tmp_path / "data.npz", most_bytes=200_000)
    assert not list(tmp_path.iterdir())
