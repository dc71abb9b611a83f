"""Recipe and augmentation, one setting changed at a time, judged on validation images only; prints one JSON object."""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import time
from dataclasses import replace
from typing import Any

import torch

from archsmith.data import load, suggest
from archsmith.data.augment import Augment
from archsmith.data.dataset import Data
from archsmith.data.parts import batches, ordered
from archsmith.models.reference import reference
from archsmith.training.loop import advance
from archsmith.training.recipe import Recipe, default_recipe
from archsmith.training.state import start

LIMITS = {"params": 20_000.0}  # of the digits; larger images get the limits of benchmarks/cifar10.py
LARGER = {"params": 200_000.0, "macs": 12_000_000.0}


def settings(recipe: Recipe, augment: Augment) -> dict[str, tuple[Recipe, Augment]]:
    """Name -> what is trained: the default, then each change alone."""
    found = {"default": (recipe, augment)}
    for lr in (0.1, 0.2, 0.4, 0.6):
        found[f"lr {lr}"] = (replace(recipe, lr=lr), augment)
    for lr in (0.002, 0.005):
        found[f"AdamW lr {lr}"] = (replace(recipe, optimizer="adamw", lr=lr), augment)
    found["no label smoothing"] = (replace(recipe, label_smoothing=0.0), augment)
    found["zero_gamma"] = (replace(recipe, zero_gamma=True), augment)
    found["no augmentation"] = (recipe, Augment())
    found["shifts only"] = (recipe, Augment(crop=max(1, augment.crop), flip=augment.flip))
    if augment.rotate:
        found["shifts and rotation"] = (recipe, replace(augment, crop=max(1, augment.crop)))
    else:
        found["and rotation"] = (recipe, replace(augment, rotate=10.0))
    return found


@torch.no_grad()
def validation(network: torch.nn.Module, data: Data) -> float:
    """Accuracy on the validation images; the test images are never read."""
    network.eval()
    part = data.parts["val"]
    right = sum(int((network(x).argmax(1) == y).sum()) for x, y in ordered(part, 256, data=data, device="cpu"))
    return right / len(part)


def one(data: Data, recipe: Recipe, augment: Augment, steps: int, seed: int) -> float:
    """Validation accuracy of the hand-made reference of middle depth after `steps`."""
    limits = LIMITS if data.size <= 16 else LARGER
    found = reference(len(data.classes), data.channels, data.size, limits)
    state = start(found[len(found) // 2].make(seed), recipe, seed=seed)
    stream = batches(data.parts["train"], recipe.batch_size, data=data, seed=seed, augment=augment, device="cpu", workers=0)
    advance(state, stream, total_steps=steps)
    return validation(state.network, data)


def main() -> None:
    """Every setting on every seed: its own split, weights and order."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="digits")
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2, 3, 4, 5])
    parser.add_argument("--only", nargs="*", help="names of settings; the default always runs")
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    began = time.monotonic()
    accuracy: dict[str, list[float]] = {}
    images = 0
    for seed in asked.seeds:
        data = load(asked.data, seed=seed)
        images += len(data.parts["val"])
        recipe = default_recipe(len(data.parts["train"]))
        for name, (changed, augment) in settings(recipe, suggest(data)).items():
            if asked.only is None or name in asked.only or name == "default":
                accuracy.setdefault(name, []).append(one(data, changed, augment, asked.steps, seed))
    print(json.dumps({**vars(asked), "validation_images": images, "rows": rows(accuracy), "all": accuracy,
                      "seconds": round(time.monotonic() - began)}, indent=1))  # fmt: skip


def rows(accuracy: dict[str, list[float]]) -> list[dict[str, Any]]:
    """Mean, and the mean difference to the default with its standard error over the paired seeds, best first."""
    base = accuracy["default"]
    found = []
    for name, values in accuracy.items():
        apart = [a - b for a, b in itertools.zip_longest(values, base)]
        error = statistics.stdev(apart) / len(apart) ** 0.5 if len(apart) > 1 else 0.0
        found.append({"setting": name, "mean": round(statistics.mean(values), 4),
                      "against_default": round(statistics.mean(apart), 4), "standard_error": round(error, 4)})  # fmt: skip
    return sorted(found, key=lambda row: -row["mean"])


if __name__ == "__main__":
    main()
