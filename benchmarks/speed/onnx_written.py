"""CPU seconds to write a network of each space as files, of one process, the second of two times
each: as ONNX, directly and by torch.onnx from a torch.export program; with `--pt2`, of the deepest
of ten networks, model.pt2 with batch normalisation folded and as it is, and to read it.

`python benchmarks/speed/onnx_written.py` prints a JSON line a space.
"""

from __future__ import annotations

import argparse
import io
import json
import time
from random import Random
from unittest import mock

import torch
from torch import nn

from archsmith.elastic.supernet import extract, search_space
from archsmith.graph import export
from archsmith.graph.making import Unwritten
from archsmith.graph.trace import Untraceable
from archsmith.spaces import SPACES, build

Shape = tuple[int, int, int]


def main() -> None:
    """Prints a JSON line a space."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    known = [name for name in SPACES if not name.startswith("zen")]
    parser.add_argument("--spaces", nargs="+", default=known, choices=known)
    parser.add_argument("--pixels", type=int, default=32)
    parser.add_argument("--pt2", action="store_true", help="model.pt2 instead of ONNX")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    shape, look = (3, asked.pixels, asked.pixels), by_pt2 if asked.pt2 else by_onnx
    for name in asked.spaces:
        network = network_of(name, shape, among=10 if asked.pt2 else 1)
        print(json.dumps({"space": name, **look(network, shape)}), flush=True)


def network_of(name: str, shape: Shape, among: int) -> nn.Module:
    """The deepest of so many networks of a space, drawn by seed 0."""
    model, rng = build(name, 10, *shape[:2]), Random(0)
    space = search_space(model)
    archs = [space.sample(rng) for _ in range(among)]
    deep = lambda arch: len(list(extract(model, arch, "fresh", device="meta").modules()))  # noqa: E731
    arch = max(archs, key=deep)
    return extract(model, arch, "fresh", torch.Generator().manual_seed(0), device="cpu").eval()


def by_onnx(network: nn.Module, shape: Shape) -> dict[str, float]:
    """Seconds to write it in each of two ways."""
    program, row = export.exported(network, shape, None), dict[str, float]()
    for way in ("direct", "torch"):
        refuse = mock.patch.object(export, "write", side_effect=Unwritten("by torch"))
        with refuse if way == "torch" else mock.MagicMock():
            for _ in range(2):
                began = time.process_time()
                export.onnx_bytes(network, shape, None, program)
                row[f"{way}_s"] = round(time.process_time() - began, 2)
    return row


def by_pt2(network: nn.Module, shape: Shape) -> dict[str, float]:
    """Nodes of the program, seconds to write and to read it, in each of two ways."""
    row: dict[str, float] = {}
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
                row |= {
                    f"{way}_nodes": len(program.graph.nodes),
                    f"{way}_written_s": round(written - began, 2),
                    f"{way}_read_s": round(time.process_time() - written, 2),
                }
    return row


if __name__ == "__main__":
    main()
