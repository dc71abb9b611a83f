"""Which searcher finds the networks that score best: the method's own against each of the others,
for as many scores."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

SEARCHERS = (
    "evolution",
    "regularized-evolution:population=50",
    "local",
    "tpe",
    "guided",
    "smac",
    "reinforce",
)
LEVELS = 6  # depths at which the best network that is no deeper is looked at


def main() -> None:
    """Prints one JSON object: per arm the best score, and the mean over depths of the best score
    among those no deeper.

    Both in units of ZiCo's score, less what random search has with as many scores, networks,
    weights and images being the same.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--space", default="mobilenet")
    parser.add_argument("--budget", default="params<=200k, macs<=12M")
    parser.add_argument("--scores", type=int, default=160, help="networks that each arm may score")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--searchers", nargs="+", default=list(SEARCHERS))
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("ARCHSMITH_DATA", "../shared/data"))
    )
    asked = parser.parse_args()
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    began = time.monotonic()
    rows = []
    for seed in asked.seeds:
        rows.append(one(asked, seed))
        print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    summary = {
        arm: {
            what: {
                "mean": statistics.mean(r[arm][what] for r in rows),
                "seeds": [round(r[arm][what], 2) for r in rows],
            }
            for what in ("best", "over_depths", "seconds")
        }
        for arm in rows[0]
    }
    print(json.dumps({"summary": summary, "seconds": round(time.monotonic() - began)}, indent=1))


def one(asked: argparse.Namespace, seed: int) -> dict[str, dict[str, float]]:
    """All arms with one draw of weights and images."""

    from archsmith.data import batches, load
    from archsmith.elastic.supernet import search_space
    from archsmith.methods import scored
    from archsmith.methods.job import Job, JobClock, JobData, JobLog, JobSpace
    from archsmith.metrics.cost import Costs
    from archsmith.metrics.limits import constraints_of
    from archsmith.metrics.proxies.zico import ZiCo
    from archsmith.problem import Problem, Trial, maximize, minimize
    from archsmith.problem.budget import parse
    from archsmith.searchers import make
    from archsmith.searchers.archive import Archive
    from archsmith.searchers.loop import run_searcher
    from archsmith.searchers.nsga import nsga2
    from archsmith.spaces import build

    images = load(asked.data / "images/cifar10_lossless_test.parquet", seed=seed)
    stream = batches(
        images.parts["train"],
        asked.batch,
        data=images,
        seed=seed,
        augment=None,
        device="cpu",
        workers=0,
    )
    pair = [next(stream), next(stream)]
    model = build(asked.space, 10, 3, 32, device="meta")
    space, costs = search_space(model), Costs(model, (3, 32, 32), ("params", "macs"))
    depths = Costs(model, (3, 32, 32), ("depth",))
    constraints = constraints_of(parse(asked.budget), costs, None)
    score = ZiCo(model, pair, seed=seed)
    decided: dict[str, Any] = {}

    def decide(name: str, make: Callable[[], Any]) -> Any:
        if name not in decided:
            decided[name] = make()
        return decided[name]

    archive = Archive()
    given = Job(
        JobData(pair),
        JobSpace(model, space, costs, constraints),
        JobClock(seconds=60.0, trials=3 * asked.scores // 2, finalists=5),
        JobLog(archive, decide),
        seed=seed,
    )
    began = time.monotonic()
    (
        scored.screen(given, scored.Score("zico", score, 2)),
        scored.search(given, scored.Score("zico", score, 2)),
    )
    taken = {"own": 2 / 3 * (time.monotonic() - began)}  # a third is its random twin's
    found: dict[str, Sequence[Trial]] = {
        "random": [t for stage in ("screen", "search-random") for t in archive.stage(stage)],
        "own": [t for stage in ("screen", "search") for t in archive.stage(stage)],
    }
    problem = Problem(
        space, (maximize(score, name="zico"), minimize(depths, name="depth")), constraints
    )
    for name in ("nsga2", *asked.searchers):
        began = time.monotonic()
        found[name] = list(
            run_searcher(
                problem,
                (nsga2 if name == "nsga2" else make(name))(problem, seed),
                trials=asked.scores,
            )
        )
        taken[name] = time.monotonic() - began
    every = sorted(t.metrics["depth"] for t in found["random"] if not t.failed)
    levels = [every[round(i * (len(every) - 1) / (LEVELS - 1))] for i in range(LEVELS)]
    values = {arm: (_best(trials), _over(trials, levels)) for arm, trials in found.items()}
    return {
        arm: {
            "best": best - values["random"][0],
            "over_depths": over - values["random"][1],
            "seconds": taken.get(arm, 0.0),
        }
        for arm, (best, over) in values.items()
    }


def _best(trials: Sequence[Any], depth: float = float("inf")) -> float:
    """The best score among those no deeper."""
    return max(
        t.metrics["zico"]
        for t in trials
        if not t.failed and t.feasible and t.metrics["depth"] <= depth
    )


def _over(trials: Sequence[Any], levels: Sequence[float]) -> float:
    """Mean over depths; where an arm has none so shallow, its shallowest counts as if it were."""
    shallowest = min(t.metrics["depth"] for t in trials if not t.failed and t.feasible)
    return statistics.mean(_best(trials, max(level, shallowest)) for level in levels)


if __name__ == "__main__":
    main()
