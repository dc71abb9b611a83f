"""Progress as a person reads it: plain lines where there is no terminal, a table where there is
one."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from archsmith._internal.progress import Lines, Live, duration, watch


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (9.4, "9.4 s"),
        (12, "12 s"),
        (59.4, "59 s"),
        (60, "1 min"),
        (200, "3 min 20 s"),
        (3900, "1 h 5 min"),
        (-1, "0.0 s"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_plain_lines_outside_a_terminal() -> None:
    out = io.StringIO()
    with watch(["look", "finish"], out=out) as watching:
        assert isinstance(watching, Lines)
        watching.begin("look", None)
        watching.tick("reading", 0.5)  # too soon after the last line to be said
        watching.end("look", "10 classes", 1.25)
        watching.begin("finish", 130.0)
    assert out.getvalue().splitlines() == [
        "look     ...",
        "look        1.2 s  10 classes",
        "finish   ... about 2 min 10 s",
    ]
    assert "\x1b" not in out.getvalue()


def test_a_line_every_ten_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    now, out = [100.0], io.StringIO()
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    lines = Lines(out)
    lines.begin("finish", None)
    for _ in range(25):
        now[0] += 1.0
        lines.tick("step", 0.25)
    assert out.getvalue().splitlines()[1:] == ["finish    25% step"] * 2


def test_the_table_of_a_terminal() -> None:
    live = Live(["look", "finish", "ship"])
    live.begin("look", None)
    live.end("look", "10 classes", 1.25)
    live.begin("finish", 60.0)
    live.tick("step 7 [of many]", 0.5)
    console = Console(width=90, file=io.StringIO(), force_terminal=True, color_system=None)
    console.print(live)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    rows = text.splitlines()
    assert "look" in rows[0] and "1.2 s" in rows[0] and "10 classes" in rows[0]
    assert "finish" in rows[1] and "step 7 [of many]" in rows[1] and "━" in rows[1]
    assert "ship" in rows[2]


@pytest.mark.parametrize("text", ["\x1b[2Jgone", "a\rb", "class \u202ex"])
def test_what_is_told_moves_no_cursor(text: str) -> None:
    out = io.StringIO()
    Lines(out).end("look", text, 1.0)
    assert out.getvalue().rstrip("\n").isprintable()


@pytest.mark.parametrize(
    "error", [BrokenPipeError(), OSError(28, "No space left on device"), ValueError("closed")]
)
def test_a_log_that_cannot_be_written_ends_no_run(error: Exception) -> None:
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise error

    lines = Lines(Full())
    lines.begin("look", 1.0)
    lines.end("look", "done", 1.0)
