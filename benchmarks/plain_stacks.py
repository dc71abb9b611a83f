"""What a hand-made stack of pooled convolutions should look like: widths, activation, MACs, one view of an image or two.

`python benchmarks/plain_stacks.py cifar --seconds 120 --try "1,3,4 gelu 10" "1,2,4 relu 20"` trains each form (widths of the
groups relative to each other, activation, millions of MACs) for equal CPU seconds of one thread, as wide as the budget allows.
A JSON line each: accuracy on validation images, of the images alone and of the mean with their mirror images; the test images
are never read. Finished ones are kept and not repeated.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

import torch
from image_sets import GROUPS, SETS, source
from plain_cnn import SIZES, counted
from recipe import advanced, growing, validation
from torch import nn

from archsmith.data import load, suggest
from archsmith.data.dataset import Data
from archsmith.elastic.views import Averaged, Mirrored

PARAMS = 300_000
ACTIVATIONS = {"relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU, "hardswish": nn.Hardswish}
STEM = 16


def stack(data: Data, unit: float, widths: list[float], act: type[nn.Module], stride: int) -> nn.Sequential:
    """A stem, then per width a convolution that is pooled and one that is not, the mean over the map, the classifier."""
    layers: list[nn.Module] = [nn.Conv2d(data.channels, STEM, 3, stride, 1, bias=False), nn.BatchNorm2d(STEM), act()]
    inputs = STEM
    for width in widths:
        outputs = int(unit * width)
        layers += [nn.Conv2d(inputs, outputs, 3, 1, 1, bias=False), nn.MaxPool2d(2), nn.BatchNorm2d(outputs), act()]
        layers += [nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs), act()]
        inputs = outputs
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, len(data.classes)))


def widest(data: Data, form: str, seed: int) -> nn.Sequential:
    """Of a form as it is written, as wide as PARAMS and its MACs allow."""
    widths, act, millions = form.split()
    relative, stride, unit = [float(w) for w in widths.split(",")], 2 if data.size > 64 else 1, 4.0
    best = None
    while True:
        torch.manual_seed(seed)
        network = stack(data, unit, relative, ACTIVATIONS[act], stride)
        params, macs = counted(network, (data.channels, data.size, data.size))
        if params > PARAMS or macs > float(millions) * 1e6:
            break
        best, unit = network, unit + 0.25
    if best is None:
        raise SystemExit(f"no network of the form '{form}' fits")
    return best


def trained(data: Data, form: str, *, seed: int, seconds: float, rate: float) -> dict[str, Any]:
    """Accuracy on validation after so many CPU seconds, of one view and of both."""
    network = widest(data, form, seed)
    params, macs = counted(network, (data.channels, data.size, data.size))
    state, passes = advanced(network, data, growing(data, rate), suggest(data), seed=seed, seconds=seconds)
    both = nn.Sequential(Mirrored(), state.network, Averaged())
    return {
        "params": params, "macs": macs, "passes": passes,
        "val": round(validation(state.network, data), 4), "val both": round(validation(both, data), 4),
    }  # fmt: skip


def main() -> None:
    """Every form and seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("set", choices=list(SETS))
    parser.add_argument("--try", dest="forms", nargs="+", default=["1,3,4 gelu 20", "1,3,4 gelu 10"], metavar="FORM")
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--rate", type=float, default=1.0, help="times the default learning rate; 0.33 where passes are few")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("ARCHSMITH_DATA", "../shared/data")))
    parser.add_argument("--work", type=Path, default=Path("runs/stacks"))
    asked = parser.parse_args()
    torch.set_num_threads(1)
    kept = asked.work / f"{asked.set}-{asked.seconds:g}-{asked.rate:g}.jsonl"
    kept.parent.mkdir(parents=True, exist_ok=True)
    known = {}
    if kept.exists():
        known = {(row["form"], row["seed"]): row for row in map(json.loads, kept.read_text().splitlines())}
    for seed in asked.seeds:
        path = source(asked.set, asked.data, asked.work)
        data = load(path, size=SIZES.get(asked.set), seed=seed, group=GROUPS.get(asked.set))
        for form in asked.forms:
            row = known.get((form, seed))
            if row is None:
                found = trained(data, form, seed=seed, seconds=asked.seconds, rate=asked.rate)
                row = {"set": asked.set, "form": form, "seed": seed, **found}
                with kept.open("a") as file:
                    file.write(json.dumps(row) + "\n")
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
