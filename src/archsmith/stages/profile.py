"""Stage 2, profile: what networks of the space cost, how many fit the budget, and the latency table where one is needed."""

from __future__ import annotations

from random import Random
from typing import Any

from archsmith.budget import human
from archsmith.metrics.latency import LatencyTable
from archsmith.stages.work import Work
from archsmith.survey import survey


def profile(work: Work) -> dict[str, Any]:
    """Costs over the space, the share that fits; raises NothingFits, naming the nearest network and the limit to relax."""
    if any(limit.metric == "latency" for limit in work.limits):
        work.tell("timing blocks and whole networks with ONNX Runtime", None)
        work.latency = _table(work)
        work.latency.calibrate(Random(work.run.request.seed))
    work.tell("counting a sample of the space", None)
    found = survey(work.space_name, work.space, work.limits, work.costs, work.latency, work.run.request.seed)
    return {**found, "init": work.init_said}


def again(work: Work, payload: dict[str, Any]) -> None:
    """Takes up the latency table that was measured."""
    if payload["latency_table"] is not None:
        work.latency = _table(work)


def _table(work: Work) -> LatencyTable:
    return LatencyTable(work.model, work.shape, threads=work.threads, path=work.run.folder / "latency.json")


def said(payload: dict[str, Any]) -> str:
    """The line for the progress table."""
    costs = ", ".join(f"{n} {human(n, v['min'])} to {human(n, v['max'])}" for n, v in payload["metrics"].items())
    text = f"{payload['space_size']} networks, {costs}"
    if payload["budget"]:
        share = payload["feasible_share"]["share"]
        text += f"; {share:.2g} of the space fits" if share else "; very few networks fit"
    if table := payload["latency_table"]:
        text += f"; latency table off by {table['mape']:.0%} on {table['held_out']} networks"
    if payload.get("init"):
        text += f"; {payload['init']}"
    return text
