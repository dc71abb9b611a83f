"""Which hand-made network is best for a budget: kinds of block and depths, trained for equal CPU
seconds, validation only.

`python benchmarks/training/by_hand.py --sets clothes cells --seconds 60` prints a line a training
and a table. The clock is CPU time of one thread, so that other processes matter little.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
from pathlib import Path

import torch
from image_sets import GROUPS, SETS, source
from recipe import trained

from archsmith.data import load, suggest
from archsmith.problem.budget import parse
from archsmith.spaces.reference import KINDS, costs, reference
from archsmith.training.recipe import default_recipe


def main() -> None:
    """Every kind and depth on every set."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--sets", nargs="+", default=["clothes", "cells", "digits"], choices=list(SETS)
    )
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--depths", nargs="+", type=int, default=[2, 3])
    parser.add_argument(
        "--first", nargs="+", type=int, default=[0, 1], help="blocks at the stem's resolution"
    )
    parser.add_argument("--size", type=int, default=None)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--budget", default="params<=300k, macs<=20M")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--lr", type=float, nargs="+", default=[0.6])
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("ARCHSMITH_DATA", "../shared/data"))
    )
    parser.add_argument("--work", type=Path, default=Path("runs/recipe"))
    asked = parser.parse_args()
    torch.set_num_threads(1)
    limits = {limit.metric: limit.value for limit in parse(asked.budget)}
    rows = []
    for name in asked.sets:
        data = load(source(name, asked.data, asked.work), size=asked.size, group=GROUPS.get(name))
        found = reference(
            len(data.classes),
            data.channels,
            data.size,
            limits,
            shapes=list(itertools.product(asked.kinds, asked.depths, asked.first)),
        )
        for one, lr, seed in itertools.product(found, asked.lr, asked.seeds):
            recipe = default_recipe(len(data.parts["train"]), lr=lr)
            counts = costs(one.make(None), (data.channels, data.size, data.size))
            row = {
                "set": name,
                "size": data.size,
                "network": one.name,
                "params": counts["params"],
                "macs": counts["macs"],
            }
            row |= {
                "lr": lr,
                "seed": seed,
                **trained(data, one, recipe, suggest(data), seed=seed, seconds=asked.seconds),
            }
            rows.append(row)
            print(json.dumps(row), file=sys.stderr, flush=True)
    columns = list(rows[0])
    print("| " + " | ".join(columns) + " |\n" + "|---" * len(columns) + "|")
    for row in rows:
        print("| " + " | ".join(str(row[column]) for column in columns) + " |")


if __name__ == "__main__":
    main()
