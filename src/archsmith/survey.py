"""Behind `archsmith profile` and `archsmith score`: a space's costs and training-free scores, without a run."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from random import Random
from typing import Any

import torch
from torch import Tensor, nn

from archsmith.budget import Limit, human, parse
from archsmith.data import batches, load
from archsmith.errors import UserError, shown
from archsmith.feasible import feasible_sample, feasible_share
from archsmith.lookup import check
from archsmith.metrics.cost import LAYERS, NAMES, Costs
from archsmith.metrics.latency import LatencyTable
from archsmith.metrics.proxies import PROXIES, build_all, lower_is_better
from archsmith.metrics.proxies.baselines import COUNTED
from archsmith.models import build, meant
from archsmith.problem import Constraint, Metric
from archsmith.space import Architecture, SearchSpace
from archsmith.supernet import search_space
from archsmith.training.device import set_threads

Shape = tuple[int, int, int]
_DRAWS, _DRAWS_TIMED = 400, 80  # each drawn network has some fifteen blocks, and a new one takes 35 ms to time
_LOOKING_S = 20.0  # for a first network that fits
_FOUND = 4  # networks looked for where no draw fits
_TIMING_S = 25.0  # the latency table of `archsmith profile`


def constraints_of(limits: tuple[Limit, ...], costs: Metric, latency: Metric | None) -> tuple[Constraint, ...]:
    """A budget as constraints; latency by its table."""
    found = []
    for limit in limits:
        metric = latency if limit.metric == "latency" else costs
        assert metric is not None, "a latency limit needs a latency table"
        found.append(
            Constraint(limit.metric, metric, high=limit.value)
            if limit.op == "<="
            else Constraint(limit.metric, metric, low=limit.value)
        )
    return tuple(found)


def counted(limits: Iterable[Limit], names: tuple[str, ...] = ("params", "macs")) -> tuple[str, ...]:
    """What `Costs` must count beside `names` for a budget; what is slow (memory: a trace of each network) only if bounded."""
    bounded = dict.fromkeys(limit.metric for limit in limits if limit.metric != "latency")
    return tuple(dict.fromkeys([*names, *bounded]))


def as_json(limit: Limit) -> dict[str, Any]:
    """A limit for the record."""
    return {"metric": limit.metric, "op": limit.op, "limit": limit.value, "unit": limit.unit, "text": str(limit)}


def survey(
    name: str,
    space: SearchSpace,
    limits: tuple[Limit, ...],
    costs: Costs,
    table: LatencyTable | None,
    seed: int,
    *,
    seconds: float = math.inf,
    tell: Callable[[str, float | None], None] = lambda text, share: None,
) -> dict[str, Any]:
    """What the profile stage records: costs over the space and the share that fits; raises NothingFits where nothing does.

    `seconds`: for the sample; looking for a network that fits where none was drawn may take a while more, at most 40 s.
    """
    rng, began = Random(seed), time.monotonic()
    constraints = constraints_of(limits, costs, table)
    metrics: list[Metric] = [costs] if table is None else [costs, table]
    draws = _DRAWS if table is None else _DRAWS_TIMED
    share = feasible_share(space, constraints, rng, draws, metrics, stop=lambda: time.monotonic() - began > seconds)

    def late() -> bool:
        taken = time.monotonic() - began
        tell(f"looking for networks that fit, {taken:.0f} s", None)
        return taken > max(_LOOKING_S, min(seconds, 2 * _LOOKING_S))

    found = feasible_sample(space, constraints, rng, 1 if share.share else _FOUND, stop=late)
    return {
        "space": name,
        "space_size": f"{space.size:.3g}" if space.size > 10**6 else str(space.size),
        "decisions": len(space),
        "metrics": share.summary(),
        "feasible_share": {**{name: getattr(share, name) for name in ("share", "low", "high", "draws")}, "found": len(found)},
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
    """The profile of a space for given or for DATA's classes and image size; `tell`: what it is at."""
    limits = parse(budget)
    count = set_threads(threads)
    notes: list[str] = []
    if data is not None:
        facts = load(data, seed=seed, size=size, classes_at=classes_at)
        notes = list(facts.facts["notes"])
        classes, channels, size = len(facts.classes), facts.channels, facts.size
    shape = (channels, size or 32, size or 32)
    name, model = _model(space, classes, shape)
    names = counted(limits, NAMES)
    costs = Costs(model, shape, tuple(dict.fromkeys((*names, *LAYERS)))).showing(*names)
    table = None
    if latency or any(limit.metric == "latency" for limit in limits):
        tell("timing blocks and whole networks with ONNX Runtime", None)
        table = LatencyTable(model, shape, threads=count, counts=costs.showing("params", "macs", *LAYERS))
        table.allow(_TIMING_S)
        table.calibrate(Random(seed))
    found = survey(name, search_space(model), limits, costs, table, seed, seconds=_LOOKING_S, tell=tell)
    return {**found, "classes": classes, "shape": list(shape), "threads": count, "notes": notes}


def profile_text(found: dict[str, Any]) -> str:
    """For people."""
    shape = " x ".join(map(str, found["shape"]))
    lines = [f"{found['space']}: {found['space_size']} architectures, {found['decisions']} decisions; input {shape}"]
    lines += [f"note: {note}" for note in found.get("notes", ())]
    lines.append(f"{'':<10}{'min':>12}{'median':>12}{'max':>12}")
    for metric, values in found["metrics"].items():
        lines.append(f"{metric:<10}" + "".join(f"{human(metric, values[k]):>12}" for k in ("min", "median", "max")))
    if found["budget"]:
        share = found["feasible_share"]
        text = ", ".join(limit["text"] for limit in found["budget"])
        lines.append(f"{text}: {fitting_text(share)}")
    if found["latency_table"]:
        table = found["latency_table"]
        lines.append(f"latency table: off by {table['mape']:.1%} on {table['held_out']} networks that were timed whole")
    return "\n".join(lines)


