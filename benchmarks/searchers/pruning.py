"""DDPNAS and its relatives on NAS-Bench-201, CIFAR-10: true accuracy of what they end with, by
evaluations and kind of reward.

Rewards: the recorded 200-epoch test accuracy itself (to test the searchers, no result of a method);
the same with Gaussian noise of 1 or 3 points on each evaluation; and biased: the accuracy plus a
fixed offset for each option of each edge, as wrong as `--bias` points (standard deviation), which a
search cannot average away. Pruning ends with its survivor, the other moving distributions with
their mode, random search and evolution with the best they saw; "marginal mean" takes of every
decision the option with the best mean over uniform samples, and never prunes; "ridge" that with the
largest coefficient of a ridge regression on them. "protected": of operations with and without
parameters one stays, which takes 12 evaluations a round. With `--estimates FOLDER` the rewards are
the accuracies (in points) that supernets give, as `archsmith bench supernets --sample 0 --out
FOLDER` left them, in the space they are of.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from sklearn.linear_model import Ridge

from archsmith.bench.folder import kept
from archsmith.bench.pool import processes, results
from archsmith.bench.setting import within
from archsmith.methods.ddpnas import groups
from archsmith.predictors.encoding import one_hot
from archsmith.predictors.ranking import spearman
from archsmith.problem import Problem, maximize
from archsmith.recorded import load
from archsmith.searchers.archive import Archive
from archsmith.searchers.categorical import Categorical, credited
from archsmith.searchers.evolution import regularized_evolution
from archsmith.searchers.loop import run_searcher
from archsmith.searchers.natural_gradient import asng, dynamic_asng, dynamic_sng, mdenas, migo, sng
from archsmith.searchers.pruning import evaluations, pruning
from archsmith.searchers.random import random_search
from archsmith.space import Architecture, SearchSpace

SCHEDULES = (1, 3, 6, 10, 20)  # rounds a stage: 14 evaluations each, five options an edge
REWARDS = ("truth", "noise 1", "noise 3", "biased")
# (problem, seed, rounds) -> a searcher that ends by itself
ENDS: dict[str, Callable[[Problem, int, int], Any]] = {
    "DDPNAS half": lambda p, s, t: pruning(p, s, rounds=t),
    "DDPNAS velocity": lambda p, s, t: pruning(p, s, rounds=t, rule="velocity"),
    "DDPNAS half, softer": lambda p, s, t: pruning(p, s, rounds=t, temperature=10.0),
    "DDPNAS half, protected": lambda p, s, t: pruning(p, s, rounds=t, protected=groups(p.space)),
    "dynamic SNG": lambda p, s, t: dynamic_sng(p, s, rounds=t),
    "dynamic ASNG": lambda p, s, t: dynamic_asng(p, s, rounds=t),
    "SNG": lambda p, s, t: sng(p, s, total=_each(p) * t),
    "ASNG, 6 samples": lambda p, s, t: asng(p, s, samples=6, total=_each(p) * t),
    "MIGO": lambda p, s, t: migo(p, s, total=_each(p) * t),
    "MDENAS": lambda p, s, t: mdenas(p, s, total=_each(p) * t),
}
AVERAGES = ("marginal mean", "ridge")
BEST = {
    "random": random_search,
    "evolution 50": lambda p, s: regularized_evolution(p, s, population=50),
}
_worker: list[Any] = []  # of a worker process: the benchmark, the offsets, the space, the estimates


def _each_of(space: SearchSpace) -> int:
    """Evaluations of one round in every stage."""
    return evaluations(max(map(len, space.values())), 1)


def _each(problem: Problem) -> int:
    return _each_of(problem.space)


def main() -> None:
    """A table for each kind of reward and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--rounds", type=int, nargs="+", default=list(SCHEDULES))
    parser.add_argument("--rewards", nargs="+", default=list(REWARDS))
    parser.add_argument("--bias", type=float, default=2.5)
    parser.add_argument(
        "--estimates", type=Path, help="folder of `bench supernets`; --rewards are its estimators"
    )
    parser.add_argument("--workers", type=int, default=2)
    asked = parser.parse_args()
    began = time.monotonic()
    begin(asked.bias, asked.estimates)
    benchmark, offsets, space, estimates = _worker
    each = _each_of(space)
    names = [*ENDS, *AVERAGES, *BEST]
    rows: dict[str, dict[str, dict[int, list[float]]]] = {
        r: {n: {} for n in names} for r in asked.rewards
    }
    with processes(asked.workers, begin, asked.bias, asked.estimates) as pool:
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
        print(f"\n{reward}" + "".join(f"{each * t:>14}" for t in asked.rounds))
        for name in names:
            cells = [rows[reward][name][t] for t in asked.rounds]
            print(
                f"{name:<20}"
                + "".join(f"{statistics.mean(c):8.2f}+-{statistics.stdev(c):4.2f}" for c in cells)
            )
    archs = [arch for arch in benchmark.archs() if space.contains(arch)]
    archs = Random(0).sample(archs, min(2000, len(archs)))
    truth = [benchmark.truth(a) for a in archs]
    if estimates:
        agreement = {
            f"{name}, seed {seed}": round(spearman([row[a.key] for a in archs], truth), 3)
            for (name, seed), row in estimates.items()
            if name in asked.rewards
        }
    else:
        agreement = {
            "biased": round(
                spearman([benchmark.truth(a) + offset(offsets, a) for a in archs], truth), 3
            )
        }
    facts = {
        "best": max(truth),
        "mean": statistics.mean(truth),
        "seconds": round(time.monotonic() - began),
    }
    print(json.dumps({"spearman": agreement, **facts}))


