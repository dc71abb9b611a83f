"""Recipe and augmentation, one setting changed at a time: a hand-made network on several sets,
judged on validation images.

`python benchmarks/training/recipe.py --sets clothes cifar-100 --seconds 120 --shape conv 2 0`
trains for equal CPU seconds of one thread, so that other processes matter little; `--steps` for
equal steps. A JSON line a training, kept and not repeated.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from image_sets import GROUPS, SETS, source
from plain_cnn import SIZES

from archsmith.bench.folder import appending, kept
from archsmith.data import load, suggest
from archsmith.data.augment import Augment
from archsmith.data.dataset import Data
from archsmith.data.parts import batches, ordered
from archsmith.problem.budget import parse
from archsmith.spaces.reference import KINDS, Reference, reference
from archsmith.training.identity import pass_on
from archsmith.training.loop import advance
from archsmith.training.recipe import Recipe, default_recipe
from archsmith.training.state import TrainState, start
from archsmith.training.step import Backward, whole
from archsmith.training.whiten import whiten

SMALL = {"params": 20_000.0}  # of images up to 16 pixels; larger ones get --budget


Setting = tuple[Recipe, Augment]
# name -> one change; "batch": the learning rate goes with its root
CHANGES: dict[str, Callable[[Recipe, Augment], Setting]] = {
    **{
        f"lr x{times:g}": partial(lambda t, r, a: (replace(r, lr=r.lr * t), a), times)
        for times in (0.33, 0.66, 2, 4, 8)
    },
    **{
        f"batch x{times:g}": partial(
            lambda t, r, a: (
                replace(r, batch_size=max(1, int(r.batch_size * t)), lr=r.lr * t**0.5),
                a,
            ),
            times,
        )
        for times in (0.5, 2, 4)
    },
    "AdamW lr 0.005": lambda r, a: (replace(r, optimizer="adamw", lr=0.005), a),
    **{
        f"weight decay {decay:g}": partial(lambda d, r, a: (replace(r, weight_decay=d), a), decay)
        for decay in (2e-4, 1e-3, 2e-3)
    },
    "no label smoothing": lambda r, a: (replace(r, label_smoothing=0.0), a),
    "label smoothing 0.2": lambda r, a: (replace(r, label_smoothing=0.2), a),
    "class balance": lambda r, a: (replace(r, class_balance=True), a),
    "no average": lambda r, a: (replace(r, ema=0.0), a),
    "zero_gamma": lambda r, a: (replace(r, zero_gamma=True), a),
    "bf16": lambda r, a: (replace(r, precision="bf16"), a),
    "whiten": lambda r, a: (replace(r, whiten=True), a),
    "identity": lambda r, a: (replace(r, identity=True), a),
    "grow 0.5": lambda r, a: (replace(r, grow=0.5), a),
    "grow 0.7": lambda r, a: (replace(r, grow=0.7), a),
    "no augmentation": lambda r, a: (r, Augment()),
    "shifts only": lambda r, a: (r, Augment(crop=max(1, a.crop), flip=a.flip)),
    "zoom": lambda r, a: (r, replace(a, zoom=0.5 if a.zoom == 1 else 1.0)),
    "zoom 0.3": lambda r, a: (r, replace(a, zoom=0.3)),
    "erase": lambda r, a: (r, replace(a, erase=0.5)),
    "operations": lambda r, a: (r, replace(a, operations=1)),
    "strong": lambda r, a: (r, replace(a, operations=2, erase=0.25)),
    "mixup 0.2": lambda r, a: (r, replace(a, mixup=0.2)),
    "mixup 0.8": lambda r, a: (r, replace(a, mixup=0.8)),
    "rotation": lambda r, a: (r, replace(a, crop=max(1, a.crop), rotate=10.0)),
}


def settings(recipe: Recipe, augment: Augment, names: Sequence[str]) -> dict[str, Setting]:
    """Name -> what is trained: the default, then each change; "lr x2 + strong": both."""
    found = {"default": (recipe, augment)}
    for name in names:
        found[name] = (recipe, augment)
        for change in name.split(" + "):
            found[name] = CHANGES[change](*found[name])
    return found


@torch.no_grad()
def validation(network: torch.nn.Module, data: Data) -> float:
    """Accuracy on the validation images; the test images are never read."""
    network.eval()
    part = data.parts["val"]
    right = sum(
        int((network(x).argmax(1) == y).sum())
        for x, y in ordered(part, 256, data=data, device="cpu")
    )
    return right / len(part)


def trained(
    data: Data,
    one: Reference,
    recipe: Recipe,
    augment: Augment,
    *,
    seed: int,
    seconds: float | None,
    steps: int | None = None,
) -> dict[str, Any]:
    """Accuracy on validation after so many CPU seconds, or steps."""
    state, passes = advanced(
        one.make(seed), data, recipe, augment, seed=seed, seconds=seconds, steps=steps
    )
    return {"steps": state.step, "passes": passes, "val": round(validation(state.network, data), 4)}


def advanced(
    network: torch.nn.Module,
    data: Data,
    recipe: Recipe,
    augment: Augment,
    *,
    seed: int,
    seconds: float | None,
    steps: int | None = None,
    backward: Backward = whole,
) -> tuple[TrainState, float]:
    """A network as so many CPU seconds, or steps, leave it, and how often it saw each image;
    `backward`: as in `advance`."""
    part = data.parts["train"]
    if recipe.identity:
        pass_on(network)
    if recipe.whiten:
        whiten(
            network,
            next(
                batches(part, min(512, len(part)), data=data, seed=seed, augment=None, device="cpu")
            )[0],
        )
    state = start(network, recipe, seed=seed, class_counts=_counts(data))
    stream = batches(
        part, recipe.batch_size, data=data, seed=seed, augment=augment, device="cpu", workers=0
    )
    advance(
        state,
        stream,
        total_seconds=seconds,
        total_steps=steps,
        now=time.process_time,
        backward=backward,
    )
    return state, round(state.step * recipe.batch_size / len(part), 1)


def every(
    path: Path,
    asked: argparse.Namespace,
    name: str,
    values: Sequence[str],
    trained: Callable[[Data, str, int], dict[str, Any]],
) -> None:
    """Trains each of the `values` with every seed on the set asked for; a JSON line each, kept in
    `path` and not repeated."""
    path.parent.mkdir(parents=True, exist_ok=True)
    known = {(row[name], row["seed"]): row for row in kept(path)}
    with appending(path) as add:
        for seed in asked.seeds:
            images = source(asked.set, asked.data, asked.work)
            data = load(images, size=SIZES.get(asked.set), seed=seed, group=GROUPS.get(asked.set))
            for value in values:
                row = known.get((value, seed))
                if row is None:
                    row = {
                        "set": asked.set,
                        name: value,
                        "seed": seed,
                        **trained(data, value, seed),
                    }
                    add(row)
                print(json.dumps(row), flush=True)


def growing(data: Data, rate: float) -> Recipe:
    """The default recipe as runs with --time have it, the learning rate times `rate`: images grow,
    the first layer whitens, others begin by passing on what they are given.
    """
    recipe = default_recipe(len(data.parts["train"]))
    return replace(recipe, lr=recipe.lr * rate, grow=0.5, whiten=True, identity=True)


def _counts(data: Data) -> list[int]:
    return [int((data.parts["train"].labels == label).sum()) for label in range(len(data.classes))]


def main() -> None:
    """Every setting on every set and seed: its own split, weights and order."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sets", nargs="+", default=["digits"], choices=list(SETS))
    parser.add_argument(
        "--shape",
        nargs=3,
        default=["conv", "2", "0"],
        help=f"{', '.join(KINDS)}; blocks a stage; at the stem",
    )
    parser.add_argument("--size", type=int, default=None)
    parser.add_argument("--seconds", type=float, default=None, help="CPU seconds a training")
    parser.add_argument("--steps", type=int, default=None)
    parser.add_argument("--budget", default="params<=300k, macs<=20M")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument(
        "--only",
        nargs="*",
        default=list(CHANGES),
        help='changes to the default, several as "lr x2 + strong"',
    )
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("ARCHSMITH_DATA", "../shared/data"))
    )
    parser.add_argument("--work", type=Path, default=Path("runs/recipe"))
    asked = parser.parse_args()
    if (asked.seconds is None) == (asked.steps is None):
        parser.error("give --seconds or --steps")
    torch.set_num_threads(1)
    path = asked.work / f"{'-'.join(asked.shape)}-{asked.size}-{asked.seconds}-{asked.steps}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    known = {(row["set"], row["seed"], row["setting"]): row for row in kept(path)}
    found = []
    for name in asked.sets:
        for seed in asked.seeds:
            data = load(
                source(name, asked.data, asked.work),
                size=asked.size,
                seed=seed,
                group=GROUPS.get(name),
            )
            one = _network(data, asked)
            made = settings(default_recipe(len(data.parts["train"])), suggest(data), asked.only)
            for setting, (recipe, augment) in made.items():
                row = known.get((name, seed, setting))
                if row is None:
                    row = {
                        "set": name,
                        "seed": seed,
                        "setting": setting,
                        "images": len(data.parts["val"]),
                        "size": data.size,
                    }
                    row |= trained(
                        data,
                        one,
                        recipe,
                        augment,
                        seed=seed,
                        seconds=asked.seconds,
                        steps=asked.steps,
                    )
                    row |= {"recipe": recipe.to_json(), "augment": asdict(augment)}
                    with appending(path) as add:
                        add(row)
                    print(
                        {k: row[k] for k in ("set", "seed", "setting", "passes", "val")},
                        file=sys.stderr,
                        flush=True,
                    )
                found.append(row)
    _print(found)


