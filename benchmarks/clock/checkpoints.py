"""What keeping a training takes: seconds of writing a checkpoint, flushed to disk, for hand-made
networks of several sizes.

`python benchmarks/clock/checkpoints.py` prints a JSON line a size.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import torch

from archsmith.metrics.cost import params
from archsmith.spaces.reference import reference
from archsmith.training.checkpoint import save
from archsmith.training.loop import train_step
from archsmith.training.recipe import default_recipe
from archsmith.training.state import start


def main() -> None:
    """One network of residual blocks a budget; it has taken a step, so that it has momentum."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--params", type=float, nargs="+", default=[20e3, 300e3, 1e6, 4e6])
    parser.add_argument("--times", type=int, default=4)
    parser.add_argument("--folder", type=Path, default=None, help="on the disk that is asked about")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    x, y = torch.zeros(4, 3, 32, 32), torch.zeros(4, dtype=torch.long)
    with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        path = Path(folder) / "training.safetensors"
        for most in asked.params:
            one = reference(10, 3, 32, {"params": most}, shapes=[("basic", 1, 0)])[0]
            state = start(one.make(0), default_recipe(5000), seed=0, device=torch.device("cpu"))
            train_step(state, x, y, 0.01)
            taken = []
            for _ in range(asked.times):
                began = time.monotonic()
                save(state, path)
                taken.append(round(time.monotonic() - began, 3))
            row = {"params": params(state.module), "bytes": path.stat().st_size, "seconds": taken}
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
