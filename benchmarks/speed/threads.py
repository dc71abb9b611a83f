"""Training with two threads: OpenMP threads that wait against threads that spin, beside a busy
process, and batches in parts.

`python benchmarks/speed/threads.py` compares the waiting; `python benchmarks/speed/threads.py
--parts` images a second of hand-made ones where two threads share each operation, where each has
half of the batch (`training/threads.py`), and of one thread.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace

import torch

from archsmith.spaces.reference import reference
from archsmith.training.loop import train_step
from archsmith.training.recipe import Precision, Recipe
from archsmith.training.state import start
from archsmith.training.step import Backward, whole
from archsmith.training.threads import threaded

TRAIN = """
import sys, time, torch
from archsmith.spaces.reference import reference
torch.set_num_threads(int(sys.argv[1]))
made = reference(10, 3, 32, {"params": 200_000, "macs": 12_000_000})[-1]
net = made.make(0).to(memory_format=torch.channels_last)
x, y = torch.randn(64, 3, 32, 32).to(memory_format=torch.channels_last), torch.randint(0, 10, (64,))
def step():
    torch.nn.functional.cross_entropy(net(x), y).backward()
for _ in range(3): step()
began, steps = time.monotonic(), 0
while time.monotonic() - began < float(sys.argv[2]):
    step()
    steps += 1
print(64 * steps / (time.monotonic() - began))
"""
BUSY = "while True: pass"
# kind of block, millions of MACs, pixels of the images given, precision
NETWORKS: tuple[tuple[str, float, int, Precision], ...] = (
    ("pooled", 10, 32, "float32"),
    ("pooled", 10, 20, "float32"),
    ("pooled", 20, 32, "float32"),
    ("pooled", 20, 32, "bf16"),
    ("pooled", 40, 32, "float32"),
    ("pooled", 40, 24, "bf16"),
    ("basic", 20, 32, "float32"),
    ("inverted", 10, 32, "float32"),
)


def images_per_second(policy: str, threads: int, seconds: float) -> float:
    """Of a MobileNet of 200 k parameters, forward and backward, batch 64."""
    env = {**os.environ, "OMP_WAIT_POLICY": policy}
    done = subprocess.run(
        [sys.executable, "-c", TRAIN, str(threads), str(seconds)],
        env=env,
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout)


def waiting(rounds: int, seconds: float) -> dict[str, list[float]]:
    """Interleaved rounds of all settings, alone and beside one process that is always busy."""
    found: dict[str, list[float]] = {}
    for _ in range(rounds):
        for beside in ("alone", "beside a busy process"):
            other = subprocess.Popen([sys.executable, "-c", BUSY]) if beside != "alone" else None
            try:
                for policy, threads in (("PASSIVE", 2), ("ACTIVE", 2), ("PASSIVE", 1)):
                    rate = images_per_second(policy, threads, seconds)
                    found.setdefault(f"{policy} {threads} {beside}", []).append(rate)
            finally:
                if other is not None:
                    other.kill()
                    other.wait()
    return found


def in_parts(rounds: int, seconds: float) -> dict[str, list[float]]:
    """Interleaved rounds of one thread, two that share each operation and two with half of the
    batch each."""
    found: dict[str, list[float]] = {}
    for kind, millions, side, precision in NETWORKS:
        depth, first = {"pooled": (2, 0), "basic": (1, 0), "inverted": (3, 1)}[kind]
        made = reference(10, 3, 32, {"macs": millions * 1e6}, shapes=((kind, depth, first),))[
            0
        ].make(0)
        state = start(made, replace(Recipe(batch_size=64, lr=0.01), precision=precision))
        x = torch.randn(64, 3, side, side).contiguous(memory_format=torch.channels_last)
        y = torch.randint(0, 10, (64,))

        def rate(
            backward: Backward, state: object = state, x: torch.Tensor = x, y: torch.Tensor = y
        ) -> float:
            step: Callable[[], object] = lambda: train_step(state, x, y, 0.01, backward=backward)  # type: ignore[arg-type] # noqa: E731
            for _ in range(3):
                step()
            began, steps = time.monotonic(), 0
            while time.monotonic() - began < seconds:
                step()
                steps += 1
            return len(x) * steps / (time.monotonic() - began)

        for _ in range(rounds):
            for name in ("one thread", "operations shared", "batches shared"):
                torch.set_num_threads(1 if name == "one thread" else 2)
                label = f"{kind} {millions}M {side} px {precision}: {name}"
                if name == "batches shared":
                    with threaded(whole, state.module) as shared:
                        found.setdefault(label, []).append(rate(shared))
                else:
                    found.setdefault(label, []).append(rate(whole))
    return found


def main() -> None:
    """Prints one JSON object: medians and all rounds."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=6.0)
    asked = parser.parse_args()
    began = time.monotonic()
    found = (in_parts if asked.parts else waiting)(asked.rounds, asked.seconds)
    medians = {name: round(statistics.median(rates), 1) for name, rates in found.items()}
    rounds = {name: [round(rate, 1) for rate in rates] for name, rates in found.items()}
    print(
        json.dumps(
            {"images/s": medians, "rounds": rounds, "seconds": round(time.monotonic() - began, 1)}
        )
    )


if __name__ == "__main__":
    main()
