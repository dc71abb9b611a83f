"""Plain networks that are put together at random, by a seed: what people write, some of it such
that a width cannot be decided, or the network not be followed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SHAPE = (3, 8, 8)
REFUSED = ("branch", "length", "loop")  # kinds of blocks that cannot be followed


class Plain(nn.Module):
    """A convolution, normalised in one of several ways, or not at all."""

    def __init__(self, inputs: int, outputs: int, rng: Random) -> None:
        super().__init__()
        kernel = rng.choice((1, 3))
        self.conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=rng.random() < 0.5)
        norms: Sequence[Callable[[], nn.Module]] = (
            lambda: nn.BatchNorm2d(outputs),
            lambda: nn.GroupNorm(rng.choice((1, 2, 4)), outputs),
            lambda: nn.InstanceNorm2d(outputs),
            nn.Identity,
        )
        self.norm = rng.choice(norms)()
        self.act = rng.choice((F.relu, F.silu, torch.tanh, F.hardswish))

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.norm(self.conv(x)))


class Around(nn.Module):
    """A body, and its input added, put beside it or multiplied with it."""

    def __init__(self, body: nn.Module, how: str) -> None:
        super().__init__()
        self.body, self.how = body, how

    def forward(self, x: Tensor) -> Tensor:
        y = self.body(x)
        if self.how == "cat":
            return torch.cat((x, y), dim=1)
        return x * torch.sigmoid(y) if self.how == "mul" else y + x


class Grouped(nn.Module):
    def __init__(self, width: int, rng: Random) -> None:
        super().__init__()
        groups = rng.choice((2, 4, width))
        self.conv = nn.Conv2d(width, width, 3, padding=1, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.conv(x))


class Gate(nn.Module):
    """Squeeze-excite, by linear layers or convolutions."""

    def __init__(self, width: int, rng: Random) -> None:
        super().__init__()
        self.linear = rng.random() < 0.5
        layer: Any = nn.Linear if self.linear else (lambda a, b: nn.Conv2d(a, b, 1))
        self.one, self.two = layer(width, width // 2), layer(width // 2, width)

    def forward(self, x: Tensor) -> Tensor:
        y = x.mean((2, 3), keepdim=not self.linear)
        y = torch.sigmoid(self.two(F.relu(self.one(y))))
        return x * (y[:, :, None, None] if self.linear else y)


class Scale(nn.Module):
    """A parameter or buffer of a channel's length, written in one of several ways."""

    def __init__(self, width: int, rng: Random) -> None:
        super().__init__()
        self.how, self.width = rng.choice(("maps", "index", "view", "number", "read", "two")), width
        shape = (1, width, 1, 1) if self.how == "maps" else (width,)
        self.scale = nn.Parameter(torch.rand(shape) + 0.5)
        self.register_buffer("shift", torch.rand(shape))

    def forward(self, x: Tensor) -> Tensor:
        scale, shift = self.scale, self.shift
        if self.how == "index":
            scale, shift = scale[None, :, None, None], shift[:, None, None]
        elif self.how == "view":
            scale, shift = scale.view(1, -1, 1, 1), shift.reshape(-1, 1, 1)
        elif self.how == "number":
            scale, shift = scale.view(1, 16, 1, 1), shift.view(16, 1, 1)
        elif self.how == "read":
            scale, shift = scale.view(1, self.width, 1, 1), shift.view(self.width, 1, 1)
        elif self.how == "two":
            scale = (scale * torch.rsqrt(shift.abs() + 0.5)).unsqueeze(-1).unsqueeze(-1)
            return x * scale
        return x * scale + shift


