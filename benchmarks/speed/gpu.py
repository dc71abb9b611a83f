"""What is open on a GPU, in one call under nine minutes: the job on CUDA, speed, ZiCo of all cells,
its search; prints JSON.

    python benchmarks/speed/gpu.py --data FOLDER_WITH/cifar10_jpeg.parquet [--minutes 3]

Needs torch with CUDA; everything else as on a CPU. Runs on a CPU too (`--device cpu`), for trying
it out.
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

import numpy as np
import torch

from archsmith.data import Data, batches, load, suggest
from archsmith.elastic.supernet import search_space
from archsmith.metrics.proxies.zico import ZiCo
from archsmith.spaces import build
from archsmith.spaces.reference import reference
from archsmith.training.loop import advance, start
from archsmith.training.recipe import default_recipe


def settle(device: torch.device) -> None:
    """Waits for the device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def training(data: Data, device: torch.device, steps: int) -> dict[str, Any]:
    """Images per second of the loop on the hand-made network of 200 k parameters, in float32 and
    bfloat16."""
    network = reference(len(data.classes), data.channels, data.size, {"params": 200e3})[1]
    found = {}
    for precision in ("float32", "bf16"):
        recipe = default_recipe(len(data.parts["train"]), device=device, precision=precision)
        state = start(network.make(0), recipe, device=device)
        stream = batches(
            data.parts["train"],
            recipe.batch_size,
            data=data,
            seed=0,
            augment=suggest(data),
            device=device,
            start=0,
            workers=0,
        )
        advance(state, stream, total_steps=2 * steps, until=0.5)
        settle(device)
        began = time.perf_counter()
        advance(state, stream, total_steps=2 * steps)
        settle(device)
        found[precision] = round(steps * recipe.batch_size / (time.perf_counter() - began))
    return {
        "images_per_second": found,
        "params": sum(p.numel() for p in network.make(0).parameters()),
    }


def scoring(data: Data, device: torch.device, count: int) -> dict[str, Any]:
    """Networks of the family that ZiCo scores per second, two batches of 64, one at a time."""
    from random import Random

    model = build("mobilenet", len(data.classes), data.channels, data.size)
    space, rng = search_space(model), Random(0)
    stream = batches(
        data.parts["train"], 64, data=data, seed=0, augment=None, device=device, start=0, workers=0
    )
    score = ZiCo(model, [next(stream), next(stream)])
    archs = [space.sample(rng) for _ in range(count)]
    score(archs[0])
    settle(device)
    began = time.perf_counter()
    for arch in archs:
        score(arch)
    settle(device)
    return {"networks_per_second": round(count / (time.perf_counter() - began), 2), "count": count}