def begin(bias: float, folder: Path | None) -> None:
    """In a worker."""
    benchmark, rng, estimates = load("nasbench201:cifar10"), Random(0), {}
    space = benchmark.space
    offsets = {n: {o: rng.gauss(0.0, bias) for o in options} for n, options in space.items()}
    if folder is not None:
        space = within(
            space, json.loads((folder / "setting.json").read_text(encoding="utf-8"))["within"]
        )
        for row in kept(folder / "estimates.jsonl"):
            estimates.setdefault((row["estimator"], row["seed"]), {})[row["key"]] = (
                100.0 * row["accuracy"]
            )
    _worker[:] = [benchmark, offsets, space, estimates]


def offset(offsets: dict[str, dict[Any, float]], arch: Architecture) -> float:
    """How wrong the biased reward of an architecture is."""
    return sum(offsets[name][option] for name, option in arch.items())


def ended(reward: str, name: str, rounds: int, seeds: int) -> list[float]:
    """True accuracies of what a search ends with, one per seed."""
    return [one(reward, name, rounds, seed) for seed in range(seeds)]


def one(reward: str, name: str, rounds: int, seed: int) -> float:
    """One search."""
    benchmark, offsets, space, estimates = _worker
    each = _each_of(space)
    supernets = sorted(s for name, s in estimates if name == reward)
    noise = Random(f"{reward} {name} {seed}")
    sigma = float(reward.partition("noise ")[2] or 0.0)

    def score(arch: Architecture) -> float:
        if supernets:
            return float(estimates[reward, supernets[seed % len(supernets)]][arch.key])
        wrong = offset(offsets, arch) if reward == "biased" else 0.0
        return float(benchmark.truth(arch)) + wrong + (noise.gauss(0.0, sigma) if sigma else 0.0)

    problem = Problem(space, [maximize(score, "score")])
    if name in AVERAGES:
        rng, distribution = Random(seed), Categorical(space)
        archs = [space.sample(rng) for _ in range(each * rounds)]
        if name == "ridge":
            fitted = Ridge(1.0).fit(one_hot(space, archs), [score(a) for a in archs])
            distribution.theta = weights_of(space, fitted.coef_, distribution)
            return float(benchmark.truth(distribution.mode()))
        distribution.theta = {
            n: [row.get(i, -1e9) for i in range(len(distribution.options[n]))]
            for n, row in credited(distribution, archs, [score(a) for a in archs]).items()
        }
        return float(benchmark.truth(distribution.mode()))
    archive = Archive()
    if name in BEST:
        run_searcher(problem, BEST[name](problem, seed), trials=each * rounds, archive=archive)
        return float(benchmark.truth(min(archive, key=lambda t: t.losses).arch))
    run_searcher(problem, ENDS[name](problem, seed, rounds), trials=10**9, archive=archive)
    return float(benchmark.truth(list(archive)[-1].arch))


def weights_of(
    space: SearchSpace, coefficients: Any, distribution: Categorical
) -> dict[str, list[float]]:
    """The coefficient of each option; `one_hot` has a column for each, decision by decision."""
    found, place = {}, 0
    for name, options in space.universe.items():
        own = dict(zip(options, coefficients[place : place + len(options)], strict=True))
        place += len(options)
        if name in distribution.options:
            found[name] = [float(own[option]) for option in distribution.options[name]]
    return found


if __name__ == "__main__":
    main()
