"""Where published weights are begun with: how far the network should go, at which side of the
images, and at which learning rate, in so many CPU seconds of training.

    python benchmarks/training/published.py clothes --try 4@128 7@128 --rates 0.1 --seconds 100

Each form is END@SIDE of the space `efficientnet-lite0`: a row a form, rate and seed with what the
network costs, how often it saw each image, and its accuracy on the validation images. `--fresh`:
without the weights.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from dataclasses import replace
from pathlib import Path
from random import Random

import torch
from image_sets import GROUPS, SETS, source
from torch import nn

from archsmith.data import batches, load, ordered
from archsmith.data.augment import suggest
from archsmith.elastic.sorting import sort_channels
from archsmith.elastic.supernet import extract, search_space
from archsmith.metrics.accuracy import evaluate
from archsmith.metrics.cost import macs, params
from archsmith.spaces import SPACES, build
from archsmith.stages.init import load_into
from archsmith.training.loop import advance, start
from archsmith.training.recipe import default_recipe

SPACE = SPACES["efficientnet-lite0"]


def network(classes: int, end: int, side: int, *, fresh: bool, seed: int) -> nn.Module:
    """The first `end` stages, whole."""
    torch.manual_seed(seed)
    model = build(SPACE.name, classes, 3, side, device="cpu")
    decisions = search_space(model)
    arch = decisions.complete({**{n: max(o) for n, o in decisions.items()}, "end": end}, Random(0))
    if fresh:
        return extract(model, arch, "fresh", torch.Generator().manual_seed(seed))
    published = SPACE.pretrained
    path = published.path() if published is not None else None
    if path is None:
        raise SystemExit("pip install 'archsmith[pretrained]' first")
    load_into(model, path, space=SPACE.name)
    sort_channels(model)
    return extract(model, arch, "shared")


def main() -> None:
    """A row a training."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("set", choices=list(SETS))
    parser.add_argument("--try", dest="forms", nargs="+", default=["4@128", "5@96"])
    parser.add_argument("--rates", nargs="+", type=float, default=[0.1])
    parser.add_argument("--seconds", type=float, default=100.0)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--optimizer", default="sgd")
    parser.add_argument("--strong", action="store_true")
    parser.add_argument("--ema", type=float, default=None)
    parser.add_argument("--grow", type=float, default=1.0)
    parser.add_argument("--decay", type=float, default=None)
    parser.add_argument("--freeze", type=int, default=0, help="stages that are not trained")
    parser.add_argument("--fresh", action="store_true")
    parser.add_argument("--work", type=Path, default=Path("/tmp/archsmith-published"))
    asked = parser.parse_args()
    torch.set_num_threads(1)
    given = source(asked.set, Path(os.environ["ARCHSMITH_DATA"]), asked.work)
    for form in asked.forms:
        end, side = map(int, form.split("@"))
        for seed in asked.seeds:
            data = load(given, size=side, seed=seed, group=GROUPS.get(asked.set))
            assert SPACE.pretrained is not None
            data = replace(data, mean=(SPACE.pretrained.mean,) * 3, std=(SPACE.pretrained.std,) * 3)
            part = data.parts["train"]
            augment = suggest(data, "strong" if asked.strong else "mild")
            for rate in asked.rates:
                made = network(len(data.classes), end, side, fresh=asked.fresh, seed=seed)
                shape = (3, side, side)
                if asked.freeze:
                    kept = ["stem", *(f"stages.stage{n + 1}" for n in range(asked.freeze))]
                    for path in kept:
                        made.get_submodule(path).requires_grad_(False)
                recipe = default_recipe(len(part))
                recipe = replace(recipe, lr=rate * recipe.lr, grow=asked.grow)
                if asked.optimizer == "adamw":
                    recipe = replace(recipe, optimizer="adamw", lr=rate * 1e-2, weight_decay=0.05)
                if asked.ema is not None:
                    recipe = replace(recipe, ema=asked.ema)
                if asked.decay is not None:
                    recipe = replace(recipe, weight_decay=asked.decay)
                state = start(
                    made, recipe, seed=seed, device=torch.device("cpu"), fresh=asked.fresh
                )
                size, stream = (
                    recipe.batch_size,
                    iter(
                        batches(
                            part,
                            recipe.batch_size,
                            data=data,
                            seed=seed,
                            augment=augment,
                            device="cpu",
                        )
                    ),
                )
                advance(state, stream, total_seconds=asked.seconds, now=time.process_time)
                looked = ordered(data.parts["val"], 256, data, "cpu")
                found = evaluate(state.network.eval(), looked, data.task.judge)
                row = {
                    "set": asked.set,
                    "form": form,
                    "rate": rate,
                    "seed": seed,
                    "seconds": asked.seconds,
                    "params": params(made),
                    "macs": macs(made, shape),
                    "passes": round(state.step * size / len(part), 1),
                    "val": round(found["accuracy"], 4),
                    "how": " ".join(
                        word
                        for word in (
                            asked.optimizer,
                            "strong" if asked.strong else "",
                            "fresh" if asked.fresh else "",
                            f"grow {asked.grow}" if asked.grow < 1 else "",
                            f"frozen {asked.freeze}" if asked.freeze else "",
                        )
                        if word
                    ),
                }
                print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
