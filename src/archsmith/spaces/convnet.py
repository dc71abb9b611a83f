"""A family of convolutional networks for images of any size: each stage decides its block, dense or
depthwise, and width."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from random import Random
from typing import Any

from torch import nn

from archsmith.elastic import Choice, Derived, OneOf
from archsmith.elastic.views import with_views
from archsmith.space import Architecture, SearchSpace, Size
from archsmith.spaces.blocks import (
    KINDS,
    POOLS,
    Activation,
    Plan,
    Sizes,
    classifier,
    conv_norm_act,
    patches,
    stage,
)
from archsmith.spaces.inputs import check_inputs


@dataclass(frozen=True)
class _Layout:
    """What the image size decides. Stages after the first: stride, widths to choose from, the
    hand-made network's width."""

    stem_stride: int
    kernels: tuple[int, ...]
    stages: tuple[tuple[int, tuple[int, ...], int], ...]


_STEM = ((8, 12, 16, 24, 32, 48), 16)
_STEMS = ("patches", "conv")  # the largest last
_HEAD = (32, 48, 64, 96, 128, 192, 256, 384, 512)
BARE = "bare"  # of `head.pool`: the largest values, without the convolution
_HEAD_BY_HAND = 128  # channels of it, at width 1
_EXPAND, _FUSED_EXPAND = (2, 3, 4, 6), (1, 2, 4)
# at most: a dense kernel of 7 takes more than two of 3 in a row, which see as far
_FUSED_KERNEL = 5
_NARROW, _MEDIUM = (12, 16, 24, 32, 48, 64, 96), (16, 24, 32, 48, 64, 96, 160)
# hand-made widths by the number of stages: 1 : 3 : 4 (Jordan, 2024)
_POOLED = {3: (24, 72, 96), 4: (24, 72, 96, 96)}
_WIDE, _WIDEST = (32, 48, 64, 96, 128, 192, 256), (48, 64, 96, 128, 192, 256, 320)


def _layout(size: int) -> _Layout:
    """Maps end at 2 to 4 pixels below 65; from there on strides are those of Once-For-All."""
    if size <= 12:  # 8 -> 4 -> 2
        return _Layout(
            1, (3, 5), ((2, (12, 16, 24, 32, 48, 64), 24), (2, (16, 24, 32, 48, 64, 96), 48))
        )
    if size <= 20:  # 16 -> 8 -> 4 -> 4
        return _Layout(1, (3, 5), ((2, _NARROW, 24), (2, _MEDIUM, 48), (1, _WIDE, 96)))
    if size <= 48:  # 32 -> 16 -> 8 -> 4
        return _Layout(1, (3, 5), ((2, _NARROW, 24), (2, _MEDIUM, 48), (2, _WIDE, 96)))
    if size <= 64:  # 64 -> 32 -> 16 -> 8 -> 4
        return _Layout(
            1, (3, 5), ((2, _NARROW, 24), (2, _MEDIUM, 40), (2, _WIDE, 80), (2, _WIDEST, 160))
        )
    return _Layout(
        2,
        (3, 5, 7),
        (
            (2, (12, 16, 24, 32, 40), 24),
            (2, (16, 24, 32, 40, 56, 72), 40),
            (2, (32, 48, 64, 80, 112, 144), 80),
            (1, (48, 64, 80, 112, 144, 176), 112),
            (2, (64, 96, 128, 160, 192, 256), 160),
        ),
    )


