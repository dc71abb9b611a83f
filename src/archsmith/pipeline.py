"""The main job: seven stages in order, each committed when done; a run that died goes on where it was."""

from __future__ import annotations

import contextlib
import glob
import math
import os
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, Literal

from torch import nn

from archsmith import claim, clock, trust
from archsmith.budget import parse
from archsmith.data.table import pieces
from archsmith.errors import ArchsmithError, Damaged, NothingFits, UserError, did_you_mean, shown
from archsmith.export.files import safetensors_bytes
from archsmith.files import replace_file, sync_folder
from archsmith.goals import of_run
from archsmith.methods import METHODS, auto, page_of, scored, settings_of
from archsmith.methods.estimated import FOLLOWED
from archsmith.methods.task import Sharing, Task, TooLittleTime
from archsmith.metrics.cost import Costs
from archsmith.metrics.latency import LatencyTable
from archsmith.models import build_for, meant
from archsmith.progress import Silent, Watch, duration
from archsmith.run import STAGES, Request, Run, Stopwatch, altered, request_from
from archsmith.stages import finish, further, look, profile, shared, ship
from archsmith.stages.work import Work
from archsmith.supernet import search_space
from archsmith.survey import constraints_of, counted
from archsmith.training.device import pick_device, set_threads
from archsmith.training.recipe import default_recipe

Stage = Callable[[Work], dict[str, Any]]
Again = Callable[[Work, dict[str, Any]], None]
Said = Callable[[dict[str, Any]], str]
Predict = Callable[[Work], float | None]
_BUSY = 0.05  # of the time lost to other work, from which on it is said
_SCORING_S = 60.0  # with --steps, where time plays no part but for what a stage says of itself
_REPORTED = ("profile", "search", "finish", "ship")  # the page is drawn anew after these


def start(
    request: Request, out: str | Path, watch: Watch | None = None, *, ahead_s: float = 0.0, notes: Sequence[str] = ()
) -> Run:
    """A new run in the folder `out`, carried through to the end. One that is refused, for its data, space or budget, leaves no
    folder, so that the corrected command is taken.

    `ahead_s`: seconds that this has taken already; `notes`: how what was asked for was read, for the record.
    """
    _checked(request)
    pick_device(request.device)
    _begun_with(request)
    _outside(request.data, Path(out))
    run = Run.create(out, absolute(request))
    return _unless_refused(run, watch, lambda disk: run.stage("look" if disk else "profile") is not None, ahead_s, notes)


def _outside(data: str, out: Path) -> None:
    """UserError for a run in the folder of its own images: its files would be read as theirs."""
    folder, inside = Path(data), False
    with contextlib.suppress(OSError, RuntimeError, ValueError):  # what is wrong with it is said when it is read
        inside = folder.is_dir() and folder.resolve() in (out.resolve(), *out.resolve().parents)
    if inside:
        raise UserError(f"--out {out} lies in the folder of the images, {data}; choose a place outside it")


def _unless_refused(
    run: Run, watch: Watch | None, accepted: Callable[[bool], bool], ahead_s: float, notes: Sequence[str]
) -> Run:
    """A run that was just made, carried on to its end; where it is refused before it is `accepted`, it is taken back.

    `accepted`: whether what was asked for can be done, as far as the run has come; it is told whether it is the disk that
    refuses.
    """
    try:
        return carry_on(run, watch, ahead_s=ahead_s, notes=notes)
    except UserError as error:
        try:
            keep = accepted(isinstance(error.__cause__, OSError | sqlite3.Error))
        except ArchsmithError:  # that cannot be told
            keep = True
        if not keep:
            run.discard()
        raise


def _noted(run: Run, notes: Sequence[str]) -> None:
    if notes:
        run.update(notes=list(notes))
    for note in notes:
        run.event("note", said=note)


