"""The ImageNet space of Zen-NAS and ZiCo ("IDW"; Lin et al., ICCV 2021; Li et al., ICLR 2023) in a
finite form."""

from __future__ import annotations

import operator
from random import Random
from typing import Any

import torch
from torch import Tensor, nn

from archsmith.elastic import BatchNorm2d, Choice, Conv2d, Derived, OneOf, Repeat
from archsmith.space import Architecture, Size
from archsmith.spaces.catalog.zen import (
    BLOCKS,
    EXPANSIONS,
    HEAD,
    KERNELS,
    LAYERS,
    SEED,
    STAGES,
    WIDTHS,
    counts,
    propose,
    squeeze,
)
from archsmith.spaces.heads import pooled_classifier
from archsmith.spaces.inputs import check_inputs

_EPS = 1e-3  # of BatchNorm


def zen(
    classes: int = 1000,
    channels: int = 3,
    size: int = 224,
    widths: tuple[int, ...] = WIDTHS,
    blocks: int = BLOCKS,
    layers: tuple[int, ...] = LAYERS,
    se: bool = False,
    shortcuts: bool = True,
) -> Zen:
    """Stem, four stages of one to `blocks` blocks, a 1 x 1 convolution to 2048 channels, the
    classifier.

    (B, channels, size, size) -> (B, classes). Decisions `stem.width`, per stage `blocks`, per block
    `expand`, `kernel`, `width`, `bottleneck`, `layers`. Build it on `meta` and use `extract(...,
    "fresh")`: with all widths its weights fill no memory. Finite in this: four blocks have stride
    2, each with at most two more behind it; widths end at 2048, layers of a block at five. For
    scores, ZiCo and Zen-NAS leave out the shortcuts (`shortcuts=False`) and squeeze-excite; to
    train the network that was found they switch it on (`se=True`).
    """
    check_inputs(classes, channels, size)
    stem = Choice(*widths, name="stem.width")
    model = Zen(classes, se, shortcuts)
    model.add_module("stem", _conv(channels, stem, 3, stride=2))
    before: Any = None  # number of blocks of the stage before, where there is one
    inputs: list[Choice] = [stem]
    for s in range(1, STAGES + 1):
        count = Choice(*range(1, blocks + 1), name=f"stage{s}.blocks")
        made: dict[str, nn.Module] = {}
        outputs: list[Choice] = []
        for b in range(1, blocks + 1):
            name = f"stage{s}.block{b}"
            source = _Source(inputs, before) if b == 1 else _Source(outputs[-1:], None)
            outputs.append(Choice(*widths, name=f"{name}.width"))
            bottleneck, depth = (
                Choice(*widths, name=f"{name}.bottleneck"),
                Choice(*layers, name=f"{name}.layers"),
            )
            made[f"block{b}"] = _block(
                name,
                source,
                (bottleneck, outputs[-1]),
                depth,
                strided=b == 1,
                se=se,
                shortcuts=shortcuts,
            )
        model.add_module(f"stage{s}", Repeat(made, depth=count))
        inputs, before = outputs, count
    model.add_module("last", _Source(inputs, before).read(lambda width: _conv(width, HEAD)))
    model.add_module("head", pooled_classifier(HEAD, classes))
    return model


def zen_scored(classes: int = 1000, channels: int = 3, size: int = 224) -> Zen:
    """`zen` as it is scored: without shortcuts."""
    return zen(classes, channels, size, shortcuts=False)


class Zen(nn.Sequential):
    """The chain, with what a search of it needs beside the space: where to start, what to change,
    quick counts."""

    start = SEED
    score_without_shortcuts = True  # as ZiCo and Zen-NAS do

    def __init__(self, classes: int, se: bool, shortcuts: bool) -> None:
        super().__init__()
        self._counted = {"classes": classes, "se": se, "shortcuts": shortcuts}

    def propose(self, arch: Architecture, rng: Random, places: int) -> Architecture:
        """A neighbor of `arch`, as `catalog.zen.propose` draws it."""
        return propose(arch, rng, places)

    def counts(self, arch: Architecture, shape: tuple[int, int, int]) -> dict[str, int]:
        """params, macs, depth for one image of `shape`; no gate can say which shortcuts project."""
        return counts(arch, shape, **self._counted)  # type: ignore[arg-type]


class _Source:
    """Where a block reads: one width, or that of the last block of a stage, whichever that is."""

    def __init__(self, widths: list[Choice], count: Choice | None) -> None:
        self.widths, self.count = widths, count

    def read(self, make: Any) -> nn.Module:
        """`make(width)`, or one such module for each block that may be the last, and only that of
        the one that is."""
        if self.count is None:
            return make(self.widths[0])
        blocks: dict[Any, nn.Module] = {b: make(w) for b, w in enumerate(self.widths, start=1)}
        return OneOf(blocks, choice=self.count)


