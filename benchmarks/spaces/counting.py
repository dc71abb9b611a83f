"""How fast parameters and MACs of different MobileNet architectures are counted on one core, and
whether exactly."""

from __future__ import annotations

import argparse
import json
import time
from random import Random

import torch

from archsmith.elastic.supernet import search_space
from archsmith.metrics.cost import Costs
from archsmith.spaces import build

CASES = (("ofa-mobilenet-v3-w1.0", 1000, 3, 224), ("mobilenet", 10, 3, 32), ("mobilenet", 10, 1, 8))


def measure(
    space_name: str, classes: int, channels: int, size: int, count: int, checked: int, memory: bool
) -> dict:
    """Counts `count` different architectures (drawing is not timed) and compares `checked` of them
    with the exact count."""
    shape, rng = (channels, size, size), Random(0)
    model = build(space_name, classes, channels, size)
    space = search_space(model)
    drawn: dict = {}
    while len(drawn) < count:
        drawn.setdefault(space.sample(rng))
    start = time.process_time()
    costs = Costs(model, shape, ("params", "macs", "memory") if memory else ("params", "macs"))
    ready = time.process_time()
    found = [costs(arch) for arch in drawn]
    end = time.process_time()
    sample = rng.sample(list(zip(drawn, found, strict=True)), checked)
    wrong = sum(costs.exact(arch) != counted for arch, counted in sample)
    return {
        "space": space_name,
        "size": size,
        "architectures": count,
        "memory": memory,
        "cpu_seconds": round(end - start, 2),
        "of_which_setup": round(ready - start, 2),
        "microseconds_each": round(1e6 * (end - ready) / count, 1),
        "checked": checked,
        "wrong": wrong,
    }


def main() -> None:
    """One JSON line per case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--checked", type=int, default=200)
    parser.add_argument("--memory", action="store_true", help="peak memory too")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for case in CASES:
        print(
            json.dumps(measure(*case, arguments.count, arguments.checked, arguments.memory)),
            flush=True,
        )


if __name__ == "__main__":
    main()
