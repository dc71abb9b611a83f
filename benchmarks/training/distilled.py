"""Whether a teacher helps a network within the budget: one that is trained in the same time, one
that costs nothing, none.

`python benchmarks/training/distilled.py cifar-500-judged --seconds 200` trains the pooled hand-made
network of the budget for equal CPU seconds of one thread: alone; with a teacher of twice its MACs
and parameters that takes `--share` of these seconds for its own training (`paid`); with one that
was trained for as many seconds before they began (`given`), as a user's own would be. What the
teacher makes of each batch is paid for in both. A JSON line each: accuracy on validation images;
kept and not repeated.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import torch
from image_sets import SETS
from recipe import advanced, every, growing, validation
from torch import nn

from archsmith.data import suggest
from archsmith.data.dataset import Data
from archsmith.spaces.reference import reference
from archsmith.training.distillation import TEMPERATURE, WEIGHT, taught
from archsmith.training.step import whole

LIMITS = {"params": 300_000.0, "macs": 20e6}
LARGER = 2.0
SHAPES = (("pooled", 2, 0),)


def hand_made(data: Data, times: float, seed: int) -> nn.Module:
    """The pooled hand-made network under so many times the limits."""
    limits = {name: times * limit for name, limit in LIMITS.items()}
    return reference(len(data.classes), data.channels, data.size, limits, shapes=SHAPES)[0].make(
        seed
    )


def main() -> None:
    """Every arm and seed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("set", choices=list(SETS))
    parser.add_argument(
        "--arms", nargs="+", default=["alone", "paid", "given"], choices=["alone", "paid", "given"]
    )
    parser.add_argument("--seconds", type=float, default=200.0)
    parser.add_argument("--share", type=float, default=0.5)
    parser.add_argument("--weight", type=float, default=WEIGHT)
    parser.add_argument("--temperature", type=float, default=TEMPERATURE)
    parser.add_argument(
        "--rate",
        type=float,
        default=1.0,
        help="times the default learning rate; 0.33 where passes are few",
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("ARCHSMITH_DATA", "../shared/data"))
    )
    parser.add_argument("--work", type=Path, default=Path("runs/distilled"))
    asked = parser.parse_args()
    torch.set_num_threads(1)
    settings = (
        f"{asked.seconds:g}-{asked.share:g}-{asked.weight:g}-{asked.temperature:g}-{asked.rate:g}"
    )
    path = asked.work / f"{asked.set}-{settings}.jsonl"
    every(path, asked, "arm", asked.arms, lambda data, arm, seed: trained(data, arm, seed, asked))


def trained(data: Data, arm: str, seed: int, asked: argparse.Namespace) -> dict[str, Any]:
    """Accuracy on validation, of the network and of its teacher."""
    recipe, augment = growing(data, asked.rate), suggest(data, "mild")
    found: dict[str, Any] = {}
    seconds, backward = asked.seconds, whole
    if arm != "alone":
        before = asked.seconds * (asked.share if arm == "paid" else 1.0)
        seconds -= before if arm == "paid" else 0.0
        state, passes = advanced(
            hand_made(data, LARGER, seed), data, recipe, augment, seed=seed, seconds=before
        )
        found = {"teacher": round(validation(state.network, data), 4), "teacher passes": passes}
        backward = taught(state.network, weight=asked.weight, temperature=asked.temperature)
    student = hand_made(data, 1.0, seed)
    state, passes = advanced(
        student, data, recipe, augment, seed=seed, seconds=seconds, backward=backward
    )
    return {**found, "passes": passes, "val": round(validation(state.network, data), 4)}


if __name__ == "__main__":
    main()
