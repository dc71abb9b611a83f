"""The pace of training reckoned from a few timed networks: error on the others by how many are
timed and what is fitted."""

from __future__ import annotations

import argparse
import json
import statistics
import time
from random import Random

import torch

from archsmith._internal.fitting import fitted
from archsmith.elastic.supernet import extract, search_space
from archsmith.feasibility.sampler import feasible_sample
from archsmith.metrics.cost import LAYERS, Costs
from archsmith.metrics.limits import constraints_of
from archsmith.problem.budget import parse
from archsmith.spaces import build
from archsmith.training.recipe import default_recipe
from archsmith.training.throughput import timed

_NAMES = (("outputs",), ("macs",), ("depth",), ("outputs", "macs"), ("depth", "outputs", "macs"))


def main() -> None:
    """Prints a JSON object: size -> counts fitted -> networks timed -> mean relative error over 20
    draws."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[48, 96])
    parser.add_argument("--budget", default="params<=300k, macs<=20M")
    parser.add_argument("--networks", type=int, default=16)
    parser.add_argument("--space", default="convnet")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    began = time.monotonic()
    print(
        json.dumps(
            {size: errors(asked, size) for size in asked.sizes}
            | {"seconds": round(time.monotonic() - began)},
            indent=1,
        )
    )


def errors(asked: argparse.Namespace, size: int) -> dict[str, dict[int, float]]:
    """Of random networks that keep the budget."""
    model = build(asked.space, 10, 3, size)
    costs = Costs(model, (3, size, size), ("params", "macs", *LAYERS))
    limits = constraints_of(parse(asked.budget), costs, None)
    archs = feasible_sample(search_space(model), limits, Random(0), asked.networks)
    generator = torch.Generator().manual_seed(0)
    batch = (
        torch.randn(64, 3, size, size, generator=generator),
        torch.randint(0, 10, (64,), generator=generator),
    )
    networks = (
        extract(model, arch, "fresh", torch.Generator().manual_seed(0), device="cpu")
        for arch in archs
    )
    cpu, now = torch.device("cpu"), time.process_time  # so that other processes matter little
    took = list(
        timed(networks, [batch], default_recipe(800), device=cpu, class_counts=[80] * 10, now=now)
    )
    counts = [costs(arch) for arch in archs]
    found: dict[str, dict[int, float]] = {}
    for names in _NAMES:
        for count in (2, 3, 6, 12):
            misses = []
            for draw in range(20):
                known = Random(draw).sample(range(len(archs)), count)
                weights = fitted([counts[i] for i in known], [took[i] for i in known], names)
                rest = [i for i in range(len(archs)) if i not in known]
                misses += [
                    abs(sum(weights[name] * counts[i][name] for name in names) / took[i] - 1)
                    for i in rest
                ]
            found.setdefault("+".join(names), {})[count] = round(statistics.mean(misses), 3)
    return found


if __name__ == "__main__":
    main()
