"""DDPNAS and its relatives on NAS-Bench-201, CIFAR-10: true accuracy of what they end with, by evaluations and kind of reward.

Rewards: the recorded 200-epoch test accuracy itself (to test the searchers, no result of a method); the same with Gaussian
noise of 1 or 3 points on each evaluation; and biased: the accuracy plus a fixed offset for each option of each edge, as wrong
as `--bias` points (standard deviation), which a search cannot average away. Pruning ends with its survivor, the other moving
distributions with their mode, random search and evolution with the best they saw; "marginal mean" takes of every decision the
option with the best mean over uniform samples, and never prunes.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from random import Random
from typing import Any

from archsmith.archive import Archive
from archsmith.bench.pool import processes, results
from archsmith.benchmarks import load
from archsmith.predictors.ranking import spearman
from archsmith.problem import Problem, maximize
from archsmith.search import search
from archsmith.searchers.categorical import Categorical, credited
from archsmith.searchers.evolution import regularized_evolution
from archsmith.searchers.natural import asng, dynamic_asng, dynamic_sng, mdenas, migo, sng
from archsmith.searchers.pruning import pruning
from archsmith.searchers.random import random_search
from archsmith.space import Architecture

SCHEDULES = (1, 3, 6, 10, 20)  # rounds a stage: 14 evaluations each, five options an edge
REWARDS = ("truth", "noise 1", "noise 3", "biased")
ENDS: dict[str, Callable[[Problem, int, int], Any]] = {  # (problem, seed, rounds) -> a searcher that ends by itself
    "DDPNAS half": lambda p, s, t: pruning(p, s, rounds=t),
    "DDPNAS velocity": lambda p, s, t: pruning(p, s, rounds=t, rule="velocity"),
    "DDPNAS half, softer": lambda p, s, t: pruning(p, s, rounds=t, temperature=10.0),
    "dynamic SNG": lambda p, s, t: dynamic_sng(p, s, rounds=t),
    "dynamic ASNG": lambda p, s, t: dynamic_asng(p, s, rounds=t),
    "SNG": lambda p, s, t: sng(p, s, total=14 * t),
    "ASNG, 6 samples": lambda p, s, t: asng(p, s, samples=6, total=14 * t),
    "MIGO": lambda p, s, t: migo(p, s, total=14 * t),
    "MDENAS": lambda p, s, t: mdenas(p, s, total=14 * t),
}
BEST = {"random": random_search, "evolution 50": lambda p, s: regularized_evolution(p, s, population=50)}
_worker: list[Any] = []  # of a worker process: the benchmark and the offsets


def main() -> None:
    """A table for each kind of reward and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--rounds", type=int, nargs="+", default=list(SCHEDULES))
    parser.add_argument("--rewards", nargs="+", default=list(REWARDS))
    parser.add_argument("--bias", type=float, default=2.5)
    parser.add_argument("--workers", type=int, default=2)
    asked = parser.parse_args()
    began = time.monotonic()
    names = [*ENDS, "marginal mean", *BEST]
    rows: dict[str, dict[str, dict[int, list[float]]]] = {r: {n: {} for n in names} for r in asked.rewards}
    with processes(asked.workers, begin, asked.bias) as pool:
        jobs = {
            pool.submit(ended, reward, name, rounds, asked.seeds): (reward, name, rounds)
            for reward in asked.rewards
            for name in names
            for rounds in asked.rounds
        }
        for future, found in results(pool, jobs):
            reward, name, rounds = jobs[future]
            rows[reward][name][rounds] = found
    for reward in asked.rewards:
        print(f"\n{reward}" + "".join(f"{14 * t:>14}" for t in asked.rounds))
        for name in names:
            cells = [rows[reward][name][t] for t in asked.rounds]
            print(f"{name:<20}" + "".join(f"{statistics.mean(c):8.2f}+-{statistics.stdev(c):4.2f}" for c in cells))
    begin(asked.bias)
    benchmark, offsets = _worker
    archs = Random(0).sample(list(benchmark.archs()), 2000)
    agreement = spearman([benchmark.truth(a) + offset(offsets, a) for a in archs], [benchmark.truth(a) for a in archs])
    print(json.dumps({"bias_spearman": round(agreement, 3), "seconds": round(time.monotonic() - began)}))


def begin(bias: float) -> None:
    """In a worker."""
    benchmark, rng = load("nasbench201:cifar10"), Random(0)
    _worker[:] = [benchmark, {n: {o: rng.gauss(0.0, bias) for o in options} for n, options in benchmark.space.items()}]


def offset(offsets: dict[str, dict[Any, float]], arch: Architecture) -> float:
    """How wrong the biased reward of an architecture is."""
    return sum(offsets[name][option] for name, option in arch.items())


def ended(reward: str, name: str, rounds: int, seeds: int) -> list[float]:
    """True accuracies of what a search ends with, one per seed."""
    return [one(reward, name, rounds, seed) for seed in range(seeds)]


def one(reward: str, name: str, rounds: int, seed: int) -> float:
    """One search."""
    benchmark, offsets = _worker
    noise = Random(f"{reward} {name} {seed}")
    sigma = float(reward.partition("noise ")[2] or 0.0)

    def score(arch: Architecture) -> float:
        wrong = offset(offsets, arch) if reward == "biased" else 0.0
        return float(benchmark.truth(arch)) + wrong + (noise.gauss(0.0, sigma) if sigma else 0.0)

    problem = Problem(benchmark.space, [maximize(score, "score")])
    if name == "marginal mean":
        rng, distribution = Random(seed), Categorical(benchmark.space)
        archs = [benchmark.space.sample(rng) for _ in range(14 * rounds)]
        distribution.theta = {
            n: [row.get(i, -1e9) for i in range(len(distribution.options[n]))]
            for n, row in credited(distribution, archs, [score(a) for a in archs]).items()
        }
        return float(benchmark.truth(distribution.mode()))
    archive = Archive()
    if name in BEST:
        search(problem, BEST[name](problem, seed), trials=14 * rounds, archive=archive)
        return float(benchmark.truth(min(archive, key=lambda t: t.losses).arch))
    search(problem, ENDS[name](problem, seed, rounds), trials=10**9, archive=archive)
    return float(benchmark.truth(list(archive)[-1].arch))


if __name__ == "__main__":
    main()
