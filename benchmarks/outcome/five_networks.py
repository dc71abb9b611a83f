"""Five plain networks in stock layers for images of 32 pixels, 8 to 20 M MACs: residual, inverted
residual, VGG's, ConvNeXt's, and a pooled stack.

Functions of `classes` and `channels`, as `archsmith shrink five_networks.py:NAME` takes them. The
forms are those of He and others (2016), Sandler and others (2018), Simonyan and Zisserman (2015),
and Liu and others (2022, without the scale of each block), narrow enough to be trained in minutes
on one thread.
"""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn


def resnet(classes: int = 10, channels: int = 3) -> nn.Module:
    """ResNet-18's four stages of two basic blocks, after a stem that keeps the side."""
    width = 12
    layers: list[nn.Module] = [*_conv(channels, width), nn.ReLU()]
    inputs = width
    for stage in range(4):
        outputs = width * 2**stage
        blocks = [Basic(inputs, outputs, 2 if stage else 1), Basic(outputs, outputs, 1)]
        layers.append(nn.Sequential(*blocks))
        inputs = outputs
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, classes))


class Basic(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first, self.second = _conv(inputs, outputs, stride), _conv(outputs, outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or inputs != outputs:
            self.shortcut = _conv(inputs, outputs, stride, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H / stride, W / stride)."""
        return F.relu(self.shortcut(x) + self.second(F.relu(self.first(x))))


def mobilenet(classes: int = 10, channels: int = 3) -> nn.Module:
    """MobileNetV2's inverted residuals; the side is halved three times."""
    layers: list[nn.Module] = [*_conv(channels, 16), nn.ReLU6()]
    inputs = 16
    for expand, outputs, blocks, stride in _INVERTED:
        made = [
            Inverted(outputs if block else inputs, outputs, 1 if block else stride, expand)
            for block in range(blocks)
        ]
        layers.append(nn.Sequential(*made))
        inputs = outputs
    layers += [*_conv(inputs, 256, 1, 1), nn.ReLU6()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(256, classes))


# times as wide inside, channels, blocks, stride of the first
_INVERTED = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 3, 2), (6, 96, 2, 1))


class Inverted(nn.Module):
    """Wide, depthwise, narrow again; added to what came in where that has the same form."""

    def __init__(self, inputs: int, outputs: int, stride: int, expand: int) -> None:
        super().__init__()
        middle = expand * inputs
        layers: list[nn.Module] = [] if expand == 1 else [*_conv(inputs, middle, 1, 1), nn.ReLU6()]
        layers += [*_conv(middle, middle, stride, 3, middle), nn.ReLU6()]
        self.body = nn.Sequential(*layers, *_conv(middle, outputs, 1, 1))
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H / stride, W / stride)."""
        return x + self.body(x) if self.adds else self.body(x)


def vgg(classes: int = 10, channels: int = 3) -> nn.Module:
    """Pairs of 3 x 3 convolutions, pooled; a hidden layer before the last."""
    layers: list[nn.Module] = []
    inputs = channels
    for outputs in (16, 32, 64, 128):
        layers += [*_conv(inputs, outputs), nn.ReLU(), *_conv(outputs, outputs), nn.ReLU()]
        layers.append(nn.MaxPool2d(2))
        inputs = outputs
    head = [nn.Flatten(), nn.Linear(4 * inputs, 128), nn.ReLU(), nn.Linear(128, classes)]
    return nn.Sequential(*layers, *head)


def convnext(classes: int = 10, channels: int = 3) -> nn.Module:
    """Patches of two pixels, three stages of 7 x 7 depthwise blocks."""
    widths = (32, 64, 128)
    layers: list[nn.Module] = [nn.Conv2d(channels, widths[0], 2, 2)]
    for stage, width in enumerate(widths):
        if stage:
            layers += [Norm(widths[stage - 1]), nn.Conv2d(widths[stage - 1], width, 2, 2)]
        layers.append(nn.Sequential(Next(width), Next(width)))
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LayerNorm(width), nn.Linear(width, classes)]
    return nn.Sequential(*layers, *head)


class Norm(nn.Module):
    """LayerNorm over the channels of maps."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) -> the same."""
        return self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Next(nn.Module):
    """A depthwise 7 x 7 convolution, then two linear layers at each place."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width)
        self.wide, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) -> the same."""
        y = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        return x + self.narrow(F.gelu(self.wide(y))).permute(0, 3, 1, 2)


def stack(classes: int = 10, channels: int = 3) -> nn.Module:
    """Patches of 2 x 2 pixels, pairs of convolutions of which the first is pooled, GELU, the
    largest value of the last maps."""
    layers: list[nn.Module] = [nn.Conv2d(channels, 24, 2), nn.GELU()]
    inputs = 24
    for outputs in (16, 48, 64):
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.MaxPool2d(2)]
        layers += [nn.BatchNorm2d(outputs), nn.GELU(), *_conv(outputs, outputs), nn.GELU()]
        inputs = outputs
    return nn.Sequential(*layers, nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(inputs, classes))


def _conv(
    inputs: int, outputs: int, stride: int = 1, kernel: int = 3, groups: int = 1
) -> nn.Sequential:
    padding = kernel // 2
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    )


FIVE: dict[str, Callable[..., nn.Module]] = {
    "resnet": resnet,
    "mobilenet": mobilenet,
    "vgg": vgg,
    "convnext": convnext,
    "stack": stack,
}
