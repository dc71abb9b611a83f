"""Networks written as ONNX directly compute what PyTorch computes; what is not known is refused by
name."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from plain_networks import Tokens, Upwards, chain, perturbed
from torch import Tensor, nn
from torch.nn import functional as F

from archsmith import elastic
from archsmith.elastic import Choice, Derived
from archsmith.elastic.supernet import extract, search_space
from archsmith.graph.writer import Unwritten, write
from archsmith.metrics.timing import open_session
from archsmith.spaces import SPACES, build
from archsmith.spaces.mobilenet import mobilenet, ofa_mobilenet_v3


def difference(network: nn.Module, shape: tuple[int, ...], batch: int | None = None) -> float:
    images = torch.randn(batch or 3, *shape, generator=torch.Generator().manual_seed(0))
    (answer,) = open_session(write(network, shape, batch=batch), 1).run(
        None, {"images": images.numpy()}
    )
    with torch.no_grad():
        right = network.eval()(images).numpy()
    assert answer.shape == right.shape and np.isfinite(answer).all()
    return float(np.abs(answer - right).max() / np.abs(right).max())


@pytest.mark.parametrize("size", [8, 32, 64])
def test_the_mobilenet_family(size):
    model = mobilenet(7, 1, size)
    space, rng = search_space(model), random.Random(size)
    for _ in range(3):
        assert difference(perturbed(extract(model, space.sample(rng))), (1, size, size)) < 1e-4


def test_once_for_all():
    model = ofa_mobilenet_v3(10, 3, 64)
    assert (
        difference(
            perturbed(extract(model, search_space(model).sample(random.Random(0)))),
            (3, 64, 64),
            batch=2,
        )
        < 1e-4
    )


LAYERS = [
    nn.ReLU(),
    nn.ReLU6(),
    nn.Hardswish(),
    nn.Hardsigmoid(),
    nn.SiLU(),
    nn.GELU(),
    nn.Sigmoid(),
    nn.Tanh(),
    nn.Identity(),
    nn.Conv2d(6, 4, 3),
    nn.Conv2d(6, 6, (3, 5), (1, 2), (2, 1), (1, 2), groups=3, bias=False),
    nn.Dropout(0.5),
    nn.BatchNorm2d(6, affine=False),
    nn.MaxPool2d(3, 2, 1),
    nn.MaxPool2d(2, ceil_mode=True),
    nn.AvgPool2d(3, 2, 1),
    nn.AvgPool2d((3, 2), 1, 1, count_include_pad=False),
    nn.AdaptiveAvgPool2d((1, 1)),
    nn.AdaptiveMaxPool2d(1),
    nn.ZeroPad2d((0, 1, 2, 3)),
    nn.LayerNorm(9),
    nn.ConvTranspose2d(6, 4, 3),
    nn.ConvTranspose2d(6, 6, (3, 5), (2, 3), (2, 1), (1, 2), 3, False, (2, 1)),
    nn.GroupNorm(3, 6),
    nn.GroupNorm(2, 6, eps=0.1, bias=False),
    nn.GroupNorm(6, 6, affine=False),
    nn.LayerNorm((6, 9, 9), eps=0.1),
    nn.Linear(9, 4),
    nn.Linear(9, 4, bias=False),
]


@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_each_layer(layer):
    assert difference(nn.Sequential(layer), (6, 9, 9)) < 1e-5


def test_up_and_down_with_an_embedding():
    assert difference(perturbed(Upwards()), (3, 10, 8)) < 1e-5
    plain = Upwards().to("meta").eval()
    assert write(plain, (3, 10, 8), batch=1)


def test_networks_of_elastic_dilations_groups_and_transposed_convolutions():
    width, kernel = Choice(8, 16, name="width"), Choice(3, 5, name="kernel")
    model = nn.Sequential(
        elastic.Conv2d(3, width, kernel, 2, "same", Choice(1, 2, name="dilation")),
        elastic.GroupNorm(Derived(lambda c: c // 4, width), width),
        elastic.ConvTranspose2d(width, width, kernel, 2, "same", 1, groups=width, bias=False),
        elastic.BatchNorm2d(width),
        elastic.ConvTranspose2d(
            width, 4, kernel, 1, "same", bias=False, dilation=Choice(1, 3, name="last")
        ),
        elastic.BatchNorm2d(4),
    )
    for architecture in search_space(model).architectures():
        assert difference(perturbed(extract(model, architecture)), (3, 12, 8)) < 1e-5


class Functions(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        y = F.relu6(x) + 2 * torch.sigmoid(x) - x / 3
        y = torch.cat([y, x.mul(1 - y)], dim=1)
        y += F.hardswish(y)
        return torch.cat(
            (torch.flatten(y, 1), y.mean((2, 3)), y.mean(dim=[-1, -2], keepdim=True).flatten(1)), 1
        )


def test_functions_and_operators():
    assert difference(nn.Sequential(Functions(), nn.Linear(2 * 6 * 81 + 24, 3)), (6, 9, 9)) < 1e-5


@pytest.mark.parametrize("space", [name for name in SPACES if not name.startswith("zen")])
def test_every_space(space):
    """But `zen`, of which a random network is too large for a file."""
    model = build(space, 5, 3, 32)
    arch = search_space(model).sample(random.Random(1))
    network = extract(model, arch, "fresh", torch.Generator().manual_seed(0), device="cpu")
    assert difference(network, (3, 32, 32)) < 1e-4


class Levels(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(9, 2, max_norm=1.0)

    def forward(self, x: Tensor) -> Tensor:
        return self.table(x.long())


@pytest.mark.parametrize(
    ("network", "name"),
    [
        (nn.Sequential(nn.Conv2d(3, 3, 3, padding="same")), "padding 'same'"),
        (nn.Sequential(nn.Conv2d(3, 3, 3, padding=1, padding_mode="reflect")), "reflect"),
        (nn.Sequential(nn.AdaptiveAvgPool2d(2)), r"AdaptiveAvgPool2d\(2\)"),
        (nn.Sequential(nn.GELU(approximate="tanh")), "approximate GELU"),
        (nn.Sequential(nn.Flatten(2)), r"Flatten\(2, -1\)"),
        (nn.Sequential(nn.Softplus()), "nn.Softplus at '0'"),
        (nn.Sequential(nn.Flatten(), Levels()), "Embedding with max_norm at '1.table'"),
        (nn.Sequential(nn.BatchNorm2d(3, track_running_stats=False)), "batch statistics"),
        (Tokens(), "amax"),
    ],
    ids=str,
)
def test_what_is_not_known_is_refused_by_name(network, name):
    with pytest.raises(Unwritten, match=name):
        write(network, (3, 16, 16))


def test_a_network_on_meta_gets_ordinary_numbers():
    model = mobilenet(7, 3, 32)
    plain = extract(model, search_space(model).sample(random.Random(0)), "fresh", device="meta")
    (answer,) = open_session(write(plain, (3, 32, 32), batch=1), 1).run(
        None, {"images": np.ones((1, 3, 32, 32), np.float32)}
    )
    assert np.isfinite(answer).all() and 1e-6 < np.abs(answer).max() < 1e6


def test_the_network_is_left_as_it_was():
    network = chain()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    write(network, (3, 16, 16))
    assert network.training and all(
        torch.equal(before[name], tensor) for name, tensor in network.state_dict().items()
    )
