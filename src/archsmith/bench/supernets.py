"""`archsmith bench supernets`: how well shared weights rank a benchmark's architectures, at equal and stated cost."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from archsmith.bench.folder import appending, claim, kept
from archsmith.bench.judge import judge, paired, table, write_table
from archsmith.bench.pool import processes
from archsmith.bench.proxies import networks_of, truth_of
from archsmith.benchmarks import load
from archsmith.cells import CANONICAL, LIVE, longest_convolutions
from archsmith.errors import UserError, did_you_mean
from archsmith.files import write_text
from archsmith.machine import machine_name, physical_cores
from archsmith.space import Architecture, SearchSpace

if TYPE_CHECKING:
    from torch import nn

    from archsmith.tree import Node

CONTROL, FREE = "longer", "training-free"
COLUMNS = (
    ("kendall_all", "Kendall"), ("kendall_low", "low"), ("kendall_high", "high"), ("kendall_seeds", "seeds sd"),
    ("spearman_all", "Spearman"), ("kendall_live", "live"), ("kendall_top_half", "top half"),
    ("kendall_top_tenth", "top tenth"), ("top_found", "5% found"), ("top_pick", "top pick"), ("best_of_ten", "best of 10"),
    ("updates", "updates"),
)  # fmt: skip
_FAMILIES = 24  # architectures that do not depend on the split decision, judged by every leaf


@dataclass(frozen=True)
class Setting:
    """One comparison of estimators on one benchmark.

    `estimators`, by what is done with the weights of one supernet (the parent) that was trained for `updates`, one architecture
    a mini-batch: "one-shot" nothing; "longer" they are trained on for `extra` updates; "few-shot:HOW" they are split, and the
    parts share `extra` updates. HOW: a decision, or a policy of `training.splits`; "edge0to1+gradients": two levels. Then,
    after colons, "leaves=4" (at most so many, default 8) and "fresh" (children from random weights). Besides them
    "training-free": the ensemble of training-free scores for cells, on the same small networks. All restarts begin at half of
    the parent's learning rate. `within`: options that decisions are restricted to.
    """

    data: str
    benchmark: str = "nasbench201:cifar10"
    estimators: tuple[str, ...] = ("one-shot", CONTROL, "few-shot:gradients", "few-shot:arbitrary", FREE)
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
                _parsed(name)
        if "one-shot" not in self.estimators:
            object.__setattr__(self, "estimators", ("one-shot", *self.estimators))
        for what, least in (("updates", 1), ("batch", 2), ("calibration", 2), ("held_out", 1), ("size", 4)):
            if getattr(self, what) < least:
                raise UserError(f"--{what.replace('_', '-')} {getattr(self, what)}: give at least {least}")
        if self.sample is not None and self.sample < 2:
            raise UserError(f"--sample {self.sample}: give at least 2")
        if self.sampling not in SAMPLINGS:
            near = did_you_mean(self.sampling, SAMPLINGS)
            raise UserError(f"--sampling '{self.sampling}' is not one of {', '.join(SAMPLINGS)}{near}")
        if not self.seeds:
            raise UserError("--seeds: give at least one")


SAMPLINGS = ("uniform", "live", "balanced")


@dataclass(frozen=True)
class Grown:
    """What an estimator's name says: how each level is split (none: not at all), at most how many leaves, inherited or not."""

    levels: tuple[str, ...] = ()
    leaves: int = 8
    inherit: bool = True


def _parsed(name: str) -> Grown | None:
    """None: the parent itself."""
    kind, *given = name.split(":")
    if name == "one-shot":
        return None
    if name == CONTROL:
        return Grown()
    if kind != "few-shot" or not given or not given[0]:
        raise UserError(f"no estimator '{name}'; there are one-shot, {CONTROL}, {FREE}, few-shot:HOW[:leaves=N][:fresh]")
    found = Grown(tuple(given[0].split("+")))
    for word in given[1:]:
        key, _, value = word.partition("=")
        if word == "fresh":
            found = replace(found, inherit=False)
        elif key == "leaves" and value.isdigit() and int(value) >= 2:
            found = replace(found, leaves=int(value))
        else:
            raise UserError(f"estimator '{name}': '{word}' is neither leaves=N (at least 2) nor fresh")
    return found


