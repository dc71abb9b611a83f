"""data/several.py: several labels of one image are refused, whatever the table; what only looks so
is a note."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pictures import encoded, folder, picture

from archsmith.data import load
from archsmith.data.several import joined
from archsmith.errors import UserError

CLEAR = [
    "['a', 'b']",
    '["a", "b"]',
    "[1, 0]",
    "(1, 2)",
    "{'a', 'b'}",
    "[1 0 0]",
    "a|b",
    "a;b",
    "a, b",
    "b|a",
    "[[1], [2]]",
]


@pytest.mark.parametrize("label", CLEAR)
@pytest.mark.parametrize("kind", ["csv", "npz"])
def test_text_that_is_several_labels_is_refused(tmp_path: Path, label: str, kind: str) -> None:
    labels = [label, *("ab"[number % 2] for number in range(11))]
    if kind == "csv":
        folder(tmp_path, {"pics": 12})
        rows = [f"pics/{number:03d}.png\t{name}" for number, name in enumerate(labels)]
        (tmp_path / "set.tsv").write_text("\n".join(["path\tlabel", *rows]).replace('"', "'"))
        path = tmp_path / "set.tsv"
    else:
        path = tmp_path / "set.npz"
        np.savez(path, images=np.zeros((12, 4, 4), np.uint8), labels=np.array(labels))
    with pytest.raises(UserError, match="more than one label|several labels joined by"):
        load(path)


@pytest.mark.parametrize(
    "labels",
    [
        ["salt, pepper", "x"],
        ["black and white", "black", "white"],
        ["[a]", "b"],
        ["(old)", "new"],
        ["3-4", "3", "4"],
        ["a||b", "c"],
    ],
    ids=str,
)
def test_names_that_hold_a_sign_are_names(labels: list[str]) -> None:
    notes: list[str] = []
    assert joined(labels, "set.csv", notes) == "" and not notes


@pytest.mark.parametrize(
    "labels",
    [["a+b", "a", "b"], ["rock/pop", "rock", "pop"], ["red|big", "red|small", "blue|big"]],
    ids=str,
)
def test_names_that_may_be_several_labels_are_said(labels: list[str]) -> None:
    notes: list[str] = []
    assert joined(labels, "set.csv", notes) == ""
    assert "look like several labels" in notes[0]


LISTS: dict[str, list[Any]] = {
    "lists of numbers": [[0, 1], [1], [0]],
    "lists of names": [["a"], ["a", "b"], ["b"]],
    "vectors": [[1, 0, 0], [0, 1, 1], [0, 0, 1]],
    "structs": [{"a": 1, "b": 0}, {"a": 0, "b": 1}, {"a": 1, "b": 1}],
}


@pytest.mark.parametrize("name", LISTS)
def test_a_parquet_column_of_lists_is_refused_as_classes(tmp_path: Path, name: str) -> None:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    table = arrow.table(
        {"image": [encoded(picture(n)) for n in range(12)], "label": LISTS[name] * 4}
    )
    parquet.write_table(table, tmp_path / "set.parquet")
    with pytest.raises(UserError, match=r"row [12], column label: .* is more than one label"):
        load(tmp_path / "set.parquet")


def test_lists_of_one_label_each_are_that_label_and_lists_of_numbers_are_values(
    tmp_path: Path,
) -> None:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    images = [encoded(picture(n)) for n in range(12)]
    parquet.write_table(
        arrow.table({"image": images, "label": [[n % 2] for n in range(12)]}),
        tmp_path / "one.parquet",
    )
    data = load(tmp_path / "one.parquet")
    assert data.classes == ("0", "1") and any(
        "lists of one label each" in note for note in data.facts["notes"]
    )
    parquet.write_table(
        arrow.table({"image": images, "label": [[n / 2, n] for n in range(12)]}),
        tmp_path / "two.parquet",
    )
    assert load(tmp_path / "two.parquet", task="regression").task.outputs == 2
