"""What a hand-made stack of pooled convolutions should look like: widths, activation, MACs, one
view of an image or two.

`python benchmarks/training/plain_stacks.py cifar --seconds 120 --try "1,3,4 gelu 10" "1,2,4 relu 20
stem24 max"` trains each form: widths of the groups relative to each other, activation, millions of
MACs. Further words: `stemN`, channels of the stem; `whitened`, a stem of 2 x 2 filters that whiten
and stay as they are, `padded` one whose map is as large as the image; `max`, the largest value of
the last map instead of its mean, outputs over 3 (both as airbench); `headN`, a 1 x 1 convolution to
N channels before it; `strong`, that augmentation; `whole`, images that do not grow; `drawn`,
convolutions that begin as drawn, not as the identity; `bf16`, that precision. Each gets equal CPU
seconds of one thread and is as wide as `--params` and its MACs allow. A JSON line each: accuracy on
validation images, of the images alone and of the mean with their mirror images; the test images are
never read. Finished ones are kept and not repeated.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from image_sets import SETS
from plain_cnn import Scaled, counted, whitened
from recipe import advanced, every, growing, validation
from torch import nn

from archsmith.data import suggest
from archsmith.data.dataset import Data
from archsmith.data.parts import batches
from archsmith.elastic.views import Averaged, Mirrored

ACTIVATIONS = {"relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU, "hardswish": nn.Hardswish}
STEM = 16


@dataclass(frozen=True)
class Form:
    """What is written of a stack."""

    widths: tuple[float, ...]
    act: type[nn.Module]
    macs: float
    words: frozenset[str]

    @staticmethod
    def read(text: str) -> Form:
        """`1,3,4 gelu 10 max`"""
        widths, act, millions, *words = text.split()
        return Form(
            tuple(map(float, widths.split(","))),
            ACTIVATIONS[act],
            float(millions) * 1e6,
            frozenset(words),
        )

    def channels(self, word: str, default: int) -> int:
        """Those written behind a word, as in `stem24`."""
        return next(
            (int(text.removeprefix(word)) for text in self.words if text.startswith(word)), default
        )


def stack(data: Data, unit: float, form: Form) -> nn.Sequential:
    """A stem, then per width a convolution that is pooled and one that is not, the last pooling,
    the classifier."""
    stride, act = 2 if data.size > 64 else 1, form.act
    if "whitened" in form.words:
        inputs = 8 * data.channels  # each direction of the patches and its opposite
        layers: list[nn.Module] = [nn.ZeroPad2d((0, 1, 0, 1))] if "padded" in form.words else []
        layers += [nn.Conv2d(data.channels, inputs, 2, stride), act()]
    else:
        inputs = form.channels("stem", STEM)
        layers = [
            nn.Conv2d(data.channels, inputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(inputs),
            act(),
        ]
    for width in form.widths:
        outputs = int(unit * width)
        layers += [
            nn.Conv2d(inputs, outputs, 3, 1, 1, bias=False),
            nn.MaxPool2d(2),
            nn.BatchNorm2d(outputs),
            act(),
        ]
        layers += [nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs), act()]
        inputs = outputs
    if head := form.channels("head", 0):
        layers += [nn.Conv2d(inputs, head, 1, bias=False), nn.BatchNorm2d(head), nn.Hardswish()]
        inputs = head
    if "max" in form.words:
        last = [
            nn.AdaptiveMaxPool2d(1),
            nn.Flatten(),
            nn.Linear(inputs, len(data.classes), bias=False),
            Scaled(),
        ]
    else:
        last = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, len(data.classes))]
    return nn.Sequential(*layers, *last)


def widest(data: Data, form: Form, seed: int, most: int) -> nn.Sequential:
    """As wide as so many parameters and the form's MACs allow."""
    unit, best = 4.0, None
    while True:
        torch.manual_seed(seed)
        network = stack(data, unit, form)
        params, macs = counted(network, (data.channels, data.size, data.size))
        if params > most or macs > form.macs:
            break
        best, unit = network, unit + 0.25
    if best is None:
        raise SystemExit(f"no network of the form {form} fits")
    return best


def trained(
    data: Data, form: str, *, seed: int, seconds: float, rate: float, most: int
) -> dict[str, Any]:
    """Accuracy on validation after so many CPU seconds, of one view and of both."""
    read = Form.read(form)
    network, recipe = widest(data, read, seed, most), growing(data, rate)
    params, macs = counted(network, (data.channels, data.size, data.size))
    if "whitened" in read.words:
        part, first = (
            data.parts["train"],
            next(layer for layer in network if isinstance(layer, nn.Conv2d)),
        )
        whitened(
            first,
            next(
                batches(part, min(512, len(part)), data=data, seed=seed, augment=None, device="cpu")
            )[0],
        )
        recipe = replace(recipe, whiten=False)
    if "bf16" in read.words:
        recipe = replace(recipe, precision="bf16")
    if "drawn" in read.words:
        recipe = replace(recipe, identity=False)
    if "whole" in read.words:
        recipe = replace(recipe, grow=1.0)
    augment = suggest(data, "strong" if "strong" in read.words else "mild")
    state, passes = advanced(network, data, recipe, augment, seed=seed, seconds=seconds)
    both = nn.Sequential(Mirrored(), state.network, Averaged())
    return {
        "params": params,
        "macs": macs,
        "passes": passes,
        "val": round(validation(state.network, data), 4),
        "val both": round(validation(both, data), 4),
    }


def main() -> None:
    """Every form and seed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("set", choices=list(SETS))
    parser.add_argument(
        "--try", dest="forms", nargs="+", default=["1,3,4 gelu 20", "1,3,4 gelu 10"], metavar="FORM"
    )
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--params", type=int, default=300_000)
    parser.add_argument(
        "--rate",
        type=float,
        default=1.0,
        help="times the default learning rate; 0.33 where passes are few",
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("ARCHSMITH_DATA", "../shared/data"))
    )
    parser.add_argument("--work", type=Path, default=Path("runs/stacks"))
    asked = parser.parse_args()
    torch.set_num_threads(1)
    path = asked.work / f"{asked.set}-{asked.seconds:g}-{asked.rate:g}-{asked.params}.jsonl"
    settings = {"seconds": asked.seconds, "rate": asked.rate, "most": asked.params}
    every(
        path,
        asked,
        "form",
        asked.forms,
        lambda data, form, seed: trained(data, form, seed=seed, **settings),
    )


if __name__ == "__main__":
    main()
