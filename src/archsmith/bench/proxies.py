"""`archsmith bench proxies`: training-free scores of a benchmark's architectures against its
recorded accuracies."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from archsmith._internal.files import write_text
from archsmith._internal.hardware import machine_name, physical_cores
from archsmith._internal.registry import require_known
from archsmith.bench.folder import appending, claim, kept
from archsmith.bench.judge import judge, paired, table, write_table
from archsmith.bench.pool import processes, results
from archsmith.errors import EvaluationFailed, UserError, did_you_mean
from archsmith.metrics.proxies import PROXIES
from archsmith.metrics.proxies.ensembles import ENSEMBLES, Ensemble, rank_sum
from archsmith.recorded import BENCHMARKS, load
from archsmith.recorded.benchmark import Recorded
from archsmith.space import Architecture
from archsmith.spaces import described

_CHUNK = 4  # architectures a worker takes at a time
COLUMNS = (
    ("kendall_all", "Kendall"),
    ("kendall_low", "low"),
    ("kendall_high", "high"),
    ("kendall_seeds", "seeds sd"),
    ("spearman_all", "Spearman"),
    ("kendall_top_half", "top half"),
    ("kendall_top_tenth", "top tenth"),
    ("ndcg", "nDCG"),
    ("top_pick", "top pick"),
)
NETWORKS = {  # the benchmark's networks: (name in archsmith.spaces.SPACES, classes, pixels)
    "nasbench201:cifar10": ("nasbench201", 10, 32),
    "nasbench201:cifar100": ("nasbench201", 100, 32),
    "nasbench201:imagenet16": ("nasbench201", 120, 16),
    "nasbench1shot1:1": ("nasbench1shot1-space1", 10, 32),
    "nasbench1shot1:2": ("nasbench1shot1-space2", 10, 32),
    # recorded at 256 pixels; at 32 the last maps would be of a single one
    "transnas": ("transnas", 10, 64),
    "darts:surrogate": ("darts-small", 10, 32),
    "ofa": ("ofa-mobilenet-v3-w1.0", 1000, 96),  # recorded at 224 pixels, five times the work
    "toy": ("nasbench201", 10, 16),
}


@dataclass(frozen=True)
class Setting:
    """One comparison. `data`: images to score with, anything `archsmith search` takes, or "noise"
    with random labels.

    `width`: channels of the networks' first layers, where they are to be narrower than those that
    were recorded.
    """

    benchmark: str
    proxies: tuple[str, ...]
    sample: int | None = 1000
    data: str = "noise"
    batch: int = 64
    seeds: tuple[int, ...] = (0,)
    sample_seed: int = 0
    width: int | None = None

    def __post_init__(self) -> None:
        for name in self.proxies:
            require_known("proxy", name, PROXIES)
        for what, value in (
            ("--sample", self.sample),
            ("--batch", self.batch),
            ("--width", self.width),
        ):
            if value is not None and value < 2:
                raise UserError(f"{what} {value}: give at least 2")
        if not self.seeds:
            raise UserError("--seeds: give at least one")


def compare(
    setting: Setting,
    out: Path,
    *,
    recorded_data: str | None = None,
    ensembles: Sequence[Ensemble] = tuple(ENSEMBLES.values()),
    workers: int | None = None,
    device: str = "cpu",
    tell: Callable[[str, float], None] = lambda text, share: None,
) -> dict[str, Any]:
    """Scores, judges, writes scores.jsonl, table.csv, table.json into `out`; what scores.jsonl
    holds is not scored anew.

    The truths are those of `setting.benchmark` and of the benchmarks beside it that record the same
    networks.
    """
    recorded = load(setting.benchmark, recorded_data)
    claim(out, _fixed(setting))
    archs = sampled(recorded, setting)
    score(setting, archs, out, workers=workers, device=device, tell=tell)
    columns = columns_of(out, [a.key for a in archs], setting.seeds)
    truths = {
        name: truth_of(one, archs)
        for name, one in beside(setting.benchmark, recorded, recorded_data).items()
    }
    comparison = {**asdict(setting), "networks": len(archs), "machine": machine_name()}
    comparison["truths"] = {
        name: rank_correlations(columns, ensembles, truth) for name, truth in truths.items()
    }
    comparison["costs"] = _costs(out)
    write_text(out / "table.json", json.dumps(comparison, indent=1))
    rows = {
        (name, score): row
        for name, truth in comparison["truths"].items()
        for score, row in truth["scores"].items()
    }
    write_table(out / "table.csv", ("truth", "score"), rows)
    return comparison


def text(comparison: Mapping[str, Any]) -> str:
    """For people."""
    parts = [
        f"{comparison['networks']} networks, {len(comparison['seeds'])} seeds, "
        f"images: {comparison['data']}"
    ]
    for name, rows in comparison["truths"].items():
        parts.append(f"\nagainst {name}\n" + table(rows["scores"], COLUMNS))
    return "\n".join(parts)


def sampled(recorded: Recorded, setting: Setting) -> list[Architecture]:
    """`setting.sample` of the recorded architectures, without replacement; None: all, in the
    benchmark's order."""
    everything = list(recorded.archs())
    if setting.sample is None or setting.sample >= len(everything):
        return everything
    return Random(setting.sample_seed).sample(everything, setting.sample)