def _begun_with(request: Request) -> None:
    """UserError, before anything is read, for weights that fit no network of the space, whatever the images are."""
    if request.init is None:
        return
    from archsmith.models import build
    from archsmith.stages import init

    name = meant(request.space)
    sizes = (32, 224, 64, 128, 16, 8) if request.size is None else (request.size,)
    shapes = ((channels, size) for size in sizes for channels in (3, 1))
    init.check(Path(request.init), (build(name, 10, channels, size) for channels, size in shapes))


def again(
    run: Run,
    budget: str,
    out: str | Path,
    watch: Watch | None = None,
    settings: Mapping[str, Any] | None = None,
    *,
    ahead_s: float = 0.0,
    notes: Sequence[str] = (),
    **changes: Any,
) -> Run:
    """The same job under another budget: the images are split as before, weights that networks share are not trained again.

    `changes`: of the request, e.g. `time_s`, or `data` where the images lie at another place now; `settings`: of the method,
    those of generating; `notes`: as of `start`. Raises UserError where the run has not got that far, and leaves no folder
    where images or budget are refused.
    """
    taken = _taken_over(run)
    changes["settings"] = _regenerating(run, settings or {})
    request = _changed(run, **changes, budget=budget)
    new = run.another(out, request, taken)
    return _unless_refused(new, watch, lambda disk: new.stage("profile") is not None, ahead_s, notes)


def _changed(run: Run, **changes: Any) -> Request:
    """What was asked of a run, with these changes; UserError where its images are gone."""
    request = absolute(request_from(**{**run.request.model_dump(), **changes}))
    in_place(request.data)
    return request


def in_place(data: str) -> None:
    """UserError, with how to go on, where the images of a run are gone."""
    if Path(data).is_absolute() and "," not in data and not glob.has_magic(data) and not Path(data).exists():
        raise UserError(f"the images are not at {shown(data)}; put them back, or say where they are now: --data NEW")


def train(
    run: Run,
    out: str | Path,
    watch: Watch | None = None,
    *,
    which: str | None = None,
    epochs: float | None = None,
    ahead_s: float = 0.0,
    notes: Sequence[str] = (),
    **changes: Any,
) -> Run:
    """A network of a finished run trained further, shipped in a new run.

    `which`: as in `best`, the shipped one by default. `changes`: of the request: `time_s`, `steps` (`epochs`: so many passes
    instead), `training` (lr, batch, augment). Where its accuracy on the validation images does not grow, it ships as it was.
    """
    request = _changed(run, **changes, reference=False)
    shipped, seen, finish_ = run.stage("ship"), run.stage("look"), run.stage("finish")
    network = best(run, which)
    assert shipped is not None and seen is not None and finish_ is not None
    arm, name, options = _named(run, shipped, which)
    found = {**((finish_["reference"] or {}).get("networks") or {}), **finish_["networks"]}[name]
    if epochs is not None:
        images = sum(seen["counts"]["train"])
        batch = request.training.get("batch") or default_recipe(images, device=pick_device(request.device)).batch_size
        request = request_from(
            **{**request.model_dump(), "steps": max(1, math.ceil(epochs * images / int(batch))), "time_s": None}
        )
    searched = shipped["search"] or {}
    tests = {  # of those that were looked at
        (finish_["reference"] or {}).get("chosen"): shipped["reference_test"], searched.get("key"): searched.get("test"),
        shipped["key"]: shipped["test"],
    }  # fmt: skip
    looked = tests.get(name)
    begun = {
        "key": name, "arm": arm, "options": dict(options), "val_accuracy": found["val_accuracy"], "above": found.get("above"),
        "origin": found.get("origin", "hand-made"), "costs": {n: found[n] for n in ("params", "macs") if n in found},
        "test": looked["accuracy"] if looked else None,
    }  # fmt: skip

    def also(new: Run) -> None:
        replace_file(further.weights_path(new.folder), safetensors_bytes(network))
        new.decide("begun-with", lambda: begun)

    taken = tuple(stage for stage in STAGES if stage not in ("finish", "ship"))
    new = run.another(out, request, taken, also)
    trained = new.folder / "checkpoints"
    return _unless_refused(new, watch, lambda disk: any(trained.glob(f"{further.ARM}-*")), ahead_s, notes)


