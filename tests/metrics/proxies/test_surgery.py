"""Leaving out shortcuts and squeeze-excite gates: exactly those, and nothing else."""

from __future__ import annotations

from random import Random

import pytest
import torch
from torch import Tensor, nn

from archsmith.elastic.supernet import extract, search_space
from archsmith.errors import UserError
from archsmith.metrics.proxies.surgery import without_shortcuts, without_squeeze_excite
from archsmith.spaces import build


class Net(nn.Module):
    """An identity shortcut, a projection shortcut, a gate, a product and a sum that are neither."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c, self.d = (nn.Conv2d(4, 4, 3, padding=1) for _ in range(4))
        self.projection = nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4))
        self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(4, 4, 1), nn.Sigmoid())
        self.left, self.right = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.a(x)
        y = self.c(torch.relu(self.b(x)))
        y += self.projection(x)
        y = y * self.gate(y)
        y = y * torch.sigmoid(y)  # a swish is no gate
        return self.left(y) + self.right(y)  # parallel branches are no shortcut

    def expected(self, x: Tensor, shortcuts: bool, gate: bool) -> Tensor:
        x = x + self.a(x) if shortcuts else self.a(x)
        y = self.c(torch.relu(self.b(x)))
        y = y + self.projection(x) if shortcuts else y
        y = y * self.gate(y) if gate else y
        y = y * torch.sigmoid(y)
        return self.left(y) + self.right(y)


def test_exactly_those() -> None:
    net = Net().eval()
    x = torch.randn(2, 4, 5, 5, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(without_shortcuts(net)(x), net.expected(x, False, True))
    torch.testing.assert_close(without_squeeze_excite(net)(x), net.expected(x, True, False))
    both = without_shortcuts(without_squeeze_excite(net))
    torch.testing.assert_close(both(x), net.expected(x, False, False))
    kept = dict(both.named_parameters())
    assert "a.weight" in kept and not any(name.startswith(("gate", "projection")) for name in kept)
    assert kept["a.weight"] is net.a.weight


def test_on_the_mobilenet_family() -> None:
    model = build("mobilenet", 10, 3, 16)
    space = search_space(model)
    for seed in range(3):
        net = extract(model, space.sample(Random(seed)), weights="fresh").eval()
        shortcuts = sum(getattr(m, "shortcut", False) is True for m in net.modules())
        assert _count(net, "add") == shortcuts
        assert _count(without_shortcuts(net), "add") == 0
        bare = without_squeeze_excite(net)
        assert _count(bare, "mul") == 0 and not any(
            "excite" in name for name, _ in bare.named_parameters()
        )


def _count(net: nn.Module, name: str) -> int:
    graph = torch.fx.symbolic_trace(net).graph
    return sum(getattr(node.target, "__name__", node.target) == name for node in graph.nodes)


def test_a_network_that_cannot_be_traced() -> None:
    class Branches(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x if x.sum() > 0 else -x

    with pytest.raises(UserError, match="drop_shortcuts needs a network that torch.fx can trace"):
        without_shortcuts(Branches())
