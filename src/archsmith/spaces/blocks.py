"""Blocks of convolutional networks, dense and depthwise, and stages of them that decide kind,
depth, width and kernels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor, nn

from archsmith.elastic import (
    BatchNorm2d,
    Choice,
    Conv2d,
    Derived,
    Linear,
    OneOf,
    Repeat,
    SqueezeExcite,
)
from archsmith.elastic.layer import width as width_of
from archsmith.space import Size, largest, make_divisible

# the largest last, as the options of other decisions
KINDS = ("inverted", "conv", "pooled", "basic", "fused")
Expansion = int | Choice
Activation = type[nn.ReLU] | type[nn.ReLU6] | type[nn.Hardswish] | type[nn.GELU]


@dataclass(frozen=True)
class Convention:
    """What frameworks do differently: `eps` of BatchNorm; `late`: at stride 2 padding stands at the
    end of an image, as TensorFlow's "SAME" has it for even sides, and not on all sides alike."""

    eps: float = 1e-5
    late: bool = False


TORCH, TENSORFLOW = Convention(), Convention(eps=1e-3, late=True)


def middle_width(channels: int, expansion: int) -> int:
    """Channels between expansion and projection: md(round(c_in e))."""
    return make_divisible(round(channels * expansion))


def squeezed_width(middle: int) -> int:
    """Channels inside squeeze-excite: md(mid // 4)."""
    return make_divisible(middle // 4)


def derived(fn: Callable[..., int], *sizes: Any) -> Size:
    """The value where all sizes are plain, else a Derived."""
    return fn(*sizes) if all(isinstance(s, int) for s in sizes) else Derived(fn, *sizes)


def conv_norm_act(
    inputs: Size,
    outputs: Size,
    kernel: int | Choice = 1,
    stride: int = 1,
    groups: Size = 1,
    act: Activation | None = None,
    pool: int = 1,
    convention: Convention = TORCH,
) -> nn.Sequential:
    """Convolution with padding "same", the largest of pool x pool values, BatchNorm, activation;
    children by those names, before them "pad" where the convention is to pad late."""
    layers, late = nn.Sequential(), convention.late and stride == 2
    if late:
        assert isinstance(kernel, int)
        before = (kernel - 2) // 2
        after = kernel - 2 - before
        layers.add_module("pad", nn.ZeroPad2d((before, after, before, after)))
    padding: Any = 0 if late else "same"
    layers.add_module(
        "conv", Conv2d(inputs, outputs, kernel, stride, padding=padding, groups=groups, bias=False)
    )
    if pool > 1:
        layers.add_module("pool", nn.MaxPool2d(pool, pool, ceil_mode=True))
    layers.add_module("norm", BatchNorm2d(outputs, convention.eps))
    if act is not None:
        layers.add_module("act", activation(act))
    return layers


def activation(act: Activation) -> nn.Module:
    """In place where it can be."""
    return act() if act is nn.GELU else act(inplace=True)  # type: ignore[call-arg]


class InvertedResidual(nn.Module):
    """Expand 1 x 1, depthwise k x k, squeeze-excite where `se`, project 1 x 1 (Howard et al., ICCV
    2019), plus the input.

    (B, inputs, H, W) -> (B, outputs, H / stride, W / stride). `expand=None`: no expansion
    convolution. `fused`: one dense k x k convolution in place of expansion and depthwise one (Tan
    and Le, ICML 2021). `shortcut` says whether the input is added.
    """

    def __init__(
        self,
        inputs: Size,
        outputs: Size,
        kernel: int | Choice,
        expand: Expansion | None,
        stride: int,
        act: Activation,
        se: bool | Choice,
        shortcut: bool,
        fused: bool = False,
        convention: Convention = TORCH,
    ) -> None:
        super().__init__()
        assert not shortcut or (stride == 1 and inputs is outputs) or inputs == outputs
        self.se, self.shortcut = se, shortcut
        middle = inputs if expand is None else derived(middle_width, inputs, expand)
        made = partial(conv_norm_act, convention=convention)
        if fused:
            self.expand = made(inputs, middle, kernel, stride, act=act)
        else:
            if expand is not None:
                self.expand = made(inputs, middle, act=act)
            self.depthwise = made(middle, middle, kernel, stride, groups=middle, act=act)
        if largest(se):
            self.excite = SqueezeExcite(middle, derived(squeezed_width, middle))
        self.project = made(middle, outputs)

    @property
    def gates(self) -> dict[str, Any]:
        """Squeeze-excite exists where `se` says so."""
        return {"excite": (self.se, (True,))} if "excite" in self._modules else {}

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H / stride, W / stride)."""
        y = self.expand(x) if "expand" in self._modules else x
        y = self.depthwise(y) if "depthwise" in self._modules else y
        if largest(self.se):
            y = self.excite(y)
        y = self.project(y)
        return x + y if self.shortcut else y


class BasicResidual(nn.Module):
    """Two 3 x 3 convolutions and a shortcut, projected by 1 x 1 where the shape changes (He et al.,
    CVPR 2016).

    (B, inputs, H, W) -> (B, outputs, H / stride, W / stride). `shortcut`: input and output have one
    shape.
    """

    def __init__(
        self, inputs: Size, outputs: Size, stride: int, act: Activation, shortcut: bool
    ) -> None:
        super().__init__()
        self.first = conv_norm_act(inputs, outputs, 3, stride, act=act)
        self.second = conv_norm_act(outputs, outputs, 3)
        self.shortcut = nn.Identity() if shortcut else conv_norm_act(inputs, outputs, 1, stride)
        self.act = activation(act)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H / stride, W / stride)."""
        return self.act(self.shortcut(x) + self.second(self.first(x)))


