"""data/lookalike.py: names that people take for one another."""

from __future__ import annotations

import pytest

from archsmith.data.lookalike import check_names, near
from archsmith.errors import UserError


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ("caf\u00e9", "cafe\u0301", "U+00E9, NFC; U+0301, NFD"),
        ("cat", "cat\u200b", "ASCII; U+200B"),
        ("\u00c5", "\u212b", "U+00C5, NFC; U+212B"),
        ("ice bear", "ice  bear", "ASCII with more spaces"),
        ("\uac00", "\u1100\u1161", "U+AC00, NFC"),
    ],
)
def test_two_names_that_look_the_same_are_refused_with_their_unicode_forms(first: str, second: str, said: str) -> None:
    with pytest.raises(UserError, match="look the same but are written differently") as caught:
        check_names(["dog", first, second])
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


def test_names_that_differ_are_not_remarked_on() -> None:
    assert check_names(["a", "b", "10", "2", "-1", "nan", "ant"]) == []
    assert near("zebra", ["cat", "dog"]) == ""
