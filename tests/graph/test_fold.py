"""graph/fold.py: no BatchNormalization stays behind a convolution, and what is computed stays the
same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from plain_networks import chain, perturbed
from torch import Tensor, nn

from archsmith.elastic.supernet import extract, search_space
from archsmith.graph.export import exported, onnx_bytes
from archsmith.graph.fold import fold_network
from archsmith.graph.writer import Deployment, write
from archsmith.metrics.timing import open_session
from archsmith.spaces.mobilenet import mobilenet

SHAPE = (3, 16, 16)


class Shared(nn.Module):
    """One convolution called twice, before two normalisations; another one whose output is used
    twice."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.one, self.two = (
            nn.Conv2d(3, 3, 3, padding=1),
            nn.BatchNorm2d(3),
            nn.BatchNorm2d(3),
        )
        self.last, self.three = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        y = self.last(self.two(self.conv(self.one(self.conv(x)))))
        return y + self.three(y)


def normalised(conv: nn.Module, width: int) -> nn.Module:
    return nn.Sequential(
        conv, nn.BatchNorm2d(width), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )


NETWORKS = {
    "without bias": (normalised(nn.Conv2d(3, 8, 3, bias=False), 8), 0),
    "with bias": (normalised(nn.Conv2d(3, 8, 3, stride=2), 8), 0),
    "grouped": (normalised(nn.Conv2d(3, 6, 3, groups=3), 6), 0),
    "no affine": (
        nn.Sequential(nn.Conv2d(3, 5, 1, bias=False), nn.BatchNorm2d(5, affine=False, eps=0.1)),
        0,
    ),
    "before a convolution": (nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3)), 1),
    "two in a row": (nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.BatchNorm2d(4)), 0),
    "shared weights": (Shared(), 3),
    "by torch.onnx": (normalised(nn.Conv2d(3, 8, 3, padding="same", bias=False), 8), 0),
    "transposed": (normalised(nn.ConvTranspose2d(3, 6, 2), 6), 0),
    "a chain": (chain(), 0),
    "the mobilenet family": (None, 0),
}


def made(name: str) -> tuple[nn.Module, int]:
    """One of NETWORKS, and how many normalisations are left of it."""
    network, left = NETWORKS[name]
    if network is None:
        model = mobilenet(7, 3, 16)
        network = extract(model, search_space(model).extreme(0))
    return perturbed(network).eval(), left


@pytest.mark.parametrize("name", NETWORKS)
def test_no_normalisation_stays_behind_a_convolution_and_nothing_changes(name: str) -> None:
    import onnx

    network, left = made(name)
    data = onnx_bytes(network, SHAPE, None)
    graph = onnx.load_from_string(data).graph
    assert sum(node.op_type == "BatchNormalization" for node in graph.node) == left
    used = {value for node in graph.node for value in node.input}
    assert all(tensor.name in used for tensor in graph.initializer)
    images = torch.randn(3, *SHAPE, generator=torch.Generator().manual_seed(0))
    (answer,) = open_session(data, 1).run(None, {"images": images.numpy()})
    with torch.no_grad():
        right = network(images).numpy()
    assert np.abs(answer - right).max() <= 1e-5 * max(1.0, float(np.abs(right).max()))


@pytest.mark.parametrize("name", NETWORKS)
def test_nor_in_what_torch_exports(name: str) -> None:
    network, left = made(name)
    images = torch.randn(3, *SHAPE, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        right = network(images)
    program = exported(network, SHAPE, None)
    assert sum("batch_norm" in str(node.target) for node in program.graph.nodes) == left
    for folded in (fold_network(network, SHAPE), program.module()):
        with torch.no_grad():
            assert (folded(images) - right).abs().max() <= 1e-5 * max(1.0, float(right.abs().max()))


def hooked() -> nn.Module:
    """Its convolution doubles what it is given."""
    network = normalised(nn.Conv2d(3, 8, 3), 8)
    network[0].register_forward_pre_hook(lambda _, given: (2 * given[0],))
    return network


def tied() -> nn.Module:
    """Two convolutions of one weight."""
    network = nn.Sequential(
        nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3), nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3)
    )
    network[2].weight = network[0].weight
    return network


class Reading(nn.Module):
    """Reads the weight of its convolution itself."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x)) * self.conv.weight.mean()


class Named(nn.Module):
    """Hands its norm the images by name."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(input=self.conv(input=x))


@pytest.mark.parametrize(
    ("make", "left"),
    [(hooked, 1), (tied, 2), (Reading, 1), (Named, 0)],
    ids=lambda x: getattr(x, "__name__", str(x)),
)
def test_what_something_else_uses_or_changes_is_left(make: Any, left: int) -> None:
    network = perturbed(make()).eval()
    images = torch.randn(3, *SHAPE, generator=torch.Generator().manual_seed(0))
    folded = fold_network(network, SHAPE)
    called = [folded.get_submodule(n.target) for n in folded.graph.nodes if n.op == "call_module"]
    assert sum(isinstance(layer, nn.BatchNorm2d) for layer in called) == left
    with torch.no_grad():
        torch.testing.assert_close(folded(images), network(images), rtol=1e-5, atol=1e-5)


def test_the_network_itself_keeps_its_weights() -> None:
    network = perturbed(chain()).eval()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    fold_network(network, SHAPE)
    write(network, SHAPE, deployment=Deployment((0.5,) * 3, (0.2,) * 3))
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
