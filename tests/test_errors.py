"""errors.py: a user's values in messages."""

from __future__ import annotations

import pytest

from archsmith.errors import did_you_mean, first_line, printable, quoted


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("plain é 猫", "plain é 猫"),
        ("a\x1b[31mred", r"a\x1b[31mred"),
        ("two\nlines\r\t", r"two\nlines\r\t"),
        ("byte \udcff", r"byte \xff"),
        ("half \ud800", r"half \ud800"),
        ("turned \u202e", r"turned \u202e"),
        ("next\x85page\u2028", r"next\x85page\u2028"),
        ("NUL\0", r"NUL\x00"),
        (b"bytes", "b'bytes'"),
        (3.5, "3.5"),
    ],
)
def test_what_a_user_wrote_is_printed_safely(value: object, shown: str) -> None:
    assert printable(value) == shown
    assert shown.encode("utf-8") and "\n" not in printable(value)


@pytest.mark.parametrize("limit", [10, 60, 200])
@pytest.mark.parametrize("value", ["x" * 10**6, "\x1b" * 10**6, "é" * 500])
def test_long_values_are_shortened(value: str, limit: int) -> None:
    shown = printable(value, limit)
    assert "..." in shown and len(shown) <= 4 * limit
    assert quoted(value, limit) == f"'{shown}'"


@pytest.mark.parametrize("word", ["traim", "train\n", "train" + "n" * 100_000])
def test_a_suggestion_is_printed_safely_too(word: str) -> None:
    assert "\n" not in did_you_mean(word, ["train\x1b", "test"]) and "\x1b" not in did_you_mean(
        word, ["train\x1b"]
    )


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("\n one\ntwo"), "one"),
        (KeyError("k"), "'k'"),
        (ValueError(), "ValueError"),
        (RuntimeError(" \n "), "RuntimeError"),
    ],
)
def test_the_first_line_of_an_error_is_never_empty(error: BaseException, said: str) -> None:
    assert first_line(error) == said