def run_further(run: Run) -> bool:
    """Whether the run trains a network of another one."""
    return run.decided("begun-with") is not None


def generated(
    run: Run, budgets: Sequence[str], count: int = 1, settings: Mapping[str, Any] | None = None
) -> list[dict[str, Any]]:
    """For each budget the networks that a run's search gives for it, with their costs: no training, no scoring.

    Rows {"budget", "networks": [{"key", "options", costs by name}], "error": why there are none}. `settings`: of the method,
    those that say what is generated. Raises UserError for a method that cannot.
    """
    page = _method(run.request)
    if not hasattr(page, "generated"):
        able = ", ".join(name for name in METHODS if hasattr(page_of(name), "generated"))
        raise UserError(
            f"{run.folder} was searched by '{_name(run.request)}', which searches anew for another budget: give --time or "
            f"--steps ({able} gives networks for any budget at once)"
        )
    _taken_over(run)
    asked = _regenerating(run, settings or {})
    seen, trained, name = run.stage("look") or {}, run.stage("train") or {}, run.space
    shape = seen["channels"], seen["size"], seen["size"]
    model = build_for(of_run(seen), name, seen["channels"], seen["size"], device="meta")
    limits = [parse(budget) for budget in budgets]
    costs = Costs(model, shape, counted(limit for row in limits for limit in row))
    table = None
    if any(limit.metric == "latency" for row in limits for limit in row):
        table = LatencyTable(model, shape, threads=open_work(run).threads, path=run.folder / "latency.json")
        table.calibrate(Random(run.request.seed))
    rows: list[dict[str, Any]] = []
    for row in limits:
        said = ", ".join(map(str, row)) or "none"
        try:
            archs = page.generated(
                search_space(model), name, trained, run.archive.stage("train"), constraints_of(row, costs, table), costs, count,
                **asked,
            )  # fmt: skip
        except NothingFits as error:
            rows.append({"budget": said, "networks": [], "error": str(error)})
            continue
        latency = (lambda arch: {"latency": table(arch)}) if table is not None else lambda arch: {}
        networks = [{"key": arch.key, "options": dict(arch), **costs(arch), **latency(arch)} for arch in archs]
        rows.append({"budget": said, "networks": networks, "error": None})
    return rows


