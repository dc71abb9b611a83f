"""data/lookalike.py: names that people take for one another."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from archsmith.data.listing import label_name
from archsmith.data.lookalike import check_names, near
from archsmith.errors import UserError


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ("caf\u00e9", "cafe\u0301", "U+00E9, NFC; U+0301, NFD"),
        ("cat", "cat\u200b", "ASCII; U+200B"),
        ("cat", "c\u00adat", "ASCII; U+00AD"),
        ("cat", "\u2060cat", "ASCII; U+2060"),
        ("\u00c5", "\u212b", "U+00C5, NFC; U+212B"),
        ("ice bear", "ice  bear", "ASCII with more spaces"),
        ("\uac00", "\u1100\u1161", "U+AC00, NFC"),
    ],
)
@pytest.mark.parametrize("form", [str, label_name])  # as it is, and as sources hand it on
def test_two_names_that_look_the_same_are_refused_with_their_unicode_forms(
    form: Callable[[str], str], first: str, second: str, said: str
) -> None:
    with pytest.raises(UserError, match="look the same but are written differently") as caught:
        check_names(["dog", form(first), form(second)])
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ("Blue", "blue", "upper and lower case"),
        ("A", "\u0410", "another alphabet"),
        ("1", "\uff11", "another alphabet"),
        ("01", "1", "same number"),
        ("1.0", "1", "same number"),
    ],
)
def test_names_that_differ_by_little_are_kept_and_told(first: str, second: str, said: str) -> None:
    (note,) = check_names(["dog", first, second])
    assert said in note and "kept apart" in note


@pytest.mark.parametrize("name", ["'cat'", '"cat', "cat”", "`cat`"])
def test_names_that_hold_quotes_are_told(name: str) -> None:
    notes = check_names(["cat", "dog", name])
    assert any("differ in quotes alone" in note for note in notes) and any(
        "a quote at an end" in note for note in notes
    )


def test_names_that_differ_are_not_remarked_on() -> None:
    assert check_names(["a", "b", "10", "2", "-1", "nan", "ant"]) == []
    assert near("zebra", ["cat", "dog"]) == ""
