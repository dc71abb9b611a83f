"""data/split.py: shares, strata, groups, declared parts, the hash, and the way through JSON."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archsmith.data.listing import PARTS
from archsmith.data.split import Split, divide, rows_of
from archsmith.errors import Damaged, UserError


def labels_of(*counts: int) -> np.ndarray:
    labels = np.repeat(np.arange(len(counts)), counts)
    np.random.default_rng(0).shuffle(labels)
    return labels


def names(count: int) -> list[str]:
    return [f"c{i}" for i in range(count)]


@settings(deadline=None, max_examples=60)
@given(
    counts=st.lists(st.integers(3, 60), min_size=2, max_size=6),
    seed=st.integers(0, 2**31),
    val=st.floats(0.05, 0.4),
    test=st.floats(0.05, 0.4),
)
def test_a_stratified_split_covers_everything_once(
    counts: list[int], seed: int, val: float, test: float
) -> None:
    labels = labels_of(*counts)
    rows, how = divide(
        labels, classes=names(len(counts)), seed=seed, val_share=val, test_share=test
    )
    assert sorted(np.concatenate(list(rows.values())).tolist()) == list(range(len(labels)))
    assert "stratified" in how
    for index, count in enumerate(counts):
        got = {part: int((labels[rows[part]] == index).sum()) for part in PARTS}
        assert min(got.values()) >= 1
        for part, share in (("val", val), ("test", test)):
            assert abs(got[part] - share * count) <= 1


def test_the_seed_decides() -> None:
    labels = labels_of(50, 50)
    settings_ = {"classes": names(2), "val_share": 0.15, "test_share": 0.2}
    first, second, other = (divide(labels, seed=seed, **settings_)[0] for seed in (1, 1, 2))
    assert all(np.array_equal(first[part], second[part]) for part in PARTS)
    assert not np.array_equal(first["test"], other["test"])


def test_a_class_of_two_cannot_be_split() -> None:
    with pytest.raises(UserError, match="class 'c1' has 2 images to split; at least 3"):
        divide(labels_of(9, 2), classes=names(2), seed=0, val_share=0.15, test_share=0.2)


def test_declared_parts_stay() -> None:
    labels = labels_of(40, 40)
    declared = ["test" if i % 4 == 0 else "train" for i in range(80)]
    rows, how = divide(
        labels, classes=names(2), seed=0, val_share=0.25, test_share=0.2, declared=declared
    )
    assert rows["test"].tolist() == list(range(0, 80, 4))
    assert 14 <= len(rows["val"]) <= 16
    assert how == "test as declared; val 25% of the training part, stratified by class"
    everything = [("train", "val", "test")[i % 3] for i in range(80)]
    rows, how = divide(
        labels, classes=names(2), seed=0, val_share=0.25, test_share=0.2, declared=everything
    )
    assert rows["val"].tolist() == list(range(1, 80, 3))
    assert how == "train and val and test as declared"


def test_declared_parts_that_cannot_work() -> None:
    labels = np.array([0, 0, 0, 0, 1, 1])
    with pytest.raises(UserError, match="no training part"):
        divide(
            labels,
            classes=names(2),
            seed=0,
            val_share=0.2,
            test_share=0.2,
            declared=["val", "test"] * 3,
        )
    with pytest.raises(UserError, match="'c1' is in test, not in train"):
        declared = ["train", "train", "val", "test", "test", "test"]
        divide(labels, classes=names(2), seed=0, val_share=0.2, test_share=0.2, declared=declared)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 1000), sizes=st.lists(st.integers(1, 12), min_size=12, max_size=40))
def test_groups_stay_together(seed: int, sizes: list[int]) -> None:
    rng = np.random.default_rng(seed)
    groups = [f"g{i}" for i, size in enumerate(sizes) for _ in range(size)]
    labels = rng.integers(0, 2, len(groups))
    labels[: sizes[0]] = 0
    try:
        rows, how = divide(
            labels, classes=names(2), seed=seed, val_share=0.2, test_share=0.2, groups=groups
        )
    except UserError as error:
        assert "not in train" in str(error)
        return
    where = {part: {groups[row] for row in rows[part]} for part in PARTS}
    assert (
        not where["train"] & where["val"]
        and not where["train"] & where["test"]
        and not where["val"] & where["test"]
    )
    assert sum(len(found) for found in where.values()) == len(sizes)
    assert all(where.values())
    assert f"{len(sizes)} groups kept together" in how


def test_groups_come_close_to_the_shares_and_the_class_balance() -> None:
    rng = np.random.default_rng(0)
    groups = [f"g{i}" for i in range(200) for _ in range(int(rng.integers(1, 9)))]
    labels = rng.choice(3, len(groups), p=[0.6, 0.3, 0.1])
    rows, _ = divide(
        labels, classes=names(3), seed=0, val_share=0.15, test_share=0.2, groups=groups
    )
    for part, share in (("train", 0.65), ("val", 0.15), ("test", 0.2)):
        counts = Counter(labels[rows[part]].tolist())
        for index in range(3):
            assert abs(counts[index] - share * (labels == index).sum()) <= 4


def test_too_few_groups() -> None:
    with pytest.raises(UserError, match="2 groups for 3 parts"):
        divide(
            labels_of(5, 5),
            classes=names(2),
            seed=0,
            val_share=0.2,
            test_share=0.2,
            groups=["a", "b"] * 5,
        )


def split() -> Split:
    return Split({"train": ("a", "b"), "val": ("c",), "test": ("d\\xff",)}, 7, "made up", 0.15, 0.2)


def test_json_both_ways() -> None:
    again = Split.from_json(json.loads(json.dumps(split().to_json())))
    assert again == split()
    assert again.sha256 == split().sha256


def test_the_hash_sees_parts_and_not_order() -> None:
    reordered = Split({"train": ("b", "a"), "val": ("c",), "test": ("d\\xff",)}, 8, "", 0.1, 0.2)
    moved = Split(
        {"train": ("a",), "val": ("b", "c"), "test": ("d\\xff",)}, 7, "made up", 0.15, 0.2
    )
    assert reordered.sha256 == split().sha256 != moved.sha256


def test_a_tampered_split_is_damaged() -> None:
    saved = split().to_json()
    saved["parts"]["test"].append("a")
    with pytest.raises(Damaged, match="restore the file"):
        Split.from_json(saved)
    with pytest.raises(Damaged, match="parts"):
        Split.from_json({"seed": 1})


def test_rows_of_a_saved_split() -> None:
    rows = rows_of(split(), ["d\\xff", "c", "b", "a"])
    assert {part: found.tolist() for part, found in rows.items()} == {
        "train": [3, 2],
        "val": [1],
        "test": [0],
    }
    with pytest.raises(UserError, match="1 images gone or unreadable, 0 new .-c"):
        rows_of(split(), ["d\\xff", "b", "a"])
    with pytest.raises(UserError, match="0 images gone or unreadable, 1 new .+e"):
        rows_of(split(), ["d\\xff", "c", "b", "a", "e"])


@pytest.mark.parametrize("part", ["val", "test"])
@pytest.mark.parametrize(
    ("name", "known", "expected"),
    [
        ("blue", "Blue", "class 'blue' is in {part}, not in train; near: 'Blue'"),
        ("cafe\u0301", "caf\u00e9", "not in train; near: 'caf\u00e9' (U+0301, NFD; U+00E9, NFC)"),
        ("01", "1", "class '01' is in {part}, not in train; near: '1'"),
        ("dogs", "dog", "near: 'dog'"),
        ("zebra", "cat", "class 'zebra' is in {part}, not in train. "),
    ],
)
def test_a_class_outside_training_is_named_with_the_one_that_may_be_meant(
    part: str, name: str, known: str, expected: str
) -> None:
    labels = np.array([0] * 6 + [1] * 6 + [2] * 3)
    declared = ["train"] * 12 + [part] * 3
    with pytest.raises(UserError) as caught:
        divide(
            labels,
            classes=["other", known, name],
            seed=0,
            val_share=0.2,
            test_share=0.2,
            declared=declared,
        )
    assert expected.format(part=part) in str(caught.value)