def _regenerating(run: Run, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The run's settings with these changed; UserError for one that its shared weights were trained by."""
    allowed = getattr(_method(run.request), "GENERATING", ())
    for name in settings:
        if name not in allowed:
            able = f"only {', '.join(allowed)}" if allowed else "nothing of this method"
            raise UserError(f"--set {name}: what is trained already cannot be changed, {able} can; begin a new search")
    merged = {**run.request.settings, **settings}
    _checked(request_from(**{**run.request.model_dump(), "settings": merged}))
    return merged


def _taken_over(run: Run) -> tuple[str, ...]:
    """The stages that hold for any budget: of a method without shared weights the look at the images only."""
    trains = hasattr(_method(run.request), "train")
    stages = ("look", "screen", "train") if trains else ("look",)
    if missing := [name for name in stages if run.stage(name) is None]:
        raise UserError(f"{run.folder} has not finished '{missing[0]}'; go on with `archsmith resume {run.folder}` first")
    return stages


def absolute(request: Request) -> Request:
    """Paths made absolute, so that a run can be resumed from anywhere."""
    changes: dict[str, Any] = {}
    changes["data"] = _absolute_data(request.data)
    if request.init:
        changes["init"] = str(Path(request.init).absolute())
    file, colon, name = request.space.rpartition(":")
    if colon and Path(file).exists():
        changes["space"] = f"{Path(file).absolute()}:{name}"
    return request.model_copy(update=changes)


def _absolute_data(text: str) -> str:
    """A path, or a list of paths and patterns, made absolute; a name that is no path is left as it is."""
    try:
        if Path(text).expanduser().exists():
            return str(Path(text).expanduser().absolute())
        if "," not in text and not glob.has_magic(text):
            return text
        return ",".join(_rooted(piece) for piece in pieces(text))
    except (OSError, RuntimeError, ValueError):  # what is wrong with it is said when it is read
        return text


def _rooted(piece: str) -> str:
    """A path or pattern from the root on; brackets and stars in the name of the current folder are no pattern."""
    path = Path(piece).expanduser()
    if path.is_absolute() or path.exists() or not glob.has_magic(piece):
        return str(path.absolute())
    return str(Path(glob.escape(str(Path.cwd()))) / piece)


def carry_on(run: Run, watch: Watch | None = None, *, ahead_s: float = 0.0, notes: Sequence[str] = ()) -> Run:
    """Does every stage that is not done yet. A failure leaves all that was done, and its reason in run.json.

    `ahead_s`: seconds that this process has spent on it already, starting up; they count. `notes`: for the record.
    """
    began = time.monotonic() - ahead_s
    watch = watch or Silent()
    with run.locked():
        run.space  # noqa: B018  refuses a file that this user has not named, before anything is written
        run.sign()
        run.update(status="running", error=None)
        _noted(run, notes)
        try:
            if "signature" in (own := run.record.get("space_file") or {}) and own["signature"] is None:
                watch.note("there is no place for a key (see archsmith.trust): resume, again and export will need --trust")
            _reopened(run, watch)
            _stages(run, watch, began)
        except KeyboardInterrupt:
            _ended(run, "stopped")
            raise
        except Exception as error:
            _ended(run, "failed", str(error) if isinstance(error, ArchsmithError) else f"{type(error).__name__}: {error}")
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
        watch.note(f"{lost}; it is shipped again" + (f", what was there is kept in {aside}" if aside is not None else ""))
        run.reopen("ship")


def _set_aside(run: Run) -> Path | None:
    """Moves what lies in best/ and is not as it was shipped to a folder beside it: somebody may have written it."""
    best, shipped = run.folder / "best", {f["name"]: f["sha256"] for f in (run.stage("ship") or {}).get("files", ())}
    if best.is_dir():
        there = [path for path in sorted(best.iterdir()) if path.name != "__pycache__"]
    else:
        there = [best] if best.exists() else []
    others = [path for path in there if path.is_dir() or trust.content_hash(path) != shipped.get(path.name, "")]
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
        raise UserError(f"cannot move {best} to {aside}: {error.strerror or error}; check its permissions") from error
    return aside


def _lost(run: Run) -> str | None:
    """Which file of best/ is not there as it was shipped."""
    for entry in (run.stage("ship") or {}).get("files", ()):
        path = run.folder / "best" / entry["name"]
        if trust.content_hash(path) != entry["sha256"]:
            return f"{path} is {'missing' if not path.exists() else 'not the file that was shipped'}"
    return None


def complete(run: Run) -> bool:
    """Whether nothing is left to do: every stage is done, best/ is as it was shipped, and no trial was changed."""
    if run.record["status"] != "done" or run.stage("ship") is None:
        return False
    len(run.archive)  # Damaged where they are not those that were written
    return _lost(run) is None


def _reported(run: Run, watch: Watch) -> None:
    """Draws the report; one that cannot be drawn never costs a run."""
    try:
        report(run)
    except Exception as error:
        said = f"the report could not be written ({type(error).__name__}: {error}); later: archsmith report {run.folder}"
        watch.note(said)
        with contextlib.suppress(ArchsmithError):
            run.event("report", reason=said)


def relocated(run: Run, data: str) -> Run:
    """The run with its images at another place; that they are the same is checked, and the place kept, in `look`."""
    return run.asking(_changed(run, data=data))


def moved(run: Run, data: str) -> Run:
    """A run with nothing left to do, whose images are found to be the same at another place, which it keeps."""
    found = relocated(run, data)
    with found.locked():
        look.again(open_work(found), found.stage("look") or {})
    return found


def open_work(run: Run, watch: Watch | None = None) -> Work:
    """A process's view of a run: device and threads set, nothing loaded."""
    request = run.request
    device, threads = pick_device(request.device), set_threads(run.record.get("threads") or request.threads)
    return Work(run, watch or Silent(), device, threads, shares=hasattr(_method(request), "train"))


def _stages(run: Run, watch: Watch, since: float) -> None:
    """`since`: when this process began, by the monotonic clock; from there on every second belongs to a stage."""
    work = open_work(run, watch)
    run.update(device=str(work.device), threads=work.threads)  # a resumed run uses as many, for equal sums
    table = _table(run.request)
    for name in STAGES:
        do, again, said, predict = table[name]
        payload = run.stage(name)
        if payload is not None:
            again(work, payload)
            watch.end(name, said(payload), run.seconds().get(name, 0.0))
            continue
        predicted, known = predict(work) if work.timed else None, run.record.get("predicted_s") or {}
        if predicted is not None and name not in known:  # as first said; a resumed run has other time left
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
    page, settings = _method(request), request.settings
    scores = getattr(page, "SCORES", True)

    def nothing(work: Work, payload: dict[str, Any]) -> None:
        return None

    def train(work: Work) -> dict[str, Any]:
        if not hasattr(page, "train"):
            return {"skipped": True, "why": "this method trains no shared weights"}
        try:
            return page.train(task(work), **settings)
        except TooLittleTime as error:
            return {"skipped": True, "why": str(error)}

    def search(work: Work) -> dict[str, Any]:
        if doubt := _doubt(work):
            own = page_of(auto(work.space_name))
            return {**own.search(task(work)), "instead": doubt}
        return page.search(task(work), **settings)

    def finished(work: Work) -> dict[str, Any]:
        if run_further(work.run):
            return further.further(work)
        with_weights = hasattr(page, "network") and not _doubt(work)
        work.networks = page.network(task(work), **settings) if with_weights else None
        return finish.finish(work)

    return {
        "look": (look.look, look.again, look.said, lambda work: None),
        "profile": (profile.profile, profile.again, profile.said, lambda work: None),
        "screen": (
            lambda work: page.screen(task(work), **settings),
            nothing,
            _screened,
            lambda work: _predicted(work, "screen") if scores else 0.0,
        ),
        "train": (train, nothing, _trained, lambda work: shared.budget(work)[0] if hasattr(page, "train") else 0.0),
        "search": (search, nothing, _searched, lambda work: _predicted(work, "search") if scores else 0.0),
        "finish": (finished, nothing, finish.said, lambda work: work.left_s),
        "ship": (ship.ship, nothing, ship.said, _shipping),
    }


def _method(request: Request) -> Any:
    name = _name(request)
    if name not in METHODS:
        raise UserError(f"no method '{name}'; there are auto, {', '.join(METHODS)}{did_you_mean(name, METHODS)}")
    return page_of(name)


def _name(request: Request) -> str:
    return auto(request.space) if request.method == "auto" else request.method


def _checked(request: Request) -> None:
    """UserError for an unknown method, or a setting that it does not have."""
    known = settings_of(_method(request))
    for name in request.settings:
        if name not in known:
            having = f"it has {', '.join(known)}" if known else "it has none"
            raise UserError(f"method '{_name(request)}' has no setting '{name}'{did_you_mean(name, known)}; {having}")
        _fitting(name, request.settings[name], known[name].default)
    page = _method(request)
    if hasattr(page, "refuse"):
        page.refuse(request.space, **request.settings)


def _fitting(name: str, value: Any, default: Any) -> None:
    """UserError for a value that is not of the kind of the default."""
    kinds: dict[type, tuple[tuple[type, ...], str]] = {
        bool: ((bool,), "true or false"), int: ((int,), "a whole number"), float: ((int, float), "a number"),
        str: ((str,), "a word"),
    }  # fmt: skip
    allowed, said = kinds.get(type(default), ((object,), ""))
    if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed and object not in allowed):
        raise UserError(f"--set {name}={value}: give {said}, as {name}={str(default).lower()}")


