"""Estimators of networks by shared weights: what each is, trained and asked in worker processes of
`bench.supernets`."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from archsmith._internal.files import write_text
from archsmith.bench.setting import CONTROL, FREE, Grown, Setting, parsed, within
from archsmith.space import Architecture
from archsmith.spaces import described

if TYPE_CHECKING:
    from torch import nn

    from archsmith.elastic.tree import Node

_FAMILIES = 24  # architectures that do not depend on the split decision, judged by every leaf
_ROUNDS = 20  # in which a split compares options


# -- in worker processes -------------------------------------------------------------------------


@dataclass(frozen=True)
class Job:
    """What a worker needs once."""

    setting: Setting
    network: tuple[str, int, int]
    data: Any  # archsmith.data.Data
    archs: tuple[Mapping[str, Any], ...]
    out: Path
    device: str


_job: list[Job] = []  # of a worker process; set by its initializer, used in no other process


def begin(job: Job) -> None:
    from archsmith.training.device import set_threads

    set_threads(1)
    _job[:] = [job]


def estimated(
    seed: int, name: str, which: Sequence[int]
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Trains what the estimator needs, then its estimates of the architectures number `which`, and
    what that took."""

    from archsmith.metrics.accuracy import evaluate
    from archsmith.metrics.estimates import SharedAccuracy

    job = _job[0]
    if name == FREE:
        return _scored(job, seed)
    began = time.perf_counter()
    root = _parent(job, seed)
    grown = parsed(name)
    if grown is not None:
        _grow(job, seed, name, root=root, grown=grown)
    trained = time.perf_counter() - began
    canonical = described(job.network[0]).canonical
    calibration, held_out = images(job, seed)
    metric = SharedAccuracy(root, calibration, held_out, canonical=canonical)
    rows, began = [], time.perf_counter()
    for i in which:
        arch = Architecture(job.archs[i])
        plain = metric.network(arch)
        whole, quarter = (
            evaluate(plain, held_out),
            evaluate(plain, held_out[: max(1, len(held_out) // 4)]),
        )
        rows.append(
            {
                "key": arch.key,
                "accuracy": whole["accuracy"],
                "loss": whole["loss"],
                "quarter_loss": quarter["loss"],
                "node": metric.node(arch).name,
            }
        )
    judging = time.perf_counter() - began
    across = (
        _across(job, root, calibration, held_out)
        if grown is not None and len(root.leaves) > 1
        else None
    )
    return rows, _cost(root, job.setting.batch, trained=trained, judging=judging, across=across)


def _cost(
    root: Node, batch: int, *, trained: float, judging: float, across: float | None
) -> dict[str, Any]:
    """What all weights below `root` took (seconds of training and of judging among it), and how
    many there are."""
    import torch

    return {
        "updates": sum(node.trained for node in root.walk()) // batch,
        "images": root.cost,
        "train_seconds": trained,
        "macs": sum(node.macs for node in root.walk()),
        "judge_seconds": judging,
        "across": across,
        "leaves": len(root.leaves),
        "parameters": sum(p.numel() for p in root.model.parameters()),
        "splits": {
            node.name: [child.name for child in node.children]
            for node in root.walk()
            if node.children
        },
        "torch": torch.__version__,
    }


def _scored(job: Job, seed: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The ensemble's score of every architecture, in the place of an accuracy."""
    import torch

    from archsmith.metrics.cost import Costs
    from archsmith.metrics.proxies import build_all
    from archsmith.metrics.proxies.ensembles import ENSEMBLES, rank_sum

    began, setting, ensemble = time.perf_counter(), job.setting, ENSEMBLES["archsmith"]
    model = untrained(job, "meta")
    source = stream(job, seed, augmented=False)(0)
    images = [next(source) for _ in range(4)]
    batches = [
        (torch.cat([x for x, _ in pair]), torch.cat([y for _, y in pair]))
        for pair in (images[:2], images[2:])
    ]
    costs = Costs(model, (job.data.channels, setting.size, setting.size), ("params", "macs"))
    scores = build_all(
        ensemble.proxies,
        model,
        batches,
        costs=costs,
        seed=seed,
        canonical=described(job.network[0]).canonical,
    )
    values = [scores(Architecture(options)) for options in job.archs]
    total = rank_sum(
        ensemble, {name: np.array([row[name] for row in values]) for name, _ in ensemble.members}
    )
    rows = [
        {
            "key": Architecture(options).key,
            "accuracy": float(value),
            "loss": -float(value),
            "node": "",
        }
        for options, value in zip(job.archs, total, strict=True)
    ]
    cost: dict[str, Any] = {
        "updates": 0,
        "train_seconds": time.perf_counter() - began,
        "across": None,
        "splits": {},
    }
    return rows, cost


def untrained(job: Job, device: Literal["meta", "cpu"]) -> nn.Module:
    from archsmith.spaces import build

    (name, classes, _), setting = job.network, job.setting
    return build(
        name,
        classes,
        job.data.channels,
        setting.size,
        device=device,
        width=setting.width,
        cells=setting.cells,
    )


def _parent(job: Job, seed: int) -> Node:
    from archsmith._internal.seeding import mix, seeded
    from archsmith.elastic.supernet import search_space
    from archsmith.elastic.tree import Node
    from archsmith.training.supernet_node import train_node

    setting = job.setting
    with seeded(mix(seed, "weights")):
        model = untrained(job, "cpu")
    root = Node(within(search_space(model), setting.within), model)
    path = job.out / f"seed{seed}" / "parent.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    train_node(
        root,
        recipe(setting, 1.0),
        stream(job, seed),
        steps=setting.updates,
        checkpoint=path,
        **_how(job, root, seed),
    )
    return root


def _grow(job: Job, seed: int, name: str, root: Node, grown: Grown) -> None:
    """Children below the parent, level by level, each trained; splits are kept, so that one that
    goes on has the same."""
    from archsmith._internal.seeding import mix
    from archsmith.elastic.tree import grow
    from archsmith.training.space_splits import branching, comparing, parts_of, planned
    from archsmith.training.supernet_node import train_node

    setting = job.setting
    folder = job.out / f"seed{seed}" / name.replace(":", "-").replace("=", "")
    folder.mkdir(parents=True, exist_ok=True)
    extra = setting.updates if setting.extra is None else setting.extra
    levels = grown.levels or (CONTROL,)
    nodes = [root]
    for level, how in enumerate(levels):
        branches = branching(grown.leaves, len(levels))
        below: list[Node] = []
        for node in nodes:
            if how == CONTROL:
                below += grow(node, {CONTROL: node.space})
                continue
            path = folder / f"split-{mix(node.name):x}.json"
            if not path.exists():
                plan = planned(node, how, branches, distances=_distances(job, seed, how), seed=seed)
                write_text(path, json.dumps(plan))
            plan = json.loads(path.read_text(encoding="utf-8"))
            node.compared = comparing(node.space, how, _ROUNDS) * setting.batch
            below += grow(
                node, parts_of(node.space, plan), inherit=grown.inherit, seed=mix(seed, "children")
            )
        for position, node in enumerate(below):
            steps = max(1, extra // len(levels) // len(below))
            train_node(
                node,
                recipe(setting, 0.5 if grown.inherit else 1.0),
                stream(job, mix(seed, level, position)),
                steps=steps,
                checkpoint=folder / f"{level}-{position}.safetensors",
                **_how(job, node, mix(seed, level, position)),
            )
        nodes = below


def _distances(job: Job, seed: int, how: str) -> Mapping[str, Any]:
    from archsmith.metrics.proxies.zico import ZiCo
    from archsmith.training.space_splits import gradient_distances, score_distances

    source = stream(job, seed, augmented=False)(0)
    batches = [next(source) for _ in range(_ROUNDS)]
    if how == "gradients":
        return {how: gradient_distances(batches, rounds=_ROUNDS)}
    return {
        "scores": score_distances(
            ZiCo(untrained(job, "meta"), batches[:2], seed=seed), rounds=_ROUNDS
        )
    }


def _across(job: Job, root: Node, calibration: Any, held_out: Any) -> float | None:
    """Standard deviation over the leaves of the accuracy of one function, mean over functions.

    Of architectures whose split decision does nothing, so that it may be set to what each leaf
    holds. None where there are none.
    """
    from archsmith.elastic.supernet import calibrate, extract
    from archsmith.metrics.accuracy import evaluate

    canonical = described(job.network[0]).canonical
    if canonical is None or any(leaf.parent is not root for leaf in root.leaves):
        return None
    decision = [n for n in root.space if len({leaf.space.options[n] for leaf in root.leaves}) > 1]
    if len(decision) != 1:
        return None
    spreads: list[float] = []
    seen = set()
    for options in job.archs:
        arch = Architecture(options)
        form = canonical(arch)
        twins = [
            Architecture({**arch, decision[0]: leaf.space.options[decision[0]][0]})
            for leaf in root.leaves
        ]
        if form in seen or any(canonical(twin) != form for twin in twins):
            continue
        seen.add(form)
        values = []
        for leaf, twin in zip(root.leaves, twins, strict=True):
            values.append(
                evaluate(calibrate(extract(leaf.model, twin), calibration), held_out)["accuracy"]
            )
        spreads.append(float(np.std(values, ddof=1)))
        if len(spreads) == _FAMILIES:
            break
    return float(np.mean(spreads)) if spreads else None


def recipe(setting: Setting, share: float) -> Any:
    from archsmith.training.recipe import Recipe

    return Recipe(
        lr=share * setting.lr,
        weight_decay=setting.weight_decay,
        batch_size=setting.batch,
        warmup=0.02,
        ema=setting.ema,
        precision=setting.precision,
        clip_norm=5.0,
    )


def _how(job: Job, node: Node, seed: int) -> dict[str, Any]:
    """Seed, device and what a step of a node's training computes."""
    from archsmith.metrics.cost import Costs
    from archsmith.training.samplers import named
    from archsmith.training.shared_weights import shared_weights

    space, alive = node.space, described(job.network[0]).live
    if job.setting.sampling != "uniform" and alive is not None:
        space = space.where(alive)
    sampler = named(
        "balanced" if job.setting.sampling == "balanced" else "uniform",
        space,
        described(job.network[0]).statistic,
    )
    shape = (job.data.channels, job.setting.size, job.setting.size)
    costs = Costs(untrained(job, "meta"), shape, ("macs",))
    return {
        "seed": seed,
        "device": job.device,
        "backward": shared_weights(sampler, macs=lambda arch: costs(arch)["macs"]),
    }


def stream(job: Job, seed: int, augmented: bool = True) -> Callable[[int], Iterator[Any]]:
    from archsmith.data import batches
    from archsmith.data.augment import suggest

    augment = suggest(job.data) if augmented else None
    return lambda start: batches(
        job.data.parts["train"],
        job.setting.batch,
        data=job.data,
        seed=seed,
        augment=augment,
        device=job.device,
        start=start,
    )


def images(job: Job, seed: int) -> tuple[list[Any], list[Any]]:
    """Training images to calibrate with, validation images to judge on, in batches of at most
    256."""
    from archsmith.data import batches, chosen, ordered

    setting = job.setting
    each = min(256, setting.calibration)
    stream = batches(
        job.data.parts["train"],
        each,
        data=job.data,
        seed=seed,
        augment=None,
        device=job.device,
        start=0,
        workers=0,
    )
    calibration = [next(stream)[0] for _ in range(max(1, setting.calibration // each))]
    part = job.data.parts["val"]
    some = chosen(part, np.arange(0, len(part), max(1, len(part) // setting.held_out)))
    return calibration, list(ordered(some, 256, job.data, job.device))
