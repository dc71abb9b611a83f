"""CPU seconds to write and read model.pt2 of networks of each space, as they are and with batch
normalisation folded, of one process, the second of two times each.

`python benchmarks/speed/pt2_written.py` prints a JSON line a space.
"""

from __future__ import annotations

import argparse
import io
import json
import time
from random import Random
from unittest import mock

import torch

from archsmith.elastic.supernet import extract, search_space
from archsmith.graph import export
from archsmith.graph.trace import Untraceable
from archsmith.spaces import SPACES, build


def main() -> None:
    """The deepest of ten networks of each space."""
    parser = argparse.ArgumentParser(description=__doc__)
    known = [name for name in SPACES if not name.startswith("zen")]
    parser.add_argument("--spaces", nargs="+", default=known, choices=known)
    parser.add_argument("--pixels", type=int, default=64)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    shape = (3, asked.pixels, asked.pixels)
    for name in asked.spaces:
        model, rng = build(name, 10, *shape[:2]), Random(0)
        space = search_space(model)
        networks = [extract(model, space.sample(rng), "fresh", device="meta") for _ in range(10)]
        network = max(networks, key=lambda one: len(list(one.modules())))
        network = network.to_empty(device="cpu").eval()
        for tensor in (*network.parameters(), *network.buffers()):
            if tensor.is_floating_point():
                torch.nn.init.constant_(tensor, 0.5)
        row: dict[str, object] = {"space": name}
        for way in ("folded", "whole"):
            whole = mock.patch.object(export, "fold_network", side_effect=Untraceable("whole"))
            with whole if way == "whole" else mock.MagicMock():
                for _ in range(2):
                    began = time.process_time()
                    program = export.exported(network, shape, None)
                    data = export.pt2_bytes(program)
                    written = time.process_time()
                    with export.silence():
                        torch.export.load(io.BytesIO(data)).module()
                    ended = time.process_time()
            row |= {
                f"{way}_nodes": len(program.graph.nodes),
                f"{way}_written_s": round(written - began, 2),
                f"{way}_read_s": round(ended - written, 2),
            }
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
