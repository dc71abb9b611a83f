"""The main job: seven stages in order, each committed when done; a run that died goes on where it was."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, Literal

from torch import nn

from archsmith.budget import parse
from archsmith.errors import ArchsmithError, Damaged, NothingFits, UserError, did_you_mean
from archsmith.goals import of_run
from archsmith.methods import METHODS, auto, page_of, settings_of
from archsmith.methods.task import Sharing, Task
from archsmith.metrics.cost import Costs
from archsmith.metrics.latency import LatencyTable
from archsmith.models import build_for
from archsmith.progress import Silent, Watch, duration
from archsmith.run import STAGES, Request, Run, Stopwatch, request_from
from archsmith.stages import finish, look, profile, shared, ship
from archsmith.stages.work import Work
from archsmith.supernet import search_space
from archsmith.survey import constraints_of, counted
from archsmith.training.device import pick_device, set_threads

Stage = Callable[[Work], dict[str, Any]]
Again = Callable[[Work, dict[str, Any]], None]
Said = Callable[[dict[str, Any]], str]
Predict = Callable[[Work], float | None]
_REPORTED = ("profile", "search", "finish", "ship")  # the page is drawn anew after these


def start(request: Request, out: str | Path, watch: Watch | None = None) -> Run:
    """A new run in the folder `out`, carried through to the end."""
    _checked(request)
    run = Run.create(out, absolute(request))
    return carry_on(run, watch)


def again(
    run: Run,
    budget: str,
    out: str | Path,
    watch: Watch | None = None,
    settings: Mapping[str, Any] | None = None,
    **changes: Any,
) -> Run:
    """The same job under another budget: the images are split as before, weights that networks share are not trained again.

    `changes`: of the request, e.g. `time_s`; `settings`: of the method, those of generating. Raises UserError where the run has
    not got that far.
    """
    taken = _taken_over(run)
    changes["settings"] = _regenerating(run, settings or {})
    new = run.another(out, request_from(**{**run.request.model_dump(), **changes, "budget": budget}), taken)
    return carry_on(new, watch)


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
    seen, trained = run.stage("look") or {}, run.stage("train") or {}
    name = "mobilenet" if run.request.space == "auto" else run.request.space
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
    if Path(request.data).exists():
        changes["data"] = str(Path(request.data).absolute())
    if request.init:
        changes["init"] = str(Path(request.init).absolute())
    file, colon, name = request.space.rpartition(":")
    if colon and Path(file).exists():
        changes["space"] = f"{Path(file).absolute()}:{name}"
    return request.model_copy(update=changes)


def carry_on(run: Run, watch: Watch | None = None) -> Run:
    """Does every stage that is not done yet. A failure leaves all that was done, and its reason in run.json."""
    watch = watch or Silent()
    with run.locked():
        run.update(status="running", error=None)
        try:
            _stages(run, watch)
        except KeyboardInterrupt:
            run.update(status="stopped")
            run.event("stopped")
            raise
        except Exception as error:
            reason = str(error) if isinstance(error, ArchsmithError) else f"{type(error).__name__}: {error}"
            run.update(status="failed", error=reason)
            run.event("failed", reason=reason)
            raise
        run.update(status="done")
        report(run)
    return run


def open_work(run: Run, watch: Watch | None = None) -> Work:
    """A process's view of a run: device and threads set, nothing loaded."""
    request = run.request
    device, threads = pick_device(request.device), set_threads(run.record.get("threads") or request.threads)
    return Work(run, watch or Silent(), device, threads)


def _stages(run: Run, watch: Watch) -> None:
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
        work.stopwatch = Stopwatch(run, name)
        payload = do(work)
        work.stopwatch.save()
        run.finish_stage(name, payload)
        seconds, work.stopwatch = work.stopwatch.seconds, None
        run.event("stage", name=name, seconds=round(seconds, 3), said=said(payload))
        watch.end(name, said(payload), seconds)
        if name in _REPORTED:
            report(run)


