"""data/arrays.py: npz files in their many shapes, and the built-in digits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from archsmith.data.arrays import as_uint8, list_digits, list_npz
from archsmith.errors import UserError

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (6, 5, 5), dtype=np.uint8)
COLOR = RNG.integers(0, 256, (6, 5, 5, 3), dtype=np.uint8)
LABELS = np.array([0, 1, 2, 0, 1, 2])


def npz(root: Path, **arrays: Any) -> Path:
    np.savez(root / "set.npz", **arrays)
    return root / "set.npz"


def test_digits() -> None:
    listing = list_digits()
    assert len(listing.ids) == 1797
    first = np.asarray(listing.open(0))
    assert first.shape == (8, 8)
    assert first.max() == round(15 * 255 / 16)
    assert sorted(set(listing.labels), key=str) == [str(i) for i in range(10)]


@pytest.mark.parametrize("names", [("images", "labels"), ("x", "y"), ("X", "Y")])
def test_one_set(tmp_path: Path, names: tuple[str, str]) -> None:
    listing = list_npz(npz(tmp_path, **{names[0]: GREY, names[1]: LABELS}), None)
    assert listing.labels == ["0", "1", "2"] * 2
    assert listing.declared is None
    assert np.array_equal(np.asarray(listing.open(3)), GREY[3])


def test_parts_as_keras_and_as_medmnist_name_them(tmp_path: Path) -> None:
    keras = list_npz(npz(tmp_path, x_train=COLOR, y_train=LABELS[:, None], x_test=COLOR[:3], y_test=LABELS[:3, None]), None)
    assert keras.declared == ["train"] * 6 + ["test"] * 3
    assert keras.ids[6] == "test:0"
    arrays = {f"{part}_images": GREY for part in ("train", "val", "test")}
    arrays |= {f"{part}_labels": LABELS for part in ("train", "val", "test")}
    assert list_npz(npz(tmp_path, **arrays), None).declared == ["train"] * 6 + ["val"] * 6 + ["test"] * 6


def test_class_names_one_hot_and_groups(tmp_path: Path) -> None:
    names = np.array(["ant", "bee", "cat"])
    listing = list_npz(npz(tmp_path, images=COLOR, labels=np.eye(3)[LABELS], class_names=names, group=LABELS % 2), None)
    assert listing.labels == ["ant", "bee", "cat"] * 2
    assert listing.classes == ("ant", "bee", "cat")
    assert listing.groups == ["0", "1", "0"] * 2
    with pytest.raises(UserError, match="no array 'patient'"):
        list_npz(npz(tmp_path, images=COLOR, labels=LABELS), "patient")


def test_nan_labels_are_none(tmp_path: Path) -> None:
    labels = LABELS.astype(float)
    labels[2] = np.nan
    assert list_npz(npz(tmp_path, images=GREY, labels=labels), None).labels == ["0", "1", None, "0", "1", "2"]


def test_as_uint8() -> None:
    assert np.array_equal(as_uint8(COLOR.transpose(0, 3, 1, 2), ""), COLOR)
    assert np.array_equal(as_uint8(GREY[..., None], ""), GREY)
    assert np.array_equal(as_uint8(GREY[:, None], ""), GREY)
    assert np.array_equal(as_uint8(GREY / 255.0, ""), GREY)
    assert np.array_equal(as_uint8(GREY.astype(np.float32), ""), GREY)
    assert np.array_equal(as_uint8(GREY.astype(np.uint16) * 257, ""), GREY)
    assert as_uint8(GREY > 100, "").max() == 255


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": GREY}, "holds the arrays images; expected"),
        ({"images": GREY, "labels": LABELS[:4]}, "6 images, .* 4 labels"),
        ({"x_test": GREY, "y_test": LABELS}, "expected images and labels"),
        ({"images": GREY[0], "labels": LABELS}, "has the shape"),
        ({"images": GREY.astype(np.int32) - 9, "labels": LABELS}, "holds values from"),
        ({"images": np.where(GREY > 100, np.nan, GREY), "labels": LABELS}, "without NaN"),
        ({"images": GREY, "labels": np.zeros((6, 4))}, "expected one label an image"),
        ({"images": GREY.astype(str), "labels": LABELS}, "expected numbers"),
    ],
)
def test_faults(tmp_path: Path, arrays: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(UserError, match=message):
        list_npz(npz(tmp_path, **arrays), None)


def test_torn_and_pickled_files_are_refused(tmp_path: Path) -> None:
    path = npz(tmp_path, images=GREY, labels=LABELS)
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(UserError, match="truncated"):
        list_npz(path, None)
    with pytest.raises(UserError, match="never loaded"):
        list_npz(npz(tmp_path, images=GREY, labels=np.array([{"a": 1}] * 6, dtype=object)), None)


@pytest.mark.parametrize(
    ("names", "parts", "said"),
    [
        (("x", "y", "x_test", "y_test"), {"train", "test"}, "x, y were taken as the training part"),
        (("images", "labels", "val_images", "val_labels"), {"train", "val"}, "images, labels were taken as the training part"),
        (("x", "y", "x_train", "y_train", "x_test", "y_test"), {"train", "test"}, "x, y were not used"),
        (("x_train", "y_train", "x_test"), {"train"}, "x_test were not used"),
        (("x", "y"), None, None),
    ],
)
def test_parts_that_are_given_are_kept_and_what_is_dropped_is_said(
    names: tuple[str, ...], parts: set[str] | None, said: str | None, tmp_path: Path
) -> None:
    pictures, labels = np.zeros((6, 8, 8), np.uint8), np.arange(6) % 2
    np.savez(tmp_path / "a.npz", **{name: pictures if "x" in name or "images" in name else labels for name in names})
    listing = list_npz(tmp_path / "a.npz", None)
    assert (set(listing.declared) if listing.declared else None) == parts
    assert any(said in note for note in listing.notes) if said else not listing.notes
