"""Error of the per-block latency table on whole networks of the MobileNet family it has not seen;
prints one JSON object."""

from __future__ import annotations

import argparse
import json
import time
from random import Random
from typing import Any

import numpy as np

from archsmith.metrics.latency import LatencyTable
from archsmith.spaces import build


def one(space: str, size: int, threads: int, seed: int, fit: int, held_out: int) -> dict[str, Any]:
    """A fresh table, calibrated and judged with one seed."""
    shape = (3, size, size)
    table = LatencyTable(build(space, 10, 3, size), shape, threads=threads)
    began = time.monotonic()
    found = table.calibrate(Random(seed), fit, held_out)
    return {"seed": seed, **found, "fit": table.fit, "seconds": round(time.monotonic() - began, 1)}


def main() -> None:
    """Over the seeds, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--space", default="mobilenet")
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--fit", type=int, default=24)
    parser.add_argument("--held-out", type=int, default=40)
    asked = parser.parse_args()
    runs = [
        one(asked.space, asked.size, asked.threads, seed, asked.fit, asked.held_out)
        for seed in range(asked.seeds)
    ]
    mean = {
        name: float(np.mean([run[name] for run in runs]))
        for name in ("mape", "max_error", "spearman", "seconds")
    }
    print(
        json.dumps(
            {
                "benchmark": "latency",
                **vars(asked),
                "machine": runs[0]["machine"],
                "mean": mean,
                "runs": runs,
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
