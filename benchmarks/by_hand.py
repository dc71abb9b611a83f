"""Which hand-made network is best for a budget: kinds of block and depths, trained for equal CPU seconds, validation only.

`python benchmarks/by_hand.py --sets clothes cells --seconds 60` prints a line a training and a table. The clock is CPU time of
one thread, so that other processes matter little.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import torch
from recipe import validation

from archsmith.budget import parse
from archsmith.data import load, suggest
from archsmith.data.dataset import Data
from archsmith.data.parts import batches
from archsmith.models.reference import KINDS, Reference, costs, reference
from archsmith.training.loop import advance
from archsmith.training.recipe import default_recipe
from archsmith.training.state import start

SETS = {"clothes": "photos/clothing.parquet", "cells": "photos/blood_cells.parquet", "cifar": "images/cifar10_jpeg.parquet"}


def main() -> None:
    """Every kind and depth on every set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", default=["clothes", "cells", "digits"])
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--depths", nargs="+", type=int, default=[2, 3])
    parser.add_argument("--first", nargs="+", type=int, default=[0, 1], help="blocks at the stem's resolution")
    parser.add_argument("--size", type=int, default=None)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--budget", default="params<=300k, macs<=20M")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--lr", type=float, nargs="+", default=[0.3])
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("ARCHSMITH_DATA", "../shared/data")))
    asked = parser.parse_args()
    torch.set_num_threads(1)
    limits = {limit.metric: limit.value for limit in parse(asked.budget)}
    rows = []
    for name in asked.sets:
        data = load(str(asked.data / SETS[name]) if name in SETS else name, size=asked.size)
        found = reference(
            len(data.classes),
            data.channels,
            data.size,
            limits,
            shapes=list(itertools.product(asked.kinds, asked.depths, asked.first)),
        )
        for one in found:
            for lr in asked.lr:
                for seed in asked.seeds:
                    rows.append({"set": name, "size": data.size, **trained(data, one, asked.seconds, lr=lr, seed=seed)})
                    print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    columns = list(rows[0])
    print("| " + " | ".join(columns) + " |\n" + "|---" * len(columns) + "|")
    for row in rows:
        print("| " + " | ".join(str(row[column]) for column in columns) + " |")


def trained(data: Data, one: Reference, seconds: float, *, lr: float, seed: int) -> dict[str, Any]:
    """Accuracy on validation after so many CPU seconds of training."""
    recipe = default_recipe(len(data.parts["train"]), lr=lr)
    network = one.make(seed)
    counts = costs(network, (data.channels, data.size, data.size))
    state = start(network, recipe, seed=seed)
    stream = batches(
        data.parts["train"], recipe.batch_size, data=data, seed=seed, augment=suggest(data), device="cpu", workers=0
    )
    advance(state, stream, total_seconds=seconds, now=time.process_time)
    passes = state.step * recipe.batch_size / len(data.parts["train"])
    found = {"network": one.name, "params": counts["params"], "macs": counts["macs"], "lr": lr, "seed": seed}
    return {**found, "steps": state.step, "passes": round(passes, 1), "val": round(validation(state.network, data), 4)}


if __name__ == "__main__":
    main()
