"""What the command line takes and gives, whatever is written."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from command_line import call

from archsmith.cli.app import app
from archsmith.errors import UserError, did_you_mean, message, printable, shown
from archsmith.run.request import request_from

Call = tuple[pytest.CaptureFixture[str], pytest.MonkeyPatch]


@pytest.fixture
def cli(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Call:
    monkeypatch.chdir(tmp_path)
    return capsys, monkeypatch


@pytest.mark.parametrize(
    "text", ["\x1b[31mred", "a\rb\x08", "\u202ereversed", "\udce9", "zero\u200bwidth", "two\nlines"]
)
def test_nothing_in_a_message_moves_the_cursor_or_hides(text: str) -> None:
    for said in (printable(text), shown(text), message(text)):
        assert said.isprintable() and said.encode()


@pytest.mark.parametrize("text", ["x" * 100_000, "a " + "b" * 500, "/".join(["folder"] * 9000)])
def test_long_values_are_not_echoed_whole(text: str) -> None:
    assert len(shown(text)) < 120 and len(message(f"error: '{text}' is wrong")) < 300


def test_a_plain_message_stays_as_it_is() -> None:
    plain = "error: params<=3M: größer als µ × 2 (naïve, 日本)"
    assert message(plain) == printable(plain) == shown(plain) == plain


def test_a_suggestion_of_an_endless_word_comes_at_once() -> None:
    assert did_you_mean("params" * 50_000, ["params", "macs"]) == ""


@pytest.mark.parametrize("word", ["serach", "profle", "scor"])
def test_one_suggestion(cli: Call, word: str) -> None:
    code, _, err = call(*cli, word)
    assert code == 2 and err.lower().count("did you mean") == 1 and err.count("\n") == 1


@pytest.mark.parametrize("error", [RuntimeError("odd"), KeyError("x"), AssertionError()])
def test_what_nobody_expected_is_one_line_and_1(cli: Call, error: Exception) -> None:
    def broken() -> dict[str, object]:
        raise error

    cli[1].setattr("archsmith.cli.doctor.examine", broken)
    code, out, err = call(*cli, "doctor")
    assert code == 1 and err.startswith("error: unexpected") and err.count("\n") == 1 and not out
    cli[1].setenv("ARCHSMITH_TRACEBACK", "1")
    assert "Traceback" in call(*cli, "doctor")[2]


@pytest.mark.parametrize(
    "error",
    [MemoryError(), OSError(28, "No space left on device"), PermissionError(13, "denied", "/x")],
)
def test_what_a_machine_cannot_do_is_one_line_and_2(cli: Call, error: Exception) -> None:
    def broken() -> dict[str, object]:
        raise error

    cli[1].setattr("archsmith.cli.doctor.examine", broken)
    code, _, err = call(*cli, "doctor")
    assert code == 2 and err.startswith("error: ") and err.count("\n") == 1


@pytest.mark.parametrize("words", [("spaces",), ("methods",), ("doctor",)])
def test_standard_output_holds_one_json_object_whatever_prints(
    cli: Call, words: tuple[str, ...]
) -> None:
    def prints(*_: object) -> str:
        sys.stdout.write("chatter\n")
        return "cpu"

    cli[1].setattr("archsmith.cli.doctor.cpu_name", prints)
    code, out, _ = call(*cli, *words, "--json")
    assert code == 0 and json.loads(out)


@pytest.mark.parametrize("place", ["~nouser/x", "~nobody-here", "~no user/x/y"])
@pytest.mark.parametrize(
    "words", [("report",), ("search",), ("score", "--architecture"), ("score", "--data")]
)
def test_the_home_of_nobody(cli: Call, words: tuple[str, ...], place: str) -> None:
    code, _, err = call(*cli, *words, place)
    assert code == 2 and "there is no user" in err


def test_the_home_of_somebody_is_found(cli: Call, tmp_path: Path) -> None:
    cli[1].setenv("HOME", str(tmp_path))
    code, _, err = call(*cli, "report", "~/runs/x")
    assert code == 2 and f"{tmp_path}/runs/x holds no run" in err and not (tmp_path / "~").exists()


@pytest.mark.parametrize("name", [b"caf\xe9", b"\xff\xfe", b"ok/\x80"])
def test_names_that_are_no_text(cli: Call, name: bytes) -> None:
    code, _, err = call(*cli, "report", os.fsdecode(name))
    assert code == 2 and "not in UTF-8" in err


def numeric(
    command: Any, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], str, float, float]]:
    """(command, option, least, most) of every option that is a number."""
    for option in command.params:
        kind = getattr(option, "type", option)
        if getattr(kind, "min", None) is not None:
            yield path, max(option.opts, key=len), kind.min, kind.max
    for name, inner in getattr(command, "commands", {}).items():
        yield from numeric(inner, (*path, name))


def without_bounds(command: Any) -> list[str]:
    """Options that are numbers without bounds."""
    kinds = (
        getattr(getattr(option, "type_descriptor", None), "annotation", None)
        for option in command.params
    )
    own = [
        o.name
        for o, kind in zip(command.params, kinds, strict=True)
        if kind in (int, float) and None in (o.min, o.max)
    ]
    return own + [
        name
        for inner in getattr(command, "commands", {}).values()
        for name in without_bounds(inner)
    ]


NUMERIC = list(numeric(typer.main.get_command(app)))


def test_every_number_has_bounds() -> None:
    assert len(NUMERIC) > 40 and not without_bounds(typer.main.get_command(app))


@pytest.mark.parametrize(
    ("command", "option", "least", "most"), NUMERIC, ids=[" ".join((*c, o)) for c, o, *_ in NUMERIC]
)
def test_a_number_out_of_bounds_says_option_value_and_what_is_allowed(
    cli: Call, command: tuple[str, ...], option: str, least: float, most: float
) -> None:
    for value in (str(least - 1), str(most * 2 + 1), "nan", "-inf", "some"):
        code, _, err = call(*cli, *command, f"{option}={value}")
        assert code == 2 and err.count("\n") == 1
        assert f"error: {option} {value}: allowed is a" in err and f"from {least} to {most}" in err


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("val_share", 0.0, "above 0 and below 1"),
        ("size", 2, "from 4 and to 1024"),
        ("seed", -1, "from 0 and below"),
        ("trials", 1, "from 8"),
    ],
)
def test_a_request_out_of_bounds_says_what_is_allowed(
    name: str, value: float, allowed: str
) -> None:
    with pytest.raises(UserError, match=f"{name}={value}: allowed is a number {allowed}"):
        request_from(**{"data": "digits", name: value})