class Halves(nn.Module):
    """Two halves of what a layer gives: one gates the other, or both are put together again."""

    def __init__(self, width: int, rng: Random) -> None:
        super().__init__()
        self.how, self.half = rng.choice(("gate", "swap", "split", "slice", "read")), width
        self.conv, self.back = nn.Conv2d(width, 2 * width, 1), nn.Conv2d(2 * width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        if self.how == "slice":
            return y[:, : y.shape[1] // 2] * torch.sigmoid(y[:, y.shape[1] // 2 :])
        if self.how == "split":
            one, two = y.split(16, dim=1)
        elif self.how == "read":
            one, two = torch.split(y, self.half, 1)
        else:
            one, two = y.chunk(2, dim=1)
        if self.how == "swap":
            return self.back(torch.cat((two, one), 1))
        return one * torch.sigmoid(two)


class Shuffle(nn.Module):
    def __init__(self, width: int, rng: Random) -> None:
        super().__init__()
        self.groups, self.own = rng.choice((2, 4)), rng.random() < 0.5
        self.module = nn.ChannelShuffle(self.groups)

    def forward(self, x: Tensor) -> Tensor:
        if self.own:
            return self.module(x)
        b, c, h, w = x.shape
        x = x.view(b, self.groups, c // self.groups, h, w).transpose(1, 2)
        return x.reshape(b, c, h, w)


class Attention(nn.Module):
    """Attention over all places, with heads written in one of several ways."""

    def __init__(self, width: int, rng: Random) -> None:
        super().__init__()
        kinds = (
            "width",
            "read",
            "inferred",
            "number",
            "three",
            "chunk",
            "inner",
            "torch",
            "einsum",
        )
        self.how, self.heads = rng.choice(kinds), rng.choice((2, 4))
        self.size = width // self.heads if self.how in ("width", "number") else 4
        inner = self.heads * self.size
        self.norm = nn.LayerNorm(width)
        if self.how == "torch":
            self.whole = nn.MultiheadAttention(width, self.heads, batch_first=True)
        elif self.how in ("three", "einsum"):
            self.q, self.k, self.v = (nn.Linear(width, inner) for _ in range(3))
        else:
            self.qkv = nn.Linear(width, 3 * inner)
        self.out = nn.Linear(width if self.how == "torch" else inner, width)

    def split(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        b, n, c = x.shape
        if self.how in ("three", "einsum"):
            q, k, v = (f(x).view(b, n, self.heads, self.size) for f in (self.q, self.k, self.v))
            return q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
        y = self.qkv(x)
        if self.how == "chunk":
            q, k, v = (part.unflatten(-1, (-1, 4)).transpose(1, 2) for part in y.chunk(3, dim=-1))
            return q, k, v
        if self.how == "inner":  # heads outermost
            q, k, v = y.reshape(b, n, self.heads, 3 * self.size).transpose(1, 2).chunk(3, dim=-1)
            return q, k, v
        if self.how == "width":
            y = y.reshape(b, n, 3, self.heads, c // self.heads)
        elif self.how == "number":
            y = y.reshape(b, n, 3, 4, 4) if self.heads == 4 else y.reshape(b, n, 3, 2, 8)
        else:
            y = y.reshape(b, n, 3, -1 if self.how == "inferred" else self.heads, self.size)
        y = y.permute(2, 0, 3, 1, 4)
        return y[0], y[1], y[2]

    def forward(self, x: Tensor) -> Tensor:
        b, c, h, w = x.shape
        tokens = self.norm(x.flatten(2).transpose(1, 2))
        if self.how == "torch":
            y = self.whole(tokens, tokens, tokens, need_weights=False)[0]
        else:
            q, k, v = self.split(tokens)
            if self.how in ("width", "three"):
                y = F.scaled_dot_product_attention(q, k, v)
            elif self.how == "einsum":
                weights = torch.einsum("bhid,bhjd->bhij", q, k).softmax(-1)
                y = torch.einsum("bhij,bhjd->bhid", weights, v)
            else:
                y = (q @ k.transpose(-2, -1) * self.size**-0.5).softmax(-1) @ v
            y = y.transpose(1, 2)
            y = y.reshape(b, h * w, c) if self.how == "width" else y.flatten(2)
        return x + self.out(y).transpose(1, 2).reshape(b, c, h, w)


class Odd(nn.Module):
    """What keeps a width as it is."""

    def __init__(self, width: int, rng: Random) -> None:
        super().__init__()
        self.how = rng.choice(
            ("prelu", "local", "cumsum", "softmax", "cut", "buffer", "pixels", "hook", "weight")
        )
        self.prelu, self.local = nn.PReLU(width), nn.LocalResponseNorm(3)
        self.register_buffer("fixed", torch.rand(width, 8, 8))
        self.conv, self.weight = nn.Conv2d(width, width, 1), nn.Parameter(torch.eye(width))
        if self.how == "hook":
            self.conv.register_forward_hook(lambda *_: None)

    def forward(self, x: Tensor) -> Tensor:
        if self.how in ("prelu", "local"):
            return self.prelu(x) if self.how == "prelu" else self.local(x)
        if self.how == "cumsum":
            return x.cumsum(1) / 4
        if self.how == "softmax":
            return torch.softmax(x, 1)
        if self.how == "cut":
            return torch.cat((x[:, :8], x[:, 8:]), 1)
        if self.how == "buffer":
            return x + self.fixed[:, : x.shape[2], : x.shape[3]].mean((1, 2), keepdim=True)
        if self.how == "pixels":
            return F.pixel_unshuffle(F.pixel_shuffle(x, 2), 2)
        if self.how == "weight":
            return torch.einsum("bchw,cd->bdhw", x, self.weight).contiguous()
        return self.conv(x)


class Unfollowed(nn.Module):
    """What depends on the numbers in a tensor, or on how many there are."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how

    def forward(self, x: Tensor) -> Tensor:
        if self.how == "branch":
            return x if x.mean() > 0 else -x
        if self.how == "length":
            return x / len(x)
        return torch.stack([image * 2 for image in x])


class Network(nn.Module):
    def __init__(self, blocks: Sequence[nn.Module], width: int, head: str) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.blocks, self.how = nn.Sequential(*blocks), head
        places = 16 if head in ("flatten", "view", "number") else 1
        self.fc1, self.fc2 = nn.Linear(width * places, 24), nn.Linear(24, 5)
        self.width = width

    def forward(self, x: Tensor) -> Tensor:
        x = F.avg_pool2d(self.blocks(self.stem(x)), 2)
        if self.how == "flatten":
            x = x.flatten(1)
        elif self.how == "view":
            x = x.view(x.size(0), -1)
        elif self.how == "number":
            x = x.reshape(-1, self.width * 16)
        else:
            x = x.amax((2, 3)) if self.how == "amax" else x.mean((2, 3))
        return self.fc2(F.relu(self.fc1(x)))


def network(seed: int) -> tuple[Network, str | None]:
    """A network of (B, 3, 8, 8), and the name of the block that cannot be followed, if one is."""
    rng = Random(seed)
    torch.manual_seed(seed)
    width, blocks, refused = 16, list[nn.Module](), None
    for position in range(rng.randint(1, 4)):
        kinds: dict[str, Callable[[], nn.Module]] = {
            "plain": lambda w=width: Plain(w, 16, rng),  # type: ignore[misc]
            "residual": lambda w=width: Around(  # type: ignore[misc]
                nn.Sequential(Plain(w, 24, rng), Plain(24, w, rng)), "add"
            ),
            "product": lambda w=width: Around(Plain(w, w, rng), "mul"),  # type: ignore[misc]
            "grouped": lambda w=width: Grouped(w, rng),  # type: ignore[misc]
            "gate": lambda w=width: Gate(w, rng),  # type: ignore[misc]
            "shuffle": lambda w=width: Shuffle(w, rng),  # type: ignore[misc]
        }
        if width == 16:
            kinds |= {
                "cat": lambda: Around(Plain(16, 8, rng), "cat"),
                "scale": lambda: Scale(16, rng),
                "halves": lambda: Halves(16, rng),
                "attention": lambda: Attention(16, rng),
                "scaled": lambda: Around(nn.Sequential(Plain(16, 16, rng), Scale(16, rng)), "add"),
                "odd": lambda: Odd(16, rng),
            }
        kind = rng.choice(list(kinds))
        blocks.append(kinds[kind]())
        width = 24 if kind == "cat" else 16 if kind == "plain" else width
        if rng.random() < 0.03:
            blocks.append(Unfollowed(rng.choice(REFUSED)))
            refused = f"blocks.{len(blocks) - 1}" if refused is None else refused
        del position
    head = rng.choice(("flatten", "view", "number", "mean", "amax"))
    return Network(blocks, width, head), refused
