"""DDPNAS on shared weights against one-shot and few-shot search at equal training: true accuracy of
the picks.

Cells of NAS-Bench-201 (a part in which weights this small rank: docs/notes/supernet-and-parts.md),
real CIFAR-10. Every arm trains the same number of updates in all, one architecture a mini-batch.
Arms:

one-shot       uniform sampling; picks from its estimates: the best of as many random ones as DDPNAS
scores, of evolution over
               100, of all; and of every decision the option with the best mean over uniform samples
               ("marginal mean")
half, velocity DDPNAS by either rule; "softer": votes by a ten times softer softmax; "turn": scored
after each turn few-shot       one decision split after half of the updates; the best of all by the
estimates of the parts leaf           the same, but in each part DDPNAS instead of uniform sampling;
of the survivors the one with the lowest loss undecided      DDPNAS for half of the updates, until
one option of each decision is gone; split by the decision that is least
               decided then, DDPNAS in each part
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import os
import statistics
import time
from concurrent.futures import Future
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from archsmith.bench import estimators as est
from archsmith.bench.folder import appending, kept
from archsmith.bench.pool import processes, results
from archsmith.bench.proxies import networks_of
from archsmith.bench.setting import Setting
from archsmith.bench.setting import within as restricted
from archsmith.predictors.ranking import kendall, spearman
from archsmith.problem import Problem, Trial, maximize
from archsmith.recorded import load
from archsmith.searchers.archive import Archive
from archsmith.searchers.categorical import Categorical, credited
from archsmith.searchers.evolution import regularized_evolution
from archsmith.searchers.loop import run_searcher
from archsmith.searchers.pruning import pruning
from archsmith.space import Architecture

ARMS = (
    "one-shot",
    "velocity",
    "half",
    "half softer",
    "velocity turn",
    "few-shot",
    "leaf",
    "undecided",
)
OPERATIONS = ("skip_connect", "nor_conv_3x3", "avg_pool_3x3")
WITHIN = {f"edge{a}to{b}": OPERATIONS for a, b in ((0, 1), (1, 2), (0, 3), (1, 3), (2, 3))} | {
    "edge0to2": ("none",)
}


def main() -> None:
    """Goes on where it was stopped; prints a table and one line of JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True, help="a folder of CIFAR-10 images")
    parser.add_argument("--out", type=Path, default=Path("runs/ddpnas"))
    parser.add_argument("--arms", nargs="+", default=list(ARMS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--updates", type=int, default=12_000)
    parser.add_argument("--rounds", type=int, default=5, help="of a stage")
    parser.add_argument("--split", default="edge0to1")
    parser.add_argument(
        "--whole", action="store_true", help="all 15,625 cells at full size, for a GPU"
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--workers", type=int, default=2)
    asked = parser.parse_args()
    began = time.monotonic()
    size = {"size": 32, "width": None, "cells": None, "batch": 256} if asked.whole else {}
    within = () if asked.whole else tuple(WITHIN.items())
    setting = Setting(
        asked.data,
        seeds=tuple(asked.seeds),
        sample=None,
        updates=asked.updates,
        within=within,
        **size,
    )
    recorded = load(setting.benchmark)
    space = restricted(recorded.space, within)
    archs = [arch for arch in recorded.archs() if space.contains(arch)]
    truth = {arch.key: float(recorded.truth(arch)) for arch in archs}  # type: ignore[arg-type]
    asked.out.mkdir(parents=True, exist_ok=True)
    path = asked.out / f"{asked.updates}-{asked.rounds}.jsonl"
    have = {(row["arm"], row["seed"]): row for row in kept(path)}
    if missing := [
        (arm, seed) for seed in asked.seeds for arm in asked.arms if (arm, seed) not in have
    ]:
        from archsmith.data import load as load_data

        network = networks_of(setting.benchmark)
        assert network is not None
        images = load_data(setting.data, size=setting.size)
        judged = archs if len(archs) < 1000 else Random(0).sample(archs, 1000)
        job = est.Job(setting, network, images, tuple(map(dict, judged)), asked.out, asked.device)
        with processes(asked.workers, est.begin, job) as pool, appending(path) as add:
            futures: dict[Future[Any], Any] = {
                pool.submit(run, arm, seed, asked.rounds, asked.split, truth): (arm, seed)
                for arm, seed in missing
            }
            for future, found in results(pool, futures):
                arm, seed = futures[future]
                have[arm, seed] = {"arm": arm, "seed": seed, **found}
                add(have[arm, seed])
                print(json.dumps(have[arm, seed]), flush=True)
    told = {}
    for arm in asked.arms:
        for pick in have[arm, asked.seeds[0]]["picks"]:
            values = [truth[have[arm, seed]["picks"][pick]] for seed in asked.seeds]
            spread = statistics.stdev(values) if len(values) > 1 else 0.0
            told[f"{arm}: {pick}"] = {
                "mean": statistics.mean(values),
                "sd": spread,
                "seeds": values,
            }
    for name, row in told.items():
        print(
            f"{name:<44}{row['mean']:8.2f}  sd {row['sd']:.2f}   "
            f"{[round(v, 2) for v in row['seeds']]}"
        )
    for arm in asked.arms:
        for number in range(len(have[arm, asked.seeds[0]]["agreement"])):
            stages = [have[arm, seed]["agreement"][number] for seed in asked.seeds]
            same = [
                one_shot_on(have, seed, stage, truth)
                for seed, stage in zip(asked.seeds, stages, strict=True)
            ]
            beside = (
                (f", one-shot on the same {[round(v, 2) for v in same if v is not None]}")
                if same[0] is not None
                else ""
            )
            told_ = [round(stage["spearman"], 2) for stage in stages]
            print(
                f"{arm}: Spearman with the truth of {stages[0]['networks']} networks "
                f"{told_}{beside}"
            )
    print(
        json.dumps(
            {
                "best": max(truth.values()),
                "mean": statistics.mean(truth.values()),
                "rows": told,
                "seconds": round(time.monotonic() - began),
            }
        )
    )


def one_shot_on(have: Any, seed: int, stage: Any, truth: dict[str, float]) -> float | None:
    """Spearman of the one-shot supernet on the networks of a stage."""
    if ("one-shot", seed) not in have:
        return None
    known = have["one-shot", seed]["agreement"][0]["estimates"]
    keys = [key for key in stage["estimates"] if key in known]
    return spearman([known[key] for key in keys], [truth[key] for key in keys])


# -- in worker processes ---------------------------------------------------------------------------


def run(arm: str, seed: int, rounds: int, split: str, truth: dict[str, float]) -> dict[str, Any]:
    """picks: kind -> key of the architecture; agreement: Spearman and Kendall with the truth, at
    the start of each stage (of what was alive) and at the end."""
    from archsmith.elastic.tree import by_decision, grow

    began = time.perf_counter()
    arms = Arm(seed, rounds, truth)
    updates = est._job[0].setting.updates
    kind, _, how = arm.partition(" ")
    rule = (
        {"rule": "velocity"} if kind != "half" else {"temperature": 10.0} if how == "softer" else {}
    )
    agreement: list[Any] = []
    if arm == "one-shot":
        arms.uniformly(arms.root, updates, 1.0)
        agreement = [arms.agreement(arms.root.space)]
        picks = arms.picked()
    elif kind in ("half", "velocity"):
        survivor = arms.pruned(arms.root, updates, 1.0, agreement, turn=how == "turn", **rule)
        picks = {"survivor": survivor.key}
    else:
        if arm == "undecided":
            distribution: list[Categorical] = []
            arms.pruned(arms.root, updates // 2, 1.0, agreement, stages=1, seen=distribution)
            split = max(distribution[0].options, key=distribution[0].entropy)
            alive = distribution[0].survivors()
            arms.narrowed(alive)
            parts = {
                str(option): alive.restrict({split: [option]}) for option in alive.options[split]
            }
        else:
            arms.uniformly(arms.root, updates // 2, 1.0)
            parts = by_decision(arms.root.space, split)
        nodes = grow(arms.root, parts)
        found = []
        for node in nodes:
            if arm == "few-shot":
                arms.uniformly(node, updates // 2 // len(nodes), 0.5)
            else:
                found.append(arms.pruned(node, updates // 2 // len(nodes), 0.5, []))
        agreement.append(arms.agreement(arms.root.space))
        best = min(
            found or arms.all(arms.root.space), key=lambda arch: arms.metric(arch)["shared_loss"]
        )
        picks = {f"split {split}" if arm != "undecided" else "split by entropy": best.key}
    return {
        "picks": picks,
        "agreement": agreement,
        "split": split,
        "seconds": round(time.perf_counter() - began),
    }


class Arm:
    """The weights of one training, what they are judged with."""

    def __init__(self, seed: int, rounds: int, truth: dict[str, float]) -> None:
        from archsmith._internal.seeding import mix, seeded
        from archsmith.elastic.supernet import search_space
        from archsmith.elastic.tree import Node
        from archsmith.metrics.estimates import SharedAccuracy
        from archsmith.spaces import described

        self.job, self.seed, self.rounds, self.truth = est._job[0], seed, rounds, truth
        with seeded(mix(seed, "weights")):
            model = est.fresh(self.job, "cpu")
        self.root = Node(restricted(search_space(model), self.job.setting.within), model)
        calibration, held_out = est.images(self.job, seed)
        canonical = described(self.job.network[0]).canonical
        self._judged = lambda: SharedAccuracy(self.root, calibration, held_out, canonical=canonical)
        self.metric = self._judged()

    @property
    def problem(self) -> Problem:
        """The largest accuracy by these weights, in points."""
        return Problem(
            self.root.space,
            (maximize(lambda arch: 100.0 * self.metric(arch)["shared_accuracy"], name="points"),),
        )

    def narrowed(self, space: Any) -> None:
        """Goes on with a part of the space."""
        from archsmith.elastic.tree import Node

        trained = self.root.trained
        self.root = Node(space, self.root.model)
        self.root.trained, self.metric = trained, self._judged()

    def all(self, space: Any) -> list[Architecture]:
        """Those judged that are in it."""
        return [arch for arch in map(Architecture, self.job.archs) if space.contains(arch)]

    def agreement(self, space: Any) -> dict[str, float]:
        """Of the estimates (minus the loss) of what is in the space with the truth."""
        archs = self.all(space)
        estimates, truth = (
            [-self.metric(a)["shared_loss"] for a in archs],
            [self.truth[a.key] for a in archs],
        )
        found = {
            "networks": len(archs),
            "spearman": spearman(estimates, truth),
            "kendall": kendall(estimates, truth),
        }
        return {**found, "estimates": dict(zip([a.key for a in archs], estimates, strict=True))}

    def uniformly(self, node: Any, steps: int, rate: float) -> None:
        """Uniform sampling, as `bench supernets` trains."""
        from archsmith.training.supernet_node import train_node

        how = est._how(self.job, node, self.seed)
        train_node(
            node,
            est.recipe(self.job.setting, rate),
            est.stream(self.job, self.seed),
            steps=steps,
            **how,
        )

    def pruned(
        self,
        node: Any,
        steps: int,
        rate: float,
        agreement: list[Any],
        *,
        turn: bool = False,
        stages: int = 99,
        seen: list[Categorical] | None = None,
        **rule: Any,
    ) -> Architecture:
        """DDPNAS on a node's weights: its survivor, or where it stopped after some stages the
        mode."""
        from archsmith.searchers.pruning import proposals, prunable
        from archsmith.training.loop import advance, start
        from archsmith.training.shared_weights import in_turn

        job = self.job
        state = start(node.model, est.recipe(job.setting, rate), seed=self.seed, device=job.device)
        step, stream = est._how(job, node, self.seed)["backward"], est.stream(job, self.seed)
        total = proposals(node.space, self.rounds)
        if stages == 1:
            total = self.rounds * max(len(options) for options in node.space.options.values())
        problem = dataclasses.replace(self.problem, space=node.space)
        archive, held = Archive(), list[Categorical]()

        def told(distribution: Categorical) -> None:
            held[:] = [distribution]
            if any(prunable(distribution, name) for name in distribution.options):
                agreement.extend([self.agreement(distribution.survivors())] if len(archive) else [])

        def measured(candidates: Any, stage: str) -> list[Trial]:
            until = min(1.0, (len(archive) + len(candidates)) / total)
            backward = in_turn(step, [candidate.arch for candidate in candidates])
            advance(state, stream(state.step), total_steps=steps, until=until, backward=backward)
            node.trained, node.macs = state.passes, state.macs
            return problem.evaluate(candidates, stage)

        searcher = pruning(problem, self.seed, rounds=self.rounds, on_stage=told, **rule)
        run_searcher(
            problem,
            searcher,
            trials=total,
            archive=archive,
            evaluate=measured,
            at_once=1 if turn else total,
        )
        if seen is not None:
            searcher.ask()  # lets it prune
            seen.append(held[0])
        return next((t.arch for t in archive if t.candidate.origin == "survivor"), held[0].mode())

    def picked(self) -> dict[str, str]:
        """From the estimates of a supernet."""
        problem = Problem(
            self.root.space,
            (maximize(lambda arch: 100.0 * self.metric(arch)["shared_accuracy"], name="points"),),
        )
        from archsmith.searchers.pruning import proposals

        count = proposals(self.root.space, self.rounds)
        rng = Random(self.seed)
        drawn = [self.root.space.sample(rng) for _ in range(count)]
        rewards = [100.0 * self.metric(arch)["shared_accuracy"] for arch in drawn]
        means, mode = (
            credited(Categorical(self.root.space), drawn, rewards),
            Categorical(self.root.space),
        )
        for name, row in means.items():
            mode.theta[name] = [row.get(place, -math.inf) for place in range(len(mode.theta[name]))]
        evolved = run_searcher(
            problem,
            regularized_evolution(problem, self.seed, population=20, tournament=5),
            trials=100,
        )
        everything = self.all(self.root.space)
        return {
            f"best of {count} random": drawn[int(np.argmax(rewards))].key,
            "best of evolution over 100": max(evolved, key=lambda t: -t.losses[0]).arch.key,
            "best of all by loss": min(
                everything, key=lambda arch: self.metric(arch)["shared_loss"]
            ).key,
            f"marginal mean of {count}": mode.mode().key,
        }


if __name__ == "__main__":
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    main()
