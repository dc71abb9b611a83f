"""What a network is to make of an image: a class, numbers, or the image again. Head, loss and
measure of each."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

from archsmith.elastic import BatchNorm2d, Conv2d
from archsmith.errors import UserError
from archsmith.metrics.accuracy import classified, explained
from archsmith.training.losses import Loss

_BASE, _WIDTH = 7, 16  # a decoder begins at so many pixels at most, and has so many channels
_CODE = 4  # a code has at least so many times fewer numbers than the image, where it can


class Task(Protocol):
    """One task on one data set, a frozen value.

    `names`: of the outputs, in order, where they have any. `outputs`: numbers that the last layer
    of a space gives for an image; `headed` appends what must follow it. `mirrors`: a mirror image
    is to be answered like the image. `judge` makes a result of outputs and what was wanted, batch
    by batch; its "accuracy" is what networks are ranked by, between 0 (no better than a constant;
    chance) and 1, and `measure` says what it is. "loss", "n" and "interval" (95 % of "accuracy")
    are there as well.
    """

    def __hash__(self) -> int: ...

    @property
    def kind(self) -> str: ...

    @property
    def measure(self) -> str: ...

    @property
    def loss(self) -> Loss: ...

    @property
    def names(self) -> tuple[str, ...]: ...

    @property
    def outputs(self) -> int: ...

    @property
    def mirrors(self) -> bool: ...

    def headed(self, model: nn.Module) -> nn.Module: ...

    def judge(self, pairs: Iterable[tuple[Tensor, Tensor]]) -> dict[str, Any]: ...


@dataclass(frozen=True)
class Classification:
    """Outputs (B, classes) are logits, wanted are class indices (B,). `mirrors`: a mirror image is
    of the same class."""

    classes: tuple[str, ...]
    mirrors: bool = False
    kind = "classification"
    measure = "accuracy"
    loss: ClassVar[Loss] = "cross-entropy"

    @property
    def names(self) -> tuple[str, ...]:
        """The classes."""
        return self.classes

    @property
    def outputs(self) -> int:
        """One logit a class."""
        return len(self.classes)

    def headed(self, model: nn.Module) -> nn.Module:
        """As it is."""
        return model

    def judge(self, pairs: Iterable[tuple[Tensor, Tensor]]) -> dict[str, Any]:
        """`classified`."""
        return classified(pairs)


@dataclass(frozen=True)
class Regression:
    """Outputs and wanted (B, targets), standardized: less `mean`, over `std`, those of the training
    images."""

    targets: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    kind = "regression"
    measure = "variance explained"
    mirrors: ClassVar[bool] = False  # of some numbers, like angles, the sign would change
    loss: ClassVar[Loss] = "squared error"

    @property
    def names(self) -> tuple[str, ...]:
        """The targets."""
        return self.targets

    @property
    def outputs(self) -> int:
        """One number a target."""
        return len(self.targets)

    def headed(self, model: nn.Module) -> nn.Module:
        """As it is."""
        return model

    def judge(self, pairs: Iterable[tuple[Tensor, Tensor]]) -> dict[str, Any]:
        """`explained`, and "rmse": root mean squared error of each target in its own unit."""
        result, squares = explained(pairs)
        errors = [
            math.sqrt(value) * scale
            for value, scale in zip(squares.tolist(), self.std, strict=True)
        ]
        return {**result, "rmse": dict(zip(self.targets, errors, strict=True))}


@dataclass(frozen=True)
class Reconstruction:
    """The image from few numbers: outputs and wanted (B, channels, size, size), normalized by
    `mean` and `std`.

    The network is the encoder, its outputs are the code; a decoder of a fixed form follows and is
    part of what is counted, trained and shipped.
    """

    channels: int
    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    kind = "reconstruction"
    measure = "variance explained"
    mirrors: ClassVar[bool] = False  # what comes out is the image as it lies
    loss: ClassVar[Loss] = "squared error"
    names: ClassVar[tuple[str, ...]] = ()

    @property
    def sizes(self) -> tuple[int, ...]:
        """Sides of the decoder's maps, from the code's to the image's."""
        sides = [self.size]
        while sides[0] > _BASE:
            sides.insert(0, -(-sides[0] // 2))
        return tuple(sides)

    @property
    def outputs(self) -> int:
        """Numbers of the code."""
        return self._code * self.sizes[0] ** 2

    @property
    def _code(self) -> int:
        """Channels that the code is laid out in."""
        return max(1, min(_WIDTH, self.channels * self.size**2 // (_CODE * self.sizes[0] ** 2)))

    def headed(self, model: nn.Module) -> nn.Module:
        """With the decoder: nearest-neighbor enlargement and 3 x 3 convolutions, a level for each
        halving of the side."""
        (first, *sizes), inputs = self.sizes, self._code
        decoder = nn.Sequential()
        decoder.add_module("unfold", nn.Unflatten(1, (inputs, first, first)))
        for level, side in enumerate(sizes, start=1):
            layers = nn.Sequential()
            layers.add_module("enlarge", nn.Upsample(size=(side, side)))
            layers.add_module("conv", Conv2d(inputs, _WIDTH, 3, padding=1, bias=False))
            layers.add_module("norm", BatchNorm2d(_WIDTH))
            layers.add_module("act", nn.ReLU(inplace=True))
            decoder.add_module(f"level{level}", layers)
            inputs = _WIDTH
        decoder.add_module("last", Conv2d(inputs, self.channels, 3, padding=1))
        device = next((p.device for p in model.parameters()), torch.device("cpu"))
        return _appended(model, "decoder", decoder.to(device))

    def judge(self, pairs: Iterable[tuple[Tensor, Tensor]]) -> dict[str, Any]:
        """`explained`, "rmse" of pixels in 0..1, and "psnr" in decibels (peak 1)."""
        result, squares = explained(pairs)
        scale = torch.tensor(self.std, dtype=torch.float64).view(-1, 1, 1)
        mean = float((squares * scale**2).mean())
        return {
            **result,
            "rmse": {"pixels": math.sqrt(mean)},
            "psnr": -10 * math.log10(max(mean, 1e-12)),
        }


def _appended(model: nn.Module, name: str, part: nn.Module) -> nn.Module:
    """The model with one more part after its last: in itself where it is a Sequential, else in its
    `head`."""
    head = model if isinstance(model, nn.Sequential) else getattr(model, "head", None)
    if not isinstance(head, nn.Sequential) or hasattr(model, "propose"):
        raise UserError(
            f"{type(model).__name__} cannot be given a {name}: that takes an nn.Sequential, or a "
            f"module whose last part is an "
            "nn.Sequential called 'head', and one that does not count itself; choose another "
            "--space, or --task classification"
        )
    head.add_module(name, part)
    return model


def to_json(task: Task) -> dict[str, Any]:
    """What a run keeps; `from_json` turns it back."""
    own = vars(task)
    return {
        "task": task.kind,
        "measure": task.measure,
        **{k: list(v) if isinstance(v, tuple) else v for k, v in own.items()},
    }


def from_json(kept: Mapping[str, Any]) -> Task:
    """The task that `to_json` wrote."""
    own = {
        k: tuple(v) if isinstance(v, list) else v
        for k, v in kept.items()
        if k not in ("task", "measure")
    }
    kinds: dict[str, Any] = {
        "classification": Classification,
        "regression": Regression,
        "reconstruction": Reconstruction,
    }
    return kinds[kept["task"]](**own)
