"""Telling a person how a run goes: a live table in a terminal, plain lines elsewhere, silence for
tests."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Protocol, TextIO

from archsmith.errors import printable

_EVERY = 10.0  # seconds between two plain lines of one stage


def _lines(text: str) -> str:
    """Safe to print, its line ends kept."""
    return "\n".join(map(printable, text.split("\n")))


class Watch(Protocol):
    """What the pipeline tells while it works."""

    def begin(self, stage: str, predicted_s: float | None) -> None:
        """A stage starts; how long it should take, if known."""

    def tick(self, text: str, share: float | None) -> None:
        """The stage is `share` (0 to 1) done."""

    def end(self, stage: str, text: str, seconds: float) -> None:
        """A stage is finished, and what it decided."""

    def note(self, text: str) -> None:
        """Something that a person should know, and that does not stop the run."""


def duration(seconds: float) -> str:
    """12 s, 3 min 20 s, 1 h 5 min."""
    seconds = max(0.0, seconds)
    if seconds < 59.5:
        return f"{seconds:.0f} s" if seconds >= 9.5 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"


class Silent:
    """Says nothing."""

    def begin(self, stage: str, predicted_s: float | None) -> None:
        """Nothing."""

    def tick(self, text: str, share: float | None) -> None:
        """Nothing."""

    def end(self, stage: str, text: str, seconds: float) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Nothing."""


class Lines:
    """Plain lines, for logs and pipes: one when a stage starts and ends, and one every ten seconds
    between."""

    def __init__(self, out: TextIO) -> None:
        self._out, self._last, self._stage = out, 0.0, ""

    def _say(self, text: str) -> None:
        with suppress(OSError, ValueError):  # a log that is full or closed ends no run
            self._out.write(_lines(text) + "\n")
            self._out.flush()

    def begin(self, stage: str, predicted_s: float | None) -> None:
        """A line with the predicted time."""
        self._stage, self._last = stage, time.monotonic()
        self._say(
            f"{stage:<8} ..."
            + (f" about {duration(predicted_s)}" if predicted_s is not None else "")
        )

    def tick(self, text: str, share: float | None) -> None:
        """A line where the last is old enough."""
        if time.monotonic() - self._last >= _EVERY:
            self._last = time.monotonic()
            self._say(
                f"{self._stage:<8} " + (f"{share:4.0%} " if share is not None else "     ") + text
            )

    def end(self, stage: str, text: str, seconds: float) -> None:
        """A line with what was decided."""
        self._say(f"{stage:<8} {duration(seconds):>8}  {text}")

    def note(self, text: str) -> None:
        """A line."""
        self._say(f"note: {text}")


@dataclass
class _Row:
    status: str = "waiting"
    predicted_s: float | None = None
    seconds: float = 0.0
    text: str = ""
    share: float | None = None
    started: float = field(default=0.0)


class Live:
    """A table of all stages that redraws itself, with rich."""

    def __init__(self, stages: Sequence[str]) -> None:
        self._rows = {stage: _Row() for stage in stages}
        self._notes: list[str] = []
        self._current: str | None = None

    def begin(self, stage: str, predicted_s: float | None) -> None:
        """Marks the row as running."""
        self._current = stage
        self._rows[stage] = _Row("running", predicted_s, started=time.monotonic())

    def tick(self, text: str, share: float | None) -> None:
        """Updates the running row."""
        if self._current is not None:
            row = self._rows[self._current]
            row.text, row.share = text, share

    def end(self, stage: str, text: str, seconds: float) -> None:
        """Marks the row as done."""
        self._rows[stage] = _Row("done", seconds=seconds, text=text)
        self._current = None

    def note(self, text: str) -> None:
        """A row below the stages."""
        self._notes.append(text)

    def __rich__(self) -> object:
        from rich.progress_bar import ProgressBar
        from rich.spinner import Spinner
        from rich.table import Table
        from rich.text import Text

        table = Table.grid(padding=(0, 2), expand=True)
        for width in (2, 8, 11, 18):
            table.add_column(width=width, no_wrap=True)
        table.add_column(ratio=1)
        cells: list[Any]  # sign, stage, time, bar, text
        for stage, row in self._rows.items():
            if row.status == "done":
                cells = [
                    Text("✓", "green"),
                    stage,
                    duration(row.seconds),
                    "",
                    Text(_lines(row.text), overflow="fold"),
                ]
            elif row.status == "running":
                spent = time.monotonic() - row.started
                share = row.share
                if share is None and row.predicted_s:
                    share = min(0.99, spent / row.predicted_s)
                bar = ProgressBar(total=1.0, completed=share or 0.0, width=18, pulse=share is None)
                cells = [
                    Spinner("dots"),
                    Text(stage, "bold"),
                    duration(spent),
                    bar,
                    Text(printable(row.text), "dim"),
                ]
            else:
                cells = [Text("·", "dim"), Text(stage, "dim"), "", "", ""]
            table.add_row(*cells)
        for note in self._notes:
            cells = [Text("!", "yellow"), Text("note"), "", "", Text(note, overflow="fold")]
            table.add_row(*cells)
        return table


@contextmanager
def watch(stages: Sequence[str], *, out: TextIO | None = None) -> Iterator[Watch]:
    """The live table where `out` (default: standard error) is a terminal, plain lines where it is
    not."""
    out = sys.stderr if out is None else out
    if out is None:  # standard error is closed
        yield Silent()
        return
    if not out.isatty():
        yield Lines(out)
        return
    from rich.console import Console
    from rich.live import Live as RichLive

    view = Live(stages)
    with RichLive(get_renderable=view.__rich__, console=Console(file=out), refresh_per_second=8):  # type: ignore[arg-type]
        yield view
