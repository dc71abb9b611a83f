"""data/features.py: each parquet file's numbers are read by its own names of the label column; the
columns taken are said."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pictures import encoded, picture

from archsmith.data import load
from archsmith.data.parquet import list_parquet
from archsmith.data.table import list_csv
from archsmith.errors import UserError

arrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")
LIMIT = 1 << 30
IMAGES = [{"bytes": encoded(picture(n)), "path": None} for n in range(12)]
NUMBERS = [n % 3 for n in range(12)]
TRUE = ["ant", "bee", "cow"] * 4


def named(*names: Any) -> dict[str, Any]:
    return {"names": list(names), "_type": "ClassLabel"}


def shard(root: Path, name: str, features: dict[str, Any] | None = None, **columns: Any) -> Path:
    table = arrow.table({"image": IMAGES, **columns})
    if features is not None:
        table = table.replace_schema_metadata(
            {"huggingface": json.dumps({"info": {"features": features}})}
        )
    parquet.write_table(table, root / name)
    return root / name


@pytest.mark.parametrize(
    "order", [("bee", "ant", "cow"), ("cow", "bee", "ant"), ("bee", "cow", "ant")]
)
def test_each_file_is_read_by_its_own_names(tmp_path: Path, order: tuple[str, ...]) -> None:
    files = [
        shard(tmp_path, "a.parquet", {"label": named("ant", "bee", "cow")}, label=NUMBERS),
        shard(
            tmp_path,
            "b.parquet",
            {"label": named(*order)},
            label=[order.index(name) for name in TRUE],
        ),
    ]
    listing = list_parquet(files, None, LIMIT)
    assert listing.labels == TRUE * 2 and listing.classes == ("ant", "bee", "cow")
    assert any("in different orders" in note for note in listing.notes)


FEATURES = {
    "another column before it": {"kind": named("x", "y", "z"), "label": named("ant", "bee", "cow")},
    "another column after it": {
        "label": named("ant", "bee", "cow"),
        "target": named("x", "y", "z"),
    },
    "another column of a known name": {
        "class": named("x", "y", "z"),
        "label": named("ant", "bee", "cow"),
    },
}


@pytest.mark.parametrize("name", FEATURES)
def test_names_of_another_column_are_not_used(tmp_path: Path, name: str) -> None:
    features = FEATURES[name]
    other = next(column for column in features if column != "label")
    path = shard(tmp_path, "a.parquet", features, **{other: [0] * 12, "label": NUMBERS})
    listing = list_parquet([path], None, LIMIT)
    assert listing.labels == TRUE and f"{other} left aside" in listing.notes[0]
    del features["label"]
    assert list_parquet(
        [shard(tmp_path, "b.parquet", features, **{other: [0] * 12, "label": NUMBERS})], None, LIMIT
    ).labels == [str(n) for n in NUMBERS]


@pytest.mark.parametrize("column", ["fine_label", "digit", "breed"])
def test_a_column_of_classes_of_any_name_is_found_and_said(tmp_path: Path, column: str) -> None:
    path = shard(
        tmp_path,
        "a.parquet",
        {column: named("ant", "bee", "cow")},
        **{column: NUMBERS, "age": [1.5] * 12},
    )
    listing = list_parquet([path], None, LIMIT)
    assert (
        listing.labels == TRUE
        and listing.target == column
        and (f"the labels those of column {column}") in listing.notes[0]
    )


def test_where_several_columns_may_be_meant_all_are_listed(tmp_path: Path) -> None:
    two = shard(
        tmp_path,
        "a.parquet",
        {"fine": named("a", "b"), "coarse": named("c", "d")},
        fine=[0] * 12,
        coarse=[1] * 12,
    )
    with pytest.raises(
        UserError,
        match=r"several columns of classes, fine, coarse; it has image "
        r"\(struct.*fine \(int64\)",
    ):
        list_parquet([two], None, LIMIT)
    with pytest.raises(
        UserError,
        match=r"no column for the class labels; it has image .* species "
        r"\(int64\)",
    ):
        list_parquet([shard(tmp_path, "b.parquet", species=NUMBERS)], None, LIMIT)
    parquet.write_table(
        arrow.table({"jpg": [b"x"], "mask": [b"y"], "label": [0]}), tmp_path / "c.parquet"
    )
    with pytest.raises(UserError, match="several columns that may be the images: jpg, mask"):
        list_parquet([tmp_path / "c.parquet"], None, LIMIT)


@pytest.mark.parametrize(
    ("features", "labels", "message"),
    [
        (None, NUMBERS, "b.parquet has no names for its labels"),
        ({"kind": named("ant", "bee", "cow")}, NUMBERS, "b.parquet has no names for its labels"),
        ({"label": named("ant", "bee")}, NUMBERS, r"b.parquet: label 2 is outside 0\.\.1"),
        (
            {"label": named("ant", "ant", "cow")},
            NUMBERS,
            "b.parquet names two classes of column label alike",
        ),
        ({"label": named("ant", None, "cow")}, NUMBERS, "one not at all"),
        (None, [*TRUE[:-1], "horse"], "no names for its labels .such as horse."),
    ],
)
def test_numbers_whose_names_cannot_be_told_are_refused(
    tmp_path: Path, features, labels, message: str
) -> None:
    files = [shard(tmp_path, "a.parquet", {"label": named("ant", "bee", "cow")}, label=NUMBERS)]
    files.append(shard(tmp_path, "b.parquet", features, label=labels))
    with pytest.raises(UserError, match=message):
        list_parquet(files, None, LIMIT)


def test_names_as_text_and_missing_labels_go_together_with_numbers(tmp_path: Path) -> None:
    files = [
        shard(
            tmp_path, "a.parquet", {"label": named("ant", "bee", "cow")}, label=[-1, *NUMBERS[1:]]
        ),
        shard(tmp_path, "b.parquet", label=TRUE),
        shard(tmp_path, "c.parquet", {"label": named("ant", "bee", "cow", "dog")}, label=NUMBERS),
    ]
    listing = list_parquet(files, None, LIMIT)
    assert listing.labels == [None, *TRUE[1:], *TRUE, *TRUE] and listing.classes == (
        "ant",
        "bee",
        "cow",
        "dog",
    )
    assert any("not in all of them: dog" in note for note in listing.notes)


@pytest.mark.parametrize(
    "metadata",
    ["{", "[]", "null", '{"info": {"features": [1]}}', '{"info": {"features": {"label": 3}}}'],
)
def test_broken_metadata_is_no_metadata(tmp_path: Path, metadata: str) -> None:
    table = arrow.table({"image": IMAGES, "label": NUMBERS}).replace_schema_metadata(
        {"huggingface": metadata}
    )
    parquet.write_table(table, tmp_path / "a.parquet")
    assert list_parquet([tmp_path / "a.parquet"], None, LIMIT).labels == [str(n) for n in NUMBERS]


def test_images_given_by_path_are_read_from_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    for number in range(12):
        picture(number).save(tmp_path / "below" / f"{number}.png")
    os.mkfifo(tmp_path / "below" / "pipe.png")
    paths = [f"below/{n}.png" for n in range(11)] + ["below/pipe.png"]
    rows = [{"bytes": None, "path": path} for path in paths]
    path = shard(tmp_path, "a.parquet", image=rows, label=[n % 2 for n in range(12)])
    data = load(path)
    assert [why for _, why in data.unreadable] == ["a pipe, not a file"]
    assert np.array_equal(
        np.asarray(list_parquet([path], None, LIMIT).open(3)), np.asarray(picture(3))
    )


@pytest.mark.parametrize("path", ["../x.png", "/etc/hostname", "below/../../x.png"])
def test_paths_that_lead_out_of_the_folder_are_refused(tmp_path: Path, path: str) -> None:
    rows = [{"bytes": None, "path": path}] * 12
    with pytest.raises(UserError, match="outside the folder of the file"):
        list_parquet([shard(tmp_path, "a.parquet", image=rows, label=NUMBERS)], None, LIMIT)


@pytest.mark.parametrize(
    ("column", "names", "numbers"),
    [
        ("split", ("train", "test"), [0] * 8 + [1] * 4),
        ("split", ("validation", "train"), [1] * 8 + [0] * 4),
        ("partition", ("test", "dev", "train"), [2] * 6 + [1] * 3 + [0] * 3),
        ("fold", ("train", "test"), [0] * 8 + [1] * 4),
    ],
)
def test_a_split_of_numbers_is_read_by_their_names(
    tmp_path: Path, column: str, names: tuple[str, ...], numbers: list[int]
) -> None:
    known = {"train": "train", "test": "test", "validation": "val", "dev": "val"}
    features = {"label": named("ant", "bee", "cow"), column: named(*names)}
    listing = list_parquet(
        [shard(tmp_path, "a.parquet", features, **{"label": NUMBERS, column: numbers})], None, LIMIT
    )
    assert (
        listing.declared == [known[names[number]] for number in numbers] and listing.labels == TRUE
    )
    assert not any("left aside" in note for note in listing.notes)


@pytest.mark.parametrize("numbers", [[0, 1] * 6, [1, 2, 3] * 4, [0] * 11 + [7], [True, False] * 6])
def test_a_split_of_numbers_without_names_is_refused_with_its_row(
    tmp_path: Path, numbers: list[Any]
) -> None:
    with pytest.raises(
        UserError, match=f"a.parquet, row 1, column 'split': {numbers[0]} does not say which part"
    ):
        list_parquet([shard(tmp_path, "a.parquet", label=NUMBERS, split=numbers)], None, LIMIT)


@pytest.mark.parametrize("other", ["image_2", "mask", "depth"])
@pytest.mark.parametrize("kind", [IMAGES, [b"bytes"] * 12])
@pytest.mark.parametrize("labelled", [True, False])
def test_a_second_column_of_images_is_said_not_to_be_used(
    tmp_path: Path, other: str, kind: list[Any], labelled: bool
) -> None:
    listing = list_parquet(
        [shard(tmp_path, "a.parquet", **{other: kind, "label": NUMBERS})], None, LIMIT, labelled
    )
    assert (
        "the images are those of column image" in listing.notes[0]
        and (f"may hold images: {other}") in listing.notes[0]
    )


@pytest.mark.parametrize("other", ["fine_label", "category", "Species", "class_id"])
def test_a_second_column_of_labels_is_said_not_to_be_used(tmp_path: Path, other: str) -> None:
    listing = list_parquet(
        [shard(tmp_path, "a.parquet", **{"label": NUMBERS, other: TRUE})], None, LIMIT
    )
    assert f"the labels those of column label; {other} left aside" in listing.notes[0]


@pytest.mark.parametrize("way", [".", "below/..", "link"])
def test_images_that_are_named_twice_count_once(tmp_path: Path, way: str) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "link").symlink_to(tmp_path)
    for number in range(12):
        picture(number).save(tmp_path / f"{number}.png")
    paths = [f"{n}.png" for n in range(11)] + [f"{way}/3.png"]
    rows = [{"bytes": None, "path": path} for path in paths]
    listing = list_parquet([shard(tmp_path, "a.parquet", image=rows, label=[0] * 12)], None, LIMIT)
    assert len(listing.ids) == len(listing.pins) == 11 and any(
        "such as row 12, which" in note for note in listing.notes
    )
    with pytest.raises(UserError, match="two labels, '0' .row 4. and '1' .row 12."):
        list_parquet([shard(tmp_path, "b.parquet", image=rows, label=[0] * 11 + [1])], None, LIMIT)


@pytest.mark.parametrize("column", ["is_train", "train", "Test", "fold", "is-validation-image"])
@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_a_column_named_for_parts_that_is_not_taken_is_said(
    tmp_path: Path, column: str, kind: str
) -> None:
    if kind == "parquet":
        listing = list_parquet(
            [shard(tmp_path, "a.parquet", **{"label": NUMBERS, column: [0, 1] * 6})], None, LIMIT
        )
    else:
        for number in range(2):
            picture(number).save(tmp_path / f"{number}.png")
        (tmp_path / "a.csv").write_text(f"path,label,{column}\n0.png,a,1\n1.png,b,0\n")
        listing = list_csv(tmp_path / "a.csv", None)
    assert listing.declared is None and any(
        f"not taken for the given split: column '{column}'" in n for n in listing.notes
    )


def test_rows_of_several_files_are_named_with_their_file(tmp_path: Path) -> None:
    files = [
        shard(tmp_path, f"{name}.parquet", label=NUMBERS, split=["train"] * 12) for name in "ab"
    ]
    files.append(
        shard(tmp_path, "c.parquet", label=NUMBERS, split=["train"] * 4 + ["tain"] + ["train"] * 7)
    )
    with pytest.raises(
        UserError,
        match=r"the 3 parquet files, row 5 of .*c.parquet, column "
        r"'split': unknown split 'tain'",
    ):
        list_parquet(files, None, LIMIT)