class PlainConv(nn.Module):
    """One 3 x 3 convolution; the input is added where the shape allows, which can be folded into it
    (Ding et al., CVPR 2021).

    (B, inputs, H, W) -> (B, outputs, H / stride, W / stride). `pooled`: the convolution sees the
    whole map and the largest of stride x stride values goes on (Jordan, 2024), where else it skips.
    """

    def __init__(
        self,
        inputs: Size,
        outputs: Size,
        stride: int,
        act: Activation,
        shortcut: bool,
        pooled: bool = False,
    ) -> None:
        super().__init__()
        self.shortcut = shortcut
        self.body = conv_norm_act(
            inputs, outputs, 3, 1 if pooled else stride, pool=stride if pooled else 1
        )
        self.act = activation(act)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H / stride, W / stride)."""
        y = self.body(x)
        return self.act(x + y if self.shortcut else y)


class Stage(nn.Module):
    """Blocks of one kind or another; nothing at all where `depth` is 0, and then its kind is no
    decision."""

    def __init__(self, blocks: nn.Module, depth: Size) -> None:
        super().__init__()
        self.depth, self.blocks = depth, blocks

    @property
    def gates(self) -> dict[str, Any]:
        """The blocks exist where there are any."""
        return {
            "blocks": (
                self.depth,
                tuple(d for d in getattr(self.depth, "options", (self.depth,)) if d),
            )
        }

    def plain(self, children: dict[str, nn.Module]) -> nn.Module:
        """The blocks themselves."""
        return children.get("blocks", nn.Sequential())

    def forward(self, x: Tensor) -> Tensor:
        """The input through the blocks."""
        return self.blocks(x) if largest(self.depth) else x


def patches(inputs: int, outputs: Size, stride: int) -> nn.Sequential:
    """A stem that looks at patches of 2 x 2: (B, inputs, H, W) -> (B, outputs, H / stride, W /
    stride), rounded up.

    No BatchNorm: it begins with filters that whiten (`training.whiten`), two for each of the 4 x
    inputs directions of a patch (K. Jordan, 94% on CIFAR-10 in 3.29 seconds on a single GPU, 2024;
    there without padding).
    """
    layers = nn.Sequential()
    layers.add_module("pad", nn.ZeroPad2d((0, 1, 0, 1)))
    layers.add_module("conv", Conv2d(inputs, outputs, 2, stride))
    layers.add_module("act", nn.GELU())
    return layers


class LargestThird(nn.Module):
    """A third of the largest value of each map: (B, C, H, W) -> (B, C, 1, 1).

    What is largest of a map stands out; by a third of it the classifier begins about as calm as by
    the mean (Jordan, 2024, scales the outputs).
    """

    def __init__(self) -> None:
        super().__init__()
        self.largest = nn.AdaptiveMaxPool2d(1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, 1, 1)."""
        return self.largest(x) / 3


_POOLS: dict[str, Callable[[], nn.Module]] = {
    "mean": lambda: nn.AdaptiveAvgPool2d(1),
    "max": LargestThird,
}
POOLS = tuple(_POOLS)


def pooling(kind: str | Choice | Derived) -> nn.Module:
    """What is left of each map (B, C, H, W) -> (B, C, 1, 1): its mean, or a third of its largest
    value; or either."""
    if isinstance(kind, Choice | Derived):
        return OneOf({option: _POOLS[option]() for option in kind.options}, choice=kind)
    return _POOLS[kind]()


