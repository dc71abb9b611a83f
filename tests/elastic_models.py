"""The models that the laws are tested on, and a way to make every tensor of theirs tell."""

from __future__ import annotations

import operator
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from archsmith.elastic import (
    Attention,
    BatchNorm2d,
    Choice,
    Concat,
    Conv2d,
    ConvTranspose2d,
    Derived,
    Embedding,
    GroupNorm,
    LayerNorm,
    Linear,
    OneOf,
    Parallel,
    Repeat,
    Resize,
    SqueezeExcite,
)
from archsmith.elastic.views import with_views
from archsmith.space import largest, make_divisible
from archsmith.spaces.convnet import convnet
from archsmith.spaces.darts import darts
from archsmith.spaces.mobilenet import mobilenet, ofa_mobilenet_v3
from archsmith.spaces.nasbench201 import nasbench201
from archsmith.spaces.nats import nats_size
from archsmith.spaces.oneshot import nasbench1shot1
from archsmith.spaces.transnas import transnas
from archsmith.spaces.vit import Transformer, transformer
from archsmith.spaces.zen import zen


def _half(channels: int) -> int:
    return make_divisible(channels / 2, 2)


def conv(inputs: Any, outputs: Any, kernel: Any = 1, groups: Any = 1) -> nn.Sequential:
    return nn.Sequential(
        Conv2d(inputs, outputs, kernel, padding="same", groups=groups, bias=False),
        BatchNorm2d(outputs),
        nn.ReLU(),
    )


class Joined(nn.Module):
    """Two convolutions of elastic width, concatenated."""

    def __init__(self, inputs: Any, first: Any, second: Any, kernel: Any) -> None:
        super().__init__()
        self.left, self.right = conv(inputs, first, kernel), conv(inputs, second)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.left(x), self.right(x)], dim=1)


class Tangle(nn.Module):
    """Shared choices, one shared across conditional parents, exits, branch masks, nested Derived
    sizes, a concatenation."""

    def __init__(self) -> None:
        super().__init__()
        width, ratio = Choice(4, 6, 8, name="width"), Choice(1, 2, 3, name="ratio")
        kernel = Choice(3, 5, 7, name="kernel")  # under `body` exit 2 and in one option of `mixer`
        middle = Derived(operator.mul, width, ratio)
        squeezed = Derived(_half, middle)  # nested
        second = Choice(2, 4, name="second")
        joined = Concat(width, second)
        self.exit = Choice(1, 2, name="exit")
        self.stem = conv(3, width, 3)
        self.body1 = nn.Sequential(
            conv(width, middle), SqueezeExcite(middle, squeezed), conv(middle, width)
        )
        self.mixer = OneOf(
            {"skip": nn.Identity(), "conv": conv(width, width, kernel, width)},
            choice=Choice("skip", "conv"),
        )
        self.head1 = Linear(width, 5)
        self.body2 = nn.Sequential(
            Joined(width, width, second, kernel),
            BatchNorm2d(joined),
            Parallel(conv(joined, 6), conv(joined, 6, Choice(1, 3)), conv(joined, 6)),
            Repeat(conv(6, 6), conv(6, 6, Choice(3, 5)), depth=Choice(0, 1, 2)),
        )
        self.tokens = nn.Sequential(
            LayerNorm(6), Attention(6, Choice(1, 2, 3, name="heads"), head_width=4)
        )
        self.head2 = nn.Linear(6, 5)

    @property
    def gates(self) -> dict[str, Any]:
        return {
            "head1": (self.exit, (1,)),
            **{name: (self.exit, (2,)) for name in ("body2", "tokens", "head2")},
        }

    def forward(self, x: Tensor) -> Tensor:
        x = self.mixer(self.body1(self.stem(x)))
        if largest(self.exit) == 1:
            return self.head1(x.mean((2, 3)))
        x = self.body2(x).flatten(2).transpose(1, 2)
        return self.head2(self.tokens(x).mean(1))


