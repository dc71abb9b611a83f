"""What leaves channels where they are, and what mixes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from small_graphs import channels, conv, free, read
from torch import Tensor, nn
from torch.nn import functional as F


@pytest.mark.parametrize(
    "mean",
    [
        lambda x: x.mean((2, 3)),
        lambda x: x.mean([-1, -2]),
        lambda x: x.amax(dim=(2, 3)),
        lambda x: x.sum(3).sum(2),
        lambda x: F.adaptive_avg_pool2d(x, 1).flatten(1),
        lambda x: F.adaptive_max_pool2d(x, 1).squeeze(-1).squeeze(-1),
        lambda x: F.adaptive_avg_pool2d(x, 1)[:, :, 0, 0],
        lambda x: x.mean((2, 3), keepdim=True)[..., 0, 0],
        lambda x: x.flatten(2).mean(-1),
        lambda x: x.permute(0, 2, 3, 1).mean((1, 2)),
        lambda x: x.flatten(2).transpose(1, 2)[:, 0],
        lambda x: torch.einsum("bchw->bc", x),
        lambda x: x.unbind(2)[0].unbind(2)[0],
        lambda x: torch.stack([x, x], 2).mean((2, 3, 4)),
    ],
)
def test_means_cuts_and_moves_keep_the_channels(mean: Callable[[Tensor], Tensor]) -> None:
    found = channels(lambda m, x: m.fc(mean(m.a(x))), a=conv(3, 16), fc=nn.Linear(16, 4))
    assert free(found) == {"a": 16} and read(found, "fc") == [("a", 1)]


@pytest.mark.parametrize(
    ("mixes", "outputs", "said"),
    [
        (lambda x: F.pixel_shuffle(x, 2), 4, "pixel_shuffle"),
        (nn.PixelShuffle(2), 4, "PixelShuffle"),
        (nn.ChannelShuffle(4), 16, "ChannelShuffle"),
        (lambda x: torch.softmax(x, 1), 16, "softmax"),
        (lambda x: x.cumsum(1), 16, "cumsum"),
        (lambda x: x[:, :8], 8, "takes a part"),
        (lambda x: x[:, [0, 2]], 2, "takes a part"),
        (lambda x: x.split([4, 12], 1)[1], 12, "written with numbers"),
        (lambda x: x.chunk(3, 1)[0], 6, "takes parts"),
        (lambda x: x.view(-1, 16, 8, 8), 16, "written with numbers"),
        (lambda x: x.reshape(2, 8, 16, 8), 8, "mixes"),
        (lambda x: x.transpose(1, 2), 8, "another axis"),
        (lambda x: F.max_pool2d(x.transpose(1, 2), 1).transpose(1, 2), 16, "changes it"),
        (nn.LocalResponseNorm(3), 16, "LocalResponseNorm"),
        (lambda x: torch.fft.fft(x).real, 16, "fft"),
        (lambda x: x.repeat(1, 2, 1, 1), 32, "repeat"),
    ],
)
def test_what_mixes_channels_keeps_them_and_is_named(mixes: Any, outputs: int, said: str) -> None:
    layers = {"mixes": mixes} if isinstance(mixes, nn.Module) else {}
    found = channels(lambda m, x: m.c(mixes(m.a(x))), a=conv(3, 16), c=conv(outputs, 4), **layers)
    assert "a" not in free(found) and said in found.fixed()["a"]
