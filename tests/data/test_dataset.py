"""data/dataset.py: load from end to end, its facts, and a clear message for everything that can be
wrong."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from pictures import encoded, folder, picture
from PIL import Image

from archsmith.data import Augment, batches, load, suggest
from archsmith.data.dataset import share_to_validate
from archsmith.errors import Damaged, UserError


def test_digits() -> None:
    data = load("digits")
    assert (data.name, data.kind, data.channels, data.size) == ("digits", "digits", 1, 8)
    assert data.classes == tuple("0123456789")
    assert [len(data.parts[part]) for part in ("train", "val", "test")] == [989, 269, 539]
    assert not data.facts["flip"]["suggested"]
    assert suggest(data) == Augment(rotate=10.0)
    pixels = data.parts["train"].images(range(989)).double() / 255
    assert data.mean[0] == pytest.approx(pixels.mean().item(), abs=1e-6)
    assert data.std[0] == pytest.approx(pixels.std(correction=0).item(), abs=1e-6)


def test_facts_are_json_with_the_agreed_keys(tmp_path: Path) -> None:
    data = load(folder(tmp_path / "pets", {"cat": 20, "dog": 60}, size=(24, 20)))
    facts = json.loads(json.dumps(data.facts))
    assert facts == data.facts
    expected = (
        "name kind images classes counts channels size original_sizes unreadable duplicates "
        "split data_hash resident"
    )
    assert {*expected.split(), "imbalance", "notes"} <= facts.keys()
    assert facts["name"] == "pets" and facts["images"] == 80 and facts["imbalance"] == 3.0
    assert facts["counts"] == {"train": [13, 39], "val": [3, 9], "test": [4, 12]}
    assert facts["original_sizes"] == {"min": [24, 20], "median": [24, 20], "max": [24, 20]}
    assert facts["split"]["sha256"] == data.split.sha256
    assert any("3 times" in note for note in facts["notes"])
    assert data.size == 20


def test_the_same_again(tmp_path: Path) -> None:
    root = folder(tmp_path, {"a": 10, "b": 10})
    first, second, other = load(root), load(root), load(root, seed=1)
    assert first.facts == second.facts
    assert torch.equal(first.parts["val"].images([0, 1]), second.parts["val"].images([0, 1]))
    assert first.split.sha256 != other.split.sha256
    assert first.facts["data_hash"] == other.facts["data_hash"]
    (root / "a" / "000.png").write_bytes(encoded(picture(999, 17)))
    assert load(root).facts["data_hash"] != first.facts["data_hash"]


def test_a_saved_split_comes_back(tmp_path: Path) -> None:
    root = folder(tmp_path, {"a": 10, "b": 10})
    saved = json.loads(json.dumps(load(root, seed=5).split.to_json()))
    again = load(root, seed=0, split=saved)
    assert again.split.to_json() == saved
    assert list(again.parts["test"].ids) == saved["parts"]["test"]
    assert again.parts["test"].labels.tolist() == [
        int(name.startswith("b")) for name in saved["parts"]["test"]
    ]
    os.remove(root / saved["parts"]["train"][0])
    with pytest.raises(UserError, match="the data changed since the split was made: 1 images gone"):
        load(root, split=saved)
    saved["parts"]["val"].pop()
    with pytest.raises(Damaged):
        load(root, split=saved)


def test_mixed_sizes_suggest_their_median(tmp_path: Path) -> None:
    root = folder(tmp_path, {"a": 3, "b": 3}, size=(50, 40))
    folder(root, {"c": 9}, size=(90, 75), start=50)
    data = load(root)
    assert data.size == 64
    assert load(root, size=20).parts["train"].images([0]).shape == (1, 3, 20, 20)
    assert data.facts["original_sizes"] == {"min": [50, 40], "median": [90, 75], "max": [90, 75]}


def test_the_suggested_size_is_capped(tmp_path: Path) -> None:
    data = load(folder(tmp_path, {"a": 3, "b": 3}, size=300))
    assert data.size == 224
    assert suggest(data) == Augment(crop=14, flip=True, zoom=0.5)


def test_grey_stored_in_color_becomes_one_channel(tmp_path: Path) -> None:
    grey, color = tmp_path / "grey", tmp_path / "color"
    for number in range(8):
        for root, image in (
            (grey, picture(number, 12, "L")),
            (color, picture(number, 12, "L").convert("RGB")),
        ):
            os.makedirs(root / "ab"[number % 2], exist_ok=True)
            image.save(root / "ab"[number % 2] / f"{number}.png")
    first, second = load(grey), load(color)
    assert first.channels == second.channels == 1
    assert torch.equal(first.parts["train"].images([0, 1]), second.parts["train"].images([0, 1]))
    assert any("one input channel" in note for note in second.facts["notes"])
    picture(99, 12).save(color / "a" / "colorful.png")
    assert load(color).channels == 3


def bomb(path: Path, side: int) -> None:
    """A PNG header that claims so many pixels, with next to no data."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 100))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("limit", [None, 0])
