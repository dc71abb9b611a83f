"""Behind `archsmith score`: training-free scores of networks, without a run."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import torch
from torch import Tensor

from archsmith._internal.registry import require_known
from archsmith.data import batches, load
from archsmith.elastic.supernet import search_space
from archsmith.errors import UserError
from archsmith.feasibility.sampler import feasible_sample
from archsmith.metrics.cost import Costs
from archsmith.metrics.limits import constraints_of, counted, largest, resolved
from archsmith.metrics.proxies import PROXIES, build_all, lower_is_better
from archsmith.metrics.proxies.baselines import COUNTED
from archsmith.problem.budget import human, parse
from archsmith.spaces.given import read_given
from archsmith.stages.profiling import Shape, _model
from archsmith.training.device import set_threads


def score_space(
    space: str,
    proxies: list[str],
    *,
    data: str | None,
    sample: int,
    architecture: str | Path | None,
    budget: str,
    classes: int,
    channels: int,
    size: int | None,
    batch: int,
    threads: int | None,
    seed: int,
    classes_at: int | None = None,
) -> dict[str, Any]:
    """Scores of `sample` feasible networks, or of one given architecture, by each proxy.

    `architecture`: a file or a text, as `spaces.given.read_given` takes it; the notes say what it
    was taken for.
    """
    if sample < 1 or batch < 2:
        raise UserError(
            f"--sample {sample} and --batch {batch}: at least 1 network and 2 images are needed"
        )
    if not proxies:
        raise UserError(f"--proxies names none; there are {', '.join(PROXIES)}")
    for proxy in proxies:  # before anything is read
        require_known("proxy", proxy, PROXIES)
    asked, given = parse(budget), None if architecture is None else read_given(architecture, space)
    if any(limit.metric == "latency" for limit in asked):
        raise UserError(
            "score: a latency limit needs a latency table; bound params, macs or memory instead"
        )
    set_threads(threads)
    pair, classes, shape, notes = _batches(
        data, classes, channels, size, batch=batch, seed=seed, classes_at=classes_at
    )
    name, model = _model(space, classes, shape)
    costs = Costs(model, shape, COUNTED)
    scores = build_all(proxies, model, pair, costs=costs, seed=seed, strict=True)
    decisions = search_space(model)
    if given is not None:
        archs = [decisions.check(given.arch)]
        other = given.size not in (None, shape[1])
        notes.append(
            f"architecture read as {given.form}" + other * f", which names images of "
            f"{given.size} pixels: see --size"
        )
    else:
        full = Costs(model, shape, counted(asked, COUNTED))
        limits = resolved(asked, largest(decisions, full))
        notes += [limit.text for limit in limits if limit.asked is not None]
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
        stream = batches(
            part, min(batch, len(part)), data=loaded, seed=seed, augment=None, device="cpu"
        )
        return [next(stream), next(stream)], len(loaded.classes), shape, notes
    generator = torch.Generator().manual_seed(seed)
    shape = (channels, size or 32, size or 32)
    pair = [
        (
            torch.randn(batch, *shape, generator=generator),
            torch.randint(0, classes, (batch,), generator=generator),
        )
        for _ in range(2)
    ]
    return pair, classes, shape, []


def score_text(ranking: dict[str, Any]) -> str:
    """For people: a table, best first by the first proxy."""
    names = list(ranking["networks"][0]["scores"])
    width = max([14, *(len(name) + 2 for name in names)])
    shape = " x ".join(map(str, ranking["shape"]))
    lines = [
        f"{ranking['space']}, input {shape}, two batches of {ranking['batch']} "
        f"from {ranking['images']}"
    ]
    lines += [f"note: {note}" for note in ranking.get("notes", ())]
    lines.append(
        f"{'architecture':<18}"
        + "".join(f"{name:>{width}}" for name in names)
        + f"{'params':>14}{'macs':>14}"
    )
    for row in ranking["networks"]:
        values = "".join(f"{value:>{width}.6g}" for value in row["scores"].values())
        lines.append(
            f"{row['key']:<18}{values}{human('params', row['params']):>14}"
            f"{human('macs', row['macs']):>14}"
        )
    return "\n".join(lines)