def _scoring(work: Work) -> float:
    """Seconds for scores, or for estimates by shared weights."""
    return work.plan.scoring if work.timed else _SCORING_S


def _predicted(work: Work, stage: str) -> float | None:
    """Seconds that screening, or the search after it, should take; None where there are too few to say."""
    whole = _scoring(work)
    if stage == "screen":
        return 0.0 if work.shares or whole < scored.LEAST_S else (1 - scored.PARTS["screen"]) * whole
    return None if whole < scored.LEAST_S else max(0.0, whole - work.run.seconds().get("screen", 0.0))


def _shipping(work: Work) -> float:
    return clock.expected_shipping(work.run.decided("ship/looks") or 0.0)


def _doubt(work: Work) -> str | None:
    """Why what shared weights estimate is not followed, None where it is or where the method has none."""
    found = work.run.stage("train") or {}
    if not work.shares:
        return None
    if found.get("skipped"):
        return found["why"]
    trust = found.get("trust") or {}
    if work.run.request.follow == "always" or trust.get("kendall", 1.0) >= FOLLOWED:
        return None
    return trust.get("why") or (
        f"the estimates order networks that were trained by themselves with Kendall {trust['kendall']:.2f}, below {FOLLOWED}"
    )


def task(work: Work) -> Task:
    """What the method is handed."""
    request = work.run.request
    trains = work.shares
    if trains:
        shared.budget(work)
    trials = request.trials if request.trials is not None or work.timed else 192

    def left() -> float:
        """Of the seconds for scores, as far as this run has spent them."""
        if not work.timed:
            return math.inf
        spent = {name: seconds for name, seconds in work.run.seconds().items() if name in ("screen", "search")}
        if work.stopwatch is not None and work.stopwatch.stage in ("screen", "search"):
            spent[work.stopwatch.stage] = work.stopwatch.seconds
        return _scoring(work) - sum(spent.values())

    return Task(
        work.model, work.space, work.costs, work.constraints, work.scoring_batches, work.run.archive, work.run.decide,
        work.tell, request.seed, work.device, _scoring(work),
        lambda: work.stopwatch.seconds if work.stopwatch else 0.0, trials,
        work.run.decide("finalists", lambda: finish.finalists(work)), finish.training(work), work.space_name,
        partial(_sharing, work) if trains else None, goal=work.images.goal, left=left,
        by_hand=work.by_hand,
        beside=work.beside, referenced=work.referenced,
    )  # fmt: skip