def compare(
    setting: Setting,
    out: Path,
    *,
    recorded_data: str | None = None,
    workers: int | None = None,
    device: str = "cpu",
    tell: Callable[[str, float], None] = lambda text, share: None,
) -> dict[str, Any]:
    """Trains, estimates, judges; writes estimates.jsonl, costs.jsonl, table.csv, table.json into `out`.

    What is there is not done again, half trained weights are trained on.
    """
    recorded = load(setting.benchmark, recorded_data)
    network = networks_of(setting.benchmark)
    if network is None:
        raise UserError(f"the networks of {setting.benchmark} cannot be built, so nothing can be trained")
    claim(out, _fixed(setting, network))
    space = within(recorded.space, setting.within)
    archs = [arch for arch in recorded.archs() if space.contains(arch)]
    if setting.sample is not None and setting.sample < len(archs):
        archs = Random(setting.sample_seed).sample(archs, setting.sample)
    _run(setting, network, archs, out, workers=workers, device=device, tell=tell)
    truth = truth_of(recorded, archs)
    found = {**asdict(setting), "networks": len(archs), "machine": machine_name(), "truth": setting.benchmark}
    found |= _judged(setting, network, archs, truth, out)
    write_text(out / "table.json", json.dumps(found, indent=1))
    write_table(out / "table.csv", ("estimator",), {(name,): row for name, row in found["scores"].items()})
    return found


def within(space: SearchSpace, options: Sequence[tuple[str, Sequence[str]]]) -> SearchSpace:
    """The space with decisions restricted; UserError for an unknown decision or option."""
    for name, allowed in options:
        if name not in space:
            raise UserError(f"no decision '{name}'{did_you_mean(name, list(space))}; there are {', '.join(space)}")
        own = {str(option): option for option in space[name]}
        if unknown := [option for option in allowed if option not in own]:
            raise UserError(f"'{name}' has no option '{unknown[0]}'; there are {', '.join(own)}")
        space = space.restrict({name: [own[option] for option in allowed]})
    return space


def text(found: Mapping[str, Any]) -> str:
    """For people."""
    head = (
        f"{found['networks']} networks of {found['benchmark']}, {len(found['seeds'])} seeds, weights trained on "
        f"{found['data']} at {found['size']} px, {found['batch']} images an update"
    )
    parts = [head, "", table(found["scores"], COLUMNS)]
    if found["differences"]:
        parts.append(f"\nKendall less that of '{CONTROL}', same networks (95 % bootstrap), and seed by seed:")
        for name, d in found["differences"].items():
            seeds = ", ".join(f"{value:+.3f}" for value in d["seeds"])
            parts.append(f"  {name}: {d['difference']:+.3f} [{d['low']:+.3f}, {d['high']:+.3f}]   {seeds}")
    for name, leaves in found["leaves"].items():
        told = ", ".join(f"{leaf} {row['kendall']:.2f} ({row['networks']})" for leaf, row in leaves.items())
        parts.append(f"\nwithin the leaves of {name}: {told}")
    for name, value in found["calibration_across_leaves"].items():
        parts.append(f"\none function judged by every leaf of {name}: accuracy differs by {100 * value:.1f} points (sd)")
    return "\n".join(parts)


def _fixed(setting: Setting, network: tuple[str, int, int]) -> dict[str, Any]:
    """What a folder's comparison is; the same may go on with other estimators, seeds or networks."""
    free = ("estimators", "seeds", "sample")
    return {key: value for key, value in asdict(setting).items() if key not in free} | {"networks": network}


# -- training and estimating, in worker processes -----------------------------------------------------------------------------


