"""What should decide the short-list where minutes train: a score without training, size, pace,
chance, or one's own hand?

`python benchmarks/training/deciders.py cifar-500-judged --networks 20 --seconds 40` draws networks
of the family of all blocks under the budget, half of them with two blocks a stage at most, scores
them, trains each for equal CPU seconds of one thread (as a run would: no network gets more for
being slow) and ranks what could have decided: Kendall's tau with the accuracy on validation images,
and the accuracy of its first three. The hand-made networks of the reference are trained alike. A
JSON line a network, kept and not repeated; then the table.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import torch
from image_sets import GROUPS, SETS, source
from plain_cnn import SIZES
from recipe import advanced, growing, validation
from torch import nn

from archsmith.bench.folder import appending, kept
from archsmith.data import load, suggest
from archsmith.data.dataset import Data
from archsmith.data.parts import batches
from archsmith.elastic.supernet import extract, search_space
from archsmith.feasibility.sampler import feasible_sample
from archsmith.metrics.cost import LAYERS, Costs
from archsmith.metrics.limits import constraints_of
from archsmith.metrics.proxies import build_all
from archsmith.metrics.proxies.ensembles import ENSEMBLES, Reference, Referred
from archsmith.predictors.ranking import kendall
from archsmith.problem.budget import parse
from archsmith.space import Architecture
from archsmith.spaces import described
from archsmith.spaces.convnet import convnet
from archsmith.spaces.reference import reference

BUDGET = "params<=300k, macs<=20M"
DECIDERS = ("zico", "ensemble", "log_sizes", "params", "macs", "shallow", "pace", "random")


def trained(
    network: nn.Module, data: Data, *, seed: int, seconds: float, rate: float
) -> dict[str, float]:
    """Accuracy on validation after so many CPU seconds."""
    state, passes = advanced(
        network, data, growing(data, rate), suggest(data), seed=seed, seconds=seconds
    )
    return {"passes": passes, "val": round(validation(state.network, data), 4)}


def scored(
    model: nn.Module, archs: list[Architecture], data: Data, costs: Costs
) -> list[dict[str, float]]:
    """What each decider says of each network, the larger the better; `pace` and `random` are not
    scores and come later."""
    part = data.parts["train"]
    stream = batches(part, 64, data=data, seed=1, augment=None, device="cpu", workers=0)
    two = [next(stream), next(stream)]
    ensemble = ENSEMBLES[described("convnet").ensemble or "archsmith"]
    names = list(dict.fromkeys(["zico", *ensemble.proxies]))
    scores = build_all(names, model, two, costs=costs, seed=0)
    rows = [scores(arch) for arch in archs]
    among = [{name: row[name] for name, _ in ensemble.members} for row in rows]
    referred = Referred(scores, Reference(ensemble, among))
    found = []
    for arch, row in zip(archs, rows, strict=True):
        counts = costs(arch)
        found.append(
            {
                "zico": row["zico"],
                "ensemble": float(referred(arch)[ensemble.name]),
                "log_sizes": counts["log_sizes"],
                "params": counts["params"],
                "macs": counts["macs"],
                "shallow": -counts["depth"],
            }
        )
    return found


def main() -> None:
    """Draws, scores, trains, ranks."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("set", choices=list(SETS))
    parser.add_argument("--networks", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=40.0, help="CPU seconds a training")
    parser.add_argument(
        "--rate",
        type=float,
        default=1.0,
        help="times the default learning rate; 0.33 where passes are few",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("ARCHSMITH_DATA", "../shared/data"))
    )
    parser.add_argument("--work", type=Path, default=Path("runs/deciders"))
    asked = parser.parse_args()
    torch.set_num_threads(1)
    path = source(asked.set, asked.data, asked.work)
    data = load(path, size=SIZES.get(asked.set), seed=asked.seed, group=GROUPS.get(asked.set))
    with torch.device("meta"):
        model = convnet(len(data.classes), data.channels, data.size)
    shape = (data.channels, data.size, data.size)
    costs = Costs(model, shape, ("params", "macs", *LAYERS))
    limits = parse(BUDGET)
    archs: list[Architecture] = []
    space = search_space(model)
    shallow = {
        name: tuple(d for d in space[name] if d <= 2) for name in space if name.endswith(".depth")
    }
    # most of all networks are deep, and slow to train
    for part in (space, space.restrict(shallow)):
        count = asked.networks - len(archs) if archs else asked.networks // 2
        archs += feasible_sample(
            part, constraints_of(limits, costs, None), Random(asked.seed), count
        )
    path = asked.work / f"{asked.set}-{asked.networks}-{asked.seconds:g}-{asked.seed}.jsonl"
    known = {row["network"]: row for row in kept(path)}
    rows: list[dict[str, Any]] = []

    def done(name: str, make: Callable[[], nn.Module], said: dict[str, float]) -> None:
        if name not in known:
            found = trained(make(), data, seed=asked.seed, seconds=asked.seconds, rate=asked.rate)
            known[name] = {"network": name, **said, **found}
            with appending(path) as add:
                add(known[name])
            print(json.dumps(known[name]), flush=True)
        rows.append(known[name])

    for arch, said in zip(archs, scored(model, archs, data, costs), strict=True):
        fresh = torch.Generator().manual_seed(asked.seed)
        done(arch.key, lambda a=arch, g=fresh: extract(model, a, "fresh", g, device="cpu"), said)  # type: ignore[misc]
    bounds = {limit.metric: limit.value for limit in limits}
    drawn = list(rows)
    for one in reference(len(data.classes), data.channels, data.size, bounds):
        done(one.name, lambda one=one: one.make(asked.seed), {})  # type: ignore[misc]
    _print(drawn, rows[len(drawn) :], Random(asked.seed))


def _print(drawn: list[dict[str, Any]], by_hand: list[dict[str, Any]], rng: Random) -> None:
    for row in drawn:
        row |= {"pace": row["passes"], "random": rng.random()}
    right = [row["val"] for row in drawn]
    print(
        "| what decides | Kendall's tau | its first, % | its first three, mean % "
        "|\n|---|---|---|---|"
    )
    table = []
    for name in DECIDERS:
        order = sorted(drawn, key=lambda row: -row[name])
        tau = kendall([row[name] for row in drawn], right)
        table.append((statistics.mean(row["val"] for row in order[:3]), name, tau, order[0]["val"]))
    for three, name, tau, first in sorted(table, reverse=True):
        tau_text = "-" if name == "random" else f"{tau:.2f}"
        shown = (
            (100 * statistics.mean(right),) * 2 if name == "random" else (100 * first, 100 * three)
        )
        print(f"| {name} | {tau_text} | {shown[0]:.1f} | {shown[1]:.1f} |")
    print(f"| the best of all {len(drawn)} drawn | | {100 * max(right):.1f} | |")
    for row in by_hand:
        print(f"| hand-made: {row['network']} | | {100 * row['val']:.1f} | |")


if __name__ == "__main__":
    main()