def _table(request: Request) -> dict[str, tuple[Stage, Again, Said, Predict]]:
    """Stage -> what does it, what takes it up again, its line, and how long it should take."""
    page, settings = _method(request), request.settings

    def nothing(work: Work, payload: dict[str, Any]) -> None:
        return None

    def train(work: Work) -> dict[str, Any]:
        if hasattr(page, "train"):
            return page.train(task(work), **settings)
        return {"skipped": True, "why": "this method trains no shared weights"}

    def finished(work: Work) -> dict[str, Any]:
        work.networks = page.network(task(work), **settings) if hasattr(page, "network") else None
        return finish.finish(work)

    return {
        "look": (look.look, look.again, look.said, lambda work: None),
        "profile": (profile.profile, profile.again, profile.said, lambda work: None),
        "screen": (lambda work: page.screen(task(work), **settings), nothing, _screened, lambda work: work.scoring_s() / 3),
        "train": (train, nothing, _trained, lambda work: shared.budget(work)[0] if hasattr(page, "train") else 0.0),
        "search": (lambda work: page.search(task(work), **settings), nothing, _searched, lambda work: 2 * _scoring(work) / 3),
        "finish": (finished, nothing, finish.said, lambda work: work.left_s),
        "ship": (ship.ship, nothing, ship.said, lambda work: work.ship_s),
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
    return float(work.run.decide("scoring/seconds", work.scoring_s))


def task(work: Work) -> Task:
    """What the method is handed."""
    request = work.run.request
    trains = hasattr(_method(request), "train")
    if trains:
        shared.budget(work)
    trials = request.trials if request.trials is not None or work.timed else 192
    return Task(
        work.model, work.space, work.costs, work.constraints, work.scoring_batches, work.run.archive, work.run.decide,
        work.tell, request.seed, work.device, _scoring(work),
        lambda: work.stopwatch.seconds if work.stopwatch else 0.0, trials,
        work.run.decide("finalists", lambda: finish.finalists(work)), finish.training(work), work.space_name,
        partial(_sharing, work) if trains else None, work.images.goal,
    )  # fmt: skip


def _sharing(work: Work) -> Sharing:
    """Its images are read once in a process."""
    if work.sharing is None:
        work.sharing = shared.sharing(work)
    return work.sharing


def _screened(payload: dict[str, Any]) -> str:
    if payload["proxy"] is None:
        return "nothing to score"
    best = payload["best"]
    return f"{payload['scored']} networks scored by {payload['proxy']}" + (f", best {best['score']:.1f}" if best else "")


def _trained(payload: dict[str, Any]) -> str:
    if "trust" not in payload:
        return payload.get("why", "")
    nodes, trust = payload["nodes"], payload["trust"]
    text = f"{len(nodes)} supernet{'s' if len(nodes) > 1 else ''} trained on {payload['images']:,} images"
    return (
        f"{text}; on {len(trust['networks'])} networks trained by themselves the estimates rank with Kendall "
        f"{trust['kendall']:.2f} (p {trust['p']:.2g})"
    )


def _searched(payload: dict[str, Any]) -> str:
    text = f"{len(payload['shortlist'])} networks short-listed"
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


def best(run: Run) -> nn.Module:
    """The shipped network: rebuilt from its architecture, its weights verified against what was shipped."""
    import hashlib

    import torch
    from safetensors.torch import load as parse

    from archsmith.space import Architecture
    from archsmith.supernet import extract

    shipped, seen = run.stage("ship"), run.stage("look")
    if shipped is None or seen is None:
        raise UserError(f"{run.folder} has not shipped a network yet; finish it with `archsmith resume {run.folder}`")
    path = run.folder / "best" / "model.safetensors"
    expected = next(f["sha256"] for f in shipped["files"] if f["name"] == "model.safetensors")
    data = path.read_bytes() if path.is_file() else b""
    if hashlib.sha256(data).hexdigest() != expected:
        raise Damaged(f"{path} is not the file that was shipped (its checksum differs); restore it, or run the search again")
    goal = of_run(seen)
    model = build_for(goal, shipped["architecture"]["space"], seen["channels"], seen["size"])
    arch = search_space(model).check(Architecture.from_json(shipped["architecture"]["options"]))
    network = extract(model, arch, "fresh", torch.Generator().manual_seed(0))
    network.load_state_dict(parse(data))
    return network.eval()


def export(run: Run, path: Path, format: Literal["onnx", "pt2", "safetensors"] | None = None) -> Path:
    """The chosen network as one file, verified; `format` from the ending where it is not given."""
    from archsmith.export import FORMATS, deployment_of, export_file

    kind = format or path.suffix.lstrip(".")
    if kind not in FORMATS:
        raise UserError(f"cannot export as '{kind}'; formats are {', '.join(FORMATS)}{did_you_mean(kind, FORMATS)}")
    seen = run.stage("look") or {}
    network = best(run)
    shape = (seen["channels"], seen["size"], seen["size"])
    goal = of_run(seen)
    around = deployment_of(goal, seen["mean"], seen["std"])
    how = seen.get("preprocessing") or {"fit": "crop"}
    notes = {"labels": list(goal.names), "task": goal.task, "preprocess": how}
    return export_file(network, path, kind, shape=shape, deployment=around, metadata=notes)


def time_text(run: Run) -> str:
    """Seconds used against seconds given."""
    used = sum(run.seconds().values())
    return duration(used) + (f" of {duration(run.request.time_s)}" if run.request.time_s and run.request.steps is None else "")