def _sharing(work: Work) -> Sharing:
    """Its images are read once in a process."""
    if work.sharing is None:
        work.sharing = shared.sharing(work)
    return work.sharing


def _screened(payload: dict[str, Any]) -> str:
    if payload["proxy"] is None:
        return payload.get("why") or "nothing to score"
    best = payload["best"]
    return f"{payload['scored']} networks scored by {payload['proxy']}" + (f", best {best['score']:.1f}" if best else "")


def _trained(payload: dict[str, Any]) -> str:
    if "trust" not in payload:
        return payload.get("why", "")
    nodes, trust = payload["nodes"], payload["trust"]
    text = f"{len(nodes)} supernet{'s' if len(nodes) > 1 else ''} trained on {payload['images']:,} images"
    if trust.get("why"):
        return f"{text}; {trust['why']}"
    return (
        f"{text}; on {len(trust['networks'])} networks trained by themselves the estimates rank with Kendall "
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
            f"random search {payload['random']['best']['score']:.1f} after {payload['random']['trials']}"
        )
    return text


def report(run: Run) -> Path:
    """Draws report.html from what there is."""
    from archsmith.report.page import write

    return write(run.folder)


def best(run: Run, which: str | None = None) -> nn.Module:
    """The shipped network, its weights verified against what was shipped; or `which` was trained beside it.

    `which`: "search", "reference", or the key or name (or its beginning) of any that finish trained; from its checkpoint.
    """
    run.space  # noqa: B018  refuses a file that this user has not named
    shipped, seen = run.stage("ship"), run.stage("look")
    if shipped is None or seen is None:
        raise UserError(f"{run.folder} has not shipped a network yet; finish it with `archsmith resume {run.folder}`")
    arm, name, options = _named(run, shipped, which)
    network = _rebuilt(run, seen, arm, options)
    if name != shipped["key"]:
        rivals = ((shipped["search"] or {}).get("key"), ((run.stage("finish") or {})["reference"] or {}).get("chosen"))
        return _from_checkpoint(run, network, f"{arm}-{name}", again=name in rivals)
    return _from_package(run, shipped, network)


