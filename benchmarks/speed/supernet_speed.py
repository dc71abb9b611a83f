"""A step of shared weights beside the same step of the extracted network: forward and backward, and
with the optimizer."""

from __future__ import annotations

import argparse
import json
import statistics
import time
from random import Random
from typing import Any

import torch

from archsmith.elastic.supernet import extract, search_space
from archsmith.spaces import build
from archsmith.training import Recipe, start
from archsmith.training.device import set_threads
from archsmith.training.samplers import among
from archsmith.training.shared_weights import shared_weights
from archsmith.training.step import whole

SPACES = {"nasbench201": 32, "mobilenet": 32, "darts-small": 32, "vit-nano": 32}


def main() -> None:
    """Ratios, supernet over extracted network, medians over networks of medians over interleaved
    rounds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spaces", nargs="+", default=list(SPACES))
    parser.add_argument("--networks", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--device", default="cpu")
    asked = parser.parse_args()
    threads = set_threads(asked.threads)
    began = time.monotonic()
    rows = {name: measured(name, asked) for name in asked.spaces}
    print(
        json.dumps(
            {"threads": threads, "spaces": rows, "seconds": round(time.monotonic() - began)},
            indent=1,
        )
    )


def measured(name: str, asked: argparse.Namespace) -> dict[str, Any]:
    """One space."""
    size = SPACES.get(name, 32)
    model = build(name, 10, 3, size, device="cpu")
    space, recipe = search_space(model), Recipe(ema=0.0, batch_size=asked.batch)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(asked.batch, 3, size, size, generator=generator).to(
        asked.device, memory_format=torch.channels_last
    )
    y = torch.randint(0, 10, (asked.batch,), generator=generator).to(asked.device)
    everything = sum(p.numel() for p in model.parameters())
    passes, steps, shares = [], [], []
    for i in range(asked.networks):
        arch = space.sample(Random(i))
        own = start(extract(model, arch), recipe, device=asked.device)
        shared = start(model, recipe, device=asked.device)
        shares.append(sum(p.numel() for p in own.module.parameters()) / everything)
        backward = shared_weights(among([arch]))
        ratios: dict[str, list[float]] = {"pass": [], "step": []}
        for round_ in range(1 + asked.rounds):
            taken: dict[str, dict[str, float]] = {}
            for which, state, compute in (("own", own, whole), ("shared", shared, backward)):
                settle(asked.device)
                a = time.perf_counter()
                compute(state, x, y, 0.0)
                settle(asked.device)
                b = time.perf_counter()
                state.optimizer.step()
                state.optimizer.zero_grad(set_to_none=True)
                settle(asked.device)
                taken[which] = {"pass": b - a, "step": time.perf_counter() - a}
            if round_:
                for key in ratios:
                    ratios[key].append(taken["shared"][key] / taken["own"][key])
        passes.append(statistics.median(ratios["pass"]))
        steps.append(statistics.median(ratios["step"]))
    large = [step for step, share in zip(steps, shares, strict=True) if share >= 0.25]
    return {
        "forward_backward": round(statistics.median(passes), 3),
        "with_optimizer": round(statistics.median(steps), 3),
        "with_optimizer_quarter_active": round(statistics.median(large), 3) if large else None,
        "share_of_parameters_active": [round(min(shares), 3), round(max(shares), 3)],
        "worst": round(max(passes), 3),
    }


def settle(device: str) -> None:
    """Waits for the device."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