def cells(data: Path, device: torch.device, workers: int, count: int | None) -> dict[str, Any]:
    """ZiCo, batch 64, of all NAS-Bench-201 networks by several processes that share the device;
    some compared with the CPU."""
    from archsmith.bench.proxies import Setting, columns_of, score

    space = search_space(build("nasbench201", 10, 3, 32))
    archs = list(space.architectures())[:: 1 if count is None else max(1, 15_625 // count)]
    setting = Setting("nasbench201:cifar10", ("zico",), None, str(data), 64)
    out = Path(tempfile.mkdtemp(prefix="archsmith-cells-"))
    (out / "few").mkdir()
    began = time.perf_counter()
    score(setting, archs, out, workers=workers, device=str(device))
    seconds = time.perf_counter() - began
    some = archs[:: max(1, len(archs) // 20)]
    score(setting, some, out / "few")
    keys = [arch.key for arch in some]
    here, there = (columns_of(folder, keys, (0,))["zico"][0] for folder in (out, out / "few"))
    return {
        "networks": len(archs),
        "workers": workers,
        "networks_per_second": round(len(archs) / seconds, 2),
        "largest_relative_difference_to_cpu": float(
            np.nanmax(abs(here - there) / abs(there).clip(min=1e-9))
        ),
    }


def zen(data: Path, device: str, iterations: int) -> dict[str, Any]:
    """ZiCo's search in its exact setting but for the images and how long: `zen_search.EXACT` says
    what the whole takes.

    The whole: `benchmarks/run.py zen_search --iterations 100000 --batch 128 --pixels 224 --device
    cuda --data IMAGENET`.
    """
    sys.path.insert(0, str(Path(__file__).parents[1] / "searchers"))
    import zen_search

    out = tempfile.mkdtemp(prefix="archsmith-zen-")
    words = (
        *zen_search.EXACT,
        "--data",
        str(data),
        "--device",
        device,
        "--out",
        out,
        "--iterations",
        str(iterations),
    )
    began = time.perf_counter()
    found = zen_search.found(zen_search.arguments(words))
    seconds = time.perf_counter() - began
    return {**found, "hours_for_100000": round(100_000 / iterations * seconds / 3600, 1)}


# DDPNAS at full size, by itself: benchmarks/run.py ddpnas --whole --device cuda --data FOLDER
# --updates 100000 --workers 1. Few-shot NAS at the size of its paper on one large GPU, by itself:
# python -m archsmith bench supernets, and these words.
FEW_SHOT = (
    *"--data FOLDER --device cuda --precision bf16 --size 32 --width 16 --cells 5 --batch 128 --lr "
    "0.1 --updates 50000 --extra 50000 --sample 2000 --seeds 3 --estimators "
    "one-shot,longer,few-shot:edge0to1,few-shot:edge0to3,few-shot:gradients,"
    "few-shot:arbitrary:leaves=5 --calibration 6400 --held-out 4096".split(),
)


def supernet(data: Data, device: torch.device, steps: int) -> dict[str, Any]:
    """NAS-Bench-201 weights (16 channels, 5 cells) trained on images that are on the device, images
    a second: our loop in bfloat16, and eager float32 in torch's default layout; and the mean
    accuracy of 20 networks by each."""
    import itertools
    from random import Random

    from torch.nn import functional as F

    from archsmith.elastic.supernet import calibrate, extract, switching
    from archsmith.metrics.accuracy import evaluate
    from archsmith.training.recipe import Recipe
    from archsmith.training.samplers import uniform
    from archsmith.training.shared_weights import shared_weights

    batch, found = 128, {}

    def stream() -> Any:
        return batches(
            data.parts["train"],
            batch,
            data=data,
            seed=0,
            augment=suggest(data),
            device=device,
            start=0,
            workers=0,
        )

    for arm in ("float32, eager", "bf16, channels last"):
        torch.manual_seed(0)
        model = build("nasbench201", len(data.classes), data.channels, data.size, device="cpu")
        space = search_space(model)
        settle(device)
        began = time.perf_counter()
        if arm.startswith("bf16"):
            recipe = Recipe(
                lr=0.1,
                ema=0.0,
                batch_size=batch,
                precision="bf16" if device.type == "cuda" else "float32",
                clip_norm=5.0,
            )
            state = start(model, recipe, device=device)
            advance(state, stream(), total_steps=steps, backward=shared_weights(uniform(space)))
            model = state.module
        else:
            model.to(device).train()
            optimizer = torch.optim.SGD(
                model.parameters(), 0.1, 0.9, weight_decay=5e-4, nesterov=True
            )
            scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
            switch, rng = switching(model), Random(0)
            for x, y in itertools.islice(stream(), steps):
                with switch(space.sample(rng)):
                    F.cross_entropy(model(x.contiguous()), y).backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
                optimizer.step()
                optimizer.zero_grad()
                scheduler.step()
        settle(device)
        seconds = time.perf_counter() - began
        calibration = [x for x, _ in itertools.islice(stream(), 16)]
        held_out = list(
            itertools.islice(
                batches(data.parts["val"], 256, data=data, seed=0, augment=None, device=device), 8
            )
        )
        archs = [space.sample(Random(i)) for i in range(20)]
        right = [
            evaluate(calibrate(extract(model, a).to(device), calibration), held_out)["accuracy"]
            for a in archs
        ]
        found[arm] = {
            "images_per_second": round(steps * batch / seconds),
            "mean_accuracy": round(sum(right) / len(right), 4),
        }
    return {**found, "steps": steps}


def whole_job(data: Path, device: str, minutes: float) -> dict[str, Any]:
    """`archsmith search` on the device."""
    import archsmith

    out = Path(tempfile.mkdtemp(prefix="archsmith-gpu-")) / "run"
    run = archsmith.search(
        data, budget="params<=200k, macs<=12M", time=minutes * 60, device=device, out=out
    )
    return {
        key: value
        for key, value in run.summary().items()
        if key not in ("files", "architecture", "classes")
    }


def main() -> None:
    """All of it; a part that fails says why and the others still run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument(
        "--cells", type=int, default=None, help="so many NAS-Bench-201 networks [default: all]"
    )
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--iterations", type=int, default=200, help="of ZiCo's search")
    parser.add_argument(
        "--updates", type=int, default=2000, help="of shared weights, in each of two arms"
    )
    asked = parser.parse_args()
    device = torch.device(asked.device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    result: dict[str, Any] = {
        "device": name,
        "torch": torch.__version__,
        "python": sys.version.split()[0],
    }
    data = load(asked.data)
    moved = Data(
        **{
            **vars(data),
            "parts": {n: p.to(device) if p.resident else p for n, p in data.parts.items()},
        }
    )  # type: ignore[attr-defined]
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "training": lambda: training(moved, device, asked.steps),
        "scoring": lambda: scoring(moved, device, asked.count),
        "cells": lambda: cells(asked.data, device, asked.workers, asked.cells),
        "zen": lambda: zen(asked.data, asked.device, asked.iterations),
        "supernet": lambda: supernet(moved, device, asked.updates),
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
