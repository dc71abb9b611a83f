"""A run as the command line begins it, watches it and tells what it came to."""

from __future__ import annotations

import contextlib
import sys
import textwrap
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from archsmith._internal import interrupts
from archsmith.cli.arguments import answer
from archsmith.cli.endings import say

if TYPE_CHECKING:
    from archsmith._internal.progress import Watch
    from archsmith.run.store import Run

NO_RESULT = 3  # the exit code of a run whose network is no better than the same answer always


def free_name(parent: Path, stem: str) -> Path:
    """runs/NAME, or runs/NAME-2, -3, ... where that is taken."""
    from archsmith.run.claim import vacant

    taken = [parent / stem, *(parent / f"{stem}-{i}" for i in range(2, 10_000))]
    return next(
        folder
        for folder in taken
        if not folder.exists() or (folder.is_dir() and any(folder.iterdir()) and vacant(folder))
    )


def ahead() -> float:
    """Seconds that this command has taken already: since its process began, where that was started
    for it."""
    from archsmith._internal.hardware import age_s

    return age_s() if interrupts.is_command() else 0.0


@contextlib.contextmanager
def _resumable(folder: Path) -> Iterator[None]:
    """Says how to go on when Ctrl-C, or anything else, ends the run, where there is one already."""
    try:
        yield
    except KeyboardInterrupt:
        begun = (folder / "run.json").is_file()
        kept = (
            (f"; everything done so far is kept. Go on with: archsmith resume {folder}")
            if begun
            else " before anything began"
        )
        say(f"stopped{kept}")
        sys.exit(interrupts.CODE)
    except OSError as error:
        on = (
            (f"; mend that, then: archsmith resume {folder}")
            if (folder / "run.json").is_file()
            else ""
        )
        say(f"error: {error.filename or folder}: {error.strerror or error}{on}")
        sys.exit(2)


@contextlib.contextmanager
def watched(folder: Path) -> Iterator[Watch]:
    """Shows the stages of a run in `folder`; says how to go on when it is ended before it is
    finished, also while the heavy libraries are still being imported."""
    with _resumable(folder):
        import_module("archsmith.stages.requests")  # seconds, before the first stage is shown
        from archsmith._internal.progress import watch
        from archsmith.run.store import STAGES

        with watch(STAGES) as watching:
            yield watching


def finished(run: Run, json: bool) -> None:
    """What a finished run came to; exit code 2 where no network kept the budget, 3 where none is
    better than a constant."""
    from archsmith.api import Result

    summary = Result(run).summary()
    if json:
        answer(summary)
    else:
        from archsmith.stages.pipeline import time_text

        if summary["warning"]:
            print(_banner(summary["warning"]), file=sys.stderr)
        print(f"\n{summary['verdict']}")
        print(
            f"model    {run.folder / 'best'}   (try: python {run.folder / 'best' / 'predict.py'} "
            f"IMAGE)"
        )
        print(f"report   {summary['report']}")
        print(f"time     {time_text(run)}")
        if summary["network"] == "reference" and summary["search_test_accuracy"] is not None:
            print(
                f"         the search's own network: archsmith export {run.folder} --network search"
            )
    missed = [row for row in summary["budget"] or [] if not row["met"]]
    if missed:
        misses = "; ".join(f"{row['text']} but measured {row['value']:.4g}" for row in missed)
        print(
            f"error: no trained network kept the budget on the exported file ({misses}); relax "
            f"that limit",
            file=sys.stderr,
        )
        sys.exit(2)
    if summary["warning"]:
        sys.exit(NO_RESULT)


def _banner(text: str) -> str:
    """For what must not be overlooked."""
    line = "!" * 78
    return "\n".join(["", line, *textwrap.wrap(text, 78), line])