@dataclass(frozen=True)
class _Job:
    """What a worker needs once."""

    setting: Setting
    network: tuple[str, int, int]
    data: Any  # archsmith.data.Data
    archs: tuple[Mapping[str, Any], ...]
    out: Path
    device: str


_job: list[_Job] = []  # of a worker process; set by its initializer, used in no other process


def _begin(job: _Job) -> None:
    from archsmith.training.device import set_threads

    set_threads(1)
    _job[:] = [job]


def _run(
    setting: Setting,
    network: tuple[str, int, int],
    archs: Sequence[Architecture],
    out: Path,
    *,
    workers: int | None,
    device: str,
    tell: Callable[[str, float], None],
) -> None:
    """Every estimator of every seed, the parent of a seed first."""
    have = {(row["seed"], row["estimator"], row["key"]) for row in kept(out / "estimates.jsonl")}
    missing: dict[tuple[int, str], list[int]] = {}
    for seed in setting.seeds:
        for name in setting.estimators:
            todo = [i for i, arch in enumerate(archs) if (seed, name, arch.key) not in have]
            if todo:
                missing[seed, name] = todo
    if not missing:
        return
    from archsmith.data import load as load_data

    tell("reading the images", 0.0)
    data = load_data(setting.data, size=setting.size)
    job = _Job(setting, network, data, tuple(map(dict, archs)), out, device)
    count = min(workers or physical_cores(), len(missing)) if device == "cpu" else 1
    done, waiting, pending = 0, dict(missing), dict[Future[Any], tuple[int, str]]()
    with (
        processes(count, _begin, job) as pool,
        appending(out / "estimates.jsonl") as add,
        appending(out / "costs.jsonl") as add_cost,
    ):
        try:
            ready = set()
            while waiting or pending:
                for seed, name in list(waiting):
                    if name in ("one-shot", FREE) or seed in ready or (seed, "one-shot") not in missing:
                        pending[pool.submit(_estimated, seed, name, waiting.pop((seed, name)))] = (seed, name)
                for future in wait(pending, return_when=FIRST_COMPLETED).done:
                    seed, name = pending.pop(future)
                    rows, cost = future.result()
                    for row in rows:
                        add({"seed": seed, "estimator": name, **row})
                    add_cost({"seed": seed, "estimator": name, **cost})
                    if name == "one-shot":
                        ready.add(seed)
                    done += 1
                    tell(f"{name}, seed {seed}", done / len(missing))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _estimated(seed: int, name: str, which: Sequence[int]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Trains what the estimator needs, then its estimates of the architectures number `which`, and what that took."""
    import torch

    from archsmith.metrics.accuracy import evaluate
    from archsmith.metrics.shared import SharedAccuracy

    job = _job[0]
    if name == FREE:
        return _scored(job, seed)
    began = time.perf_counter()
    root = _parent(job, seed)
    grown = _parsed(name)
    if grown is not None:
        _grow(job, seed, name, root, grown)
    trained = time.perf_counter() - began
    canonical = CANONICAL.get(job.network[0])
    calibration, held_out = _images(job, seed)
    metric = SharedAccuracy(root, calibration, held_out, canonical=canonical)
    rows, began = [], time.perf_counter()
    for i in which:
        arch = Architecture(job.archs[i])
        plain = metric.network(arch)
        found, quarter = evaluate(plain, held_out), evaluate(plain, held_out[: max(1, len(held_out) // 4)])
        rows.append(
            {
                "key": arch.key, "accuracy": found["accuracy"], "loss": found["loss"], "quarter_loss": quarter["loss"],
                "node": metric.node(arch).name,
            }
        )  # fmt: skip
    judging = time.perf_counter() - began
    across = _across(job, root, calibration, held_out) if grown is not None and len(root.leaves) > 1 else None
    cost = {
        "updates": root.cost // job.setting.batch, "images": root.cost, "train_seconds": trained, "judge_seconds": judging,
        "across": across, "leaves": len(root.leaves), "parameters": sum(p.numel() for p in root.model.parameters()),
        "splits": {node.name: [child.name for child in node.children] for node in root.walk() if node.children},
        "torch": torch.__version__,
    }  # fmt: skip
    return rows, cost


def _scored(job: _Job, seed: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The ensemble's score of every architecture, in the place of an accuracy."""
    import torch

    from archsmith.metrics.cost import Costs
    from archsmith.metrics.proxies import build_all
    from archsmith.metrics.proxies.ensembles import ENSEMBLES, rank_sum

    began, setting, ensemble = time.perf_counter(), job.setting, ENSEMBLES["archsmith"]
    model = _fresh(job, "meta")
    stream = _stream(job, seed, augmented=False)(0)
    images = [next(stream) for _ in range(4)]
    batches = [(torch.cat([x for x, _ in pair]), torch.cat([y for _, y in pair])) for pair in (images[:2], images[2:])]
    costs = Costs(model, (job.data.channels, setting.size, setting.size), ("params", "macs"))
    scores = build_all(ensemble.proxies, model, batches, costs=costs, seed=seed, canonical=CANONICAL.get(job.network[0]))
    values = [scores(Architecture(options)) for options in job.archs]
    total = rank_sum(ensemble, {name: np.array([row[name] for row in values]) for name, _ in ensemble.members})
    rows = [
        {"key": Architecture(options).key, "accuracy": float(value), "loss": -float(value), "node": ""}
        for options, value in zip(job.archs, total, strict=True)
    ]
    cost: dict[str, Any] = {"updates": 0, "train_seconds": time.perf_counter() - began, "across": None, "splits": {}}
    return rows, cost


def _fresh(job: _Job, device: Literal["meta", "cpu"]) -> nn.Module:
    from archsmith.models import build

    (name, classes, _), setting = job.network, job.setting
    return build(name, classes, job.data.channels, setting.size, device=device, width=setting.width, cells=setting.cells)


def _parent(job: _Job, seed: int) -> Node:
    from archsmith.seeding import mix, seeded
    from archsmith.supernet import search_space
    from archsmith.training.nodes import train_node
    from archsmith.tree import Node

    setting = job.setting
    with seeded(mix(seed, "weights")):
        model = _fresh(job, "cpu")
    root = Node(within(search_space(model), setting.within), model)
    path = job.out / f"seed{seed}" / "parent.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    train_node(root, _recipe(setting, 1.0), _stream(job, seed), steps=setting.updates, checkpoint=path, **_how(job, root, seed))
    return root


def _grow(job: _Job, seed: int, name: str, root: Node, grown: Grown) -> None:
    """Children below the parent, level by level, each trained; splits are kept, so that one that goes on has the same."""
    from archsmith.seeding import mix
    from archsmith.training.nodes import train_node
    from archsmith.training.splits import parts_of, planned
    from archsmith.tree import grow

    setting = job.setting
    folder = job.out / f"seed{seed}" / name.replace(":", "-").replace("=", "")
    folder.mkdir(parents=True, exist_ok=True)
    extra = setting.updates if setting.extra is None else setting.extra
    levels = grown.levels or (CONTROL,)
    nodes = [root]
    for level, how in enumerate(levels):
        branches = int(grown.leaves ** (1 / len(levels)) + 1e-9)
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
            below += grow(node, parts_of(node.space, plan), inherit=grown.inherit, seed=mix(seed, "children"))
        for position, node in enumerate(below):
            steps = extra // len(levels) // len(below)
            train_node(
                node, _recipe(setting, 0.5 if grown.inherit else 1.0), _stream(job, mix(seed, level, position)), steps=steps,
                checkpoint=folder / f"{level}-{position}.safetensors", **_how(job, node, mix(seed, level, position)),
            )  # fmt: skip
        nodes = below


def _distances(job: _Job, seed: int, how: str) -> Mapping[str, Any]:
    from archsmith.metrics.proxies.zico import ZiCo
    from archsmith.training.splits import gradient_distances, score_distances

    stream = _stream(job, seed, augmented=False)(0)
    batches = [next(stream) for _ in range(20)]
    if how == "gradients":
        return {how: gradient_distances(batches, rounds=20)}
    return {"scores": score_distances(ZiCo(_fresh(job, "meta"), batches[:2], seed=seed), rounds=20)}


def _across(job: _Job, root: Node, calibration: Any, held_out: Any) -> float | None:
    """Standard deviation over the leaves of the accuracy of one function, mean over functions.

    Of architectures whose split decision does nothing, so that it may be set to what each leaf holds. None where there are
    none.
    """
    from archsmith.metrics.accuracy import evaluate
    from archsmith.supernet import calibrate, extract

    canonical = CANONICAL.get(job.network[0])
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
        twins = [Architecture({**arch, decision[0]: leaf.space.options[decision[0]][0]}) for leaf in root.leaves]
        if form in seen or any(canonical(twin) != form for twin in twins):
            continue
        seen.add(form)
        values = []
        for leaf, twin in zip(root.leaves, twins, strict=True):
            values.append(evaluate(calibrate(extract(leaf.model, twin), calibration), held_out)["accuracy"])
        spreads.append(float(np.std(values, ddof=1)))
        if len(spreads) == _FAMILIES:
            break
    return float(np.mean(spreads)) if spreads else None


def _recipe(setting: Setting, share: float) -> Any:
    from archsmith.training.recipe import Recipe

    return Recipe(
        lr=share * setting.lr, weight_decay=setting.weight_decay, batch_size=setting.batch, warmup=0.02, ema=setting.ema,
        precision=setting.precision, clip_norm=5.0,
    )  # fmt: skip


def _how(job: _Job, node: Node, seed: int) -> dict[str, Any]:
    """Seed, device and what a step of a node's training computes."""
    from archsmith.training.samplers import balanced, strata, uniform
    from archsmith.training.shared import sharing

    space, alive = node.space, LIVE.get(job.network[0])
    if job.setting.sampling != "uniform" and alive is not None:
        space = space.where(alive)
    sampler = uniform(space)
    if job.setting.sampling == "balanced":
        counts = sorted({longest_convolutions(space.sample(Random(i))) for i in range(500)})
        sampler = balanced([uniform(part) for part in strata(space, longest_convolutions, counts)])
    return {"seed": seed, "device": job.device, "backward": sharing(sampler)}


def _stream(job: _Job, seed: int, augmented: bool = True) -> Callable[[int], Iterator[Any]]:
    from archsmith.data import batches
    from archsmith.data.augment import suggest

    augment = suggest(job.data) if augmented else None
    return lambda start: batches(
        job.data.parts["train"], job.setting.batch, data=job.data, seed=seed, augment=augment, device=job.device, start=start
    )


def _images(job: _Job, seed: int) -> tuple[list[Any], list[Any]]:
    """Training images to calibrate with, validation images to judge on, in batches of at most 256."""
    from archsmith.data import batches, ordered

    setting, found = job.setting, []
    each = min(256, setting.calibration)
    stream = batches(
        job.data.parts["train"], each, data=job.data, seed=seed, augment=None, device=job.device, start=0, workers=0
    )
    calibration = [next(stream)[0] for _ in range(max(1, setting.calibration // each))]
    part = job.data.parts["val"]
    every = max(1, len(part) // setting.held_out)
    some = replace(part, rows=part.rows[::every], labels=part.labels[::every], ids=part.ids[::every])
    found = list(ordered(some, 256, job.data, job.device))
    return calibration, found


# -- judging ------------------------------------------------------------------------------------------------------------------


def _judged(
    setting: Setting, network: tuple[str, int, int], archs: Sequence[Architecture], truth: np.ndarray, out: Path
) -> dict[str, Any]:
    place = {arch.key: i for i, arch in enumerate(archs)}
    columns: dict[str, list[np.ndarray]] = {}
    nodes: dict[str, list[list[str]]] = {}
    for row in kept(out / "estimates.jsonl"):
        name = row["estimator"]
        if name not in setting.estimators or row["seed"] not in setting.seeds or row["key"] not in place:
            continue
        which, i = setting.seeds.index(row["seed"]), place[row["key"]]
        for kind, value in (("", -row["loss"]), (" by accuracy", row["accuracy"]))[: 1 if name == FREE else 2]:
            columns.setdefault(name + kind, [np.full(len(archs), np.nan) for _ in setting.seeds])[which][i] = value
        nodes.setdefault(name, [[""] * len(archs) for _ in setting.seeds])[which][i] = row["node"]
    costs = {(row["seed"], row["estimator"]): row for row in kept(out / "costs.jsonl")}
    baselines = {name: [column] for name, column in _baselines(setting, network, archs).items()}
    live = _live(network[0], archs)
    rows: dict[str, dict[str, Any]] = {}
    for name, seeds in (columns | baselines).items():
        rows[name] = judge(seeds, truth)
        rows[name]["kendall_live"] = judge([column[live] for column in seeds], truth[live])["kendall_all"]
        known = [costs[s, e] for s in setting.seeds if (s, e := name.removesuffix(" by accuracy")) in costs]
        rows[name]["updates"] = float(np.mean([cost["updates"] for cost in known])) if known else 0.0
        rows[name]["train_seconds"] = float(np.mean([cost["train_seconds"] for cost in known])) if known else 0.0
    order = sorted(rows, key=lambda name: -rows[name]["kendall_all"] if math.isfinite(rows[name]["kendall_all"]) else 2.0)
    differences, leaves = {}, {}
    for name in setting.estimators:
        if name not in (CONTROL, "one-shot", FREE) and CONTROL in columns:
            per_seed = [
                judge([a], truth)["kendall_all"] - judge([b], truth)["kendall_all"]
                for a, b in zip(columns[name], columns[CONTROL], strict=True)
            ]
            differences[name] = {**paired(columns[name], columns[CONTROL], truth), "seeds": per_seed}
        if len({node for seed in nodes[name] for node in seed}) > 1:
            leaves[name] = _within_leaves(nodes[name][0], columns[name][0], truth)
    across = {
        name: float(np.mean(values))
        for name in setting.estimators
        if (values := [c["across"] for (_, e), c in costs.items() if e == name and c["across"] is not None])
    }
    splits = {f"{e}, seed {s}": c["splits"] for (s, e), c in costs.items() if c["splits"] and e != CONTROL}
    return {
        "scores": {name: rows[name] for name in order}, "differences": differences, "leaves": leaves,
        "calibration_across_leaves": across, "splits": splits,
    }  # fmt: skip


def _within_leaves(nodes: Sequence[str], column: np.ndarray, truth: np.ndarray) -> dict[str, dict[str, float]]:
    found = {}
    for name in sorted(set(nodes)):
        rows = np.array([node == name for node in nodes])
        if rows.sum() > 2:
            found[name] = {"kendall": judge([column[rows]], truth[rows])["kendall_all"], "networks": int(rows.sum())}
    return found


def _live(space: str, archs: Sequence[Architecture]) -> np.ndarray:
    """Which have a path from input to output."""
    alive = LIVE.get(space, lambda arch: True)
    return np.array([alive(arch) for arch in archs])


def _baselines(setting: Setting, network: tuple[str, int, int], archs: Sequence[Architecture]) -> dict[str, np.ndarray]:
    """What costs nothing: parameters, parameters without those of dead edges, convolutions on the longest path."""
    from archsmith.metrics.cost import Costs
    from archsmith.models import build

    space, classes, size = network
    costs = Costs(build(space, classes, 3, size), (3, size, size), ("params",))
    canonical = CANONICAL.get(space, lambda arch: arch)
    found = {
        "params": np.array([costs(arch)["params"] for arch in archs], dtype=float),
        "effective params": np.array([costs(canonical(arch))["params"] for arch in archs], dtype=float),
    }
    if "edge0to3" in archs[0]:
        found["longest path"] = np.array([longest_convolutions(arch) for arch in archs], dtype=float)
    return found
