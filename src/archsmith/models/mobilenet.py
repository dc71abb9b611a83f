"""MobileNetV3 spaces: the Once-For-All space exactly, and a family with elastic widths for images of any size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from archsmith.elastic import BatchNorm2d, Choice, Conv2d, Derived, Linear, Repeat, SqueezeExcite
from archsmith.elastic.layer import width as width_of
from archsmith.models.inputs import check_inputs
from archsmith.space import Size, largest, make_divisible

Expansion = int | Choice
Activation = type[nn.ReLU] | type[nn.ReLU6] | type[nn.Hardswish]


def _middle(channels: int, expansion: int) -> int:
    """Channels between expansion and projection: md(round(c_in e))."""
    return make_divisible(round(channels * expansion))


def _squeezed(middle: int) -> int:
    """Channels inside squeeze-excite: md(mid // 4)."""
    return make_divisible(middle // 4)


def _derived(fn: Callable[..., int], *sizes: Any) -> Size:
    return fn(*sizes) if all(isinstance(s, int) for s in sizes) else Derived(fn, *sizes)


def conv_norm_act(
    inputs: Size, outputs: Size, kernel: int | Choice = 1, stride: int = 1, groups: Size = 1, act: Activation | None = None
) -> nn.Sequential:
    """Convolution with padding "same", BatchNorm, activation: children `conv`, `norm`, `act`."""
    layers = nn.Sequential()
    layers.add_module("conv", Conv2d(inputs, outputs, kernel, stride, padding="same", groups=groups, bias=False))
    layers.add_module("norm", BatchNorm2d(outputs))
    if act is not None:
        layers.add_module("act", act(inplace=True))
    return layers


class InvertedResidual(nn.Module):
    """Expand 1 x 1, depthwise k x k, squeeze-excite where `se`, project 1 x 1 (Howard et al., ICCV 2019), plus the input.

    (B, inputs, H, W) -> (B, outputs, H / stride, W / stride). `expand=None`: no expansion
    convolution. `shortcut` says whether the input is added.
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
    ) -> None:
        super().__init__()
        assert not shortcut or (stride == 1 and inputs is outputs) or inputs == outputs
        self.se, self.shortcut = se, shortcut
        middle = inputs if expand is None else _derived(_middle, inputs, expand)
        if expand is not None:
            self.expand = conv_norm_act(inputs, middle, act=act)
        self.depthwise = conv_norm_act(middle, middle, kernel, stride, groups=middle, act=act)
        if largest(se):
            self.excite = SqueezeExcite(middle, _derived(_squeezed, middle))
        self.project = conv_norm_act(middle, outputs)

    @property
    def gates(self) -> dict[str, Any]:
        """Squeeze-excite exists where `se` says so."""
        return {"excite": (self.se, (True,))} if "excite" in self._modules else {}

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H / stride, W / stride)."""
        y = self.expand(x) if "expand" in self._modules else x
        y = self.depthwise(y)
        if largest(self.se):
            y = self.excite(y)
        y = self.project(y)
        return x + y if self.shortcut else y


@dataclass(frozen=True)
class _Stage:
    """Blocks of one width: the first has the stride and no shortcut, unless `same`, where all keep the incoming width."""

    width: Size
    stride: int
    act: Activation
    se: bool | Choice
    depth: int | Choice
    kernel: tuple[int, ...]
    expand: tuple[int, ...]
    same: bool = False


def _choice(options: tuple[int, ...], name: str) -> int | Choice:
    return options[0] if len(options) == 1 else Choice(*options, name=name)


def _repeat(name: str, inputs: Size, stage: _Stage) -> Repeat:
    blocks: dict[str, nn.Module] = {}
    for i in range(1, width_of(stage.depth) + 1):
        first = i == 1 and not stage.same
        blocks[f"block{i}"] = InvertedResidual(
            inputs if first else stage.width,
            stage.width,
            _choice(stage.kernel, f"{name}.block{i}.kernel"),
            _choice(stage.expand, f"{name}.block{i}.expand"),
            stage.stride if first else 1,
            stage.act,
            stage.se,
            shortcut=not first,
        )
    return Repeat(blocks, depth=stage.depth)


def _head(inputs: Size, features: Size, classes: int, dense: int | None = None, dropout: float = 0.0) -> nn.Sequential:
    """1 x 1 convolution, pooling, for OFA one more dense layer, the classifier."""
    head = conv_norm_act(inputs, features, act=nn.Hardswish)
    head.add_module("pool", nn.AdaptiveAvgPool2d(1))
    head.add_module("flatten", nn.Flatten())
    if dense is not None:
        head.add_module("dense", Linear(features, dense, bias=False))
        head.add_module("dense_act", nn.Hardswish(inplace=True))
    if dropout > 0:
        head.add_module("dropout", nn.Dropout(dropout))
    head.add_module("classifier", Linear(features if dense is None else dense, classes))
    return head


# -- Once-For-All -----------------------------------------------------------------------------------------------------------


def ofa_mobilenet_v3(classes: int = 1000, channels: int = 3, size: int = 224, width: float = 1.0) -> nn.Sequential:
    """The Once-For-All space (Cai et al., ICLR 2020): kernel 3/5/7 and expansion 3/4/6 per block, depth 2/3/4 per stage.

    7371^5 = 2.2e19 architectures. (B, channels, size, size) -> (B, classes). `width` scales all channels.
    """
    check_inputs(classes, channels, size)
    stem, *widths, features = (make_divisible(c * width) for c in (16, 24, 40, 80, 112, 160, 960))
    strides, excited = (2, 2, 2, 1, 2), (False, True, False, True, True)
    model = nn.Sequential()
    model.add_module("stem", conv_norm_act(channels, stem, 3, stride=2, act=nn.Hardswish))
    first = InvertedResidual(stem, stem, 3, None, 1, nn.ReLU, False, shortcut=True)
    model.add_module("first", Repeat({"block1": first}))
    inputs = stem
    for i, (outputs, stride, se) in enumerate(zip(widths, strides, excited, strict=True), start=1):
        depth = Choice(2, 3, 4, name=f"stage{i}.depth")
        stage = _Stage(outputs, stride, nn.ReLU if i < 3 else nn.Hardswish, se, depth, (3, 5, 7), (3, 4, 6))
        model.add_module(f"stage{i}", _repeat(f"stage{i}", inputs, stage))
        inputs = outputs
    model.add_module("head", _head(inputs, features, classes, make_divisible(1280 * width), dropout=0.1))
    return model


def ofa_w10(classes: int = 1000, channels: int = 3, size: int = 224) -> nn.Sequential:
    """`ofa_mobilenet_v3` of width 1.0."""
    return ofa_mobilenet_v3(classes, channels, size, 1.0)


def ofa_w12(classes: int = 1000, channels: int = 3, size: int = 224) -> nn.Sequential:
    """`ofa_mobilenet_v3` of width 1.2."""
    return ofa_mobilenet_v3(classes, channels, size, 1.2)


# -- the family for images of any size --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Layout:
    """What the image size decides. Stages after the first: stride, widths to choose from, the reference's width."""

    stem_stride: int
    kernels: tuple[int, ...]
    stages: tuple[tuple[int, tuple[int, ...], int], ...]


_STEM = ((8, 12, 16, 24, 32, 48), 16)
_HEAD = (32, 48, 64, 96, 128, 192, 256, 384, 512)
_EXPAND = (2, 3, 4, 6)
_NARROW, _MEDIUM = (12, 16, 24, 32, 48, 64, 96), (16, 24, 32, 48, 64, 96, 160)
_WIDE, _WIDEST = (32, 48, 64, 96, 128, 192, 256), (48, 64, 96, 128, 192, 256, 320)


def _layout(size: int) -> _Layout:
    """Maps end at 2 to 4 pixels below 65; from there on strides are those of Once-For-All."""
    if size <= 12:  # 8 -> 4 -> 2
        return _Layout(1, (3, 5), ((2, (12, 16, 24, 32, 48, 64), 24), (2, (16, 24, 32, 48, 64, 96), 48)))
    if size <= 20:  # 16 -> 8 -> 4 -> 4
        return _Layout(1, (3, 5), ((2, _NARROW, 24), (2, _MEDIUM, 48), (1, _WIDE, 96)))
    if size <= 48:  # 32 -> 16 -> 8 -> 4
        return _Layout(1, (3, 5), ((2, _NARROW, 24), (2, _MEDIUM, 48), (2, _WIDE, 96)))
    if size <= 64:  # 64 -> 32 -> 16 -> 8 -> 4
        return _Layout(1, (3, 5), ((2, _NARROW, 24), (2, _MEDIUM, 40), (2, _WIDE, 80), (2, _WIDEST, 160)))
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


def mobilenet(classes: int, channels: int = 3, size: int = 32) -> nn.Sequential:
    """The MobileNetV3 family for square images of `size` pixels: (B, channels, size, size) -> (B, classes).

    Decisions: `stem.width`, `head.width`, per stage `depth`, `width`, `se` (squeeze-excite), per block `kernel`, `expand`.
    Stage 1 keeps the stem's width and resolution and may be empty. Below 65 pixels the stem has stride 1 and the later stages
    halve the map; from there on stem and stages reduce as in Once-For-All. ReLU in the first stages, h-swish in the last.
    """
    check_inputs(classes, channels, size)
    layout = _layout(size)
    inputs: Size = Choice(*_STEM[0], name="stem.width")
    model = nn.Sequential()
    model.add_module("stem", conv_norm_act(channels, inputs, 3, layout.stem_stride, act=nn.Hardswish))
    pixels = -(-size // layout.stem_stride)
    stage = _Stage(inputs, 1, nn.ReLU, False, Choice(0, 1, 2, 3, name="stage1.depth"), layout.kernels, _EXPAND, same=True)
    model.add_module("stage1", _repeat("stage1", inputs, stage))
    for i, (stride, widths, _) in enumerate(layout.stages, start=2):
        pixels = -(-pixels // stride)
        name = f"stage{i}"
        outputs = Choice(*widths, name=f"{name}.width")
        act: Activation = nn.ReLU if 2 * i <= len(layout.stages) + 2 else nn.Hardswish
        kernels = tuple(k for k in layout.kernels if k <= 3 or k // 2 < pixels - 1)  # the rest only sees padding
        se, depth = Choice(False, True, name=f"{name}.se"), Choice(1, 2, 3, 4, name=f"{name}.depth")
        model.add_module(name, _repeat(name, inputs, _Stage(outputs, stride, act, se, depth, kernels, _EXPAND)))
        inputs = outputs
    model.add_module("head", _head(inputs, Choice(*_HEAD, name="head.width"), classes))
    return model


def fixed_mobilenet(classes: int, channels: int, size: int, depth: int, width: float, head: int) -> nn.Sequential:
    """A network of the family with nothing left to decide: kernel 3, expansion 4, `depth` blocks a stage, widths times `width`.

    Squeeze-excite in the second half of the stages, as in MobileNetV3. (B, channels, size, size) -> (B, classes).
    """
    check_inputs(classes, channels, size)
    layout = _layout(size)
    inputs = max(4, round(_STEM[1] * width))
    model = nn.Sequential()
    model.add_module("stem", conv_norm_act(channels, inputs, 3, layout.stem_stride, act=nn.Hardswish))
    model.add_module("stage1", _repeat("stage1", inputs, _Stage(inputs, 1, nn.ReLU, False, 1, (3,), (4,), same=True)))
    for i, (stride, _, base) in enumerate(layout.stages, start=2):
        late = 2 * i > len(layout.stages) + 2
        outputs = max(4, round(base * width))
        stage = _Stage(outputs, stride, nn.Hardswish if late else nn.ReLU, late, depth, (3,), (4,))
        model.add_module(f"stage{i}", _repeat(f"stage{i}", inputs, stage))
        inputs = outputs
    model.add_module("head", _head(inputs, head, classes))
    return model