def test_unreadable_images_are_listed_and_skipped(tmp_path: Path, limit: int | None) -> None:
    root = folder(tmp_path, {"a": 6, "b": 6})
    (root / "a" / "text.jpg").write_text("no image")
    (root / "a" / "empty.png").write_bytes(b"")
    (root / "b" / "gone.png").symlink_to(root / "nowhere")
    (root / "b" / "cut.png").write_bytes(encoded(picture(70, 64))[:-3000])
    (root / "b" / "cut.jpg").write_bytes(encoded(picture(71, 64), "JPEG")[:-900])
    bomb(root / "b" / "bomb.png", 12000)
    bomb(root / "b" / "larger.png", 30000)
    data = load(root, memory_limit_bytes=limit)
    reasons = {entry["path"]: entry["reason"] for entry in data.facts["unreadable"]}
    assert set(reasons) == {
        "a/text.jpg",
        "a/empty.png",
        "b/gone.png",
        "b/cut.png",
        "b/cut.jpg",
        "b/bomb.png",
        "b/larger.png",
    }
    assert reasons["a/text.jpg"] == "not an image that pillow can read"
    assert reasons["b/gone.png"] == "No such file or directory"
    assert "pixels" in reasons["b/bomb.png"] and "pixels" in reasons["b/larger.png"]
    assert "truncated" in reasons["b/cut.jpg"]
    assert data.facts["images"] == 12 and len(data.unreadable) == 7
    assert any("7 of 19 images" in note for note in data.facts["notes"])


def test_all_kinds_of_files_together(tmp_path: Path) -> None:
    root = folder(tmp_path, {"a": 4, "b": 4}, size=20)
    picture(50, 20).convert("CMYK").save(root / "a" / "cmyk.jpg")
    picture(51, 20).convert("P").save(root / "a" / "palette.gif")
    picture(52, 20).convert("RGBA").save(root / "b" / "alpha.webp")
    Image.fromarray(np.arange(400, dtype=np.uint16).reshape(20, 20) * 160).save(
        root / "b" / "deep.png"
    )
    exif = Image.Exif()
    exif[0x0112] = 6
    picture(53, (30, 20)).save(root / "b" / "turned.jpg", exif=exif)
    data = load(root)
    assert not data.unreadable
    assert data.facts["original_sizes"]["max"] == [20, 30]
    assert data.channels == 3 and data.facts["images"] == 13


def test_missing_sources_are_named(tmp_path: Path) -> None:
    folder(tmp_path / "photos", {"a": 1})
    with pytest.raises(UserError, match="did you mean .*photos"):
        load(tmp_path / "fotos")
    with pytest.raises(UserError, match="did you mean 'digits'"):
        load("digit")
    (tmp_path / "data.txt").write_text("x")
    with pytest.raises(UserError, match="ending in '.txt' are not known"):
        load(tmp_path / "data.txt")


