"""Channels in order of importance: the largest network stays what it was, what is kept stays, the
important ones come first."""

from __future__ import annotations

import copy
import pickle
from functools import partial
from typing import Any

import pytest
import torch
from elastic_laws import elastic_zoo, told
from plain_zoo import ZOO
from torch import Tensor, nn

from archsmith.elastic import Choice, Conv2d, Derived, Linear
from archsmith.elastic.sorting import sort_channels
from archsmith.elastic.supernet import active, extract, search_space
from archsmith.errors import UserError
from archsmith.space import Tiled
from archsmith.spaces.convnet import convnet
from archsmith.spaces.mobilenet import ofa_mobilenet_v3

BATCHES = 3


def converted(name: str) -> nn.Module:
    """In double: deep networks of random weights blow up what is lost to rounding."""
    return copy.deepcopy(elastic_zoo(name)[1]).double()


MODELS: dict[str, Any] = {
    **{name: (partial(converted, name), shape) for name, (_, shape) in ZOO.items()},
    "convnet-own": (lambda: told(convnet(5, 3, 8)).double(), (3, 8, 8)),
    "ofa": (lambda: told(ofa_mobilenet_v3(5)).double(), (3, 33, 33)),
}
BY_GRADIENTS = (
    "resnet",
    "vgg",
    "densenet",
    "vit-heads",
    "mobilenet-se",
)  # one of each kind of size
CASES = [(name, "l1") for name in MODELS]
CASES += [(name, by) for name in BY_GRADIENTS for by in ("taylor", "zico")]


@pytest.mark.parametrize(("name", "importance"), CASES)
def test_the_largest_network_stays_what_it_was(name: str, importance: Any) -> None:
    make, shape = MODELS[name]
    model = make()
    x = torch.randn(4, *shape, generator=torch.Generator().manual_seed(2)).double()
    with torch.no_grad():
        before = model(x)
    batches = [(x + i, torch.arange(4) % before.shape[1]) for i in range(BATCHES)]
    if before.dim() > 2:
        batches = [(x, torch.zeros(before[:, 0].shape, dtype=torch.long))] * BATCHES
    state = {key: value.clone() for key, value in model.state_dict().items()}
    left = sort_channels(model, importance, batches=batches, probe=x)
    with torch.no_grad():
        torch.testing.assert_close(model(x), before, rtol=1e-5, atol=1e-5)
    changed = [
        key for key, value in model.state_dict().items() if not torch.equal(value, state[key])
    ]
    assert changed and list(model.state_dict()) == list(state)
    assert left == {}
    arch = search_space(model).extreme(0)
    with torch.no_grad(), active(model, arch):
        expected = model(x)
    torch.testing.assert_close(extract(model, arch).eval()(x), expected, rtol=1e-4, atol=1e-4)


def pair() -> tuple[nn.Sequential, Choice]:
    width = Choice(2, 4, 8, name="width")
    return nn.Sequential(Linear(3, width), nn.ReLU(), Linear(width, 2)), width


def test_the_channels_that_are_read_most_come_first() -> None:
    model, _ = pair()
    worth = torch.tensor([3.0, 8, 1, 7, 2, 6, 5, 4])
    with torch.no_grad():
        model[2].weight.copy_(worth.expand(2, 8))
    first = model[0].weight.detach().clone()
    assert sort_channels(model) == {}
    assert model[2].weight[0].tolist() == [8, 7, 6, 5, 4, 3, 2, 1]
    assert torch.equal(model[0].weight, first[torch.argsort(worth, descending=True)])


@pytest.mark.parametrize("kept", [(2,), (4,), (2, 4), (8,)])
def test_widths_that_work_already_stay_the_networks_they_are(kept: tuple[int, ...]) -> None:
    model, _ = pair()
    x, space = torch.randn(5, 3), search_space(model)
    archs = [arch for arch in space.architectures() if arch["width"] in kept]

    def answers() -> list[Tensor]:
        found = []
        for arch in archs:
            with torch.no_grad(), active(model, arch):
                found.append(model(x))
        return found

    before = answers()
    sort_channels(model, kept={"width": kept})
    for one, other in zip(before, answers(), strict=True):
        torch.testing.assert_close(one, other)


def test_a_group_whose_order_matters_is_put_back_and_named() -> None:
    class Ordered(nn.Module):
        """Rolls what it reads: the order of its channels is not free."""

        def __init__(self) -> None:
            super().__init__()
            width = Choice(4, 8, name="rolled")
            self.one, self.two = Linear(3, width), Linear(width, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.two(self.one(x).cumsum(-1))

    torch.manual_seed(0)
    model, x = Ordered(), torch.randn(4, 3)
    state = {key: value.clone() for key, value in model.state_dict().items()}
    left = sort_channels(model, probe=x)
    assert set(left) == {"rolled"} and "changes the network by" in left["rolled"]
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())


def test_heads_move_with_all_that_is_theirs() -> None:
    model: Any = converted("vit-free")
    attention = model.get_submodule("blocks.0.attention")
    with torch.no_grad():
        attention.proj.weight.mul_(torch.tensor([1.0, 100, 10, 1000]).repeat_interleave(4))
    before = {name: getattr(attention, name).weight.clone() for name in ("query", "key", "value")}
    assert sort_channels(model, probe=torch.randn(2, *ZOO["vit-free"][1]).double()) == {}
    order = torch.tensor([3, 1, 2, 0])
    for name, weight in before.items():
        moved = getattr(attention, name).weight.view(4, 4, -1).sum((1, 2))
        torch.testing.assert_close(moved, weight.view(4, 4, -1).sum((1, 2))[order])


def test_the_inner_width_of_a_squeeze_excite_is_sorted_by_what_reads_it() -> None:
    model: Any = converted("mobilenet-se")
    gate = model.get_submodule("features.1.conv.2")
    sort_channels(model)
    read = gate.expand.weight.abs().sum((0, 2, 3))
    assert bool((read[:-1] >= read[1:]).all())


def test_what_follows_from_a_width_is_a_group_of_its_own() -> None:
    width = Choice(2, 4, name="width")
    middle = Derived(lambda w: 2 * w, width)
    model = nn.Sequential(
        Conv2d(3, width, 1), Conv2d(width, middle, 1), Conv2d(middle, 2, 1)
    ).eval()
    x = torch.randn(2, 3, 4, 4)
    with torch.no_grad():
        before = model(x)
        assert sort_channels(model, probe=x) == {}
        torch.testing.assert_close(model(x), before)


def test_a_tiled_size_is_kept_by_pickling() -> None:
    width = Choice(2, 4, name="w")
    tiled = pickle.loads(pickle.dumps(Tiled(width, 9)))
    assert tiled.options == (18, 36) and tiled.times == 9 and tiled.size.options == (2, 4)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"importance": "l2"}, "known are l1"),
        ({"importance": "taylor"}, "at least 1 of batches"),
        (
            {"importance": "zico", "batches": [(torch.zeros(1, 3), torch.zeros(1).long())]},
            "at least 2",
        ),
        ({"kept": {"widht": (2,)}}, "did you mean 'width'"),
    ],
)
def test_what_cannot_be_sorted_by_is_refused(settings: Any, said: str) -> None:
    with pytest.raises(UserError, match=said):
        sort_channels(pair()[0], **settings)
