"""Training-free scores of small Vision Transformers, DSS among them, against networks of the space
trained for a short time.

No benchmark of Vision Transformers is recorded that could be used here; the truth is made: random
networks of the space `vit-nano`, each trained for the same number of steps on CIFAR-10, judged on
images of the training files that were kept out.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from nasbench201_proxies import DATA  # beside this file

from archsmith.bench.folder import appending, kept
from archsmith.bench.judge import judge, table
from archsmith.bench.pool import processes, results
from archsmith.metrics.proxies.ensembles import Ensemble, rank_sum

PROXIES = (
    "dss",
    "zico",
    "synflow",
    "snip",
    "grad_norm",
    "l2_norm",
    "wrcor",
    "params",
    "macs",
    "depth",
)
COUNTED = ("params", "macs", "depth")
COLUMNS = (
    ("kendall_all", "Kendall"),
    ("kendall_low", "low"),
    ("kendall_high", "high"),
    ("spearman_all", "Spearman"),
    ("kendall_top_half", "top half"),
    ("top_pick", "top pick"),
)
_worker: list[Any] = []  # of a worker process: data and what was asked


def main() -> None:
    """Goes on where it was stopped; a table, and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", type=int, default=30)
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument(
        "--seeds", type=int, default=1, help="of weights and images, for the scores"
    )
    parser.add_argument("--images", default=str(DATA / "images/cifar10_lossless_train_0.parquet"))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("runs/vit-scores"))
    asked = parser.parse_args()
    began = time.monotonic()
    asked.out.mkdir(parents=True, exist_ok=True)
    path = asked.out / f"trained-{asked.steps}-{asked.batch}.jsonl"
    have = {row["network"]: row for row in kept(path)}
    missing = [i for i in range(asked.networks) if i not in have]
    if missing:
        from archsmith.data import load

        data = load(asked.images)
        with processes(asked.workers, begin, data, vars(asked)) as pool, appending(path) as add:
            for _, row in results(pool, [pool.submit(measured, i) for i in missing]):
                add(row)
                have[row["network"]] = row
                print(
                    json.dumps({key: row[key] for key in ("network", "accuracy", "seconds")}),
                    flush=True,
                )
    rows = [have[i] for i in range(asked.networks)]
    truth = np.array([row["accuracy"] for row in rows])
    columns = {
        name: [np.array([row["scores"][seed][name] for row in rows]) for seed in range(asked.seeds)]
        for name in rows[0]["scores"][0]
    }
    sums = [
        Ensemble(f"params + {name}", (("params", 1.0), (name, 1.0)), "")
        for name in PROXIES
        if name not in COUNTED
    ]
    for ensemble in sums:
        members = [
            {name: columns[name][seed] for name, _ in ensemble.members}
            for seed in range(asked.seeds)
        ]
        columns[ensemble.name] = [rank_sum(ensemble, of_seed) for of_seed in members]
    scores = {name: judge(column, truth) for name, column in columns.items()}
    ordered = dict(sorted(scores.items(), key=lambda item: -item[1]["kendall_all"]))
    print(table(ordered, COLUMNS))
    facts = {
        "accuracy": [float(truth.min()), float(truth.mean()), float(truth.max())],
        "seconds": round(time.monotonic() - began),
    }
    print(json.dumps(facts))


def begin(data: Any, asked: dict[str, Any]) -> None:
    """In a worker."""
    from archsmith.training.device import set_threads

    set_threads(1)
    _worker[:] = [data, asked]


def measured(number: int) -> dict[str, Any]:
    """Trains one network, then scores it with fresh weights."""
    from archsmith.data import batches, ordered, suggest
    from archsmith.elastic.supernet import extract, search_space
    from archsmith.metrics.accuracy import evaluate
    from archsmith.metrics.cost import Costs
    from archsmith.metrics.proxies import build_all
    from archsmith.spaces import build
    from archsmith.training.loop import advance, start
    from archsmith.training.recipe import Recipe

    data, asked = _worker
    began = time.perf_counter()
    model = build("vit-nano", len(data.classes), data.channels, data.size)
    arch = search_space(model).sample(Random(number))
    recipe = Recipe(
        optimizer="adamw",
        lr=1e-3,
        weight_decay=0.05,
        batch_size=asked["batch"],
        ema=0.0,
        clip_norm=1.0,
    )
    state = start(extract(model, arch, "fresh", device="cpu"), recipe, seed=number)

    def stream(seed: int, augment: Any) -> Any:
        return batches(
            data.parts["train"], asked["batch"], data=data, seed=seed, augment=augment, device="cpu"
        )

    advance(state, stream(0, suggest(data)), total_steps=asked["steps"])
    accuracy = evaluate(state.module, ordered(data.parts["val"], 256, data, "cpu"))["accuracy"]
    trained = time.perf_counter() - began
    costs = Costs(model, (data.channels, data.size, data.size), ("params", "macs", "depth"))
    scores = []
    for seed in range(asked["seeds"]):
        pair = list(itertools.islice(stream(1000 + seed, None), 2))
        scores.append(build_all(PROXIES, model, pair, costs=costs, seed=seed)(arch))
    return {
        "network": number,
        "accuracy": accuracy,
        "scores": scores,
        "seconds": round(trained, 1),
        "options": dict(arch),
    }


if __name__ == "__main__":
    main()