def _network(data: Data, asked: argparse.Namespace) -> Reference:
    kind, depth, first = asked.shape
    limits = (
        SMALL if data.size <= 16 else {limit.metric: limit.value for limit in parse(asked.budget)}
    )
    return reference(
        len(data.classes), data.channels, data.size, limits, shapes=[(kind, int(depth), int(first))]
    )[0]


def _print(found: list[dict[str, Any]]) -> None:
    """A line a setting: on each set the mean difference to the default over the paired seeds, in
    points; then over all sets."""
    sets = list(dict.fromkeys(row["set"] for row in found))
    base = {(row["set"], row["seed"]): row["val"] for row in found if row["setting"] == "default"}
    apart: dict[str, dict[str, list[float]]] = {}
    for row in found:
        difference = 100 * (row["val"] - base[row["set"], row["seed"]])
        apart.setdefault(row["setting"], {}).setdefault(row["set"], []).append(difference)
    print("| setting | " + " | ".join(sets) + " | mean |\n" + "|---" * (len(sets) + 2) + "|")
    for setting, by_set in sorted(
        apart.items(), key=lambda item: -statistics.mean(sum(item[1].values(), []))
    ):
        means = [
            f"{statistics.mean(by_set[name]):+.1f}" if name in by_set else "-" for name in sets
        ]
        overall = statistics.mean(statistics.mean(values) for values in by_set.values())
        print(f"| {setting} | " + " | ".join(means) + f" | {overall:+.2f} |")
    print(
        "default, %:",
        {
            name: round(100 * statistics.mean(v for (s, _), v in base.items() if s == name), 2)
            for name in sets
        },
    )


if __name__ == "__main__":
    main()
