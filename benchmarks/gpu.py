"""What is open on a GPU, in one call under nine minutes: the whole job on CUDA, training speed, ZiCo per second; prints JSON.

    python benchmarks/gpu.py --data FOLDER_WITH/cifar10_jpeg.parquet [--minutes 4]

Needs torch with CUDA; everything else as on a CPU. Runs on a CPU too (`--device cpu`), for trying it out.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from archsmith.data import Data, batches, load, suggest
from archsmith.metrics.proxies.zico import ZiCo
from archsmith.models import build
from archsmith.models.reference import reference
from archsmith.supernet import search_space
from archsmith.training.loop import advance, start
from archsmith.training.recipe import default_recipe


def settle(device: torch.device) -> None:
    """Waits for the device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def training(data: Data, device: torch.device, steps: int) -> dict[str, Any]:
    """Images per second of the loop on the hand-made network of 200 k parameters, in float32 and bfloat16."""
    network = reference(len(data.classes), data.channels, data.size, {"params": 200e3})[1]
    found = {}
    for precision in ("float32", "bf16"):
        recipe = default_recipe(len(data.parts["train"]), device=device, precision=precision)
        state = start(network.make(0), recipe, device=device)
        stream = batches(
            data.parts["train"], recipe.batch_size, data=data, seed=0, augment=suggest(data), device=device, start=0, workers=0
        )
        advance(state, stream, total_steps=2 * steps, until=0.5)
        settle(device)
        began = time.perf_counter()
        advance(state, stream, total_steps=2 * steps)
        settle(device)
        found[precision] = round(steps * recipe.batch_size / (time.perf_counter() - began))
    return {"images_per_second": found, "params": sum(p.numel() for p in network.make(0).parameters())}


def scoring(data: Data, device: torch.device, count: int) -> dict[str, Any]:
    """Networks of the family that ZiCo scores per second, two batches of 64, one at a time."""
    from random import Random

    model = build("mobilenet", len(data.classes), data.channels, data.size)
    space, rng = search_space(model), Random(0)
    stream = batches(data.parts["train"], 64, data=data, seed=0, augment=None, device=device, start=0, workers=0)
    score = ZiCo(model, [next(stream), next(stream)])
    archs = [space.sample(rng) for _ in range(count)]
    score(archs[0])
    settle(device)
    began = time.perf_counter()
    for arch in archs:
        score(arch)
    settle(device)
    return {"networks_per_second": round(count / (time.perf_counter() - began), 2), "count": count}


def whole_job(data: Path, device: str, minutes: float) -> dict[str, Any]:
    """`archsmith search` on the device."""
    import archsmith

    out = Path(tempfile.mkdtemp(prefix="archsmith-gpu-")) / "run"
    run = archsmith.search(data, budget="params<=200k, macs<=12M", time=minutes * 60, device=device, out=out)
    return {key: value for key, value in run.summary().items() if key not in ("files", "architecture", "classes")}


def main() -> None:
    """All of it; a part that fails says why and the others still run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--minutes", type=float, default=4.0)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--count", type=int, default=200)
    asked = parser.parse_args()
    device = torch.device(asked.device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    result: dict[str, Any] = {"device": name, "torch": torch.__version__, "python": sys.version.split()[0]}
    data = load(asked.data)
    moved = Data(**{**vars(data), "parts": {n: p.to(device) if p.resident else p for n, p in data.parts.items()}})  # type: ignore[attr-defined]
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "training": lambda: training(moved, device, asked.steps),
        "scoring": lambda: scoring(moved, device, asked.count),
        "search": lambda: whole_job(asked.data, asked.device, asked.minutes),
    }
    for part, work in parts.items():
        began = time.perf_counter()
        try:
            result[part] = work()
        except Exception as error:
            result[part] = {"failed": f"{type(error).__name__}: {error}"}
        result[part]["seconds"] = round(time.perf_counter() - began, 1)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