def _named(run: Run, shipped: Mapping[str, Any], which: str | None) -> tuple[str, str, Mapping[str, Any]]:
    """(arm, name, options) of a trained network; UserError where there is none, or several, of that name."""
    finish = run.stage("finish") or {}
    reference = finish.get("reference") or {}
    arm = (run.decided("begun-with") or {"arm": "search"})["arm"]  # of a network that was trained further
    known = {key: (arm, key, found["options"]) for key, found in (finish.get("networks") or {}).items() if not found["failed"]}
    known.setdefault(shipped["key"], (arm, shipped["key"], shipped["architecture"]["options"]))
    hand_made = {fields["name"]: fields for fields in _hand_made(run)}
    known |= {name: ("reference", name, hand_made[name]) for name in reference.get("networks") or {} if name in hand_made}
    own = (shipped.get("search") or {}).get("key")
    by_hand = reference.get("chosen") if arm == "search" else shipped["key"]
    fixed = {None: shipped["key"], "search": own, "reference": by_hand}
    if which in fixed:
        if fixed[which] is None:
            why = "trained no hand-made network (--no-reference, or none fitted)"
            why = why if which == "reference" else "trained a hand-made network further, none of the search"
            raise UserError(f"--network {which}: {run.folder} {why}")
        return known[fixed[which]]
    found = [entry for name, entry in known.items() if name == which] or [
        entry for name, entry in known.items() if which and name.startswith(which)
    ]
    if len(found) != 1:
        several = "no network" if not found else f"{len(found)} networks"
        raise UserError(f"--network {which}: {several} of that name; there are search, reference, {', '.join(known)}")
    return found[0]


def _hand_made(run: Run) -> list[dict[str, Any]]:
    """The descriptions of the hand-made networks of a run."""
    found = (run.stage("profile") or {}).get("references")
    return (found["networks"] if found is not None else run.decided("finish/references")) or []


def _rebuilt(run: Run, seen: Mapping[str, Any], arm: str, options: Mapping[str, Any]) -> nn.Module:
    """The network of an architecture, or of a hand-made one's description; its weights are made up."""
    import torch

    from archsmith.models.reference import Reference
    from archsmith.space import Architecture
    from archsmith.supernet import extract

    goal = of_run(seen)
    if arm == "reference":
        return Reference(**options).make(0, goal.headed)
    model = build_for(goal, run.space, seen["channels"], seen["size"])
    arch = search_space(model).check(Architecture.from_json(options))
    return extract(model, arch, "fresh", torch.Generator().manual_seed(0))


def _from_package(run: Run, shipped: Mapping[str, Any], network: nn.Module) -> nn.Module:
    import hashlib

    from safetensors.torch import load as parse

    path = run.folder / "best" / "model.safetensors"
    expected = next(f["sha256"] for f in shipped["files"] if f["name"] == "model.safetensors")
    data = path.read_bytes() if path.is_file() else b""
    if hashlib.sha256(data).hexdigest() != expected:
        raise Damaged(
            f"{path} is not the file that was shipped (its checksum differs); put it back, or ship it again with "
            f"`archsmith resume {run.folder}`"
        )
    network.load_state_dict(parse(data))
    return network.eval()


def _from_checkpoint(run: Run, network: nn.Module, name: str, *, again: bool) -> nn.Module:
    """`again`: whether shipping would train it again."""
    from archsmith.training.checkpoint import load, read

    path = run.folder / "checkpoints" / f"{name}.safetensors"
    try:
        if (read(path)[1].get("of") or {}).get("run") != run.record["id"]:
            raise Damaged(f"{path} is the checkpoint of another run")
        return load(path, network).network.eval()
    except UserError as error:
        why = str(error).partition("; ")[0].partition(". Delete it")[0]
        on = f", or move {run.folder / 'best'} away and let `archsmith resume {run.folder}` train it again" if again else ""
        raise Damaged(f"{why}; put back a copy of the file{on}") from error