def test_one_class_one_image_no_image(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="only one class, 'a', with 1 image;"):
        load(folder(tmp_path / "one", {"a": 1}))
    with pytest.raises(UserError, match="only one class, 'a', with 5 images;"):
        load(folder(tmp_path / "five", {"a": 5}))
    with pytest.raises(UserError, match="class 'b' has 1 image to split"):
        load(folder(tmp_path / "few", {"a": 5, "b": 1}))
    with pytest.raises(
        UserError,
        match="only one class, 'f', with 4 images;.*'x', 'y'. became 1 class .*--classes-at 2",
    ):
        load(folder(tmp_path / "inner", {"f/x": 2, "f/y": 2}), classes_at=1)
    root = folder(tmp_path / "bad", {"a": 5, "b": 3})
    for name in os.listdir(root / "b"):
        (root / "b" / name).write_bytes(b"broken")
    with pytest.raises(
        UserError, match="class 'b' has no image that can be read .for instance b/000.png"
    ):
        load(root)
    for name in os.listdir(root / "a"):
        (root / "a" / name).write_bytes(b"broken")
    with pytest.raises(UserError, match="not one image can be read"):
        load(root)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 2}, "input size 2"),
        ({"val_share": 0.0}, "shares of 0.0"),
        ({"test_share": 0.9}, "below 0.95"),
        ({"group": "writer"}, "no columns to group by"),
    ],
)
def test_requests_that_make_no_sense(settings: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        load("digits", **settings)  # type: ignore[arg-type]


def test_labels_that_make_no_sense(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (60, 6, 6), dtype=np.uint8)

    def written(labels: np.ndarray) -> Path:
        np.savez(tmp_path / "x.npz", images=images, labels=labels)
        return tmp_path / "x.npz"

    with pytest.raises(UserError, match="all 60 labels are empty or NaN"):
        load(written(np.full(60, np.nan)))
    with pytest.raises(UserError, match="regression"):
        load(written(np.linspace(0, 1.5, 60) + 0.01))
    labels = np.arange(60) % 2 * 1.0
    labels[7] = np.nan
    data = load(written(labels))
    assert data.unreadable == (("npz:7", "no label (empty or NaN)"),)
    assert data.facts["images"] == 59


def table(root: Path, labels: list[str], column: str = "label") -> Path:
    folder(root, {"p": len(labels)})
    rows = [f"p/{place:03d}.png,{label}" for place, label in enumerate(labels)]
    (root / "x.csv").write_text("\n".join([f"path,{column}", *rows]))
    return root / "x.csv"


@pytest.mark.parametrize(
    ("word", "kept"),
    [("nan", False), ("NaN", False), ("", False), ("NA", True), ("null", True), ("None", True)],
)
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_labels_that_may_mean_none_are_said_to_be_kept_or_left_out(
    tmp_path: Path, word: str, kept: bool, kind: str
) -> None:
    labels = ["ant", "bee"] * 15 + [word] * 9
    if kind == "csv":
        path, spot = table(tmp_path, labels), "line 32"
    else:
        arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        path, spot = tmp_path / "x.parquet", "x.parquet, row 31"
        pictures = [encoded(picture(i)) for i in range(len(labels))]
        parquet.write_table(arrow.table({"image": pictures, "label": labels}), path)
    data = load(path)
    notes = "; ".join(data.facts["notes"])
    assert (word in data.classes) == kept
    if kept:
        assert f"'{word}' (9 images) counted as a class" in notes
    else:
        assert (
            "9 images have no label (empty or NaN) and were left out, such as"
        ) in notes and spot in notes
        assert data.facts["images"] == 30 and all("#" not in name for name, _ in data.unreadable)


@pytest.mark.parametrize("value", ["1e295", "-3e30", "inf", "-Infinity", "1e999"])
def test_values_too_large_to_train_on_are_refused_with_their_row(
    tmp_path: Path, value: str
) -> None:
    path = table(tmp_path, [f"{i}.5" for i in range(20)] + [value] + ["3"], "target")
    with pytest.raises(
        UserError,
        match=r"x.csv, line 22: its label .* is too large to train on; numbers from "
        r"-1e\+19 to 1e\+19",
    ):
        load(path, task="regression")


@pytest.mark.parametrize(("part", "row"), [("train", 7), ("val", 0), ("test", 11)])
def test_a_value_of_an_array_is_named_by_its_place(tmp_path: Path, part: str, row: int) -> None:
    arrays = {f"x_{name}": np.full((12, 8, 8), 200, np.uint8) for name in ("train", "val", "test")}
    arrays |= {f"y_{name}": np.arange(12) + 0.5 for name in ("train", "val", "test")}
    arrays[f"y_{part}"][row] = 1e295
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(
        UserError,
        match=rf"x.npz: y_{part}\[{row}\]: its label 1e\+295 is too "
        rf"large",
    ):
        load(tmp_path / "x.npz", task="regression")


@pytest.mark.parametrize("values", [[1e12, 1e12 + 1], [-5e8, -5e8 + 10], [1e-25, 2e-25]])
def test_values_that_32_bits_cannot_tell_apart_are_refused(
    tmp_path: Path, values: list[float]
) -> None:
    with pytest.raises(UserError, match="cannot tell apart: subtract a constant"):
        load(table(tmp_path, [repr(v) for v in values * 15], "target"), task="regression")


@pytest.mark.parametrize("word", ["nan", "NaN", ""])
def test_missing_values_are_left_out_and_counted(tmp_path: Path, word: str) -> None:
    data = load(
        table(tmp_path, [f"{i}" for i in range(40)] + [word] * 3, "target"), task="regression"
    )
    assert any(
        "3 images have no value (empty or NaN) and were left out" in note
        for note in data.facts["notes"]
    )


@pytest.mark.parametrize("label", ["two", "1 2 x", "5%"])
def test_rows_are_named_as_an_editor_shows_them(tmp_path: Path, label: str) -> None:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    with pytest.raises(UserError, match=f"x.csv, line 6: its label '{label}' is not a number"):
        load(table(tmp_path, ["1", "2", "3", "4", label, "6"], "target"), task="regression")
    pictures = [encoded(picture(i)) for i in range(6)]
    parquet.write_table(
        arrow.table({"image": pictures, "target": ["1", "2", "3", "4", label, "6"]}),
        tmp_path / "x.parquet",
    )
    with pytest.raises(UserError, match=f"x.parquet, row 5: its label '{label}' is not a number"):
        load(tmp_path / "x.parquet", task="regression")


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("broken", [range(40), range(0, 40, 2)])
def test_broken_images_of_a_table_are_named_by_their_row(
    tmp_path: Path, streamed: bool, broken: range
) -> None:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    pictures = [encoded(picture(i, 16))[: 60 if i in broken else None] for i in range(40)]
    parquet.write_table(
        arrow.table({"image": pictures, "label": [i % 2 for i in range(40)]}),
        tmp_path / "x.parquet",
    )
    with pytest.raises(UserError, match=r"x.parquet, row \d+( can be read|: )") as told:
        load(tmp_path / "x.parquet", memory_limit_bytes=0 if streamed else None)
    assert "row#" not in str(told.value)


def test_groups_from_a_csv(tmp_path: Path) -> None:
    folder(tmp_path, {"p": 40})
    rows = ["path,label,patient"] + [f"p/{i:03d}.png,{'ab'[i % 2]},{i // 4}" for i in range(40)]
    (tmp_path / "x.csv").write_text("\n".join(rows))
    data = load(tmp_path / "x.csv", group="patient")
    patients = {part: {int(name[2:5]) // 4 for name in data.parts[part].ids} for part in data.parts}
    assert sum(len(found) for found in patients.values()) == 10
    assert "10 groups" in data.split.how


def test_a_split_that_names_one_part_only_is_none(tmp_path: Path) -> None:
    folder(tmp_path, {"p": 20})
    (tmp_path / "x.csv").write_text(
        "path,label,split\n" + "\n".join(f"p/{i:03d}.png,{'ab'[i % 2]},test" for i in range(20))
    )
    data = load(tmp_path / "x.csv")
    assert len(data.parts["train"]) == 12
    assert any("declared as test" in note for note in data.facts["notes"])


def test_exact_copies_are_found_in_streamed_sets_too(tmp_path: Path) -> None:
    root = folder(tmp_path, {"train/a": 6, "train/b": 6, "test/a": 3, "test/b": 3})
    (root / "test" / "a" / "000.png").write_bytes((root / "train" / "a" / "001.png").read_bytes())
    for limit in (None, 0):
        facts = load(root, memory_limit_bytes=limit).facts
        assert facts["duplicates"]["exact"] == 1
        assert facts["duplicates"]["examples"][0][1] == "test/a/000.png"
        assert any("1 exact" in note for note in facts["notes"])


def test_left_and_right() -> None:
    """Arrows that point left or right by class must not be flipped; blobs by brightness may be."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 600)
    ramp = np.linspace(0, 60, 12)[None, None, :]
    signs = np.where(labels, 1, -1)[:, None, None]
    noise = rng.normal(0, 40, (600, 12, 12))
    arrows = np.clip(128 + signs * (ramp - 30) + noise, 0, 255).astype(np.uint8)
    spots = np.clip(
        128
        + signs
        * (ramp + ramp[:, :, ::-1]).transpose(0, 2, 1)
        * np.linspace(1, -1, 12)[None, :, None]
        + noise,
        0,
        255,
    )
    assert "left and right matter" in flip_of(arrows, labels)
    assert "may be swapped" in flip_of(spots.astype(np.uint8), labels)


def flip_of(images: np.ndarray, labels: np.ndarray) -> str:
    from archsmith.data.mirror import left_and_right
    from archsmith.data.parts import Resident

    pixels = torch.from_numpy(images[:, None])
    parts = [
        Resident(pixels, torch.arange(*span), labels[slice(*span)], [], 2)
        for span in ((0, 400), (400, 600))
    ]
    return str(left_and_right(parts[0], parts[1], ())["why"])


def test_images_in_one_part_only_reach_their_own_batches(tmp_path: Path) -> None:
    data = load(folder(tmp_path, {"a": 20, "b": 20}))
    x, y = next(
        batches(data.parts["val"], 6, data=data, seed=0, augment=None, device="cpu", shuffle=False)
    )
    names = data.parts["val"].ids
    for image, label, name in zip(x, y.tolist(), names, strict=True):
        stored = (
            torch.from_numpy(
                np.asarray(Image.open(tmp_path / name)).transpose(2, 0, 1).copy()
            ).double()
            / 255
        )
        mean, std = (
            torch.tensor(v, dtype=torch.float64).view(3, 1, 1) for v in (data.mean, data.std)
        )
        assert torch.allclose(image.double(), (stored - mean) / std, atol=1e-5)
        assert data.classes[label] == name.split("/")[0]


def test_real_parquet() -> None:
    root = os.environ.get("ARCHSMITH_DATA")
    if not root:
        pytest.skip("ARCHSMITH_DATA is not set: no real images")
    data = load(Path(root) / "images" / "cifar10_lossless_test.parquet")
    assert (data.channels, data.size, data.facts["images"]) == (3, 32, 10000)
    assert data.facts["counts"]["test"] == [200] * 10
    assert data.mean == pytest.approx((0.4942, 0.4851, 0.4504), abs=0.004)
    assert data.facts["flip"]["suggested"] and suggest(data) == Augment(crop=4, flip=True)
    assert data.facts["duplicates"]["exact"] == 0


def test_decode_rests_on_pillow_and_numpy_alone() -> None:
    """So that what ships beside a model may repeat it."""
    path = Path(__file__).parents[2] / "src" / "archsmith" / "data" / "decode.py"
    code = (
        "import sys, runpy; runpy.run_path(sys.argv[1]); "
        "print(sorted({name.split('.')[0] for name in sys.modules} & {'torch', 'archsmith', "
        "'sklearn', 'pyarrow'}))"
    )
    result = subprocess.run(
        [sys.executable, "-I", "-c", code, str(path)], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("images", "kept"),
    [(20, 3), (1797, 270), (3333, 500), (5000, 500), (9_000, 500), (10_000, 500), (50_000, 2500)],
)
def test_of_many_images_only_as_many_validate_as_tell_good_networks_apart(
    images: int, kept: int
) -> None:
    assert round(share_to_validate(images) * images) == kept
