"""What finding the precision costs: CPU seconds of `training.precision.tried` with bf16 beside
float32, less those of float32 alone, for networks of the family of all blocks under a budget.

On a processor without bf16 instructions bf16 is emulated, and is to be given up after few images.
"""

from __future__ import annotations

import argparse
import json
import time
from random import Random

import torch

from archsmith.elastic.supernet import extract, search_space
from archsmith.feasibility.sampler import feasible_sample
from archsmith.metrics.cost import Costs
from archsmith.metrics.limits import constraints_of
from archsmith.problem.budget import parse
from archsmith.spaces import build
from archsmith.training.precision import tried
from archsmith.training.recipe import default_recipe


def main() -> None:
    """Prints a JSON line a network."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", type=int, default=4)
    parser.add_argument("--pixels", type=int, default=40)
    parser.add_argument("--images", type=int, default=1000, help="of the training set")
    parser.add_argument("--budget", default="params<=300k, macs<=20M")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    shape, recipe = (3, asked.pixels, asked.pixels), default_recipe(asked.images)
    model = build("convnet", 10, 3, asked.pixels)
    limits = constraints_of(parse(asked.budget), Costs(model, shape), None)
    generator = torch.Generator().manual_seed(0)
    batches = [
        (
            torch.randn(recipe.batch_size, *shape, generator=generator),
            torch.randint(0, 10, (recipe.batch_size,), generator=generator),
        )
        for _ in range(3)
    ]
    for arch in feasible_sample(search_space(model), limits, Random(0), asked.networks):
        row: dict[str, object] = {"network": arch.key, "batch": recipe.batch_size}
        for name, others in (("float32_s", ()), ("both_s", ("bf16",))):
            network = extract(model, arch, "fresh", torch.Generator().manual_seed(0), device="cpu")
            began = time.process_time()
            found = tried(
                network,
                batches,
                recipe,
                device=torch.device("cpu"),
                precisions=others,
                class_counts=[100] * 10,
                judge=time.process_time,
            )
            row[name] = round(time.process_time() - began, 2)
        ms = {precision: round(value, 2) for precision, value in found.ms.items()}
        print(json.dumps({**row, "ms": ms, "taken": found.fastest}), flush=True)


if __name__ == "__main__":
    main()