def fitting_text(share: Mapping[str, Any]) -> str:
    """How much of a space fits, for people: a share, or how rare it is."""
    if share["share"]:
        return f"{share_text(share['share'])} of the space fits (95 % interval {share['low']:.2g} to {share['high']:.2g})"
    return (
        f"rare: none of {share['draws']} random networks fits (below {share['high']:.2g} of the space), but looking for some "
        f"found {share['found']}"
    )


def share_text(share: float) -> str:
    """In words that no number of networks is taken for."""
    return "all" if share >= 1 else f"{share:.2g}"


def score_space(
    space: str,
    proxies: list[str],
    *,
    data: str | None,
    sample: int,
    architecture: Path | None,
    budget: str,
    classes: int,
    channels: int,
    size: int | None,
    batch: int,
    threads: int | None,
    seed: int,
    classes_at: int | None = None,
) -> dict[str, Any]:
    """Scores of `sample` feasible networks, or of one given architecture, by each proxy."""
    if sample < 1 or batch < 2:
        raise UserError(f"--sample {sample} and --batch {batch}: at least 1 network and 2 images are needed")
    if not proxies:
        raise UserError(f"--proxies names none; there are {', '.join(PROXIES)}")
    for proxy in proxies:  # before anything is read
        check("proxy", proxy, PROXIES)
    limits, given = parse(budget), None if architecture is None else _read(architecture)
    if any(limit.metric == "latency" for limit in limits):
        raise UserError("score: a latency limit needs a latency table; bound params, macs or memory instead")
    set_threads(threads)
    pair, classes, shape, notes = _batches(data, classes, channels, size, batch, seed, classes_at=classes_at)
    name, model = _model(space, classes, shape)
    costs = Costs(model, shape, COUNTED)
    scores = build_all(proxies, model, pair, costs=costs, seed=seed, strict=True)
    decisions = search_space(model)
    if given is not None:
        archs = [decisions.check(given)]
    else:
        full = Costs(model, shape, counted(limits, COUNTED))
        archs = feasible_sample(decisions, constraints_of(limits, full, None), Random(seed), sample)
    rows: list[dict[str, Any]] = []
    for arch in archs:
        rows.append({"key": arch.key, "scores": scores(arch), **costs(arch), "options": dict(arch)})
    sign = 1 if lower_is_better(proxies[0]) else -1
    rows.sort(key=lambda row: sign * next(iter(row["scores"].values())))
    return {
        "space": name,
        "shape": list(shape),
        "images": data or "noise",
        "batch": batch,
        "seed": seed,
        "notes": notes,
        "networks": rows,
    }


def _read(path: Path) -> Architecture:
    """The architecture of a JSON file: its decisions, or all that a run ships of it."""
    if not path.is_file():
        raise UserError(f"--architecture {shown(path)}: no such file; give an architecture.json")
    try:
        found = json.loads(path.read_bytes())
        if isinstance(found, dict) and isinstance(found.get("options"), dict):  # the file that a run ships says more
            found = found["options"]
        if not isinstance(found, dict):
            raise UserError("it holds no object")
        return Architecture.from_json(found)
    except (ValueError, RecursionError) as error:
        why = "it is nested too deep" if isinstance(error, RecursionError) else shown(error, 200)
        raise UserError(f"--architecture {shown(path)} is no architecture: {why}; give an architecture.json") from error


def _batches(
    data: str | None,
    classes: int,
    channels: int,
    size: int | None,
    batch: int,
    seed: int,
    *,
    classes_at: int | None,
) -> tuple[list[tuple[Tensor, Tensor]], int, Shape, list[str]]:
    if data is not None:
        loaded = load(data, seed=seed, size=size, classes_at=classes_at)
        notes, shape = list(loaded.facts["notes"]), (loaded.channels, loaded.size, loaded.size)
        part = loaded.parts["train"]
        stream = batches(part, min(batch, len(part)), data=loaded, seed=seed, augment=None, device="cpu")
        return [next(stream), next(stream)], len(loaded.classes), shape, notes
    generator = torch.Generator().manual_seed(seed)
    shape = (channels, size or 32, size or 32)
    pair = [
        (torch.randn(batch, *shape, generator=generator), torch.randint(0, classes, (batch,), generator=generator))
        for _ in range(2)
    ]
    return pair, classes, shape, []


def score_text(found: dict[str, Any]) -> str:
    """For people: a table, best first by the first proxy."""
    names = list(found["networks"][0]["scores"])
    width = max([14, *(len(name) + 2 for name in names)])
    shape = " x ".join(map(str, found["shape"]))
    lines = [f"{found['space']}, input {shape}, two batches of {found['batch']} from {found['images']}"]
    lines += [f"note: {note}" for note in found.get("notes", ())]
    lines.append(f"{'architecture':<18}" + "".join(f"{name:>{width}}" for name in names) + f"{'params':>14}{'macs':>14}")
    for row in found["networks"]:
        values = "".join(f"{value:>{width}.6g}" for value in row["scores"].values())
        lines.append(f"{row['key']:<18}{values}{human('params', row['params']):>14}{human('macs', row['macs']):>14}")
    return "\n".join(lines)
