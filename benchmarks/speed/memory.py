"""What it brings on a CPU that a process keeps freed memory: training steps and ZiCo scores, with
and without, in turn."""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time

WORK = """
import resource, sys, time, torch
from torch.nn.functional import cross_entropy
from archsmith._internal.hardware import keep_memory
from archsmith.metrics.proxies.zico import zico
from archsmith.spaces.reference import reference
if sys.argv[1] == "kept" and not keep_memory():
    sys.exit("this system cannot be told")
torch.set_num_threads(int(sys.argv[4]))
made = reference(10, 3, 32, {"params": 200_000, "macs": 12_000_000})[0]
net = made.make(0).to(memory_format=torch.channels_last)
def batch(n):
    images = torch.randn(n, 3, 32, 32).to(memory_format=torch.channels_last)
    return images, torch.randint(0, 10, (n,))
x, y = batch(128)
pair = [batch(64), batch(64)]
train = lambda: cross_entropy(net(x), y).backward()
work = {"training": train, "zico": lambda: zico(net, pair)}[sys.argv[2]]
for _ in range(3): work()
began, count = time.monotonic(), 0
while time.monotonic() - began < float(sys.argv[3]):
    work()
    count += 1
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(128 * count / (time.monotonic() - began), peak)
"""


def main() -> None:
    """Images a second and the process's largest memory; ratios within a round."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--threads", type=int, nargs="*", default=[2, 1])
    asked = parser.parse_args()
    began = time.monotonic()
    found: dict[str, dict[str, list[float]]] = {}
    for _ in range(asked.rounds):
        for work in ("training", "zico"):
            for threads in asked.threads:
                row = found.setdefault(f"{work}, {threads} threads", {})
                for way in ("default", "kept"):
                    rate, peak = measured(way, work, threads, asked.seconds)
                    row.setdefault(way, []).append(rate)
                    row.setdefault(f"{way}_mib", []).append(peak)
                row.setdefault("ratio", []).append(row["kept"][-1] / row["default"][-1])
    table = {
        name: {what: round(statistics.median(values), 2) for what, values in row.items()}
        | {"ratios": [round(value, 2) for value in row["ratio"]]}
        for name, row in found.items()
    }
    print(json.dumps({"found": table, "seconds": round(time.monotonic() - began, 1)}, indent=1))


def measured(way: str, work: str, threads: int, seconds: float) -> tuple[float, float]:
    """Images a second, MiB."""
    words = [sys.executable, "-c", WORK, way, work, str(seconds), str(threads)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    rate, peak = done.stdout.split()
    return float(rate), float(peak)


if __name__ == "__main__":
    main()
