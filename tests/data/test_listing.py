"""data/listing.py: names of classes and of parts."""

from __future__ import annotations

import os
import random
import subprocess
import sys

import pytest

from archsmith.data import listing
from archsmith.data.listing import class_order, label_name, part_of

SETS = [
    ("1", "01", "001", "2"),
    ("0", "-0", "+0", "00"),
    ("1", "\u0661", "\uff11", "01"),
    ("1", "1.0", "01", "b"),
    ("a10", "a2", "a", "A"),
    ("x\\x00", "x", "", " "),
    ("9" * 5000, "1", "01"),
]


@pytest.mark.parametrize("names", SETS)
def test_the_order_of_classes_depends_on_their_names_alone(names: tuple[str, ...]) -> None:
    orders = set()
    for seed in range(20):
        mixed = list(names)
        random.Random(seed).shuffle(mixed)
        orders.add(class_order(mixed))
    assert len(orders) == 1 and set(orders.pop()) == set(names)


def test_the_order_of_classes_is_the_same_in_every_process() -> None:
    code = (
        f"import runpy; order = runpy.run_path({listing.__file__!r})['class_order']; "
        f"print([order(n) for n in {SETS[:6]!r}])"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in "012"
    }
    assert len(found) == 1


def test_numbers_stand_by_value_and_words_by_name() -> None:
    assert class_order(["10", "9", "1"]) == ("1", "9", "10")
    assert class_order(["10", "9", "b"]) == ("10", "9", "b")


@pytest.mark.parametrize(
    ("name", "part"),
    [
        *[
            (name, "train")
            for name in (
                "train",
                "Training_Set",
                "TRAIN",
                "01-train",
                "trainData",
                "images_train",
                "train2017",
            )
        ],
        *[
            (name, "val")
            for name in (
                "val",
                "Valid",
                "validation set",
                "valset",
                "dev",
                "eval_images",
                "VAL2017",
            )
        ],
        *[
            (name, "test")
            for name in ("test", "testing", "test-set", "TestSet", "tests", "hold_out", "imgs.test")
        ],
        *[
            (name, None)
            for name in (
                "trainer",
                "training_wheel",
                "contest",
                "bus",
                "value",
                "test tube",
                "images",
                "",
                "7",
            )
        ],
    ],
)
def test_parts_are_known_by_any_spelling(name: str, part: str | None) -> None:
    assert part_of(name) == part


@pytest.mark.parametrize(
    ("written", "number"), [("1.0", 1.0), ("-3.", -3.0), ("12.000", 12.0), ("+7.0", 7.0)]
)
def test_a_number_written_as_text_is_the_class_of_that_number(written: str, number: float) -> None:
    assert label_name(written) == label_name(number) == str(int(number))


def test_other_text_is_left_as_it_is() -> None:
    assert [label_name(text) for text in ("1.5", "1.0.0", "v1.0", "1e3", "01")] == [
        "1.5",
        "1.0.0",
        "v1.0",
        "1e3",
        "01",
    ]
