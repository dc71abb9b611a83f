"""Estimators of networks by shared weights: what each is, trained and asked in worker processes of
`bench.supernets`."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from archsmith._internal.files import write_text
from archsmith.errors import UserError, did_you_mean
from archsmith.space import Architecture, SearchSpace
from archsmith.spaces import described

if TYPE_CHECKING:
    from torch import nn

    from archsmith.elastic.tree import Node

CONTROL, FREE = "longer", "training-free"
_FAMILIES = 24  # architectures that do not depend on the split decision, judged by every leaf


@dataclass(frozen=True)
class Setting:
    """One comparison of estimators on one benchmark.

    `estimators`, by what is done with the weights of one supernet (the parent) that was trained for
    `updates`, one architecture a mini-batch: "one-shot" nothing; "longer" they are trained on for
    `extra` updates; "few-shot:HOW" they are split, and the parts share `extra` updates. HOW: a
    decision, or a policy of `training.splits`; "edge0to1+gradients": two levels. Then, after
    colons, "leaves=4" (at most so many, default 8) and "fresh" (children from random weights).
    Besides them "training-free": the ensemble of training-free scores for cells, on the same small
    networks. All restarts begin at half of the parent's learning rate. `within`: options that
    decisions are restricted to.
    """

    data: str
    benchmark: str = "nasbench201:cifar10"
    estimators: tuple[str, ...] = (
        "one-shot",
        CONTROL,
        "few-shot:gradients",
        "few-shot:arbitrary",
        FREE,
    )
    sample: int | None = 300
    seeds: tuple[int, ...] = (0,)
    updates: int = 6000
    extra: int | None = None
    batch: int = 32
    lr: float = 0.05
    weight_decay: float = 5e-4
    ema: float = 0.0
    precision: Literal["float32", "bf16"] = "float32"
    size: int = 16
    width: int | None = 8
    cells: int | None = 1
    sampling: str = "live"
    within: tuple[tuple[str, tuple[str, ...]], ...] = ()
    calibration: int = 1024
    held_out: int = 1024
    sample_seed: int = 0

    def __post_init__(self) -> None:
        for name in self.estimators:
            if name != FREE:
                parsed(name)
        if "one-shot" not in self.estimators:
            object.__setattr__(self, "estimators", ("one-shot", *self.estimators))
        for what, least in (
            ("updates", 1),
            ("batch", 2),
            ("calibration", 2),
            ("held_out", 1),
            ("size", 4),
        ):
            if getattr(self, what) < least:
                raise UserError(
                    f"--{what.replace('_', '-')} {getattr(self, what)}: give at least {least}"
                )
        if self.sampling == "balanced" and not self.benchmark.startswith(
            ("nasbench201", "transnas")
        ):
            raise UserError(
                f"--sampling balanced counts the convolutions of four-node cells, which "
                f"{self.benchmark} has not; use live"
            )
        if self.extra is not None and self.extra < 1:
            raise UserError(f"--extra {self.extra}: give at least 1")
        if self.sample is not None and self.sample < 2:
            raise UserError(f"--sample {self.sample}: give at least 2")
        if self.sampling not in SAMPLINGS:
            near = did_you_mean(self.sampling, SAMPLINGS)
            raise UserError(
                f"--sampling '{self.sampling}' is not one of {', '.join(SAMPLINGS)}{near}"
            )
        if self.precision not in PRECISIONS:
            near = did_you_mean(self.precision, PRECISIONS)
            raise UserError(
                f"--precision '{self.precision}' is not one of {', '.join(PRECISIONS)}{near}"
            )
        if not self.seeds:
            raise UserError("--seeds: give at least one")


_ROUNDS = 20  # in which a split compares options
PRECISIONS = ("float32", "bf16")
SAMPLINGS = ("uniform", "live", "balanced")


@dataclass(frozen=True)
class Grown:
    """What an estimator's name says: how each level is split (none: not at all), at most how many
    leaves, inherited or not."""

    levels: tuple[str, ...] = ()
    leaves: int = 8
    inherit: bool = True


def parsed(name: str) -> Grown | None:
    """None: the parent itself."""
    kind, *given = name.split(":")
    if name == "one-shot":
        return None
    if name == CONTROL:
        return Grown()
    if kind != "few-shot" or not given or not given[0]:
        raise UserError(
            f"no estimator '{name}'; there are one-shot, {CONTROL}, {FREE}, "
            f"few-shot:HOW[:leaves=N][:fresh]"
        )
    found = Grown(tuple(given[0].split("+")))
    for word in given[1:]:
        key, _, value = word.partition("=")
        if word == "fresh":
            found = replace(found, inherit=False)
        elif key == "leaves" and value.isdigit() and int(value) >= 2:
            found = replace(found, leaves=int(value))
        else:
            raise UserError(
                f"estimator '{name}': '{word}' is neither leaves=N (at least 2) nor fresh"
            )
    return found


def within(space: SearchSpace, options: Sequence[tuple[str, Sequence[str]]]) -> SearchSpace:
    """The space with decisions restricted; UserError for an unknown decision or option."""
    for name, allowed in options:
        if name not in space:
            raise UserError(
                f"no decision '{name}'{did_you_mean(name, list(space))}; there are "
                f"{', '.join(space)}"
            )
        own = {str(option): option for option in space[name]}
        if unknown := [option for option in allowed if option not in own]:
            raise UserError(f"'{name}' has no option '{unknown[0]}'; there are {', '.join(own)}")
        space = space.restrict({name: [own[option] for option in allowed]})
    return space


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
    import torch

    from archsmith.metrics.accuracy import evaluate
    from archsmith.metrics.shared import SharedAccuracy

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
        found, quarter = (
            evaluate(plain, held_out),
            evaluate(plain, held_out[: max(1, len(held_out) // 4)]),
        )
        rows.append(
            {
                "key": arch.key,
                "accuracy": found["accuracy"],
                "loss": found["loss"],
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
    cost = {
        "updates": sum(node.trained for node in root.walk()) // job.setting.batch,
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
    return rows, cost


def _scored(job: Job, seed: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The ensemble's score of every architecture, in the place of an accuracy."""
    import torch

    from archsmith.metrics.cost import Costs
    from archsmith.metrics.proxies import build_all
    from archsmith.metrics.proxies.ensembles import ENSEMBLES, rank_sum

    began, setting, ensemble = time.perf_counter(), job.setting, ENSEMBLES["archsmith"]
    model = fresh(job, "meta")
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


def fresh(job: Job, device: Literal["meta", "cpu"]) -> nn.Module:
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
        model = fresh(job, "cpu")
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
    from archsmith.training.splits import branching, comparing, parts_of, planned
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
    from archsmith.training.splits import gradient_distances, score_distances

    source = stream(job, seed, augmented=False)(0)
    batches = [next(source) for _ in range(_ROUNDS)]
    if how == "gradients":
        return {how: gradient_distances(batches, rounds=_ROUNDS)}
    return {
        "scores": score_distances(ZiCo(fresh(job, "meta"), batches[:2], seed=seed), rounds=_ROUNDS)
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
    from archsmith.training.shared import sharing

    space, alive = node.space, described(job.network[0]).live
    if job.setting.sampling != "uniform" and alive is not None:
        space = space.where(alive)
    sampler = named(
        "balanced" if job.setting.sampling == "balanced" else "uniform",
        space,
        described(job.network[0]).statistic,
    )
    shape = (job.data.channels, job.setting.size, job.setting.size)
    costs = Costs(fresh(job, "meta"), shape, ("macs",))
    return {
        "seed": seed,
        "device": job.device,
        "backward": sharing(sampler, macs=lambda arch: costs(arch)["macs"]),
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
