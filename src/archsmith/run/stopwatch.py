"""Counts the seconds of a stage over all the processes that worked on it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from archsmith._internal.hardware import waited_s

if TYPE_CHECKING:
    pass
from archsmith.run.store import Run


class Stopwatch:
    """Counts a stage's seconds over all the processes that worked on it, saving them now and then.

    `since`: when this process began with it, by the clock `now`; what lies between two stages
    belongs to the later one.
    """

    def __init__(
        self,
        run: Run,
        stage: str,
        now: Callable[[], float] = time.monotonic,
        *,
        since: float | None = None,
    ) -> None:
        self._run, self.stage, self._now = run, stage, now
        self._before, self._waited_before = (
            run.seconds().get(stage, 0.0),
            run.waits().get(stage, 0.0),
        )
        self._saved = now()
        self._start = self._saved if since is None else since
        self._waited_then = waited_s() or 0.0

    @property
    def seconds(self) -> float:
        """Spent in this stage so far."""
        return self._before + self._now() - self._start

    @property
    def waited(self) -> float:
        """Of them, those in which other work on the machine kept this process waiting."""
        return self._waited_before + (waited_s() or 0.0) - self._waited_then

    def save(self, every: float = 0.0) -> None:
        """Writes the count, at most once in `every` seconds."""
        if self._now() - self._saved >= every:
            self._saved = self._now()
            self._run.clock(self.stage, self.seconds, self.waited)
