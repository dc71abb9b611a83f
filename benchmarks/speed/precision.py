"""How fast hand-made networks train in float32 and in bfloat16 on this CPU, and whether the losses
agree: one thread.

`python benchmarks/speed/precision.py` prints a row a network and size: images a second in each, by
CPU time, so that other processes matter little; the median of rounds that take turns.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time

import torch

from archsmith.problem.budget import parse
from archsmith.spaces.reference import KINDS, reference
from archsmith.training.precision import tried
from archsmith.training.recipe import default_recipe


def main() -> None:
    """Every kind at every size."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[32, 48, 96])
    parser.add_argument(
        "--kinds", nargs="+", default=["pooled", "conv", "basic", "inverted"], choices=list(KINDS)
    )
    parser.add_argument("--budget", default="params<=300k, macs<=20M")
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    limits = {limit.metric: limit.value for limit in parse(asked.budget)}
    recipe = default_recipe(10_000)
    print(
        "| pixels | network | float32, images/s | bf16, images/s | times | taken "
        "|\n" + "|---" * 6 + "|"
    )
    for size, kind in itertools.product(asked.sizes, asked.kinds):
        one = reference(10, 3, size, limits, shapes=[(kind, 2, 0)])[0]
        generator = torch.Generator().manual_seed(0)
        batches = [
            (
                torch.randn(64, 3, size, size, generator=generator),
                torch.randint(0, 10, (64,), generator=generator),
            )
            for _ in range(3)
        ]
        found = [
            tried(
                one.make(0),
                batches,
                recipe,
                device=torch.device("cpu"),
                precisions=("bf16",),
                now=time.process_time,
            )
            for _ in range(asked.rounds)
        ]
        rates = [
            statistics.median(1e3 / each.ms.get(name, float("nan")) for each in found)
            for name in ("float32", "bf16")
        ]
        taken = "/".join(sorted({each.fastest for each in found}))
        print(
            f"| {size} | {one.name} | {rates[0]:.0f} | {rates[1]:.0f} | "
            f"{rates[1] / rates[0]:.2f} | {taken} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