def export(
    run: Run,
    path: Path | None = None,
    format: Literal["onnx", "pt2", "safetensors"] | None = None,
    *,
    over: bool = True,
    which: str | None = None,
) -> Path:
    """The shipped network, or `which` (as in `best`), as one file, verified; `format` from the ending where it is not given.

    `path`: NAME.FORMAT beside the run where it is not given, and then never over another file; `over`: whether a file that
    was named may be replaced. Files of the run itself never are.
    """
    from archsmith.export import deployment_of, export_file

    over = over and path is not None
    path, kind = _exported(run, path, format)
    _check_package(run)
    seen = run.stage("look") or {}
    network = best(run, which)
    shape = (seen["channels"], seen["size"], seen["size"])
    goal = of_run(seen)
    around = deployment_of(goal, seen["mean"], seen["std"])
    how = seen.get("preprocessing") or {"fit": "crop"}
    notes = {"labels": list(goal.names), "task": goal.task, "preprocess": how}
    return export_file(network, path, kind, shape=shape, deployment=around, metadata=notes, over=over)


def _check_package(run: Run) -> None:
    """Damaged where best/ says another thing of the network than the run: what is exported has classes and preprocessing as the
    run recorded them, which somebody who changed those files would not expect. Notes on the card are anybody's to make."""
    changed = [path for path in altered(run.folder, run.stage("ship") or {}) if path.suffix not in (".md", ".py")]
    if changed:
        raise Damaged(
            f"{changed[0]} is not the file that was shipped (its checksum differs), and the run has its classes and "
            f"preprocessing as they were; put it back, or write it again with `archsmith resume {run.folder}`"
        )


def _exported(run: Run, path: Path | None, format: str | None) -> tuple[Path, str]:
    """Where to, and as what; UserError for what would not be what its name says, or would replace a file of the run."""
    from archsmith.export import FORMATS

    folder = Path(os.path.abspath(run.folder))  # not resolved: a link is a name for the run
    if path is not None and path.is_dir():
        raise UserError(f"{path} is a folder; name the file to write, e.g. {path / f'{folder.name}.onnx'}")
    ending = path.suffix.lstrip(".").lower() if path is not None else ""
    kind = format or ending or ("onnx" if path is None else "")
    if kind not in FORMATS:
        said = f"cannot export as '{kind}'" if kind else f"'{path}' does not say the format; end it in one, or give --format"
        raise UserError(f"{said}; formats are {', '.join(FORMATS)}{did_you_mean(kind, FORMATS)}")
    if ending in FORMATS and ending != kind:
        raise UserError(f"'{path}' ends in .{ending}, the format asked for is {kind}; give one or the other")
    if path is None:
        path = folder.with_name(f"{folder.name}.{kind}")
    if (holder := claim.holder(path)) is not None and (path.exists() or path.resolve().parent != holder):
        whose = "the run itself" if holder == folder.resolve() else f"the run {holder}"
        raise UserError(
            f"{path} is {'a file of' if path.exists() else 'in a folder that belongs to'} {whose}; give another name"
        )
    if path.exists() and path.suffix.lstrip(".").lower() != kind:
        raise UserError(f"{path} is there already and is no .{kind} file; name one that ends in .{kind}, or remove it first")
    return path, kind


def time_text(run: Run) -> str:
    """Seconds used against seconds given, and what other work on the machine cost."""
    used, waited = sum(run.seconds().values()), sum(run.waits().values())
    text = duration(used) + (f" of {duration(run.request.time_s)}" if run.request.time_s and run.request.steps is None else "")
    if waited > _BUSY * used:
        text += f"; other work on this machine took {duration(waited)} of it: {duration(used - waited)} of work were done"
    return text
