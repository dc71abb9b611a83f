"""CPU milliseconds to extract a network on `meta`, stock layers copied, beside layers that torch
sets up one by one."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random
from typing import Any

from torch import nn

from archsmith.elastic import conv, embedding, linear, norm
from archsmith.elastic.supernet import extract, search_space
from archsmith.spaces import build

SPACES = ("convnet", "mobilenet", "ofa-mobilenet-v3-w1.0", "nasbench201", "autoformer-tiny")


def set_up(kind: Callable[..., nn.Module], *sizes: Any, **options: Any) -> nn.Module:
    """A layer as torch makes it."""
    return kind(*sizes, **options, device="meta")


@contextmanager
def layers_made_by(make: Callable[..., nn.Module]) -> Iterator[None]:
    """Within it elastic layers have their twins from `make`."""
    rooms, usual = (conv, embedding, linear, norm), conv.stock
    for room in rooms:
        room.stock = make
    try:
        yield
    finally:
        for room in rooms:
            room.stock = usual


def compared(name: str, count: int, rounds: int) -> dict[str, Any]:
    """Least of so many rounds, turn by turn, over `count` random networks of a space."""
    model = build(name, 10, 3, 32 if "ofa" not in name and "former" not in name else 224)
    space, rng = search_space(model), Random(0)
    archs = [space.sample(rng) for _ in range(count)]
    least = {"copied": float("inf"), "set up": float("inf")}
    for _ in range(rounds):
        for how, make in (("copied", conv.stock), ("set up", set_up)):
            with layers_made_by(make):
                began = time.process_time()
                for arch in archs:
                    extract(model, arch, "fresh", device="meta")
                taken = 1e3 * (time.process_time() - began) / count
            least[how] = min(least[how], taken)
    ratio = least["copied"] / least["set up"]
    return {"space": name, **{k: round(v, 2) for k, v in least.items()}, "ratio": round(ratio, 2)}


def main() -> None:
    """One JSON line a space."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spaces", nargs="+", default=SPACES)
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    for name in asked.spaces:
        print(json.dumps(compared(name, asked.count, asked.rounds)), flush=True)


if __name__ == "__main__":
    main()
