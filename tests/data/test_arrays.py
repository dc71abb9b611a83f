"""data/arrays.py: npz files in their many shapes, and the built-in digits."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from archsmith.data import load
from archsmith.data.arrays import list_digits, list_npz
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
    keras = list_npz(
        npz(
            tmp_path,
            x_train=COLOR,
            y_train=LABELS[:, None],
            x_test=COLOR[:3],
            y_test=LABELS[:3, None],
        ),
        None,
    )
    assert keras.declared == ["train"] * 6 + ["test"] * 3
    assert keras.ids[6] == "test:0"
    arrays = {f"{part}_images": GREY for part in ("train", "val", "test")}
    arrays |= {f"{part}_labels": LABELS for part in ("train", "val", "test")}
    assert (
        list_npz(npz(tmp_path, **arrays), None).declared
        == ["train"] * 6 + ["val"] * 6 + ["test"] * 6
    )


def test_class_names_one_hot_and_groups(tmp_path: Path) -> None:
    names = np.array(["ant", "bee", "cat"])
    listing = list_npz(
        npz(tmp_path, images=COLOR, labels=np.eye(3)[LABELS], class_names=names, group=LABELS % 2),
        None,
    )
    assert listing.labels == ["ant", "bee", "cat"] * 2
    assert listing.classes == ("ant", "bee", "cat")
    assert listing.groups == ["0", "1", "0"] * 2
    with pytest.raises(UserError, match="no array 'patient'"):
        list_npz(npz(tmp_path, images=COLOR, labels=LABELS), "patient")


def test_nan_labels_are_none(tmp_path: Path) -> None:
    labels = LABELS.astype(float)
    labels[2] = np.nan
    assert list_npz(npz(tmp_path, images=GREY, labels=labels), None).labels == [
        "0",
        "1",
        None,
        "0",
        "1",
        "2",
    ]


FORMS = {
    "channels first": (COLOR.transpose(0, 3, 1, 2), COLOR),
    "one channel last": (GREY[..., None], GREY),
    "one channel first": (GREY[:, None], GREY),
    "floats 0..1": (GREY / 255.0, GREY),
    "floats 0..255": (GREY.astype(np.float32), GREY),
    "floats -1..1": (GREY / 127.5 - 1, GREY),
    "16 bits": (GREY.astype(np.uint16) * 257, GREY),
    "64-bit integers": (GREY.astype(np.int64), GREY),
    "yes and no": (GREY > 100, np.where(GREY > 100, 255, 0)),
    "0 and 1": ((GREY > 100).astype(int), np.where(GREY > 100, 255, 0)),
    "rounded": (np.clip(GREY / 255.0, 0, 1) * 1.0000001, GREY),
}


@pytest.mark.parametrize("form", FORMS)
def test_images_of_any_form_and_scale_become_the_same_bytes(tmp_path: Path, form: str) -> None:
    given, expected = FORMS[form]
    listing = list_npz(npz(tmp_path, images=given, labels=LABELS), None)
    assert np.array_equal(np.stack([np.asarray(listing.open(row)) for row in range(6)]), expected)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": GREY}, "holds the arrays 'images'; expected"),
        ({"images": GREY, "labels": LABELS[:4]}, "6 images, .* 4 labels"),
        ({"x_test": GREY, "y_test": LABELS}, "expected images and labels"),
        ({"images": GREY[0], "labels": LABELS}, "has the shape"),
        ({"images": np.where(GREY > 100, np.nan, GREY), "labels": LABELS}, "replace NaN"),
        ({"images": GREY.astype(str), "labels": LABELS}, "expected numbers"),
    ],
)
def test_faults(tmp_path: Path, arrays: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(UserError, match=message):
        list_npz(npz(tmp_path, **arrays), None)


STRANGE = {
    "labels without a dimension": (
        {"images": GREY, "labels": np.array(3)},
        r"labels has the shape "
        r"\(\)",
    ),
    "images without a dimension": (
        {"images": np.array(3), "labels": LABELS},
        r"images has the "
        r"shape \(\)",
    ),
    "both": ({"images": np.array(3), "labels": np.array(3)}, r"has the shape \(\)"),
    "groups without a dimension": (
        {"images": GREY, "labels": LABELS, "group": np.array(1)},
        "no array 'group' of 6",
    ),
    "complex labels": ({"images": GREY, "labels": LABELS.astype(complex)}, "of complex128"),
    "dates": ({"images": GREY, "labels": LABELS.astype("datetime64[D]")}, "of numbers or text"),
    "records": ({"images": GREY, "labels": np.zeros(6, [("a", int)])}, "of numbers or text"),
    "several labels": (
        {"images": GREY, "labels": np.array([[1, 1, 0]] * 6)},
        "rows are not one-hot",
    ),
    "soft labels": ({"images": GREY, "labels": np.full((6, 2), 0.5)}, "rows are not one-hot"),
    "signs": ({"images": GREY, "labels": np.array([[1, 1, -1]] * 6)}, "rows are not one-hot"),
    "no label at all": ({"images": GREY, "labels": np.zeros((6, 4))}, "rows are not one-hot"),
    "NUL": ({"images": GREY, "labels": np.array(["a\0b", "c"])[LABELS % 2]}, "NUL"),
    "too few names": (
        {"images": GREY, "labels": LABELS, "classes": np.array(["a", "b"])},
        "label '2' is not one of",
    ),
    "names alike": (
        {"images": GREY, "labels": LABELS, "classes": np.array(["a", "a", "b"])},
        "two classes alike",
    ),
}


@pytest.mark.parametrize("name", STRANGE)
def test_strange_arrays_are_refused_by_name(tmp_path: Path, name: str) -> None:
    arrays, message = STRANGE[name]
    with pytest.raises(UserError, match=message):
        load(npz(tmp_path, **arrays))


@pytest.mark.parametrize("text", ["a\ud800b", "a\udc80b", "\U0001f41c", "x" * 3000, "line\nbreak"])
def test_labels_of_any_text_are_named_printably(tmp_path: Path, text: str) -> None:
    labels = list_npz(
        npz(tmp_path, images=GREY, labels=np.array([text, "c"])[LABELS % 2]), None
    ).labels
    assert len(set(labels)) == 2
    for label in labels:
        assert label is not None and label.encode()


@pytest.mark.parametrize(
    "fault", ["compression", "encrypted", "a single array", "no arrays", "not a zip", "header"]
)
def test_a_container_that_cannot_be_read_is_refused(tmp_path: Path, fault: str) -> None:
    path = npz(tmp_path, images=GREY, labels=LABELS)
    data = bytearray(path.read_bytes())
    for mark, method, flags in ((b"PK\x03\x04", 8, 6), (b"PK\x01\x02", 10, 8)):
        place = data.find(mark)
        while place >= 0:
            if fault == "compression":
                data[place + method] = 77
            elif fault == "encrypted":
                data[place + flags] |= 1
            place = data.find(mark, place + 1)
    if fault == "header":
        data = data.replace(b"{'descr'", b"{[descr'")
    path.write_bytes(data if fault != "not a zip" else b"PK but no more")
    if fault == "a single array":
        with path.open("wb") as stream:
            np.save(stream, GREY)
    if fault == "no arrays":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("images.txt", "hello")
            archive.writestr("labels", "hello")
    with pytest.raises(
        UserError,
        match=r"cannot be read as npz|is a single array|holds the arrays "
        r"none",
    ):
        list_npz(path, None)


def test_one_hot_rows_are_said_to_be_read_so(tmp_path: Path) -> None:
    listing = list_npz(npz(tmp_path, images=GREY, labels=np.eye(3)[LABELS]), None)
    assert (
        listing.labels == ["0", "1", "2"] * 2 and ("read as one-hot, 3 classes") in listing.notes[0]
    )


def test_names_that_are_no_class_names_are_left_aside(tmp_path: Path) -> None:
    names = np.array([f"file{n}.png" for n in range(6)])
    listing = list_npz(npz(tmp_path, images=GREY, labels=LABELS, names=names), None)
    assert listing.labels == ["0", "1", "2"] * 2 and "an entry for each image" in listing.notes[0]
    listing = list_npz(
        npz(
            tmp_path,
            images=GREY,
            labels=np.array(["a", "b", "c"])[LABELS],
            classes=np.array(list("cba")),
        ),
        None,
    )
    assert listing.classes == ("c", "b", "a") and listing.labels == ["a", "b", "c"] * 2


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
        (
            ("images", "labels", "val_images", "val_labels"),
            {"train", "val"},
            "images, labels were taken as the training part",
        ),
        (
            ("x", "y", "x_train", "y_train", "x_test", "y_test"),
            {"train", "test"},
            "x, y were not used",
        ),
        (("x_train", "y_train", "x_test"), {"train"}, "x_test were not used"),
        (("x_train", "y_train", "Xval", "yval"), {"train", "val"}, None),
        (
            ("x_train", "y_train", "mean_of_x", "y_extra"),
            {"train"},
            "mean_of_x, y_extra were not used",
        ),
        (("x", "y", "names_of_rows"), None, "names_of_rows were not used"),
        (("x", "inputs", "y"), None, "inputs were not used"),
        (("x", "y"), None, None),
    ],
)
def test_parts_that_are_given_are_kept_and_what_is_dropped_is_said(
    names: tuple[str, ...], parts: set[str] | None, said: str | None, tmp_path: Path
) -> None:
    pictures, labels = np.zeros((6, 8, 8), np.uint8), np.arange(6) % 2
    np.savez(
        tmp_path / "a.npz",
        **{
            name: pictures
            if "x" in name.lower() or "inputs" in name or "images" in name
            else labels
            for name in names
        },
    )
    listing = list_npz(tmp_path / "a.npz", None)
    assert (set(listing.declared) if listing.declared else None) == parts
    assert any(said in note for note in listing.notes) if said else not listing.notes


@pytest.mark.parametrize(
    "names",
    [
        "X_train y_train Xval yval",
        "Xtr Ytr Xva Yva",
        "trainX trainY valX valY",
        "train-images train-labels validation_images validationLabels",
        "TRAIN_IMGS TRAIN_TARGET dev_imgs dev_target",
        "x.train y.train x.valid y.valid",
        "train_set_x train_set_y val_set_x_orig val_set_y_orig",
        "set_train_x set_train_y set_val_x set_val_y",
    ],
)
def test_parts_are_known_whatever_the_case_the_signs_and_the_order_of_words(
    names: str, tmp_path: Path
) -> None:
    first, second, third, fourth = names.split()
    listing = list_npz(
        npz(tmp_path, **{first: GREY, second: LABELS, third: GREY[:4], fourth: LABELS[:4]}), None
    )
    assert listing.declared == ["train"] * 6 + ["val"] * 4 and not listing.notes


@pytest.mark.parametrize("names", ["a b", "Xval yval", "x_train labels_of_x", "x1 y1"])
def test_an_error_lists_every_array(names: str, tmp_path: Path) -> None:
    first, second = names.split()
    with pytest.raises(UserError, match=f"holds the arrays '{first}', '{second}'; expected"):
        list_npz(npz(tmp_path, **{first: GREY, second: LABELS}), None)


@pytest.mark.parametrize("names", [("0", "1", "10", "11", "2"), ("2", "1", "0"), ("7", "3", "5")])
def test_labels_that_are_text_are_names_also_where_they_are_digits(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    labels = np.array([names[i % len(names)] for i in range(12)])
    np.savez(
        tmp_path / "a.npz", x=np.full((12, 8, 8), 200, np.uint8), y=labels, classes=np.array(names)
    )
    listing = list_npz(tmp_path / "a.npz", None)
    assert listing.labels == labels.tolist() and listing.classes == names


@pytest.mark.parametrize(
    ("train", "test"),
    [
        (np.uint16([0, 4000]), np.uint8([0, 250])),
        (np.uint16([0, 1000]), np.uint8([0, 255])),
        (np.uint16([0, 4000]), np.uint16([0, 250])),
        (np.uint16([0, 4000]), np.uint16([0, 8128])),
        (np.float32([0, 1]), np.float32([-0.45, 0.45])),
        (np.float32([-1, 1]), np.float32([-1e-6, 1])),
        (np.float32([-2.1, 2.6]), np.float32([0, 1])),
        (np.float32([0, 1]), np.uint8([0, 255])),
    ],
)
def test_parts_of_another_scale_are_refused_never_darkened_or_cut(
    tmp_path: Path, train: np.ndarray, test: np.ndarray
) -> None:
    def pictures(ends: np.ndarray) -> np.ndarray:
        ramp = np.linspace(float(ends[0]), float(ends[1]), 64).reshape(8, 8).astype(ends.dtype)
        return np.stack([ramp] * 6)

    labels = np.arange(6) % 2
    np.savez(
        tmp_path / "a.npz",
        x_train=pictures(train),
        y_train=labels,
        x_test=pictures(test),
        y_test=labels,
    )
    with pytest.raises(UserError, match="must have one scale"):
        list_npz(tmp_path / "a.npz", None)


def test_bytes_of_nothing_and_one_are_black_and_white(tmp_path: Path) -> None:
    pictures = (np.arange(6 * 64).reshape(6, 8, 8) % 2).astype(np.uint8)
    np.savez(tmp_path / "a.npz", x=pictures, y=np.arange(6) % 2)
    listing = list_npz(tmp_path / "a.npz", None)
    assert set(np.unique(np.asarray(listing.open(0)))) == {0, 255} and any(
        "white" in note for note in listing.notes
    )
