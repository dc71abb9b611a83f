"""archsmith finds, trains and ships the best neural network for a data set and a budget."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from archsmith import interrupts as _interrupts

if _interrupts.is_command():  # what follows takes a moment, in which Ctrl-C is no traceback either
    _interrupts.arm()

import archsmith.search as _loop  # noqa: F401  loaded before the function of that name, which it would hide if it came later

if TYPE_CHECKING:
    from pathlib import Path

    from archsmith.run import Run

__version__ = "0.1.0"
__all__ = ["__version__", "open_run", "search"]


def search(data: str | Path, *, budget: str = "", out: str | Path, time: str | float | None = "20m", **settings: Any) -> Run:
    """What `archsmith search` does; returns the finished run with `.best()`, `.front()`, `.export(path)`, `.summary()`.

    `settings`: method, space, device, steps, trials, threads, seed, init, size, val_share, test_share, group, classes_at, fit,
    flip, reference, task, follow, `training={...}` (lr, batch, augment), and the method's own as `settings={...}` (few-shot:
    splits, split_on, leaves, inherit). Raises archsmith.errors.UserError where the request cannot be met.
    """
    from time import monotonic

    began = monotonic()
    from archsmith.budget import parse_seconds
    from archsmith.pipeline import start
    from archsmith.run import request_from

    seconds = None if time is None or settings.get("steps") is not None else parse_seconds(time)
    request = request_from(data=str(data), budget=budget, time_s=seconds, **settings)
    return start(request, out, ahead_s=monotonic() - began)


def open_run(folder: str | Path, *, trust: bool = False) -> Run:
    """A run made earlier, finished or not. `trust`: where it was searched in a space of its own, that file may be run."""
    from archsmith.run import Run

    return Run.open(folder, trust=trust)
