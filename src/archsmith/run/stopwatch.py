"""Counts the seconds of a run's stages over all the processes that worked on them."""

from __future__ import annotations

import time
from collections.abc import Callable

from archsmith._internal.hardware import waited_s
from archsmith.run.store import Run


class Stopwatch:
    """Counts the seconds of one stage after the other, over all the processes that worked on them,
    saving them now and then. By the clock `now`."""

    def __init__(self, run: Run, now: Callable[[], float] = time.monotonic) -> None:
        self._run, self._now = run, now
        self.stage: str | None = None  # that is running
        self._before = self._waited_before = 0.0
        self._start = self._saved = self._waited_then = 0.0

    def start(self, stage: str, *, since: float | None = None) -> None:
        """Goes on with a stage where the process before left it. `since`: when this process began
        with it; what lies between two stages belongs to the later one."""
        self.stage = stage
        self._before = self._run.seconds().get(stage, 0.0)
        self._waited_before = self._run.waits().get(stage, 0.0)
        self._saved = self._now()
        self._start = self._saved if since is None else since
        self._waited_then = waited_s() or 0.0

    def stop(self) -> float:
        """The seconds of the stage that was running; none runs from here."""
        seconds, self.stage = self.seconds, None
        return seconds

    @property
    def seconds(self) -> float:
        """Spent in the running stage so far; 0 where none runs."""
        return 0.0 if self.stage is None else self._before + self._now() - self._start

    @property
    def waited(self) -> float:
        """Of them, those in which other work on the machine kept this process waiting."""
        if self.stage is None:
            return 0.0
        return self._waited_before + (waited_s() or 0.0) - self._waited_then

    @property
    def spent(self) -> dict[str, float]:
        """Seconds by stage, of the running one as far as it is."""
        running = {} if self.stage is None else {self.stage: self.seconds}
        return self._run.seconds() | running

    @property
    def waits(self) -> dict[str, float]:
        """By stage those in which other work kept it waiting, of the running one likewise."""
        running = {} if self.stage is None else {self.stage: self.waited}
        return self._run.waits() | running

    def save(self, every: float = 0.0) -> None:
        """Writes the count, at most once in `every` seconds."""
        if self.stage is not None and self._now() - self._saved >= every:
            self._saved = self._now()
            self._run.clock(self.stage, self.seconds, self.waited)
