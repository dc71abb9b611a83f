"""Search algorithms on one-shot and few-shot estimates, and gradient methods alone and in a tree:
true accuracy of the picks.

The searches replay the estimates that `archsmith bench supernets --out FOLDER` left, one supernet
trained on ("longer") and its parts ("few-shot:..."), at equal cost of training. The gradient
methods train weights of their own, alone or in each part, the same number of steps in all, the
weights of options on validation images that no part is chosen by; what they find is looked up in
the benchmark.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from archsmith.bench import estimators as est
from archsmith.bench.folder import appending, kept
from archsmith.bench.pool import processes, results
from archsmith.bench.proxies import networks_of
from archsmith.bench.setting import Setting
from archsmith.bench.setting import within as restricted
from archsmith.problem import Problem, minimize
from archsmith.recorded import load
from archsmith.recorded.benchmark import Curve, Rows
from archsmith.searchers import make
from archsmith.searchers.archive import Archive
from archsmith.searchers.loop import run_searcher
from archsmith.space import Architecture

SEARCHERS = (
    "random",
    "regularized-evolution:population=10:tournament=5",
    "tpe",
    "bohb",
    "hyperband",
    "smac",
    "reinforce",
)
GRADIENT = ("darts", "pc-darts", "gdas")


def main() -> None:
    """Goes on where it was stopped; prints a table and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="what `bench supernets` left")
    parser.add_argument("--data", required=True, help="the images it was trained on")
    parser.add_argument("--estimators", nargs="+", default=["longer", "few-shot:edge0to1"])
    parser.add_argument("--queries", type=int, default=50)
    parser.add_argument(
        "--repeats", type=int, default=20, help="searches on each estimator and seed"
    )
    parser.add_argument("--gradient", nargs="*", default=list(GRADIENT))
    parser.add_argument(
        "--steps", type=int, default=2000, help="of a gradient method, in all its parts together"
    )
    parser.add_argument("--split", default="edge0to1")
    parser.add_argument("--workers", type=int, default=2)
    asked = parser.parse_args()
    began = time.monotonic()
    setting = setting_of(asked)
    recorded = load(setting.benchmark)
    space = restricted(recorded.space, setting.within)
    archs = [arch for arch in recorded.archs() if space.contains(arch)]
    truth = {arch: float(recorded.truth(arch)) for arch in archs}  # type: ignore[arg-type]
    rows: dict[str, dict[str, Any]] = {}
    for estimator in asked.estimators:
        for searcher in SEARCHERS:
            picks = []
            for seed in setting.seeds:
                curve = replayed(asked.folder, estimator, seed, archs)
                picks.append(
                    [
                        picked(curve, space, searcher, asked.queries, 1000 * seed + r, truth)
                        for r in range(asked.repeats)
                    ]
                )
            rows[f"{searcher.partition(':')[0]}, {estimator}"] = told(picks)
    for name, per_seed in learned(asked, setting, truth).items():
        rows[name] = told([[value] for value in per_seed])
    best, mean = max(truth.values()), statistics.mean(truth.values())
    for name, row in rows.items():
        print(f"{name:<44}{row['mean']:8.2f}  sd over seeds {row['sd']:.2f}   {row['seeds']}")
    print(
        json.dumps(
            {"best": best, "mean": mean, "rows": rows, "seconds": round(time.monotonic() - began)}
        )
    )


def setting_of(asked: argparse.Namespace) -> Setting:
    """As the folder has it."""
    fixed = json.loads((asked.folder / "setting.json").read_text(encoding="utf-8"))
    seeds = sorted({row["seed"] for row in kept(asked.folder / "costs.jsonl")})
    within = tuple((name, tuple(options)) for name, options in fixed.pop("within"))
    fixed = {key: value for key, value in fixed.items() if key not in ("networks", "data")}
    return Setting(data=asked.data, seeds=tuple(seeds), sample=None, within=within, **fixed)


def replayed(folder: Path, estimator: str, seed: int, archs: list[Architecture]) -> Curve:
    """The estimates of one seed as a metric: the held-out loss, and as its cheap fidelity that on a
    quarter of the images."""
    found = {
        row["key"]: row
        for row in kept(folder / "estimates.jsonl")
        if (row["estimator"], row["seed"]) == (estimator, seed)
    }
    keys = [arch.key for arch in archs]
    rows = Rows(f"{folder}", keys, lambda arch: arch.key, archs, lambda arch: arch)
    columns = {1.0: "loss", 0.25: "quarter_loss"}
    values = {
        fidelity: np.array([found[key][column] for key in keys])
        for fidelity, column in columns.items()
    }
    return Curve(
        "shared_loss", rows, values, {f: {"evaluations": np.full(len(keys), f)} for f in columns}
    )