def _fixed(setting: Setting) -> dict[str, Any]:
    """What a folder's comparison is; the same may go on with more networks, seeds or proxies."""
    free = ("proxies", "seeds", "sample")
    networks = networks_of(setting.benchmark)
    return {k: v for k, v in asdict(setting).items() if k not in free and v is not None} | {
        "networks": networks
    }


def networks_of(benchmark: str) -> tuple[str, int, int] | None:
    """NETWORKS of a benchmark, or of its family; None where its networks cannot be built."""
    return NETWORKS.get(benchmark) or NETWORKS.get(benchmark.partition(":")[0])


def recording(space: str) -> str:
    """The first benchmark whose networks are of a space; UserError where there is none."""
    benchmark = next((name for name, (network, _, _) in NETWORKS.items() if network == space), None)
    if benchmark is None:
        known = list(dict.fromkeys(network for network, _, _ in NETWORKS.values()))
        raise UserError(
            f"no benchmark records space '{space}'{did_you_mean(space, known)}; there are those of "
            f"{', '.join(known)}"
        )
    return benchmark


# -- scoring -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Job:
    """What a worker needs once."""

    space: str
    classes: int
    size: int
    proxies: tuple[str, ...]
    width: int | None
    batches: Any  # seed -> two mini-batches
    device: str


# a worker process's model and batches; set by its initializer, used in no other process
_job: list[Any] = []


def _begin(job: _Job) -> None:
    from archsmith.metrics.cost import Costs
    from archsmith.metrics.proxies.baselines import COUNTED
    from archsmith.spaces import build
    from archsmith.training.device import set_threads

    set_threads(1)
    batches = {
        seed: [(x.to(job.device), y.to(job.device)) for x, y in pair]
        for seed, pair in job.batches.items()
    }
    channels = next(iter(batches.values()))[0][0].shape[1]
    model = build(job.space, job.classes, channels, job.size, device="meta", width=job.width)
    _job[:] = [job, batches, model, Costs(model, (channels, job.size, job.size), COUNTED)]


def _work(
    seed: int, options: Sequence[Mapping[str, Any]]
) -> list[tuple[int, str, dict[str, float], float]]:
    from archsmith.metrics.proxies import build_all

    job, batches, model, costs = _job
    scores = build_all(
        job.proxies,
        model,
        batches[seed],
        costs=costs,
        seed=seed,
        canonical=described(job.space).canonical,
    )
    rows = []
    for each in options:
        arch, began = Architecture(each), time.perf_counter()
        values = scores(arch)
        rows.append((seed, arch.key, values, time.perf_counter() - began))
    return rows


def score(
    setting: Setting,
    archs: Sequence[Architecture],
    out: Path,
    *,
    workers: int | None = None,
    device: str = "cpu",
    tell: Callable[[str, float], None] = lambda text, share: None,
) -> None:
    """Adds to scores.jsonl in `out` what it does not hold yet of the scores of `archs`, each
    network of one CPU thread.

    Small networks are launch-bound on a GPU: there several processes share `device`.
    """
    path = out / "scores.jsonl"
    have = {(row["seed"], row["key"]): set(row["scores"]) for row in kept(path)}
    missing: dict[tuple[str, ...], list[tuple[int, Architecture]]] = {}
    for seed in setting.seeds:
        for arch in archs:
            known = {name.partition(".")[0] for name in have.get((seed, arch.key), ())}
            wanted = tuple(name for name in setting.proxies if name not in known)
            if wanted:
                missing.setdefault(wanted, []).append((seed, arch))
    if not missing:
        return
    networks = networks_of(setting.benchmark)
    if networks is None:
        raise UserError(
            f"the networks of benchmark '{setting.benchmark}' cannot be built; those that can: "
            f"{', '.join(NETWORKS)}"
        )
    space, classes, size = networks
    batches = {seed: _batches(setting, seed, classes, size) for seed in setting.seeds}
    with appending(path) as add:
        for wanted, pairs in missing.items():
            done = 0
            job = _Job(
                space,
                classes,
                size,
                proxies=wanted,
                width=setting.width,
                batches=batches,
                device=device,
            )
            # those that compute the same in a row: scored once
            pairs.sort(key=lambda pair: _network_key(space, pair[1]))
            with processes(workers or physical_cores(), _begin, job) as pool:
                for _, rows in results(pool, _submitted(pool, pairs)):
                    for seed, key, values, seconds in rows:
                        add({"seed": seed, "key": key, "seconds": seconds, "scores": values})
                    done += len(rows)
                    tell(f"{done} of {len(pairs)} networks scored", done / len(pairs))


