"""How a network is trained: every setting of the loop as one frozen value, and a default that is
good for small CPU budgets."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch

from archsmith.errors import UserError, did_you_mean
from archsmith.training.device import bf16_pays
from archsmith.training.losses import LOSSES, Loss

Precision = Literal["float32", "bf16"]
PRECISIONS: tuple[Precision, ...] = ("float32", "bf16")
_FIXED = 1 / 8  # of the time of a training step on whole images, what does not fall with their size
GROWN = 0.7  # of the training, from which on images have their whole size
_STEP = 4  # pixels by which they grow


@dataclass(frozen=True)
class Recipe:
    """Settings of one training run. The learning rate warms up linearly over the first `warmup`
    share, then falls as a cosine to 0.

    `lr` belongs to `batch_size` as given (no hidden scaling). `weight_decay` skips vectors:
    BatchNorm and biases. `ema`: decay of the moving average of the weights, 0 for none; it starts
    faster and settles to that. `class_balance`: the loss weights each class by the inverse of its
    frequency. `clip_norm`: largest norm of the whole gradient, 0 for no limit. `zero_gamma`: every
    residual branch starts at zero (its last BatchNorm's gamma; Goyal et al., 2017). Augmentation,
    mixup included, is the data stream's. `loss`: label smoothing and class balance concern
    cross-entropy alone. `own_loss`: a user's, "my_losses.py:focal", instead of it. `grow`:
    images begin at this share of their side and are whole from `GROWN` of the training on
    (progressive resizing; Howard, 2018): small ones take less time. `whiten`: the first
    convolution begins with filters that whiten patches of the training images
    (`training.whiten`). `identity`: convolutions beside no shortcut begin by passing on what
    they are given (`training.identity`).
    """

    optimizer: Literal["sgd", "adamw"] = "sgd"
    lr: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    batch_size: int = 128
    warmup: float = 0.1
    label_smoothing: float = 0.0
    class_balance: bool = False
    ema: float = 0.999
    clip_norm: float = 0.0
    zero_gamma: bool = False
    precision: Precision = "float32"
    loss: Loss = "cross-entropy"
    own_loss: str = ""
    grow: float = 1.0
    whiten: bool = False
    identity: bool = False

    def __post_init__(self) -> None:
        _one_of("optimizer", self.optimizer, ("sgd", "adamw"))
        _one_of("precision", self.precision, PRECISIONS)
        _one_of("loss", self.loss, tuple(LOSSES))
        for name, low, high in _RANGES:
            value = getattr(self, name)
            if (
                isinstance(value, bool)
                or not isinstance(value, int | float)
                or not math.isfinite(value)
                or not low <= value < high
            ):
                raise UserError(f"recipe: {name}={value!r} is outside [{low:g}, {high:g})")
        if not isinstance(self.batch_size, int):
            raise UserError(f"recipe: batch_size={self.batch_size!r} is not a whole number")

    def to_json(self) -> dict[str, Any]:
        """Field name -> plain value."""
        return dataclasses.asdict(self)

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> Recipe:
        """The recipe that `to_json` wrote; missing fields take their defaults, unknown ones raise
        UserError."""
        known = [field.name for field in dataclasses.fields(Recipe)]
        if not isinstance(values, Mapping):
            raise UserError(f"recipe: {str(values)[:80]!r} is no table of settings")
        for name in values:
            if name not in known:
                raise UserError(
                    f"recipe: no setting '{name}' among "
                    f"{', '.join(known)}{did_you_mean(name, known)}"
                )
        return Recipe(**values)


_RANGES = (
    ("lr", 1e-9, 1e3),
    ("momentum", 0.0, 1.0),
    ("weight_decay", 0.0, 10.0),
    ("batch_size", 1, 2**20),
    ("warmup", 0.0, 1.0),
    ("label_smoothing", 0.0, 1.0),
    ("ema", 0.0, 1.0),
    ("clip_norm", 0.0, 1e9),
    ("grow", 0.25, 1.0 + 1e-9),
)


def _one_of(name: str, value: object, allowed: tuple[str, ...]) -> None:
    if not isinstance(value, str) or value not in allowed:
        raise UserError(
            f"recipe: {name}={value!r} is not one of "
            f"{', '.join(allowed)}{did_you_mean(str(value), allowed)}"
        )


def default_recipe(
    images: int, *, imbalance: float = 1.0, device: torch.device | str = "cpu", **changes: Any
) -> Recipe:
    """A recipe for a small convolutional network, `images` training images and a short budget;
    `changes` override fields.

    `imbalance`: images of the largest class over those of the smallest; from 10 up the loss
    balances the classes.

    Chosen by short trials with MobileNets of the small-image family, SGD with Nesterov momentum,
    crop and flip or rotation, one CPU core, one seed each on CIFAR-10: a network of about 12 M
    MACs, 51,200 images seen, accuracy on 3,000 test images (standard error 0.9 points, so most of
    these differences are within the noise; not yet repeated on validation images):

        batch 128: lr 0.4 62.3, lr 0.8 61.4; AdamW lr 3e-3 61.6 batch 64:  lr 0.2 64.9, lr 0.4 62.9,
        lr 0.4 with label smoothing 0.1 64.8, that with `zero_gamma` 64.9

    Digits, the hand-made reference below 20 k parameters, on validation images only (500 steps, six
    splits, difference to this recipe in points and its standard error): lr 0.2 -0.4 +- 0.5, lr 0.4
    -0.1 +- 0.6, lr 0.6 -0.1 +- 0.6, no label smoothing -0.6 +- 0.6, AdamW 5e-3 -0.9 +- 0.2 (result
    recipe-digits-500-steps). 2,000 steps, ten splits: lr 0.2 +0.3 +- 0.2 (result
    recipe-digits-2000-steps).

    Dense networks, several sets, validation images: lr 0.6 is better than 0.3 where images are seen
    34 times and more (result recipe-lr-x2), 0.2 better than 0.6 or 0.4 where 5 to 13 times (results
    rate-cifar10, rate-by-passes), as `stages.finish.rate_for` has it; balancing the classes gained
    nothing.

    So: batches of 64 on a CPU; label smoothing 0.1; no zero start, which made no difference. The
    scaling of lr by the root of the batch is not measured. The average counts most half way: at 30
    % of the training it was 4 to 10 points above the live weights, at the end equal. Whether
    bfloat16 pays on a CPU is measured in each run (`training.precision`).
    """
    if torch.device(device).type == "cpu":
        batch = 64
    else:
        batch = 256 if images >= 20_000 else 128
    while batch > 8 and batch * 16 > images:
        batch //= 2
    settings: dict[str, Any] = {
        "batch_size": batch,
        "lr": round(0.6 * math.sqrt(batch / 64), 4),
        "label_smoothing": 0.1,
        "class_balance": imbalance >= 10.0,
        "precision": "bf16" if bf16_pays(torch.device(device)) else "float32",
    }
    return Recipe(**{**settings, **changes})


def side_at(recipe: Recipe, side: int, progress: float) -> int:
    """Pixels of an image of `side` at a share of the training, in steps of 4: side * grow at first,
    all from `GROWN` on."""
    if recipe.grow >= 1 or progress >= GROWN:
        return side
    share = recipe.grow + (1 - recipe.grow) * max(progress, 0.0) / GROWN
    return min(side, max(_STEP, round(side * share / _STEP) * _STEP))


def growth(recipe: Recipe) -> float:
    """How many times as many images a training sees in its time for their growing; 1 where they do
    not grow.

    A step takes an eighth of its time whatever the size, the rest as the pixels. Of trainings on
    one thread it was 1.5 to 1.6.
    """
    points = 100
    shares = [
        min(1.0, recipe.grow + (1 - recipe.grow) * (i + 0.5) / points / GROWN)
        for i in range(points)
    ]
    return sum(1.0 / (_FIXED + (1 - _FIXED) * share**2) for share in shares) / points


def learning_rate(recipe: Recipe, progress: float) -> float:
    """Warm-up, then cosine: lr * p / warmup below `warmup`, lr/2 * (1 + cos(pi * (p - warmup) / (1
    - warmup))) after it."""
    progress = min(max(progress, 0.0), 1.0)
    if progress < recipe.warmup:
        return recipe.lr * progress / recipe.warmup
    return (
        recipe.lr
        * 0.5
        * (1.0 + math.cos(math.pi * (progress - recipe.warmup) / (1.0 - recipe.warmup)))
    )
