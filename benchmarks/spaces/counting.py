"""How fast parameters and MACs of different MobileNet architectures are counted on one core, and
whether exactly; and one network, extracted, by us and by torch's `FlopCounterMode`."""

from __future__ import annotations

import argparse
import json
import time
from random import Random

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from archsmith.elastic.supernet import extract, search_space
from archsmith.metrics.cost import Costs, macs
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
    ours, torchs = whole(model, [arch for arch, _ in sample[:20]], shape)
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
        "whole_milliseconds": ours,
        "whole_milliseconds_by_torch": torchs,
    }


def whole(model: nn.Module, archs: list, shape: tuple[int, ...]) -> tuple[float, float]:
    """CPU milliseconds to count the MACs of one extracted network, turn by turn, and with torch's
    own counter. Raises where the two differ."""
    taken = [0.0, 0.0]
    for arch in archs:
        plain = extract(model, arch, "fresh", device="meta").eval()
        began = time.process_time()
        ours = macs(plain, shape)
        between = time.process_time()
        counter = FlopCounterMode(display=False)
        with counter, torch.no_grad():
            plain(torch.empty(1, *shape, device="meta"))
        ended = time.process_time()
        assert counter.get_total_flops() == 2 * ours
        taken = [taken[0] + between - began, taken[1] + ended - between]
    return tuple(round(1e3 * seconds / len(archs), 2) for seconds in taken)


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
