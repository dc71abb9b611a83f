"""The main job: seven stages in order, each committed when done; a run that died goes on where it
was."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from archsmith._internal.progress import Silent, Watch, duration
from archsmith.errors import ArchsmithError
from archsmith.run import clock
from archsmith.run.decisions import BEGUN_WITH, SHIP_LOOKS
from archsmith.run.records import Finished, Part
from archsmith.run.store import STAGES, Run
from archsmith.stages import finish, further, look, profile, refit, ship
from archsmith.stages.by_method import ByMethod, screened_line, searched_line, trained_line
from archsmith.stages.intact import reopened
from archsmith.stages.work import Work
from archsmith.training.device import pick_device, set_threads

_REPORTED = ("profile", "search", "finish", "ship")  # the page is drawn anew after these


def _noted(run: Run, notes: Sequence[str]) -> None:
    if notes:
        run.update(notes=list(notes))
    for note in notes:
        run.event("note", said=note)


def run_further(run: Run) -> bool:
    """Whether the run trains a network of another one."""
    return run.decided(BEGUN_WITH) is not None


def carry_on(
    run: Run, watch: Watch | None = None, *, ahead_s: float = 0.0, notes: Sequence[str] = ()
) -> Run:
    """Does every stage that is not done yet. A failure leaves all that was done, and its reason in
    run.json.

    `ahead_s`: seconds that this process has spent on it already, starting up; they count. `notes`:
    for the record.
    """
    began = time.monotonic() - ahead_s
    watch = watch or Silent()
    with run.locked():
        run.trusting()  # before anything is written
        run.sign()
        run.update(status="running", error=None)
        _noted(run, notes)
        try:
            own = [run.record.get(f"{kind}_file") or {} for kind in ("space", "method")]
            if any("signature" in file and file["signature"] is None for file in own):
                watch.note(
                    "there is no place for a key (see archsmith.run.trust): resume, again "
                    "and export will need --trust"
                )
            reopened(run, watch)
            _stages(run, watch, began)
        except KeyboardInterrupt:
            _ended(run, "stopped")
            raise
        except Exception as error:
            _ended(
                run,
                "failed",
                str(error)
                if isinstance(error, ArchsmithError)
                else f"{type(error).__name__}: {error}",
            )
            raise
        run.update(status="done")
        _reported(run, watch)
    return run


def _ended(run: Run, status: str, reason: str | None = None) -> None:
    """Notes how it ended, as far as the disk allows: what ended it is what must be told."""
    with contextlib.suppress(ArchsmithError):
        run.update(status=status, error=reason)
    with contextlib.suppress(ArchsmithError):
        run.event(status, **({} if reason is None else {"reason": reason}))


def _reported(run: Run, watch: Watch) -> None:
    """Draws the report; one that cannot be drawn never costs a run."""
    try:
        report(run)
    except Exception as error:
        text = (
            f"the report could not be written ({type(error).__name__}: {error}); later: "
            f"archsmith report {run.folder}"
        )
        watch.note(text)
        with contextlib.suppress(ArchsmithError):
            run.event("report", reason=text)


def open_work(run: Run, watch: Watch | None = None) -> Work:
    """A process's view of a run: device and threads set, nothing loaded."""
    run.trusting()
    request = run.request
    return Work(
        run,
        watch or Silent(),
        pick_device(request.device),
        set_threads(run.record.get("threads") or request.threads),
        read=look.read,
    )


def _stages(run: Run, watch: Watch, since: float) -> None:
    """`since`: when this process began, by the monotonic clock; from there on every second belongs
    to a stage."""
    work = open_work(run, watch)
    # a resumed run uses as many, for equal sums
    run.update(device=str(work.device), threads=work.threads)
    table = _table(work)
    for name in STAGES:
        stage, record = table[name], run.left(name)
        if record is not None:
            stage.again(record)
            watch.end(name, stage.line(record), run.seconds().get(name, 0.0))
            continue
        predicted, known = (
            stage.predicted_s() if work.timed else None,
            run.record.get("predicted_s") or {},
        )
        # as first said; a resumed run has other time left
        if predicted is not None and name not in known:
            run.update(predicted_s={**known, name: round(predicted, 1)})
        watch.begin(name, predicted)
        work.stopwatch.start(name, since=since)
        record = stage.do()
        work.stopwatch.save()
        run.finish_stage(name, record)
        since, seconds = time.monotonic(), work.stopwatch.stop()
        run.event("stage", name=name, seconds=round(seconds, 3), said=stage.line(record))
        watch.end(name, stage.line(record), seconds)
        if name in _REPORTED:
            _reported(run, watch)


@dataclass(frozen=True)
class Stage:
    """One of the seven: what does it and leaves its record, the line that says it, what takes up
    the record in a process that goes on, and the seconds it should take."""

    do: Callable[[], Part]
    line: Callable[[Any], str]
    again: Callable[[Any], None] = lambda record: None
    predicted_s: Callable[[], float | None] = lambda: None


def _table(work: Work) -> dict[str, Stage]:
    """The stages by name."""
    own = ByMethod(work)

    def finished() -> Finished:
        if run_further(work.run):
            return further.further(work)
        start = own.start()
        outcome = finish.finish(work, start, own.plan())
        if not work.run.request.refit:
            return outcome
        chosen = ship.choice(work, outcome, start).chosen.contender
        return refit.refit(work, outcome, chosen.arm, chosen.name, start=start)

    return {
        "look": Stage(partial(look.look, work), look.line, partial(look.restore, work)),
        "profile": Stage(
            partial(profile.profile, work), profile.line, partial(profile.restore, work)
        ),
        "screen": Stage(own.screen, screened_line, predicted_s=own.screening_s),
        "train": Stage(own.train, trained_line, predicted_s=own.training_s),
        "search": Stage(own.search, searched_line, predicted_s=own.searching_s),
        "finish": Stage(finished, finish.line, predicted_s=lambda: work.left_s),
        "ship": Stage(
            lambda: ship.ship(work, own.start()),
            ship.line,
            predicted_s=partial(_shipping_s, work),
        ),
    }


def _shipping_s(work: Work) -> float:
    return clock.expected_shipping(work.run.decided(SHIP_LOOKS) or 0.0)


def report(run: Run) -> Path:
    """Draws report.html from what there is."""
    from archsmith.report.page import write

    return write(run.folder)


def time_text(run: Run) -> str:
    """Seconds used against seconds given, and what other work on the machine cost."""
    used, waited = sum(run.seconds().values()), sum(run.waits().values())
    text = duration(used) + (
        f" of {duration(run.request.time_s)}"
        if run.request.time_s and run.request.steps is None
        else ""
    )
    if waited > clock.BUSY * used:
        text += (
            f"; other work on this machine took {duration(waited)} of it: "
            f"{duration(used - waited)} of work were done"
        )
    return text
