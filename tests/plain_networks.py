"""Plain networks for the export tests: shortcuts, squeeze-excite, attention, and some that are hard
to write down."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Excite(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.reduce = nn.Conv2d(width, 8, 1)
        self.act = nn.ReLU(inplace=True)
        self.expand = nn.Conv2d(8, width, 1)
        self.gate = nn.Hardsigmoid(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(self.expand(self.act(self.reduce(self.pool(x)))))


def conv(
    inputs: int,
    outputs: int,
    kernel: int = 1,
    stride: int = 1,
    groups: int = 1,
    act: nn.Module | None = None,
) -> nn.Sequential:
    layers = OrderedDict(
        conv=nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        norm=nn.BatchNorm2d(outputs),
    )
    return nn.Sequential(layers if act is None else OrderedDict(layers, act=act))


class Block(nn.Module):
    def __init__(
        self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1, excite: bool = False
    ) -> None:
        super().__init__()
        middle = 2 * inputs
        self.expand = conv(inputs, middle, act=nn.Hardswish(inplace=True))
        self.depthwise = conv(
            middle, middle, kernel, stride, middle, act=nn.Hardswish(inplace=True)
        )
        self.excite = Excite(middle) if excite else None
        self.project = conv(middle, outputs)
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y = self.depthwise(self.expand(x))
        if self.excite is not None:
            y = self.excite(y)
        y = self.project(y)
        return x + y if self.shortcut else y


def chain(channels: int = 3, classes: int = 5) -> nn.Sequential:
    """stem, two stages of named blocks, head: the shape of the networks that the search finds."""
    return nn.Sequential(
        OrderedDict(
            stem=conv(channels, 8, 3, act=nn.ReLU(inplace=True)),
            stage1=nn.Sequential(OrderedDict(block1=Block(8, 8), block2=Block(8, 8, 5))),
            stage2=nn.Sequential(OrderedDict(block1=Block(8, 12, 3, 2, excite=True))),
            stage3=nn.Sequential(),
            head=nn.Sequential(
                OrderedDict(
                    pool=nn.AdaptiveAvgPool2d(1),
                    flatten=nn.Flatten(),
                    dropout=nn.Dropout(0.1),
                    out=nn.Linear(12, classes),
                )
            ),
        )
    )


class Tokens(nn.Module):
    """Attention, a learned tensor, sizes read from the input, concatenation, functions instead of
    layers."""

    def __init__(self, classes: int = 5) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 16, 4, 4)
        self.place = nn.Parameter(torch.randn(1, 16, 16))
        self.register_buffer("scale", torch.full((16,), 1.5))
        self.norm = nn.LayerNorm(16)
        self.mix = nn.ModuleList([nn.Linear(16, 16), nn.Linear(16, 16, bias=False)])
        self.lambda_ = nn.GELU()
        self.out = nn.Linear(32, classes)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patch(x).flatten(2).transpose(1, 2)
        tokens = self.norm(tokens + self.place) * self.scale
        q, k = (layer(tokens).unflatten(-1, (2, 8)).transpose(1, 2) for layer in self.mix)
        mixed = (
            F.scaled_dot_product_attention(q, k, k).transpose(1, 2).reshape(tokens.shape[0], -1, 16)
        )
        left, right = (
            (tokens + mixed).mean(1),
            F.relu(tokens.amax(dim=1)) - (1 - self.lambda_(mixed[:, 0])) / 2,
        )
        return self.out(torch.cat([left, right], dim=-1))


class Upwards(nn.Module):
    """Down and up again as decoders do: group norms, dilation, transposed convolutions, an
    embedding of how bright it is."""

    def __init__(self, classes: int = 5) -> None:
        super().__init__()
        self.down = nn.Sequential(
            nn.Conv2d(3, 8, 3, 2, 2, 2), nn.GroupNorm(2, 8, bias=False), nn.ReLU()
        )
        self.up = nn.Sequential(
            nn.ConvTranspose2d(8, 6, 3, (2, 1), 1, (1, 0), dilation=1, bias=False),
            nn.BatchNorm2d(6),
            nn.GroupNorm(3, 6),
        )
        self.wide = nn.ConvTranspose2d(6, 6, 5, 2, 4, 1, 3, True, 2)
        self.norm = nn.GroupNorm(1, 6, affine=False)
        self.levels = nn.Embedding(3, 4, padding_idx=0)
        self.out = nn.Linear(6 + 12, classes)

    def forward(self, x: Tensor) -> Tensor:
        levels = (torch.sigmoid(x.mean((2, 3))) * 3).long()
        maps = self.norm(self.wide(self.up(self.down(x))))
        return self.out(torch.cat([maps.mean((2, 3)), self.levels(levels).flatten(1)], dim=1))


class Moody(nn.Module):
    """Its control flow depends on the data."""

    def __init__(self) -> None:
        super().__init__()
        self.out = nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        if x.sum() > 0:
            x = -x
        return self.out(x.mean((2, 3)).repeat(1, 4))


def perturbed(network: nn.Module, seed: int = 0) -> nn.Module:
    """The network in evaluation mode with statistics and weights far from their initial ones, so
    that outputs differ."""
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)
            if module.weight is None:
                continue
            module.weight.data.uniform_(0.5, 1.5, generator=generator)
            module.bias.data.normal_(generator=generator)
        if isinstance(module, nn.Linear):
            module.weight.data.normal_(generator=generator)
    return network.eval()