def classifier(
    inputs: Size,
    features: Size | None,
    classes: int,
    dense: int | None = None,
    dropout: float = 0.0,
    *,
    pool: str | Choice | Derived = "mean",
) -> nn.Sequential:
    """1 x 1 convolution, pooling, for OFA one more dense layer, the classifier; no `features`: the
    maps are pooled as they come."""
    layers = nn.Sequential()
    if features is None:
        features = inputs
    else:
        layers = conv_norm_act(inputs, features, act=nn.Hardswish)
    layers.add_module("pool", pooling(pool))
    layers.add_module("flatten", nn.Flatten())
    if dense is not None:
        layers.add_module("dense", Linear(features, dense, bias=False))
        layers.add_module("dense_act", nn.Hardswish(inplace=True))
    if dropout > 0:
        layers.add_module("dropout", nn.Dropout(dropout))
    layers.add_module("classifier", Linear(features if dense is None else dense, classes))
    return layers


# -- stages --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sizes:
    """Kernels and expansions that each block chooses from: of inverted residuals, and of fused
    ones."""

    kernel: tuple[int, ...]
    expand: tuple[int, ...]
    fused_kernel: tuple[int, ...] = (3,)
    fused_expand: tuple[int, ...] = (2,)


@dataclass(frozen=True)
class Plan:
    """Blocks of one width: the first has the stride and no shortcut, unless `same`, where all keep
    the incoming width.

    `kinds` to choose among; `se` is of inverted and fused residuals.
    """

    width: Size
    stride: int
    act: Activation
    se: bool | Choice
    depth: int | Choice
    kinds: tuple[str, ...]
    sizes: Sizes
    same: bool = False


def _choice(options: tuple[int, ...], name: str) -> int | Choice:
    return options[0] if len(options) == 1 else Choice(*options, name=name)


def stage(name: str, inputs: Size, plan: Plan) -> nn.Module:
    """The blocks of a stage, of its one kind or in each of its kinds; what the kinds share is one
    decision."""
    kinds = {kind: _repeat(name, inputs, plan, kind) for kind in plan.kinds}
    if len(kinds) == 1:
        return kinds[plan.kinds[0]]
    return Stage(OneOf(kinds, choice=Choice(*plan.kinds, name=f"{name}.block")), plan.depth)


def _repeat(name: str, inputs: Size, plan: Plan, kind: str) -> Repeat:
    blocks = {}
    for i in range(1, width_of(plan.depth) + 1):
        first = i == 1 and not plan.same
        incoming, stride = (inputs, plan.stride) if first else (plan.width, 1)
        blocks[f"block{i}"] = _BLOCKS[kind](
            f"{name}.block{i}", plan, incoming, stride, shortcut=not first
        )
    return Repeat(blocks, depth=plan.depth)


def _inverted(name: str, plan: Plan, inputs: Size, stride: int, *, shortcut: bool) -> nn.Module:
    kernel, expand = (
        _choice(plan.sizes.kernel, f"{name}.kernel"),
        _choice(plan.sizes.expand, f"{name}.expand"),
    )
    return InvertedResidual(
        inputs,
        plan.width,
        kernel,
        expand,
        stride=stride,
        act=plan.act,
        se=plan.se,
        shortcut=shortcut,
    )


def _fused(name: str, plan: Plan, inputs: Size, stride: int, *, shortcut: bool) -> nn.Module:
    kernel = _choice(plan.sizes.fused_kernel, f"{name}.fused_kernel")
    expand = _choice(plan.sizes.fused_expand, f"{name}.fused_expand")
    return InvertedResidual(
        inputs,
        plan.width,
        kernel,
        expand,
        stride=stride,
        act=plan.act,
        se=plan.se,
        shortcut=shortcut,
        fused=True,
    )


def _basic(name: str, plan: Plan, inputs: Size, stride: int, *, shortcut: bool) -> nn.Module:
    return BasicResidual(inputs, plan.width, stride, nn.ReLU, shortcut=shortcut)


def _conv(name: str, plan: Plan, inputs: Size, stride: int, *, shortcut: bool) -> nn.Module:
    return PlainConv(inputs, plan.width, stride, nn.ReLU, shortcut=shortcut)


def _pooled(name: str, plan: Plan, inputs: Size, stride: int, *, shortcut: bool) -> nn.Module:
    """Without shortcuts: its convolutions begin as the identity (`training.identity`), which learns
    faster."""
    return PlainConv(inputs, plan.width, stride, nn.GELU, shortcut=False, pooled=True)


_BLOCKS: dict[str, Callable[..., nn.Module]] = {
    "inverted": _inverted,
    "fused": _fused,
    "basic": _basic,
    "conv": _conv,
    "pooled": _pooled,
}
