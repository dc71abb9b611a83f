"""What moves, cuts and repeats entries is written for any batch; what would be wrong for another
batch is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from archsmith.graph.writer import Unwritten, write
from archsmith.metrics.timing import open_session

SHAPE = (4, 6, 8)


class Says(nn.Module):
    """What a function makes of the images, and a parameter, a buffer for it."""

    def __init__(self, function: Callable[[Any, Tensor], Tensor]) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.function = function
        self.token = nn.Parameter(torch.randn(1, 1, 8, generator=generator))
        self.register_buffer("places", torch.tensor([[0, 2], [1, 0]]))

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x)


KNOWN: dict[str, Callable[[Any, Tensor], Tensor]] = {
    "flatten(1)": lambda m, x: x.flatten(1),
    "flatten(2)": lambda m, x: x.flatten(2),
    "flatten(1, 2)": lambda m, x: torch.flatten(x, 1, 2),
    "flatten(start_dim=-2)": lambda m, x: x.flatten(start_dim=-2),
    "flatten(0, 1)": lambda m, x: x.flatten(0, 1).mean(0),
    "unflatten(1)": lambda m, x: x.unflatten(1, (2, 2)).flatten(3),
    "unflatten(-1)": lambda m, x: x.unflatten(-1, (2, -1)),
    "batch apart and together": lambda m, x: x.flatten(0, 1).unflatten(0, (-1, 4)),
    "reshape(len, ...)": lambda m, x: x.reshape(x.shape[0], 8, -1),
    "view(size, ...)": lambda m, x: x.view(x.size(0), -1),
    "view(-1, 48)": lambda m, x: x.view(-1, 48).unflatten(0, (-1, 4)),
    "transpose": lambda m, x: x.transpose(1, -1),
    "permute": lambda m, x: x.permute(0, 2, 3, 1),
    "permute of a tuple": lambda m, x: torch.permute(x, (0, -1, 1, 2)),
    "a slice": lambda m, x: x[:, 1:3],
    "slices by steps": lambda m, x: x[:, :, ::2, 1::3],
    "slices from the end": lambda m, x: x[:, -2:, :-1],
    "a number": lambda m, x: x[:, 0],
    "numbers and slices": lambda m, x: x[:, -1, 1:, 3],
    "all of it": lambda m, x: x[:] + 1,
    "flip": lambda m, x: x.flip((2, 3)) - torch.flip(x, (1,)),
    "repeat": lambda m, x: x.repeat(1, 2, 1, 3),
    "expand": lambda m, x: x[:, :1].expand(-1, 3, -1, -1),
    "expand to the batch": lambda m, x: torch.cat(
        (m.token.expand(x.shape[0], -1, -1), x[:, 0]), dim=1
    ),
    "zeros_like": lambda m, x: torch.cat((torch.zeros_like(x), x), dim=1),
    "matmul": lambda m, x: x @ x.transpose(-2, -1),
    "softmax": lambda m, x: x.softmax(-1) + torch.softmax(x, dim=1),
    "attention": lambda m, x: F.scaled_dot_product_attention(x, x + 1, 2 * x),
    "einsum": lambda m, x: torch.einsum("b c h w, b c v w -> b c h v", x, x),
    "means": lambda m, x: x.mean(1).flatten(1) + x.mean((1, 2), keepdim=True).mean(3).flatten(1),
    "what no image has a part in": lambda m, x: (
        x + m.token[0, 0][m.places].flatten().sum() * m.token
    ),
    "the sum of a buffer": lambda m, x: x * (m.places.float() + 1).mean(),
}


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("name", KNOWN)
def test_it_computes_what_pytorch_does_for_any_batch(name: str, batch: int) -> None:
    network = Says(KNOWN[name]).eval()
    images = torch.randn(batch, *SHAPE, generator=torch.Generator().manual_seed(1))
    (answer,) = open_session(write(network, SHAPE), 1).run(None, {"images": images.numpy()})
    with torch.no_grad():
        right = network(images).numpy()
    assert answer.shape == right.shape
    np.testing.assert_allclose(answer, right, rtol=1e-5, atol=1e-6)


UNKNOWN: dict[str, tuple[Callable[[Any, Tensor], Tensor], str]] = {
    "a number of images": (lambda m, x: x.reshape(2, -1), "reshape"),
    "some of the images": (lambda m, x: x[:1], "getitem"),
    "one image": (lambda m, x: x[0], "getitem"),
    "a new dimension": (lambda m, x: x[:, None], "getitem"),
    "by a mask": (lambda m, x: x[:, x[0, :, 0, 0] > 0], "getitem|gt"),
    "a size that no constant is": (lambda m, x: x.reshape(4, x.shape[0], -1), "reshape"),
    "images by channels": (lambda m, x: x[:, :2].reshape(x[:, :2].shape[1], -1), "reshape"),
    "sizes by sizes": (lambda m, x: x.reshape(-1, x.shape[0]), "reshape"),
    "repeated images": (lambda m, x: x.repeat(x.shape[0], 1, 1, 1), "repeat"),
    "under a mask": (
        lambda m, x: F.scaled_dot_product_attention(x, x, x, is_causal=True),
        "scaled",
    ),
    "all of a mean": (lambda m, x: x.mean() + x, "mean"),
    "divided by the batch": (lambda m, x: x / x.shape[0], "operand"),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_would_hold_for_one_batch_alone_is_refused(name: str) -> None:
    function, said = UNKNOWN[name]
    with pytest.raises(Unwritten, match=said):
        write(Says(function).eval(), SHAPE)
