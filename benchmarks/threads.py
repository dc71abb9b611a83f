"""Training with two threads beside another busy process: OpenMP threads that wait passively against threads that spin."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

TRAIN = """
import sys, time, torch
from archsmith.models.reference import reference
torch.set_num_threads(int(sys.argv[1]))
net = reference(10, 3, 32, {"params": 200_000, "macs": 12_000_000})[0].make(0).to(memory_format=torch.channels_last)
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


def images_per_second(policy: str, threads: int, seconds: float) -> float:
    """Of a MobileNet of 200 k parameters, forward and backward, batch 64."""
    env = {**os.environ, "OMP_WAIT_POLICY": policy}
    done = subprocess.run(
        [sys.executable, "-c", TRAIN, str(threads), str(seconds)], env=env, capture_output=True, text=True, check=True
    )
    return float(done.stdout)


def main() -> None:
    """Interleaved rounds of all settings, alone and beside one process that is always busy."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=6.0)
    asked = parser.parse_args()
    began = time.monotonic()
    settings = [("PASSIVE", 2), ("ACTIVE", 2), ("PASSIVE", 1)]
    found: dict[str, list[float]] = {}
    for _ in range(asked.rounds):
        for beside in ("alone", "beside a busy process"):
            other = subprocess.Popen([sys.executable, "-c", BUSY]) if beside != "alone" else None
            try:
                for policy, threads in settings:
                    rate = images_per_second(policy, threads, asked.seconds)
                    found.setdefault(f"{policy} {threads} {beside}", []).append(rate)
            finally:
                if other is not None:
                    other.kill()
                    other.wait()
    medians = {name: round(statistics.median(rates), 1) for name, rates in found.items()}
    print(json.dumps({"images_per_second": medians, "all": found, "seconds": round(time.monotonic() - began, 1)}, indent=1))


if __name__ == "__main__":
    main()
