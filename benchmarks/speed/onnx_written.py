"""Seconds to write a network of each space as ONNX: directly, and by torch.onnx from a
torch.export program, of one process, the second of two calls each."""

from __future__ import annotations

import argparse
import json
import time
from random import Random
from unittest import mock

import torch

from archsmith.elastic.supernet import extract, search_space
from archsmith.graph import export
from archsmith.graph.making import Unwritten
from archsmith.spaces import SPACES, build


def main() -> None:
    """Prints a JSON line a space."""
    parser = argparse.ArgumentParser(description=__doc__)
    known = [name for name in SPACES if not name.startswith("zen")]
    parser.add_argument("--spaces", nargs="+", default=known, choices=known)
    parser.add_argument("--pixels", type=int, default=32)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    shape = (3, asked.pixels, asked.pixels)
    for name in asked.spaces:
        model = build(name, 10, *shape[:2])
        arch = search_space(model).sample(Random(0))
        network = extract(model, arch, "fresh", torch.Generator().manual_seed(0), device="cpu")
        program = export.exported(network.eval(), shape, None)
        row: dict[str, object] = {"space": name}
        for way in ("direct", "torch"):
            refuse = mock.patch.object(export, "write", side_effect=Unwritten("by torch"))
            with refuse if way == "torch" else mock.MagicMock():
                for _ in range(2):
                    began = time.process_time()
                    export.onnx_bytes(network, shape, None, program)
                    row[f"{way}_s"] = round(time.process_time() - began, 2)
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
