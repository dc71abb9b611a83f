"""What the networks of a space cost and how many of them fit a budget, with a run or without
one."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

from torch import nn

from archsmith.data import load
from archsmith.elastic.supernet import search_space
from archsmith.feasibility.sampler import a_few, feasible_share
from archsmith.metrics.cost import LAYERS, NAMES, Costs
from archsmith.metrics.latency import LatencyTable
from archsmith.metrics.limits import as_json, constraints_of, counted, largest, resolved
from archsmith.problem import Metric
from archsmith.problem.budget import Limit, human, parse
from archsmith.space import SearchSpace
from archsmith.spaces import build, meant
from archsmith.training.device import set_threads

Shape = tuple[int, int, int]
# each drawn network has some fifteen blocks, and a new one takes 35 ms to time
_DRAWS, _DRAWS_TIMED = 400, 80
_LOOKING_S = 20.0  # for a first network that fits
_FOUND = 4  # networks looked for where no draw fits: how rare they are is known by then
_TIMING_S = 25.0  # the latency table of `archsmith profile`


def space_costs(
    name: str,
    space: SearchSpace,
    limits: tuple[Limit, ...],
    costs: Costs,
    table: LatencyTable | None,
    seed: int,
    *,
    known: int = 0,
    seconds: float = math.inf,
    tell: Callable[[str, float | None], None] = lambda text, share: None,
) -> dict[str, Any]:
    """What the profile stage records: costs over the space and the share that fits; raises
    NothingFits where nothing does.

    `known`: so many networks are known to fit. `seconds`: for the sample; looking for a network
    that fits where none is known nor drawn may take a while more, at most 40 s.
    """
    rng, began = Random(seed), time.monotonic()
    constraints = constraints_of(limits, costs, table)
    metrics: list[Metric] = [costs] if table is None else [costs, table]
    draws = _DRAWS if table is None else _DRAWS_TIMED
    share = feasible_share(
        space,
        constraints,
        rng,
        draws,
        metrics=metrics,
        stop=lambda: time.monotonic() - began > seconds,
    )

    def late() -> bool:
        taken = time.monotonic() - began
        tell(f"looking for networks that fit, {taken:.0f} s", None)
        return taken > max(_LOOKING_S, min(seconds, 2 * _LOOKING_S))

    fitting = known or 1  # at least, of those drawn
    if not (share.share or known):
        fitting = len(a_few(space, constraints, rng, _FOUND, stop=late))
    return {
        "space": name,
        "space_size": f"{space.size:.3g}" if space.size > 10**6 else str(space.size),
        "decisions": len(space),
        "metrics": share.summary(),
        "feasible_share": {
            **{name: getattr(share, name) for name in ("share", "low", "high", "draws")},
            "found": fitting,
        },
        "budget": [as_json(limit) for limit in limits],
        "latency_table": None if table is None else table.errors(),
    }


def _model(space: str, classes: int, shape: Shape) -> tuple[str, nn.Module]:
    name = meant(space)
    return name, build(name, classes, shape[0], shape[1])


def profile_space(
    data: str | None,
    space: str,
    budget: str,
    *,
    classes: int,
    channels: int,
    size: int | None,
    latency: bool,
    threads: int | None,
    seed: int,
    classes_at: int | None = None,
    tell: Callable[[str, float | None], None] = lambda text, share: None,
) -> dict[str, Any]:
    """The profile of a space for given or for DATA's classes and image size; `tell`: what it is
    at."""
    asked = parse(budget)
    count = set_threads(threads)
    notes: list[str] = []
    if data is not None:
        facts = load(data, seed=seed, size=size, classes_at=classes_at)
        notes = list(facts.facts["notes"])
        classes, channels, size = len(facts.classes), facts.channels, facts.size
    shape = (channels, size or 32, size or 32)
    name, model = _model(space, classes, shape)
    names = counted(asked, NAMES)
    costs = Costs(model, shape, tuple(dict.fromkeys((*names, *LAYERS)))).showing(*names)
    table = None
    if latency or any(limit.metric == "latency" for limit in asked):
        tell("timing blocks and whole networks with ONNX Runtime", None)
        table = LatencyTable(
            model, shape, threads=count, counts=costs.showing("params", "macs", *LAYERS)
        )
        table.allow(_TIMING_S)
        table.calibrate(Random(seed))
    decisions = search_space(model)
    limits = resolved(asked, largest(decisions, costs, table))
    notes += [limit.text for limit in limits if limit.asked is not None]
    profiled = space_costs(
        name,
        decisions,
        limits,
        costs,
        table=table,
        seed=seed,
        seconds=_LOOKING_S,
        tell=tell,
    )
    return {**profiled, "classes": classes, "shape": list(shape), "threads": count, "notes": notes}


def profile_text(profiled: dict[str, Any]) -> str:
    """For people."""
    shape = " x ".join(map(str, profiled["shape"]))
    lines = [
        f"{profiled['space']}: {profiled['space_size']} architectures, {profiled['decisions']} "
        f"decisions; input {shape}"
    ]
    lines += [f"note: {note}" for note in profiled.get("notes", ())]
    lines.append(f"{'':<10}{'min':>12}{'median':>12}{'max':>12}")
    for metric, values in profiled["metrics"].items():
        lines.append(
            f"{metric:<10}"
            + "".join(f"{human(metric, values[k]):>12}" for k in ("min", "median", "max"))
        )
    if profiled["budget"]:
        share = profiled["feasible_share"]
        text = ", ".join(limit["text"] for limit in profiled["budget"])
        lines.append(f"{text}: {fitting_text(share)}")
    if profiled["latency_table"]:
        table = profiled["latency_table"]
        lines.append(
            f"latency table: off by {table['mape']:.1%} on {table['held_out']} networks "
            f"that were timed whole"
        )
    return "\n".join(lines)


def fitting_text(share: Mapping[str, Any]) -> str:
    """How much of a space fits, for people: a share, or how rare it is."""
    if share["share"]:
        return (
            f"{share_text(share['share'])} of the space fits (95 % interval {share['low']:.2g} "
            f"to {share['high']:.2g})"
        )
    return (
        f"rare: none of {share['draws']} random networks fits (below {share['high']:.2g} of the "
        f"space), but looking for some "
        f"found {share['found']}"
    )


def share_text(share: float) -> str:
    """In words that no number of networks is taken for."""
    return "all" if share >= 1 else f"{share:.2g}"