class Decoder(nn.Module):
    """Down and up again: elastic dilations, groups, transposed convolutions, an embedding of how
    bright it is."""

    def __init__(self) -> None:
        super().__init__()
        width, narrow = Choice(4, 8, 12, name="width"), Choice(2, 4, name="narrow")
        kernel, dilation = Choice(1, 3, 5, name="kernel"), Choice(1, 2, name="dilation")
        self.down = Conv2d(3, width, 3, 2, "same", dilation)
        self.norm = GroupNorm(Derived(lambda c: c // 4, width), width)
        self.deep = ConvTranspose2d(
            width, width, kernel, 1, "same", groups=width, dilation=dilation
        )
        self.groups = GroupNorm(Choice(1, 2, 4, name="groups"), width)
        self.up = ConvTranspose2d(width, narrow, kernel, 2, "same", 1, bias=False)
        self.out = Conv2d(narrow, 3, 1)
        self.levels = Embedding(Choice(3, 5, name="entries"), 3)

    def forward(self, x: Tensor) -> Tensor:
        levels = (torch.sigmoid(x.mean((2, 3))) * 3).long()
        y = torch.relu(self.groups(self.deep(torch.relu(self.norm(self.down(x))))))
        return (self.out(self.up(y)).mean((2, 3))[:, None] + self.levels(levels)).flatten(1)


SIDES = (5, 8, 12)


def sided(first: nn.Module | None = None) -> nn.Sequential:
    """Images resized to a side that is decided, or what `first` makes of them, then convolutions of
    elastic width and number."""
    width = Choice(4, 8, name="width")
    first = Resize(Choice(*SIDES, name="pixels")) if first is None else first
    down = nn.Sequential(Conv2d(width, width, 3, 2, "same"), nn.ReLU())
    parts = {
        "resize": first,
        "stem": conv(3, width, 3),
        "body": Repeat(conv(width, width, Choice(1, 3, name="kernel")), down, depth=Choice(1, 2)),
        "head": nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), Linear(width, 5)),
    }
    return nn.Sequential(OrderedDict(parts))


class Sided(nn.Module):
    """The same in a `forward` of its own, with attention over all places of the map."""

    def __init__(self, first: nn.Module | None = None) -> None:
        super().__init__()
        width = Choice(4, 8, name="width")
        self.resize = Resize(Choice(*SIDES, name="pixels")) if first is None else first
        self.stem = conv(3, width, 3)
        self.attention = Attention(width, Choice(1, 2, name="heads"), head_width=4)
        self.head = Linear(width, 5)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.stem(self.resize(x)).flatten(2).transpose(1, 2)
        return self.head(self.attention(tokens).mean(1))


# with what stands in the place of `Resize`: None for that itself
SIDED: dict[str, Callable[[nn.Module | None], nn.Module]] = {
    "chain": sided,
    "forward": Sided,
    "views": lambda first: with_views(sided(first)),
}

_CLASS_TOKEN = Transformer((8, 12), (1, 2), (1, 2), (1, 1.5), head_width=4, patch=4, reach=1)
_PATCHES_ONLY = Transformer(
    (8, 12, 16), (1, 2, 3), (1, 2), (1, 2), head_width=4, patch=2, class_token=False, reach=None
)

# make, input shape, architectures to try
MODELS: dict[str, tuple[Callable[[], nn.Module], tuple[int, int, int], int]] = {
    "decoder": (Decoder, (3, 8, 6), 14),
    "tangle": (Tangle, (3, 6, 6), 40),
    "sided": (sided, (3, 9, 9), 10),
    "sided-forward": (Sided, (3, 9, 9), 6),
    "convnet-8": (lambda: convnet(10, 1, 8), (1, 8, 8), 8),
    "convnet-96": (lambda: convnet(10, 3, 96), (3, 33, 33), 2),
    "mobilenet-32": (lambda: mobilenet(10, 3, 32), (3, 12, 12), 8),
    "ofa": (lambda: ofa_mobilenet_v3(10), (3, 33, 33), 4),
    "nasbench201": (lambda: nasbench201(10, 3, 9, width=4, cells=1), (3, 9, 9), 20),
    "nats-size": (lambda: nats_size(10, 3, 8), (3, 8, 8), 8),
    "transnas": (lambda: transnas(10, 3, 32, width=4), (3, 32, 32), 5),
    "darts": (lambda: darts(10, 3, 8, width=4, layers=3), (3, 8, 8), 3),
    "nasbench1shot1": (lambda: nasbench1shot1(10, 3, 9, space=2, width=7, cells=1), (3, 9, 9), 8),
    "autoformer": (lambda: transformer(_CLASS_TOKEN, 10, 3, 12), (3, 12, 12), 20),
    "vit": (lambda: transformer(_PATCHES_ONLY, 10, 3, 8), (3, 8, 8), 20),
    "zen": (lambda: zen(10, 3, 16, (8, 16, 24), 2, (1, 2)), (3, 16, 16), 5),
    "zen-se": (lambda: zen(10, 3, 8, (8, 16), 1, (1, 2), se=True, shortcuts=False), (3, 8, 8), 5),
}


def randomized(model: nn.Module, seed: int = 0) -> nn.Module:
    """Every weight, statistic and kernel matrix moved to where a mistake in slicing shows."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.weight.uniform_(0.5, 1.5, generator=generator)
                module.bias.normal_(0, 0.2, generator=generator)
                module.running_mean.normal_(0, 0.2, generator=generator)
                module.running_var.uniform_(0.5, 2, generator=generator)
            for name, parameter in module.named_parameters(recurse=False):
                if name.startswith("to") or name == "bias" or isinstance(module, LayerNorm):
                    parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    return model