def picked(
    curve: Curve,
    space: Any,
    searcher: str,
    queries: int,
    seed: int,
    truth: dict[Architecture, float],
) -> float:
    """True accuracy of the network with the lowest estimated loss after so many full evaluations'
    worth of queries."""
    problem = Problem(space, (minimize(curve),))
    archive, spent = Archive(), [0.0]

    def count(trial: Any) -> None:
        spent[0] += trial.candidate.fidelity or 1.0

    run_searcher(
        problem,
        make(searcher)(problem, seed),
        trials=4 * queries,
        archive=archive,
        stop=lambda: spent[0] >= queries,
        on_trial=count,
    )
    full = [t for t in archive if not t.failed and t.candidate.fidelity in (None, 1.0)]
    return truth[min(full, key=lambda t: t.losses).arch]


def told(picks: list[list[float]]) -> dict[str, Any]:
    """Mean over repeats and seeds, spread over seeds."""
    means = [statistics.mean(row) for row in picks]
    spread = statistics.stdev(means) if len(means) > 1 else 0.0
    return {"mean": statistics.mean(means), "sd": spread, "seeds": [round(m, 2) for m in means]}


# -- gradient methods ------------------------------------------------------------------------------


def learned(
    asked: argparse.Namespace, setting: Setting, truth: dict[Architecture, float]
) -> dict[str, list[float]]:
    """ "method" and "method in parts" -> true accuracy of what it found, per seed."""
    path = asked.folder / "gradient.jsonl"
    have = {(row["method"], row["split"], row["seed"], row["steps"]): row for row in kept(path)}
    wanted = [
        (m, split, seed, asked.steps)
        for m in asked.gradient
        for split in ("", asked.split)
        for seed in setting.seeds
    ]
    if missing := [job for job in wanted if job not in have]:
        from archsmith.data import load as load_data

        network = networks_of(setting.benchmark)
        assert network is not None
        job = est.Job(
            setting, network, load_data(setting.data, size=setting.size), (), asked.folder, "cpu"
        )
        with processes(asked.workers, est.begin, job) as pool, appending(path) as add:
            futures: dict[Future[Any], Any] = {pool.submit(learn, *each): each for each in missing}
            for future, found in results(pool, futures):
                method, split, seed, steps = futures[future]
                row = {"method": method, "split": split, "seed": seed, "steps": steps, **found}
                add(row)
                have[method, split, seed, steps] = row
                print(json.dumps(row), flush=True)
    return {
        f"{m}{' in parts' if split else ''}": [
            truth[Architecture(have[m, split, seed, asked.steps]["found"])]
            for seed in setting.seeds
        ]
        for m in asked.gradient
        for split in ("", asked.split)
    }


def learn(method: str, split: str, seed: int, steps: int) -> dict[str, Any]:
    """One training in a worker: what was found, by the lowest held-out loss among the parts, and
    the seconds it took."""
    from archsmith._internal.seeding import mix, seeded
    from archsmith.elastic.mixing import mixed
    from archsmith.elastic.supernet import search_space
    from archsmith.elastic.tree import Node, by_decision, grow
    from archsmith.metrics.estimates import SharedAccuracy
    from archsmith.spaces import build, described
    from archsmith.training.relaxation import METHODS, derived, learning, probabilities
    from archsmith.training.supernet_node import train_node

    job, began = est._job[0], time.perf_counter()
    setting, (name, classes, _) = job.setting, job.network
    with seeded(mix(seed, "weights")):
        model = build(
            name,
            classes,
            job.data.channels,
            setting.size,
            device="cpu",
            width=setting.width,
            cells=setting.cells,
            partial=4 if method == "pc-darts" else None,
        )
    root = Node(restricted(search_space(model), setting.within), model)
    nodes = (
        grow(root, by_decision(root.space, split), inherit=False, seed=seed) if split else [root]
    )
    calibration, held_out = est.images(job, seed)
    alphas = partial(_alphas, job, seed)
    found = []
    for position, node in enumerate(nodes):
        state = train_node(
            node,
            est.recipe(setting, 1.0),
            est.stream(job, mix(seed, position)),
            steps=steps // len(nodes),
            seed=seed,
            backward=learning(METHODS[method], node.space, alphas),
        )
        found.append(
            derived(
                node.model,
                node.space,
                probabilities(state, METHODS[method], mixed(node.model, node.space)),
            )
        )
    metric = SharedAccuracy(
        root, calibration, held_out, canonical=None if split else described(name).canonical
    )
    best = min(found, key=lambda arch: metric(arch)["shared_loss"])
    return {
        "found": dict(best),
        "candidates": [dict(arch) for arch in found],
        "seconds": round(time.perf_counter() - began, 1),
    }


def _alphas(job: Any, seed: int, step: int) -> Any:
    """Validation images that `estimators.images` does not judge on, in the order of a seed, from a
    step on."""
    from archsmith._internal.seeding import mix
    from archsmith.data import batches, chosen

    part = job.data.parts["val"]
    judged = np.arange(0, len(part), max(1, len(part) // job.setting.held_out))
    return batches(
        chosen(part, np.setdiff1d(np.arange(len(part)), judged)),
        job.setting.batch,
        data=job.data,
        seed=mix(seed, "alphas"),
        augment=None,
        device="cpu",
        start=step,
    )


if __name__ == "__main__":
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    main()
