"""Another budget's networks from what a run has learnt: no training, no scoring."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from archsmith.elastic.supernet import search_space
from archsmith.errors import NothingFits, UserError
from archsmith.methods import METHODS, named
from archsmith.methods.job import Job, JobClock, JobData, JobLog, JobSpace
from archsmith.methods.protocol import answer, has
from archsmith.metrics.cost import Costs
from archsmith.metrics.latency import LatencyTable
from archsmith.metrics.limits import constraints_of, counted, largest, resolved
from archsmith.problem.budget import parse
from archsmith.run.records import Untrained
from archsmith.run.request import request_from
from archsmith.run.store import Run
from archsmith.spaces import build_for
from archsmith.stages.chosen import method_of, name_of
from archsmith.stages.look import task_of
from archsmith.stages.pipeline import open_work


def generated(
    run: Run, budgets: Sequence[str], count: int = 1, settings: Mapping[str, Any] | None = None
) -> list[dict[str, Any]]:
    """For each budget the networks that a run's search gives for it, with their costs: no training,
    no scoring.

    Rows {"budget", "networks": [{"key", "options", costs by name}], "error": why there are none}.
    `settings`: of the method, those that say what is generated. Raises UserError for a method that
    cannot.
    """
    run.trusting()
    if not has(method_of(run.request, run.space), "answer"):
        able = ", ".join(name for name in METHODS if hasattr(named(name), "answer"))
        name = name_of(run.request, run.space)
        raise UserError(
            f"{run.folder} was searched by '{name}', which searches anew for another budget: give "
            f"--time or --steps ({able} gives networks for any budget at once)"
        )
    taken_over(run)
    method = method_of(
        run.request.model_copy(update={"settings": regenerating(run, settings or {})}), run.space
    )
    looked, trained, name = run.looked, run.trained, run.space
    assert looked is not None and trained is not None
    if isinstance(trained, Untrained):
        raise UserError(
            f"{run.folder} trained no weights that networks share ({trained.why}), so another "
            f"budget is searched anew: give --time or --steps"
        )
    shape = looked.channels, looked.size, looked.size
    model = build_for(task_of(looked), name, looked.channels, looked.size, device="meta")
    asked = [parse(budget) for budget in budgets]
    costs = Costs(model, shape, counted(limit for row in asked for limit in row))
    table = None
    if any(limit.metric == "latency" for row in asked for limit in row):
        table = LatencyTable(model, shape, threads=open_work(run).threads, path=run.block_times)
        table.calibrate(Random(run.request.seed))
    decisions = search_space(model)
    space = JobSpace(model, decisions, costs, name=name)
    job = Job(
        JobData(()), space, JobClock(), JobLog(run.archive, run.decide), seed=run.request.seed
    )
    rows: list[dict[str, Any]] = []
    most = largest(decisions, costs, table)
    for row in [resolved(limits, most) for limits in asked]:
        text = ", ".join(limit.text for limit in row) or "none"
        try:
            archs = answer(
                method, job, trained, limits=constraints_of(row, costs, table), count=count
            )
        except NothingFits as error:
            rows.append({"budget": text, "networks": [], "error": str(error)})
            continue
        latency = (lambda arch: {"latency": table(arch)}) if table is not None else lambda arch: {}
        networks = [
            {"key": arch.key, "options": dict(arch), **costs(arch), **latency(arch)}
            for arch in archs
        ]
        rows.append({"budget": text, "networks": networks, "error": None})
    return rows


def regenerating(run: Run, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The run's settings with these changed; UserError for one that its shared weights were trained
    by."""
    run.trusting()
    allowed = getattr(method_of(run.request, run.space), "regenerating", ())
    for name in settings:
        if name not in allowed:
            able = f"only {', '.join(allowed)}" if allowed else "nothing of this method"
            raise UserError(
                f"--set {name}: what is trained already cannot be changed, {able} can; "
                f"begin a new search"
            )
    merged = {**run.request.settings, **settings}
    method_of(request_from(**{**run.request.model_dump(), "settings": merged}), run.space)
    return merged


def taken_over(run: Run) -> tuple[str, ...]:
    """The stages that hold for any budget: of a method without shared weights the look at the
    images only."""
    run.trusting()
    trains = has(method_of(run.request, run.space), "train")
    stages = ("look", "screen", "train") if trains else ("look",)
    if missing := [name for name in stages if run.stage(name) is None]:
        raise UserError(
            f"{run.folder} has not finished '{missing[0]}'; go on with `archsmith "
            f"resume {run.folder}` first"
        )
    return stages
