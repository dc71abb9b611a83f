"""The main job: seven stages in order, each committed when done; a run that died goes on where it
was."""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from archsmith._internal.files import sync_folder
from archsmith._internal.progress import Silent, Watch, duration
from archsmith.errors import ArchsmithError, UserError
from archsmith.methods import auto
from archsmith.methods import method as named_method
from archsmith.methods.estimated import FOLLOWED
from archsmith.methods.job import Job, JobClock, JobData, JobLog, JobSpace, Sharing
from archsmith.methods.protocol import TooLittleTime, Trained, has, screen, shares_of, start
from archsmith.methods.protocol import finish as plan_of
from archsmith.run import clock, trust
from archsmith.run.decisions import BEGUN_WITH, FINALISTS, SHIP_LOOKS
from archsmith.run.records import Finished, Part, record_of
from archsmith.run.request import Request
from archsmith.run.stopwatch import Stopwatch
from archsmith.run.store import STAGES, Run
from archsmith.stages import finish, further, look, profile, shared, ship
from archsmith.stages.chosen import method_of
from archsmith.stages.work import Work
from archsmith.training.device import pick_device, set_threads

Stage = Callable[[Work], dict[str, Any]]
Again = Callable[[Work, dict[str, Any]], None]
Said = Callable[[dict[str, Any]], str]
Predict = Callable[[Work], float | None]
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
            _reopened(run, watch)
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


def _reopened(run: Run, watch: Watch) -> None:
    """Ships again where best/ is no more what was shipped."""
    if (lost := _lost(run)) is not None:
        run.event("ship again", why=lost)
        aside = _set_aside(run)
        watch.note(
            f"{lost}; it is shipped again"
            + (f", what was there is kept in {aside}" if aside is not None else "")
        )
        run.reopen("ship")


def _set_aside(run: Run) -> Path | None:
    """Moves what lies in best/ and is not as it was shipped to a folder beside it: somebody may
    have written it."""
    best, shipped = (
        run.folder / "best",
        {f["name"]: f["sha256"] for f in (run.stage("ship") or {}).get("files", ())},
    )
    if best.is_dir():
        there = [path for path in sorted(best.iterdir()) if path.name != "__pycache__"]
    else:
        there = [best] if best.exists() else []
    others = [
        path
        for path in there
        if path.is_dir() or trust.content_hash(path) != shipped.get(path.name, "")
    ]
    if not others:
        return None
    names = ("best.kept", *(f"best.kept{number}" for number in range(2, 10_000)))
    aside = next(run.folder / name for name in names if not (run.folder / name).exists())
    try:
        aside.mkdir()
        for path in others:
            os.replace(path, aside / path.name)
        sync_folder(aside)
    except OSError as error:
        raise UserError(
            f"cannot move {best} to {aside}: {error.strerror or error}; check its permissions"
        ) from error
    return aside


def _lost(run: Run) -> str | None:
    """Which file of best/ is not there as it was shipped."""
    for entry in (run.stage("ship") or {}).get("files", ()):
        path = run.folder / "best" / entry["name"]
        if trust.content_hash(path) != entry["sha256"]:
            return (
                f"{path} is {'missing' if not path.exists() else 'not the file that was shipped'}"
            )
    return None


def complete(run: Run) -> bool:
    """Whether nothing is left to do: every stage is done, best/ is as it was shipped, and no trial
    was changed."""
    if run.record["status"] != "done" or run.stage("ship") is None:
        return False
    len(run.archive)  # Damaged where they are not those that were written
    return _lost(run) is None


def _reported(run: Run, watch: Watch) -> None:
    """Draws the report; one that cannot be drawn never costs a run."""
    try:
        report(run)
    except Exception as error:
        said = (
            f"the report could not be written ({type(error).__name__}: {error}); later: "
            f"archsmith report {run.folder}"
        )
        watch.note(said)
        with contextlib.suppress(ArchsmithError):
            run.event("report", reason=said)


def open_work(run: Run, watch: Watch | None = None) -> Work:
    """A process's view of a run: device and threads set, nothing loaded."""
    run.trusting()
    request = run.request
    device, threads = (
        pick_device(request.device),
        set_threads(run.record.get("threads") or request.threads),
    )
    return Work(
        run, watch or Silent(), device, threads, shares=shares_of(method_of(request)).sharing
    )


