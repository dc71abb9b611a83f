"""Once-For-All's released weights in our space, on ImageNet, beside accuracies others measured.

Takes the publishers' file as `--init` does, cuts sub-networks out of it, sets their BatchNorm by
images of `--calibration` and judges them on those of `--images`, folders with a sub-folder a class.
Where these are not all 1000, `--classes` names a text file with a folder's name a line, in
ImageNet's order. `--records`: nas/ofa_mbv3_w1.0_subnet_accuracy.csv of $ARCHSMITH_DATA, rows of
which are drawn evenly over their accuracies; without it both extremes and random networks are
judged, beside nothing.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from archsmith.elastic.supernet import calibrate, extract, search_space
from archsmith.predictors.ranking import kendall
from archsmith.space import Architecture
from archsmith.spaces import build
from archsmith.spaces.catalog.ofa import ofa_arch, ofa_settings
from archsmith.stages.init import load_into

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # what the networks were trained to see
SHOWN = 0.875  # the share of a resized image's side that is looked at
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}
Labelled = list[tuple[Path, int]]


def drawn(folder: Path, classes: Sequence[str] | None, count: int, seed: int) -> Labelled:
    """So many images with their classes, drawn from all of a folder."""
    names = sorted(path.name for path in folder.iterdir() if path.is_dir())
    order = names if classes is None else list(classes)
    if len(order) != 1000 or not set(names) <= set(order):
        sys.exit(
            f"{folder} has {len(names)} sub-folders; give one for each of ImageNet's 1000 classes, "
            f"or the 1000 names in order as --classes"
        )
    found = [
        (path, order.index(name))
        for name in names
        for path in sorted((folder / name).iterdir())
        if path.suffix.lower() in SUFFIXES
    ]
    return Random(seed).sample(found, min(count, len(found)))


def picture(path: Path, size: int) -> Tensor:
    """(3, size, size): the shorter side resized, its middle cut out, as the publishers judge."""
    with Image.open(path) as opened:
        image = opened.convert("RGB")
    scale = math.ceil(size / SHOWN) / min(image.size)
    wide, high = (round(side * scale) for side in image.size)
    left, top = (wide - size) // 2, (high - size) // 2
    image = image.resize((wide, high), Image.Resampling.BILINEAR)
    pixels = np.asarray(image.crop((left, top, left + size, top + size)), np.float32) / 255
    return torch.from_numpy((pixels - MEAN) / STD).permute(2, 0, 1).float()


def batches(images: Labelled, size: int, batch: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Images and classes, so many at once."""
    for start in range(0, len(images), batch):
        part = images[start : start + batch]
        yield (
            torch.stack([picture(path, size) for path, _ in part]),
            torch.tensor([label for _, label in part]),
        )


@torch.no_grad()
def accuracy(network: nn.Module, images: Labelled, size: int, batch: int) -> float:
    """Percent of the images whose class comes first."""
    device = next(network.parameters()).device
    right = sum(
        int((network(pixels.to(device)).argmax(1).cpu() == labels).sum())
        for pixels, labels in batches(images, size, batch)
    )
    return 100 * right / len(images)


def recorded(path: Path, count: int, size: int) -> list[tuple[Architecture, float]]:
    """Networks and their recorded accuracies, evenly over these."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if int(row["r"]) == size]
    rows.sort(key=lambda row: float(row["top1_imagenet"]))
    chosen = [rows[i * (len(rows) - 1) // max(count - 1, 1)] for i in range(min(count, len(rows)))]
    return [
        (
            ofa_arch(*([int(value) for value in row[name].split()] for name in ("ks", "e", "d"))),
            float(row["top1_imagenet"]),
        )
        for row in chosen
    ]


def main() -> None:
    """A line of JSON for each network, then one for all."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--weights", type=Path, required=True, help="the publishers' file")
    parser.add_argument("--images", type=Path, required=True, help="ImageNet's validation images")
    parser.add_argument("--calibration", type=Path, required=True, help="its training images")
    parser.add_argument("--classes", type=Path)
    parser.add_argument("--records", type=Path)
    parser.add_argument("--space", default="ofa-mobilenet-v3-w1.0")
    parser.add_argument("--networks", type=int, default=12)
    parser.add_argument("--count", type=int, default=50_000, help="images to judge by")
    parser.add_argument("--calibrating", type=int, default=2000, help="images for BatchNorm")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    began = time.monotonic()
    classes = None
    if asked.classes is not None:
        classes = [
            line.split()[0] for line in asked.classes.read_text("utf-8").splitlines() if line
        ]
    judged_by = drawn(asked.images, classes, asked.count, asked.seed)
    set_by = drawn(asked.calibration, classes, asked.calibrating, asked.seed)

    model = build(asked.space, 1000, 3, asked.size, device="cpu")
    print(json.dumps({"init": load_into(model, asked.weights, space=asked.space)}), flush=True)
    space, rng = search_space(model), Random(asked.seed)
    data = os.environ.get("ARCHSMITH_DATA")
    records = asked.records or (
        Path(data or "nowhere") / "nas" / "ofa_mbv3_w1.0_subnet_accuracy.csv"
    )
    networks: list[tuple[Architecture, float | None]] = []
    if records.is_file() and asked.space.endswith("w1.0"):
        networks += recorded(records, asked.networks, asked.size)
    if not networks:
        ends = [space.extreme(0), space.extreme(-1)]
        more = [space.sample(rng) for _ in range(max(asked.networks - 2, 0))]
        networks = [(arch, None) for arch in [*ends, *more]]

    pairs = []
    for arch, truth in networks:
        network = extract(model, arch, "shared").to(asked.device)
        pixels = (images.to(asked.device) for images, _ in batches(set_by, asked.size, asked.batch))
        calibrate(network, pixels)
        found = accuracy(network.eval(), judged_by, asked.size, asked.batch)
        pairs.append((found, truth))
        line = {**ofa_settings(arch), "found": round(found, 2), "recorded": truth}
        print(json.dumps(line), flush=True)
    known = [(found, truth) for found, truth in pairs if truth is not None]
    gaps = [found - truth for found, truth in known]
    summary = {
        "networks": len(pairs),
        "images": len(judged_by),
        "mean_gap": round(sum(gaps) / len(gaps), 3) if gaps else None,
        "largest_gap": round(max(map(abs, gaps)), 3) if gaps else None,
        "kendall": round(kendall(*zip(*known, strict=True)), 3) if len(known) > 2 else None,
        "seconds": round(time.monotonic() - began),
    }
    print(json.dumps(summary))


if __name__ == "__main__":
    main()
