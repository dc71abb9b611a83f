"""What shipping takes for networks of few layers and of many: CPU seconds to write, verify and time
the files of best/, for the shallowest, the middle and the deepest of networks drawn from `convnet`.

`python benchmarks/clock/shipping.py` prints a JSON line a network.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from random import Random

import torch
from torch import nn

from archsmith.elastic.supernet import extract, search_space
from archsmith.export.package import ship
from archsmith.spaces import build
from archsmith.tasks import Classification


def main() -> None:
    """The shallowest first, twice: its first time loads what the others use too."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", type=int, default=60)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    model, rng = build("convnet", 10, 3, 64), Random(0)
    space = search_space(model)
    drawn = [extract(model, space.sample(rng), "fresh").eval() for _ in range(asked.networks)]
    drawn.sort(key=layers)
    for one in (drawn[0], drawn[0], drawn[len(drawn) // 2], drawn[-1]):
        with tempfile.TemporaryDirectory() as folder:
            began = time.process_time()
            ship(
                Path(folder) / "best",
                one,
                shape=(3, 64, 64),
                task=Classification(tuple("abcdefghij")),
                mean=(0.5,) * 3,
                std=(0.2,) * 3,
            )
            row = {"layers": layers(one), "cpu_seconds": round(time.process_time() - began, 2)}
        print(json.dumps(row), flush=True)


def layers(network: nn.Module) -> int:
    """Modules without a child, as `stages/finish.py` counts them."""
    return sum(1 for module in network.modules() if next(module.children(), None) is None)


if __name__ == "__main__":
    main()