def _stages(run: Run, watch: Watch, since: float) -> None:
    """`since`: when this process began, by the monotonic clock; from there on every second belongs
    to a stage."""
    work = open_work(run, watch)
    # a resumed run uses as many, for equal sums
    run.update(device=str(work.device), threads=work.threads)
    table = _table(run.request)
    for name in STAGES:
        do, again, said, predict = table[name]
        payload = run.stage(name)
        if payload is not None:
            again(work, payload)
            watch.end(name, said(payload), run.seconds().get(name, 0.0))
            continue
        predicted, known = (
            predict(work) if work.timed else None,
            run.record.get("predicted_s") or {},
        )
        # as first said; a resumed run has other time left
        if predicted is not None and name not in known:
            run.update(predicted_s={**known, name: round(predicted, 1)})
        watch.begin(name, predicted)
        work.stopwatch = Stopwatch(run, name, since=since)
        payload = do(work)
        work.stopwatch.save()
        run.finish_stage(name, payload)
        since, seconds, work.stopwatch = time.monotonic(), work.stopwatch.seconds, None
        run.event("stage", name=name, seconds=round(seconds, 3), said=said(payload))
        watch.end(name, said(payload), seconds)
        if name in _REPORTED:
            _reported(run, watch)


def _table(request: Request) -> dict[str, tuple[Stage, Again, Said, Predict]]:
    """Stage -> what does it, what takes it up again, its line, and how long it should take."""
    method = method_of(request)
    shares = shares_of(method)

    def nothing(work: Work, payload: Any) -> None:
        return None

    def train(work: Work) -> dict[str, Any]:
        if not has(method, "train"):
            return {"skipped": True, "why": "this method trains no shared weights"}
        try:
            return trained(work).record()
        except TooLittleTime as error:
            return {"skipped": True, "why": str(error)}

    def trained(work: Work) -> Trained:
        return method.train(job_of(work))  # type: ignore[attr-defined]

    def search(work: Work) -> dict[str, Any]:
        if doubt := _doubt(work):
            own = named_method(auto(work.space_name), {})
            return {**own.search(job_of(work), None), "instead": doubt}
        return method.search(job_of(work), trained(work) if has(method, "train") else None)

    def finished(work: Work) -> Finished:
        if run_further(work.run):
            return further.further(work)
        if _doubt(work):
            return finish.finish(work)
        weights = trained(work) if has(method, "start") and has(method, "train") else None
        return finish.finish(work, start(method, job_of(work), weights), plan_of(method))

    return {
        "look": (*_typed("look", look.look, look.restore, look.line), lambda work: None),
        "profile": (
            *_typed("profile", profile.profile, profile.restore, profile.line),
            lambda work: None,
        ),
        "screen": (
            lambda work: screen(method, job_of(work)),
            nothing,
            _screened,
            lambda work: _predicted(work, "screen") if shares.scoring else 0.0,
        ),
        "train": (
            train,
            nothing,
            _trained,
            lambda work: shared.budget(work)[0] if shares.sharing else 0.0,
        ),
        "search": (
            search,
            nothing,
            _searched,
            lambda work: _predicted(work, "search") if shares.scoring or shares.sharing else 0.0,
        ),
        "finish": (*_typed("finish", finished, nothing, finish.line), lambda work: work.left_s),
        "ship": (*_typed("ship", ship.ship, nothing, ship.line), _shipping),
    }


def _typed(
    stage: str,
    do: Callable[[Work], Part],
    again: Callable[[Work, Any], None],
    said: Callable[[Any], str],
) -> tuple[Stage, Again, Said]:
    """A stage that speaks in records, for a table of those that speak in JSON."""

    def left(payload: dict[str, Any]) -> Part:
        return record_of(stage, payload, "the run")

    return (
        lambda work: do(work).to_json(),
        lambda work, payload: again(work, left(payload)),
        lambda payload: said(left(payload)),
    )


def _scoring(work: Work) -> float:
    """Seconds for scores, or for estimates by shared weights."""
    return work.plan.scoring if work.timed else clock.SCORING_UNTIMED_S


