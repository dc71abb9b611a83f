"""data/parquet.py: encoded images and labels, several files as one table, and what goes wrong."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pictures import encoded, picture

from archsmith.data.parquet import Blobs, list_parquet, parquet_files
from archsmith.errors import UserError

arrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")
LIMIT = 1 << 30


def parquet_file(path: Path, **columns: Any) -> Path:
    parquet.write_table(arrow.table(columns), path)
    return path


def images(count: int, start: int = 0) -> list[bytes]:
    return [encoded(picture(start + i)) for i in range(count)]


def test_parquet(tmp_path: Path) -> None:
    split = ["train", "train", "test"]
    path = parquet_file(
        tmp_path / "a.parquet", image=images(3), label=[0, 1, 1], split=split, junk=[1, 2, 3]
    )
    listing = list_parquet([path], None, LIMIT)
    assert listing.labels == ["0", "1", "1"]
    assert listing.ids == ["row#0", "row#1", "row#2"]
    assert listing.declared == ["train", "train", "test"]
    assert np.array_equal(np.asarray(listing.open(2)), np.asarray(picture(2)))
    assert len(set(listing.pins)) == 3


def test_parquet_as_the_datasets_library_writes_it(tmp_path: Path) -> None:
    features = {
        "image": {"_type": "Image"},
        "label": {"names": ["ant", "bee"], "_type": "ClassLabel"},
    }
    blobs = [{"bytes": blob, "path": None} for blob in images(2)]
    table = arrow.table({"image": blobs, "label": [1, 0]})
    table = table.replace_schema_metadata(
        {"huggingface": json.dumps({"info": {"features": features}})}
    )
    for name in ("train-00000-of-00001.parquet", "test-00000-of-00001.parquet"):
        parquet.write_table(table, tmp_path / name)
    listing = list_parquet(parquet_files(str(tmp_path)), None, LIMIT)
    assert listing.labels == ["bee", "ant", "bee", "ant"]
    assert listing.classes == ("ant", "bee")
    assert listing.declared == ["test", "test", "train", "train"]
    assert listing.open(3).size == (16, 16)


def test_parquet_missing_values(tmp_path: Path) -> None:
    path = parquet_file(
        tmp_path / "a.parquet", image=[*images(2), None], label=[1.0, float("nan"), None]
    )
    listing = list_parquet([path], None, LIMIT)
    assert listing.labels == ["1", None, None]
    with pytest.raises(OSError):
        listing.open(2)


def test_parquet_groups_and_names(tmp_path: Path) -> None:
    path = parquet_file(
        tmp_path / "a.parquet",
        image=images(2),
        label=["a", "b"],
        file_name=["x", "y"],
        scene=[4, 4],
    )
    assert list_parquet([path], "scene", LIMIT).groups == ["4", "4"]
    assert list_parquet([path], None, LIMIT).ids == ["x", "y"]
    with pytest.raises(UserError, match="no column 'sene'"):
        list_parquet([path], "sene", LIMIT)


def test_parquet_files_by_list_and_pattern(tmp_path: Path) -> None:
    a, b = (
        parquet_file(tmp_path / name, image=images(1), label=[0])
        for name in ("a.parquet", "b.parquet")
    )
    assert parquet_files(f"{a}, {b}") == [a, b]
    assert parquet_files(str(tmp_path / "*.parquet")) == [a, b]
    assert parquet_files(f"{a},{tmp_path}") == [a, b]
    with pytest.raises(UserError, match="no such file"):
        parquet_files(f"{a},{tmp_path}/c.parquet")


def test_parquet_faults(tmp_path: Path) -> None:
    good = parquet_file(tmp_path / "good.parquet", image=images(50), label=[0] * 50)
    torn = tmp_path / "torn.parquet"
    torn.write_bytes(good.read_bytes()[:-200])
    with pytest.raises(UserError, match="truncated"):
        list_parquet([torn], None, LIMIT)
    middle = bytearray(good.read_bytes())
    middle[20:400] = bytes(380)
    torn.write_bytes(middle)
    with pytest.raises(UserError, match="cannot be read as parquet"):
        list_parquet([torn], None, LIMIT)
    with pytest.raises(UserError, match="holds text"):
        list_parquet(
            [parquet_file(tmp_path / "t.parquet", image=["a.png"], label=[0])], None, LIMIT
        )
    with pytest.raises(UserError, match="they must agree"):
        list_parquet(
            [good, parquet_file(tmp_path / "o.parquet", image=images(1), target=[0])], None, LIMIT
        )
    with pytest.raises(UserError, match="no rows"):
        list_parquet(
            [parquet_file(tmp_path / "e.parquet", image=arrow.array([], arrow.binary()), label=[])],
            None,
            LIMIT,
        )
    with pytest.raises(UserError, match="no column for the encoded images"):
        list_parquet(
            [parquet_file(tmp_path / "n.parquet", pixels=[[1, 2]], label=[0])], None, LIMIT
        )


def test_blobs_move_to_a_file_beyond_the_limit() -> None:
    blobs, held = Blobs(100), [bytes([i]) * (i % 40) for i in range(50)]
    for blob in held:
        blobs.append(blob)
    blobs.close()
    assert [blobs[i] for i in (49, 0, 7, 20, 20)] == [held[i] for i in (49, 0, 7, 20, 20)]
    assert blobs._held == []
    assert len(blobs) == 50


def test_blobs_in_a_file_are_read_by_several_threads() -> None:
    blobs, held = Blobs(0), [bytes([i % 251]) * (i * 7 % 900 + 1) for i in range(400)]
    for blob in held:
        blobs.append(blob)
    blobs.close()
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(blobs.__getitem__, [*range(400)] * 5)) == held * 5


@pytest.mark.parametrize(
    ("names", "parts"),
    [
        (("default/train/0000", "default/test/0000"), ("test", "train")),
        (
            ("train/0000", "train/0001", "validation/0000", "test/0000"),
            ("test", "train", "train", "val"),
        ),
        (("data/training_set/a", "data/eval/a"), ("val", "train")),
        # the name of the file counts before its folder's
        (("x/train/data-test", "x/other/train"), ("train", "test")),
    ],
)
def test_folders_of_parquet_files_count_as_their_names_do(
    names: tuple[str, ...], parts: tuple[str, ...], tmp_path: Path
) -> None:
    from archsmith.data.dataset import load

    root = tmp_path / "test" / "set"  # a folder above says nothing
    for number, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        parquet_file(root / f"{name}.parquet", image=images(12, 12 * number), label=[0, 1] * 6)
    listing = list_parquet(parquet_files(str(root)), None, LIMIT)
    assert listing.declared == [part for part in parts for _ in range(12)]
    assert any("parts by the names" in note for note in listing.notes)
    assert len(load(root).parts["test"]) > 0


def test_parts_of_some_files_only_are_dropped_and_said(tmp_path: Path) -> None:
    for name in ("train-0", "test-0", "extra"):
        parquet_file(tmp_path / f"{name}.parquet", image=images(1), label=[0])
    listing = list_parquet(parquet_files(str(tmp_path)), None, LIMIT)
    assert listing.declared is None
    assert any("were not taken as parts" in note and "extra" in note for note in listing.notes)


def test_a_comma_in_a_name_does_not_part_a_list(tmp_path: Path) -> None:
    (tmp_path / "a,b").mkdir()
    files = [
        parquet_file(tmp_path / "a,b" / f"{n}.parquet", image=images(1), label=[0]) for n in "xy"
    ]
    assert parquet_files(f"{files[0]},{files[1]}") == files
    assert parquet_files(str(tmp_path / "a,b" / "*.parquet")) == files