def _network_key(space: str, arch: Architecture) -> str:
    canonical = described(space).canonical
    return arch.key if canonical is None else canonical(arch).key


def _submitted(
    pool: ProcessPoolExecutor, pairs: Sequence[tuple[int, Architecture]]
) -> Iterator[Future[Any]]:
    for seed in dict.fromkeys(seed for seed, _ in pairs):
        archs = [arch for own, arch in pairs if own == seed]
        for start in range(0, len(archs), _CHUNK):
            yield pool.submit(_work, seed, [dict(arch) for arch in archs[start : start + _CHUNK]])


def _batches(setting: Setting, seed: int, classes: int, size: int) -> list[Any]:
    """Two mini-batches, the same for every network."""
    import torch

    from archsmith._internal.seeding import mix
    from archsmith.data import batches
    from archsmith.data import load as load_images

    if setting.data == "noise":
        generator = torch.Generator().manual_seed(mix(seed, "noise images"))
        return [
            (
                torch.randn(setting.batch, 3, size, size, generator=generator),
                torch.randint(0, classes, (setting.batch,), generator=generator),
            )
            for _ in range(2)
        ]
    images = load_images(setting.data, size=size)
    if len(images.classes) > classes:
        raise UserError(
            f"{setting.data} has {len(images.classes)} classes, the benchmark's "
            f"networks have {classes}"
        )
    stream = batches(
        images.parts["train"],
        setting.batch,
        data=images,
        seed=mix(seed, "bench"),
        augment=None,
        device="cpu",
        workers=0,
    )
    return [next(stream), next(stream)]


# -- judging -------------------------------------------------------------------------------------


def columns_of(out: Path, keys: Sequence[str], seeds: Sequence[int]) -> dict[str, list[np.ndarray]]:
    """Score or part -> per seed the values of the networks, in their order; the smaller-is-better
    ones negated."""
    from archsmith.metrics.proxies import lower_is_better

    place = {key: i for i, key in enumerate(keys)}
    columns: dict[str, list[np.ndarray]] = {}
    for row in kept(out / "scores.jsonl"):
        if row["seed"] not in seeds or row["key"] not in place:
            continue
        for name, value in row["scores"].items():
            by_seed = columns.setdefault(name, [np.full(len(keys), np.nan) for _ in seeds])
            sign = -1.0 if lower_is_better(name.partition(".")[0]) else 1.0
            by_seed[list(seeds).index(row["seed"])][place[row["key"]]] = sign * value
    return columns


def beside(name: str, recorded: Recorded, data: str | None) -> dict[str, Recorded]:
    """The benchmark and those of the same family that record the same space."""
    family = name.partition(":")[0]
    others = [other for other in BENCHMARKS if other.partition(":")[0] == family and other != name]
    benchmarks = {name: recorded}
    for other in others:
        one = load(other, data)
        if one.space == recorded.space:
            benchmarks[other] = one
    return benchmarks


def truth_of(recorded: Recorded, archs: Sequence[Architecture]) -> np.ndarray:
    """nan where an architecture has no recorded value."""
    values = []
    for arch in archs:
        try:
            values.append(float(recorded.truth(arch)))  # type: ignore[arg-type]
        except EvaluationFailed:
            values.append(math.nan)
    return np.array(values)


def rank_correlations(
    columns: Mapping[str, list[np.ndarray]], ensembles: Sequence[Ensemble], truth: np.ndarray
) -> dict[str, Any]:
    """How well each score ranks, and each ensemble whose members are there; how the best ensemble
    differs from the others."""
    known = np.isfinite(truth)
    truth = truth[known]
    columns = {name: [values[known] for values in seeds] for name, seeds in columns.items()}
    rows = {name: judge(values, truth) for name, values in columns.items()}
    sets = {}
    for ensemble in ensembles:  # one of a single score ranks as that does
        if len(ensemble.members) > 1 and all(name in columns for name, _ in ensemble.members):
            seeds = range(len(next(iter(columns.values()))))
            sets[ensemble.name] = [
                rank_sum(ensemble, {n: columns[n][i] for n, _ in ensemble.members}) for i in seeds
            ]
    rows |= {name: judge(values, truth) for name, values in sets.items()}
    ordered = dict(sorted(rows.items(), key=lambda item: -_number(item[1]["kendall_all"])))
    differences = {}
    if sets:
        best = max(sets, key=lambda name: _number(rows[name]["kendall_all"]))
        differences = {
            f"{best} - {name}": paired(sets[best], sets[name], truth)
            for name in sets
            if name != best
        }
    return {"scores": ordered, "differences": differences}


def _number(value: float) -> float:
    return value if value == value else -2.0


def _costs(out: Path) -> dict[str, float]:
    seconds = [row["seconds"] for row in kept(out / "scores.jsonl")]
    return {
        "rows": len(seconds),
        "seconds": float(sum(seconds)),
        "median_seconds": float(np.median(seconds)),
    }