def _conv(
    inputs: Size,
    outputs: Size,
    kernel: Any = 1,
    stride: int = 1,
    groups: Size = 1,
    act: bool = True,
) -> nn.Sequential:
    """Convolution, BatchNorm, ReLU: children `conv`, `norm`, `act`."""
    layers = nn.Sequential()
    conv = Conv2d(
        inputs, outputs, kernel, stride, padding="same", groups=groups, bias=False, transform=False
    )
    layers.add_module("conv", conv)
    layers.add_module("norm", BatchNorm2d(outputs, _EPS))
    if act:
        layers.add_module("act", nn.ReLU(inplace=True))
    return layers


def _block(
    name: str,
    source: _Source,
    widths: tuple[Choice, Choice],
    depth: Choice,
    strided: bool,
    se: bool,
    shortcuts: bool,
) -> Repeat:
    """`depth` times: an inverted bottleneck to the first width, one to the second; the very first
    one has the stride."""
    bottleneck, width = widths
    expand, kernel = (
        Choice(*EXPANSIONS, name=f"{name}.expand"),
        Choice(*KERNELS, name=f"{name}.kernel"),
    )
    inner, outer = (Derived(operator.mul, size, expand) for size in widths)
    squeezed = (Derived(squeeze, inner), Derived(squeeze, outer)) if se else (None, None)
    layers: dict[str, nn.Module] = {}
    for i in range(1, max(depth.options) + 1):
        stride = 2 if strided and i == 1 else 1
        first = source if i == 1 else _Source([width], None)
        inward: nn.Module | None = None
        if shortcuts and i == 1:
            # whatever the widths
            inward = first.read(
                lambda inputs, stride=stride: _projection(inputs, bottleneck, stride)
            )
        elif shortcuts:
            inward = Shortcut(width, bottleneck)
        outward = Shortcut(bottleneck, width) if shortcuts else None
        layer = nn.Sequential()
        layer.add_module(
            "inward",
            Inverted(
                first,
                inner,
                bottleneck,
                kernel,
                stride=stride,
                squeezed=squeezed[0],
                shortcut=inward,
            ),
        )
        layer.add_module(
            "outward",
            Inverted(
                _Source([bottleneck], None),
                outer,
                width,
                kernel,
                stride=1,
                squeezed=squeezed[1],
                shortcut=outward,
            ),
        )
        layers[f"layer{i}"] = layer
    return Repeat(layers, depth=depth)


def _projection(inputs: Size, outputs: Size, stride: int = 1) -> nn.Sequential:
    """1 x 1 convolution with bias, BatchNorm: children `conv`, `norm`."""
    layers = nn.Sequential()
    layers.add_module("conv", Conv2d(inputs, outputs, 1, stride, transform=False))
    layers.add_module("norm", BatchNorm2d(outputs, _EPS))
    return layers


class Inverted(nn.Module):
    """Expand 1 x 1, depthwise, squeeze-excite where `squeezed`, project 1 x 1, plus the shortcut
    where there is one, ReLU.

    (B, source, H, W) -> (B, outputs, H / stride, W / stride).
    """

    def __init__(
        self,
        source: _Source,
        middle: Derived,
        outputs: Choice,
        kernel: Choice,
        stride: int,
        squeezed: Derived | None,
        shortcut: nn.Module | None,
    ) -> None:
        super().__init__()
        self.expand = source.read(lambda inputs: _conv(inputs, middle))
        self.depthwise = _conv(middle, middle, kernel, stride, groups=middle)
        self.excite = None if squeezed is None else NormedExcite(middle, squeezed)
        self.project = _conv(middle, outputs, act=False)
        self.shortcut = shortcut
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """(B, source, H, W) -> (B, outputs, H / stride, W / stride)."""
        y = self.depthwise(self.expand(x))
        if self.excite is not None:
            y = self.excite(y)
        y = self.project(y)
        return self.act(y if self.shortcut is None else y + self.shortcut(x))


class Shortcut(nn.Module):
    """The input itself where both widths are equal, elsewhere projected: (B, inputs, H, W) -> (B,
    outputs, H, W).

    Its layers hang on no gate: one over all pairs of 256 widths would be a table of 65,536 rows. So
    the model counts its own architectures (`Zen.counts`).
    """

    def __init__(self, inputs: Choice, outputs: Choice) -> None:
        super().__init__()
        self.inputs: Any = inputs
        self.outputs: Any = outputs
        self.project = _projection(inputs, outputs)

    def plain(self, children: dict[str, nn.Module]) -> nn.Module:
        """Identity or the projection."""
        return nn.Identity() if self.inputs == self.outputs else children["project"]

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H, W)."""
        return x if self.inputs == self.outputs else self.project(x)


class NormedExcite(nn.Module):
    """Squeeze-excite with BatchNorm in it and a sigmoid gate, as in Zen-NAS: (B, C, H, W) -> the
    same."""

    def __init__(self, channels: Size, squeezed: Size) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.reduce = _conv(channels, squeezed)
        self.expand = _conv(squeezed, channels, act=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same."""
        return x * torch.sigmoid(self.expand(self.reduce(self.pool(x))))