def convnet(
    classes: int,
    channels: int = 3,
    size: int = 32,
    kinds: Sequence[str] = KINDS,
    *,
    mirrors: bool = False,
) -> nn.Sequential:
    """The family for square images of `size` pixels, of blocks of these `kinds`: (B, channels,
    size, size) -> (B, classes).

    Decisions: `stem.block` (a 3 x 3 convolution, or patches of 2 x 2) and `head.pool` (the mean of
    a map or its largest value, after a 1 x 1 convolution; or "bare", the largest values without
    it), both where blocks may be pooled; `stem.width`, `head.width`; per
    stage `block` (inverted residual, fused inverted residual, basic residual, plain convolution, or
    that with a pooled one first where the map is made smaller), `depth`, `width`, `se`
    (squeeze-excite, of the first two); per block `kernel` and `expand` of an inverted residual,
    `fused_kernel` and `fused_expand` of a fused one. Stage 1 keeps the stem's width and resolution
    and may be empty. Below 65 pixels the stem has stride 1 and the later stages halve the map; from
    there on stem and stages reduce as in Once-For-All. Inverted and fused residuals have ReLU in
    the first stages and h-swish in the last, what is pooled GELU, the others ReLU. `mirrors`:
    mirror images mean the same, and `views` decides whether the answer is the mean of both.
    """
    check_inputs(classes, channels, size)
    layout, kinds = _layout(size), tuple(kinds)
    old = kinds == ("inverted",)
    widths_of, widths_of_stage = (tuple, tuple) if old else (_finer, _fine)
    inputs: Size = Choice(*widths_of(_STEM[0]), name="stem.width")
    model = nn.Sequential()
    block, pool = _begin_and_end(kinds)
    model.add_module("stem", _stem(channels, inputs, layout, block))
    pixels = -(-size // layout.stem_stride)
    depth = Choice(0, 1, 2, 3, name="stage1.depth")
    plan = Plan(
        inputs,
        1,
        nn.ReLU,
        False,
        depth=depth,
        kinds=_of(kinds, 1),
        sizes=_sizes(layout.kernels),
        same=True,
    )
    model.add_module("stage1", stage("stage1", inputs, plan))
    for i, (stride, widths, _) in enumerate(layout.stages, start=2):
        pixels = -(-pixels // stride)
        name = f"stage{i}"
        outputs = Choice(*widths_of_stage(widths), name=f"{name}.width")
        # the rest only sees padding
        kernels = tuple(k for k in layout.kernels if k <= 3 or k // 2 < pixels - 1)
        se, depth = Choice(False, True, name=f"{name}.se"), Choice(1, 2, 3, 4, name=f"{name}.depth")
        plan = Plan(
            outputs,
            stride,
            _activation(i, layout),
            se,
            depth=depth,
            kinds=_of(kinds, stride),
            sizes=_sizes(kernels),
        )
        model.add_module(name, stage(name, inputs, plan))
        inputs = outputs
    model.add_module("head", _head(inputs, widths_of(_HEAD), classes, pool))
    return with_views(model) if mirrors else model


def _begin_and_end(kinds: Sequence[str]) -> tuple[str | Choice, str | Choice]:
    """What the stem is, and what the head pools: a decision where blocks may be pooled."""
    if "pooled" not in kinds:
        return "conv", "mean"
    return Choice(*_STEMS, name="stem.block"), Choice(BARE, *POOLS, name="head.pool")


def _stem(channels: int, outputs: Size, layout: _Layout, block: str | Choice) -> nn.Module:
    """A 3 x 3 convolution, or 2 x 2 patches; or either."""
    if isinstance(block, Choice):
        return OneOf(
            {option: _stem(channels, outputs, layout, option) for option in block.options},
            choice=block,
        )
    if block == "patches":
        return patches(channels, outputs, layout.stem_stride)
    return conv_norm_act(channels, outputs, 3, layout.stem_stride, act=nn.Hardswish)


def _head(inputs: Size, widths: tuple[int, ...], classes: int, pool: str | Choice) -> nn.Module:
    """A 1 x 1 convolution, pooling and the classifier; or, where that is decided, the last two."""
    features = Choice(*widths, name="head.width")
    if not isinstance(pool, Choice):
        return classifier(inputs, features, classes, pool=pool)
    kind = Derived(lambda option: "max" if option == BARE else option, pool)
    return OneOf(
        {
            BARE: classifier(inputs, None, classes, pool="max"),
            "conv": classifier(inputs, features, classes, pool=kind),
        },
        choice=Derived(lambda option: option if option == BARE else "conv", pool),
    )


def _of(kinds: Sequence[str], stride: int) -> tuple[str, ...]:
    """The kinds of a stage with that stride: where the map stays as large as it is, nothing is
    pooled."""
    return tuple(
        dict.fromkeys("conv" if kind == "pooled" and stride == 1 else kind for kind in kinds)
    )


def _finer(widths: tuple[int, ...]) -> tuple[int, ...]:
    """With a width between any two that lie eight apart or more: the weights of dense blocks go
    with its square."""
    return _between(widths, lambda low, high: high - low >= 8)


def _fine(widths: tuple[int, ...]) -> tuple[int, ...]:
    """The same, and between those of 32 on that are still a fifth or more apart: what is made by
    hand for a budget is then in the space nearly as it is."""
    return _between(_finer(widths), lambda low, high: low >= 32 and high >= 1.2 * low)


def _between(widths: tuple[int, ...], wide: Callable[[int, int], bool]) -> tuple[int, ...]:
    more = {(low + high) // 8 * 4 for low, high in itertools.pairwise(widths) if wide(low, high)}
    return tuple(sorted({*widths, *more}))


def _sizes(kernels: tuple[int, ...]) -> Sizes:
    return Sizes(kernels, _EXPAND, tuple(k for k in kernels if k <= _FUSED_KERNEL), _FUSED_EXPAND)


def _late(stage: int, layout: _Layout) -> bool:
    return 2 * stage > len(layout.stages) + 2


def _activation(stage: int, layout: _Layout) -> Activation:
    return nn.Hardswish if _late(stage, layout) else nn.ReLU


def by_hand(
    classes: int,
    channels: int,
    size: int,
    *,
    kind: str,
    depth: int,
    width: float,
    head: int,
    first: int = 1,
) -> nn.Sequential:
    """A network of the family with nothing left to decide: (B, channels, size, size) -> (B,
    classes).

    Blocks of one `kind`, `depth` in each stage and `first` at the stem's resolution, all widths
    times `width`, `head` channels before pooling (0: those of the last block); kernel 3, expansion
    4 (inverted) or 2 (fused).
    Squeeze-excite in the second half of the stages of inverted residuals, as in MobileNetV3.
    """
    check_inputs(classes, channels, size)
    layout, sizes, ends = _layout(size), Sizes((3,), (4,)), _ends(channels, kind, width)
    inputs: int = max(4, round(ends["stem.width"]))
    model = nn.Sequential()
    model.add_module("stem", _stem(channels, inputs, layout, ends["stem.block"]))
    model.add_module(
        "stage1",
        stage(
            "stage1",
            inputs,
            Plan(
                inputs,
                1,
                nn.ReLU,
                False,
                depth=first,
                kinds=_of((kind,), 1),
                sizes=sizes,
                same=True,
            ),
        ),
    )
    for i, (stride, base) in enumerate(_bases(layout, kind), start=2):
        outputs, se = max(4, round(base * width)), kind == "inverted" and _late(i, layout)
        plan = Plan(
            outputs,
            stride,
            _activation(i, layout),
            se,
            depth=depth,
            kinds=_of((kind,), stride),
            sizes=sizes,
        )
        model.add_module(f"stage{i}", stage(f"stage{i}", inputs, plan))
        inputs = outputs
    model.add_module("head", classifier(inputs, head or None, classes, pool=ends["head.pool"]))
    return model


def head_by_hand(kind: str, width: float) -> int:
    """Channels of the 1 x 1 convolution before the pooling of a hand-made network, at a width
    multiplier.

    0, none, behind pooled blocks: where images are seen once or twice it costs accuracy, later it
    gains none (results head-of-few-passes, stem-cifar10-500-head291).
    """
    return 0 if kind == "pooled" else max(8, round(_HEAD_BY_HAND * width))


def _ends(channels: int, kind: str, width: float) -> dict[str, Any]:
    """How a hand-made network of that kind begins and ends: what is pooled, with whitened patches
    and the largest values.

    The patches have two filters for each direction, however wide the network is.
    """
    if kind == "pooled":
        return {"stem.block": "patches", "stem.width": 8 * channels, "head.pool": "max"}
    return {"stem.block": "conv", "stem.width": _STEM[1] * width, "head.pool": "mean"}


def _bases(layout: _Layout, kind: str) -> list[tuple[int, int]]:
    """Stride and width of each stage after the first, of a hand-made network of that kind."""
    widths = tuple(base for _, _, base in layout.stages)
    if kind == "pooled":
        widths = _POOLED.get(len(widths), widths)
    return [(stride, base) for (stride, _, _), base in zip(layout.stages, widths, strict=True)]


def decided_by_hand(
    channels: int, size: int, *, kind: str, depth: int, width: float, head: int, first: int = 1
) -> dict[str, Any]:
    """What `by_hand` decides for such images, by the names of the family; widths as they are, not
    rounded."""
    layout = _layout(size)
    decided: dict[str, Any] = {
        **_ends(channels, kind, width),
        **({"head.width": head} if head else {"head.pool": BARE}),
    }
    for i, (stride, base) in enumerate([(1, _STEM[1]), *_bases(layout, kind)], start=1):
        stage = {
            "block": _of((kind,), stride)[0],
            "depth": depth if i > 1 else first,
            "width": base * width,
            "se": kind == "inverted" and _late(i, layout),
        }
        for b in range(1, depth + 1):
            stage |= {
                f"block{b}.kernel": 3,
                f"block{b}.expand": 4,
                f"block{b}.fused_kernel": 3,
                f"block{b}.fused_expand": 2,
            }
        decided |= {f"stage{i}.{name}": value for name, value in stage.items()}
    return decided


def nearest(space: SearchSpace, decided: Mapping[str, Any]) -> Architecture:
    """The architecture of the family's `space` whose decisions come nearest to these, by ratio
    where they are sizes."""
    given = {
        name: _closest(options, decided[name]) for name, options in space.items() if name in decided
    }
    return space.complete(given, Random(0))


@lru_cache(maxsize=4096, typed=True)
def _closest(options: tuple, value: Any) -> Any:
    """The option nearest to a value: the same word, or the smallest ratio of sizes. The networks of
    one search ask the same a thousand times."""
    if isinstance(value, bool | str):
        return min(options, key=lambda option: option != value)
    return min(options, key=lambda option: abs(math.log(max(option, 0.5) / max(value, 0.5))))
