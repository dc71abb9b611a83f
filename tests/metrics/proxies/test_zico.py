"""ZiCo against its formula written out with numpy, every option, every pitfall of the released
code."""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from archsmith.elastic import BatchNorm2d, Choice, Conv2d, Linear, Repeat
from archsmith.elastic.supernet import extract, search_space
from archsmith.errors import EvaluationFailed, UserError
from archsmith.metrics.proxies.initialization import initialized_network
from archsmith.metrics.proxies.zico import ZiCo, zico

Batches = list[tuple[Tensor, Tensor]]


def batches(count: int = 2, size: int = 24) -> Batches:
    generator = torch.Generator().manual_seed(1)
    return [
        (
            torch.randn(size, 3, 8, 8, generator=generator),
            torch.randint(0, 5, (size,), generator=generator),
        )
        for _ in range(count)
    ]


def plain(seed: int = 0) -> nn.Sequential:
    generator = torch.Generator().manual_seed(seed)
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 5),
    )
    for parameter in net.parameters():
        nn.init.normal_(parameter, 0.1, 0.5, generator=generator)
    return net


def by_the_formula(
    net: nn.Module,
    data: Batches,
    std: str = "signed",
    reduce: str = "sum",
    loss: Any = F.cross_entropy,
) -> float:
    """As the released code does it, in numpy and float64: stack, standard deviation with ddof 0,
    zeros left out."""
    net.train()
    layers = [m for m in net.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    rows: list[list[np.ndarray]] = [[] for _ in layers]
    for x, y in data:
        net.zero_grad()
        loss(net(x), y).backward()
        for row, layer in zip(rows, layers, strict=True):
            grad = layer.weight.grad
            row.append(
                np.zeros(layer.weight.numel())
                if grad is None
                else grad.flatten().double().numpy().copy()
            )
    score = 0.0
    for row in rows:
        g = np.array(row)
        deviation = (g if std == "signed" else np.abs(g)).std(axis=0)
        counts = deviation != 0
        if not counts.any():
            continue
        ratio = np.abs(g).mean(axis=0)[counts] / deviation[counts]
        total = ratio.sum() if reduce == "sum" else ratio.mean()
        score += math.log(total) if total != 0 else 0.0
    net.zero_grad()
    return score


@pytest.mark.parametrize("count", [2, 3, 5])
@pytest.mark.parametrize("std", ["signed", "abs"])
@pytest.mark.parametrize("reduce", ["sum", "mean"])
def test_equals_the_formula(count: int, std: Any, reduce: Any) -> None:
    data = batches(count)
    for seed in range(3):
        expected = by_the_formula(plain(seed), data, std, reduce)
        assert zico(plain(seed), data, std=std, reduce=reduce) == pytest.approx(expected, rel=1e-5)


def test_by_hand() -> None:
    """One linear layer of two weights without bias: gradients -y * x averaged, for the loss -mean(y
    * output)."""
    net = nn.Linear(2, 1, bias=False)
    data = [
        (torch.tensor([[3.0, 1.0]]), torch.ones(1, 1)),
        (torch.tensor([[1.0, -1.0]]), torch.ones(1, 1)),
    ]

    def loss(output: Tensor, y: Tensor) -> Tensor:
        return -(output * y).mean()

    # (3 + 1) / (3 - 1), opposite signs: 1
    assert zico(net, data, loss=loss) == pytest.approx(math.log(2.0 + 1.0))
    # |1| - |-1| = 0 is left out
    assert zico(net, data, loss=loss, std="abs") == pytest.approx(math.log(2.0))
    assert zico(net, data, loss=loss, reduce="mean") == pytest.approx(math.log(1.5))


def test_gradients_are_not_accumulated_and_not_aliased() -> None:
    """Pitfalls 1 and 2 of the released code: equal batches have no deviation at all, so nothing
    counts."""
    (first, *_) = batches()
    assert zico(plain(), [first, first]) == 0.0
    assert zico(plain(), [first, first, first]) == 0.0


def test_dead_and_unused_layers_count_nothing() -> None:
    class Dead(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used = plain()
            self.unused = nn.Conv2d(3, 4, 3)
            self.cut = nn.Conv2d(3, 3, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.used(x + 0.0 * self.cut(x))

    assert zico(Dead(), batches()) == pytest.approx(zico(plain(), batches()), rel=1e-6)


def test_the_network_is_left_as_it_was() -> None:
    net = plain().eval()
    net[1].train()
    net[1].running_mean.fill_(0.3)
    net[0].weight.requires_grad_(False)
    net[8].weight.grad = torch.ones_like(net[8].weight)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    expected = by_the_formula(plain(), batches())
    rng = torch.default_generator.get_state()
    # the frozen layer counts like any other
    assert zico(net, batches()) == pytest.approx(expected, rel=1e-5)
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())
    assert not net.training and net[1].training and not net[4].training
    assert not net[0].weight.requires_grad and net[3].weight.requires_grad
    assert net[0].weight.grad is None and torch.equal(
        net[8].weight.grad, torch.ones_like(net[8].weight)
    )
    assert torch.equal(rng, torch.default_generator.get_state())


def test_buffers_come_back_even_when_it_fails() -> None:
    net = plain().eval()
    net[8] = nn.Linear(9, 5)
    with pytest.raises(RuntimeError):
        zico(net, batches())
    assert net[1].num_batches_tracked == 0 and not net.training


def test_dropout_is_seeded() -> None:
    net = nn.Sequential(*plain()[:8], nn.Dropout(0.5), plain()[8])
    scores = [zico(net, batches(), seed=seed) for seed in (0, 0, 1)]
    assert scores[0] == scores[1] != scores[2]


def test_tied_weights_count_once() -> None:
    linear = nn.Linear(5, 5)
    net = nn.Sequential(plain(), linear, nn.Tanh(), linear)
    expected_layers = {id(m.weight) for m in net.modules() if isinstance(m, nn.Conv2d | nn.Linear)}
    assert len(expected_layers) == 4
    assert zico(net, batches()) == pytest.approx(by_the_formula(net, batches()), rel=1e-5)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: zico(plain(), batches(1)), "at least 2 batches"),
        (lambda: zico(nn.Flatten(), batches()), "has none"),
        (lambda: zico(plain(), batches(), std="sined"), "did you mean 'signed'"),  # type: ignore[arg-type]
        (lambda: zico(plain(), batches(), reduce="max"), "sum, mean"),  # type: ignore[arg-type]
        (lambda: ZiCo(Elastic(), batches(1)), "at least 2 batches"),
        (lambda: ZiCo(Elastic(), batches(), repeats=0), "repeats"),
        (lambda: ZiCo(Elastic(), batches(), init="he"), "default, kaiming, xavier"),  # type: ignore[arg-type]
    ],
)
def test_bad_requests(call: Callable[[], Any], words: str) -> None:
    with pytest.raises(UserError) as caught:
        call()
    assert words in str(caught.value)