def _predicted(work: Work, stage: str) -> float | None:
    """Seconds that screening, or the search after it, should take; None where there are too few to
    say."""
    whole = _scoring(work)
    if stage == "screen":
        return (
            0.0
            if work.shares or whole < clock.SCORING_LEAST_S
            else (1 - clock.SCORING_PARTS["screen"]) * whole
        )
    return (
        None
        if whole < clock.SCORING_LEAST_S
        else max(0.0, whole - work.run.seconds().get("screen", 0.0))
    )


def _shipping(work: Work) -> float:
    return clock.expected_shipping(work.run.decided(SHIP_LOOKS) or 0.0)


def _doubt(work: Work) -> str | None:
    """Why what shared weights estimate is not followed, None where it is or where the method has
    none."""
    found = work.run.stage("train") or {}
    if not work.shares:
        return None
    if found.get("skipped"):
        return found["why"]
    trust = found.get("trust") or {}
    if work.run.request.follow == "always" or trust.get("kendall", 1.0) >= FOLLOWED:
        return None
    return trust.get("why") or (
        f"the estimates order networks that were trained by themselves with Kendall "
        f"{trust['kendall']:.2f}, below {FOLLOWED}"
    )


def job_of(work: Work) -> Job:
    """What the method is handed."""
    request, run, watch = work.run.request, work.run, work.stopwatch
    if work.shares:
        shared.budget(work)

    def left() -> float:
        """Of the seconds for scores, as far as this run has spent them."""
        if not work.timed:
            return math.inf
        spent = {
            name: seconds for name, seconds in run.seconds().items() if name in ("screen", "search")
        }
        if watch is not None and watch.stage in ("screen", "search"):
            spent[watch.stage] = watch.seconds
        return _scoring(work) - sum(spent.values())

    return Job(
        data=JobData(
            work.scoring_batches, work.images.task, partial(_sharing, work) if work.shares else None
        ),
        space=JobSpace(
            work.model,
            work.space,
            work.costs,
            work.constraints,
            name=work.space_name,
            by_hand=work.by_hand,
            beside=work.beside,
        ),
        clock=JobClock(
            seconds=_scoring(work),
            spent=lambda: watch.seconds if watch is not None else 0.0,
            left=left,
            trials=request.trials if request.trials is not None or work.timed else 192,
            finalists=run.decide(FINALISTS, lambda: finish.finalists(work)),
            training=finish.training(work),
            referenced=work.referenced,
        ),
        log=JobLog(run.archive, run.decide, work.tell),
        seed=request.seed,
        device=work.device,
    )


def _sharing(work: Work) -> Sharing:
    """Its images are read once in a process."""
    if work.sharing is None:
        work.sharing = shared.sharing(work)
    return work.sharing


def _screened(payload: dict[str, Any]) -> str:
    if payload["proxy"] is None:
        return payload.get("why") or "nothing to score"
    best = payload["best"]
    return f"{payload['scored']} networks scored by {payload['proxy']}" + (
        f", best {best['score']:.1f}" if best else ""
    )


def _trained(payload: dict[str, Any]) -> str:
    if "trust" not in payload:
        return payload.get("why", "")
    nodes, trust = payload["nodes"], payload["trust"]
    text = (
        f"{len(nodes)} supernet{'s' if len(nodes) > 1 else ''} trained on {payload['images']:,} "
        f"images"
    )
    if trust.get("why"):
        return f"{text}; {trust['why']}"
    return (
        f"{text}; on {len(trust['networks'])} networks trained by themselves the estimates rank "
        f"with Kendall "
        f"{trust['kendall']:.2f} (p {trust['p']:.2g})"
    )


def _searched(payload: dict[str, Any]) -> str:
    count = len(payload["shortlist"])
    text = f"{count} network{'s' if count != 1 else ''} short-listed"
    if payload.get("instead"):
        text += f" without shared weights: {payload['instead']}"
    elif not payload["trials"] and payload["searcher"] != "random":
        how = payload["searcher"]
        text += f" {how if how.startswith('by ') else f'by the {how}'}, without scores"
    if payload["best"] and payload["random"] and payload["random"]["best"]:
        text += (
            f"; best score {payload['best']['score']:.1f} after {payload['trials']} trials, "
            f"random search {payload['random']['best']['score']:.1f} after "
            f"{payload['random']['trials']}"
        )
    return text


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
