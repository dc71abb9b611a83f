"""Plain values of a text, and the YAML that is read."""

from __future__ import annotations

import pytest

from archsmith.errors import UserError
from archsmith.spaces.catalog.plain import among, mapping_of, value_of, values, yaml_of


def test_json_and_what_python_prints_are_values_and_nothing_else_is() -> None:
    assert (
        value_of('{"a": [1, null, true]}')
        == value_of("{'a': [1, None, True]}")
        == {"a": [1, None, True]}
    )
    assert (
        value_of("__import__('os')")
        is value_of("1 +")
        is value_of("[" * 5000)
        is value_of("\x00")
        is None
    )
    assert mapping_of("[1]") == mapping_of("{1: 2}") == {}


def test_yaml_of_names_lists_and_comments() -> None:
    text = "# about\nA:\n  B: 1.5  # one\n  C:\n  - 1\n  - two\n  D: [1, 2]\n  E:\nF: 'x'\n"
    assert yaml_of(text) == {"A": {"B": 1.5, "C": [1, "two"], "D": [1, 2], "E": None}, "F": "x"}
    assert yaml_of("") == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("A: 1\n   B: 2", "line 2 is no `NAME: value`"),
        ("A\nB: 1", "line 1"),
        ("- 1\n- 2", "line 2"),
        ("".join(" " * i + "A:\n" for i in range(100)), "deeper than 20 levels"),
    ],
)
def test_other_yaml_is_refused_by_its_line(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        yaml_of(text)


def test_an_option_is_the_spaces_own() -> None:
    assert repr(among("x", 4.0, (3.5, 4))) == "4"
    with pytest.raises(UserError, match="x is True; allowed are 0, 1"):
        among("x", True, (0, 1))
    with pytest.raises(UserError, match="x is 'ab'; a list of 2 or 3 is needed"):
        values("x", "ab", 2, 3)