def test_failures_have_reasons() -> None:
    poisoned = [(x * math.inf, y) for x, y in batches()]
    with pytest.raises(EvaluationFailed, match="not finite"):
        zico(plain(), poisoned)

    class Pair(nn.Linear):
        def forward(self, input: Tensor) -> Any:
            return input, input

    with pytest.raises(EvaluationFailed, match="returns tuple"):
        zico(Pair(3, 3), batches())


# -- the metric ------------------------------------------------------------------------------------


class Residual(nn.Module):
    """x + conv-norm(gate(x)), with a squeeze-excite-like gate."""

    def __init__(self, channels: Any) -> None:
        super().__init__()
        self.conv = Conv2d(channels, channels, 3, padding="same", bias=False)
        self.norm = BatchNorm2d(channels)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.gate = Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.norm(self.conv(x)))
        return x + y * torch.sigmoid(self.gate(self.pool(y)))


class Elastic(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        width = Choice(4, 8, name="width")
        self.stem = Conv2d(3, width, 3, padding="same")
        self.body = Repeat(Residual(width), Residual(width), depth=Choice(1, 2, name="depth"))
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), Linear(width, 5))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(self.stem(x)))


def test_scores_do_not_depend_on_the_order_of_asking() -> None:
    model = Elastic()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    rng = torch.default_generator.get_state()
    space = search_space(model)
    archs = [space.sample(Random(i)) for i in range(4)]
    forward = [ZiCo(model, batches())(a) for a in archs]
    metric = ZiCo(model, batches())
    assert [metric(a) for a in reversed(archs)][::-1] == forward
    assert metric.passes == 2 and metric.name == "zico"
    assert ZiCo(model, batches(), seed=1)(archs[0]) != forward[0]
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    assert torch.equal(rng, torch.default_generator.get_state())
    with torch.device("meta"):
        on_meta = Elastic()
    assert ZiCo(on_meta, batches())(archs[0]) == forward[0]


def test_repeats_average_over_initialisations() -> None:
    model = Elastic()
    arch = search_space(model).sample(Random(0))
    metric = ZiCo(model, batches(), repeats=3)
    singles = [metric._scores._round(arch, repeat)["zico"] for repeat in range(3)]
    assert len(set(singles)) == 3
    assert metric(arch) == pytest.approx(sum(singles) / 3)
    assert metric.passes == 6


def test_initialisations_have_their_deviation() -> None:
    model = Conv2d(64, 64, 3, padding="same")
    arch = search_space(model).sample(Random(0))
    for init, deviation in (
        ("default", 1 / math.sqrt(3 * 576)),
        ("kaiming", math.sqrt(2 / 576)),
        ("xavier", math.sqrt(2 / 1152)),
    ):
        net = initialized_network(model, arch, init, seed=3)  # type: ignore[arg-type]
        assert net.weight.std().item() == pytest.approx(deviation, rel=0.02)
        assert (net.bias.abs().max().item() == 0.0) == (init != "default")
        again = initialized_network(model, arch, init, seed=3)  # type: ignore[arg-type]
        assert torch.equal(net.weight, again.weight)


def test_shortcuts_and_gates_can_be_left_out() -> None:
    model = Elastic()
    arch = search_space(model).complete({"depth": 2, "width": 8}, Random(0))
    metric = ZiCo(model, batches())
    scores = {
        (a, b): ZiCo(model, batches(), drop_shortcuts=a, drop_squeeze_excite=b)(arch)
        for a in (False, True)
        for b in (False, True)
    }
    assert scores[False, False] == metric(arch)
    assert len(set(scores.values())) == 4


def test_memory_format_changes_speed_not_rank() -> None:
    model = Elastic()
    arch = search_space(model).sample(Random(3))
    a = ZiCo(model, batches(), memory_format=torch.contiguous_format)(arch)
    b = ZiCo(model, batches(), memory_format=torch.channels_last)(arch)
    assert b == pytest.approx(a, rel=0.05)


def test_equals_the_formula_on_an_extracted_network() -> None:
    model = Elastic()
    arch = search_space(model).sample(Random(1))
    net = extract(model, arch, weights="fresh", generator=torch.Generator().manual_seed(0))
    assert zico(net, batches()) == pytest.approx(by_the_formula(net, batches()), rel=1e-5)
