"""What an option may be: a kind that is kept and compared; lists that mean something else are
told."""

from __future__ import annotations

import math
from random import Random

import numpy as np
import pytest

from archsmith.errors import UserError
from archsmith.space import Architecture, Choice, SearchSpace


@pytest.mark.parametrize(
    "options",
    [
        (1e-4, 1e-1, "log"),
        ("uniform", 0, 1),
        [2, 9, "int"],
        (0.1, 0.9, 0.1, "quniform"),
        ("loguniform", 1e-5, 1.0),
        (1, 64, "LOG2"),
    ],
)
def test_what_looks_like_a_range_is_told_with_values_to_list(options: object) -> None:
    for make in (lambda: SearchSpace({"lr": options}), lambda: Choice(*options)):  # type: ignore[misc]
        with pytest.raises(UserError, match="looks like a range.*list the values to try"):
            make()


@pytest.mark.parametrize("options", ["conv", {3, 5}, {"low": 1, "high": 2}, 5, None, b"ab"])
def test_what_is_no_ordered_list_of_options_is_told(options: object) -> None:
    with pytest.raises(UserError, match="decision 'n'.*no list of options"):
        SearchSpace({"n": options})  # type: ignore[dict-item]


@pytest.mark.parametrize(
    "option", [math.nan, range(3), print, {1: 2}, object(), np.zeros(2), b"x", 1j]
)
def test_an_option_that_cannot_be_kept_is_told(option: object) -> None:
    for make in (
        lambda: SearchSpace({"n": (1, option)}),
        lambda: Choice(1, option),
        lambda: Choice(1, (2, option)),
    ):
        with pytest.raises(UserError, match="option"):
            make()


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        (range(3), (0, 1, 2)),
        (np.linspace(0, 1, 3), (0.0, 0.5, 1.0)),
        ([np.int64(3), 5], (3, 5)),
        ((3, 5, "skip"), (3, 5, "skip")),
        ((1e-4, 1e-1), (1e-4, 1e-1)),
        (("uniform", "log"), ("uniform", "log")),
        ([[1, 2], (3,)], ((1, 2), (3,))),
        ((True, False), (True, False)),
        ((None, "relu"), (None, "relu")),
        (Choice(1, 2), (1, 2)),
    ],
)
def test_lists_of_options_are_taken_as_they_are(options: object, kept: tuple) -> None:
    space = SearchSpace({"n": options})  # type: ignore[dict-item]
    assert space["n"] == kept
    arch = space.sample(Random(0))
    assert Architecture.from_json(arch.to_json()) == arch and len(arch.key) == 16


@pytest.mark.parametrize("given", [{"n": (1, 1)}, [("n", (1, 2))], {3: (1,)}])
def test_names_and_options_are_told_apart(given: object) -> None:
    with pytest.raises(UserError):
        SearchSpace(given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text", [b"[" * 100_000, '{"a":' * 50_000, b"\xff\xfe", "9" * 10_000, "nul", b""]
)
def test_no_text_makes_an_architecture_crash(text: str | bytes) -> None:
    with pytest.raises(UserError, match="not an architecture"):
        Architecture.from_json(text)
