"""Predictors of accuracy from an architecture's decisions: how well each ranks what it has not
seen, by how many it learned.

Learns the recorded (or the oracle's) accuracy of so many random architectures, ranks others, the
same ones for every predictor and number of examples of a seed. Regret: of the best among the ten it
puts first, in points of the true accuracy.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from random import Random
from typing import Any

import numpy as np

from archsmith.bench.pool import processes, results

BENCHMARKS = ("nasbench201:cifar10", "nasbench201:cifar100", "nasbench201:imagenet16", "ofa")
_worker: list[Any] = []  # of a worker process: benchmarks by name


def main() -> None:
    """A table for each benchmark, and one line of JSON."""
    from archsmith.predictors.predictor import PREDICTORS

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--benchmarks", nargs="+", default=list(BENCHMARKS))
    parser.add_argument("--predictors", nargs="+", default=list(PREDICTORS))
    parser.add_argument("--learned", type=int, nargs="+", default=[20, 100, 400])
    parser.add_argument("--ranked", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--workers", type=int, default=2)
    asked = parser.parse_args()
    began = time.monotonic()
    rows: dict[str, dict[str, list[dict[str, float]]]] = {}
    with processes(asked.workers, begin) as pool:
        jobs = {
            pool.submit(judged, name, predictor, count, asked.ranked, range(asked.seeds)): (
                name,
                f"{predictor}, {count}",
            )
            for name in asked.benchmarks
            for predictor in asked.predictors
            for count in asked.learned
        }
        for future, found in results(pool, jobs):
            name, row = jobs[future]
            rows.setdefault(name, {})[row] = found
    summary: dict[str, Any] = {}
    for name in asked.benchmarks:
        print(f"\n{name:<24}{'Kendall':>16}{'Spearman':>16}{'regret of ten':>16}{'seconds':>10}")
        for predictor in asked.predictors:
            for count in asked.learned:
                found = rows[name][f"{predictor}, {count}"]
                told = {
                    k: (statistics.mean(r[k] for r in found), statistics.stdev(r[k] for r in found))
                    for k in found[0]
                }
                summary.setdefault(name, {})[f"{predictor}, {count}"] = {
                    k: round(mean, 4) for k, (mean, _) in told.items()
                }
                cells = "".join(
                    f"{told[k][0]:8.3f} +-{told[k][1]:5.3f}"
                    for k in ("kendall", "spearman", "regret")
                )
                print(f"{predictor + ', ' + str(count):<24}{cells}{told['seconds'][0]:10.2f}")
    print(json.dumps({"summary": summary, "seconds": round(time.monotonic() - began)}))


def begin() -> None:
    """In a worker."""
    from archsmith.training.device import set_threads

    set_threads(1)


def judged(
    name: str, predictor: str, count: int, ranked: int, seeds: Sequence[int]
) -> list[dict[str, float]]:
    """One predictor, per seed."""
    from archsmith.predictors.encoding import one_hot
    from archsmith.predictors.predictor import predictor as made
    from archsmith.predictors.ranking import kendall, spearman, top_regret
    from archsmith.recorded import load

    recorded = load(name)
    found = []
    for seed in seeds:
        rng, archs = Random(seed), {}
        while len(archs) < ranked + count:
            archs[recorded.space.sample(rng)] = None
        drawn = list(archs)
        rows, truth = (
            one_hot(recorded.space, drawn),
            np.array([float(recorded.truth(arch)) for arch in drawn]),
        )
        began = time.perf_counter()
        model = made(predictor, seed)
        model.fit(rows[ranked:], -truth[ranked:])
        score = -np.asarray(model.predict(rows[:ranked]))
        seconds = time.perf_counter() - began
        found.append(
            {
                "kendall": kendall(score, truth[:ranked]),
                "spearman": spearman(score, truth[:ranked]),
                "regret": top_regret(score, truth[:ranked], 10),
                "seconds": seconds,
            }
        )
    return found


if __name__ == "__main__":
    main()
