"""Plain networks made elastic: the same keys, the same numbers at the largest, what is extracted is
what is active, and what stays fixed is said."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import pytest
import torch
from elastic_laws import (
    check_extracted_is_active,
    check_keys_and_largest,
    check_sorted_is_the_same,
    counted_by_fvcore,
    counted_by_torch,
    each_option,
    elastic_zoo,
    told,
)
from plain_random import SHAPE, network
from plain_zoo import ZOO, Basic, conv
from torch import Tensor, nn
from torch.nn import functional as F

from archsmith.elastic.conversion import converted, elastic
from archsmith.elastic.supernet import active, extract, search_space
from archsmith.errors import UserError
from archsmith.metrics.cost import Costs

# of random networks that hold together each kind of block, written in each way
SEEDS = (0, 3, 5, 9, 13, 18, 23, 24, 27, 28, 50, 53, 75, 81, 92, 103, 110, 157)


@pytest.fixture(scope="module", params=ZOO)
def case(request: pytest.FixtureRequest) -> tuple[nn.Module, nn.Module, Tensor]:
    """A plain network, the same made elastic, and images."""
    return elastic_zoo(request.param)


def test_the_largest_is_the_original_to_the_bit(case: tuple[nn.Module, nn.Module, Tensor]) -> None:
    check_keys_and_largest(*case)


def test_every_option_of_each_decision_is_the_network_alone(
    case: tuple[nn.Module, nn.Module, Tensor],
) -> None:
    _, model, x = case
    for arch in each_option(search_space(model)):
        check_extracted_is_active(model, arch, x)


def test_random_networks_are_those_alone(case: tuple[nn.Module, nn.Module, Tensor]) -> None:
    _, model, x = case
    space = search_space(model)
    for seed in range(3):
        check_extracted_is_active(model, space.sample(Random(seed)), x)


def test_counts_are_those_of_the_networks(case: tuple[nn.Module, nn.Module, Tensor]) -> None:
    _, model, x = case
    costs, space = Costs(model, tuple(x.shape[1:])), search_space(model)  # type: ignore[arg-type]
    for arch in (space.extreme(-1), space.sample(Random(1))):
        plain, found = extract(model, arch).eval(), costs(arch)
        assert found == costs.exact(arch)
        assert found["params"] == sum(p.numel() for p in plain.parameters())
        assert found["macs"] == counted_by_torch(plain, x)
        by_fvcore = counted_by_fvcore(plain, x)
        assert by_fvcore in (None, found["macs"])
    assert costs(space.extreme(0))["macs"] < 0.75 * costs(space.extreme(-1))["macs"]


def test_a_copy_and_a_pickle_are_the_same_network(
    case: tuple[nn.Module, nn.Module, Tensor],
) -> None:
    _, model, x = case
    small = search_space(model).extreme(0)
    with torch.no_grad(), active(model, small):
        expected = model(x)
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert dict(search_space(twin)) == dict(search_space(model))
        with torch.no_grad(), active(twin, small):
            assert torch.equal(twin(x), expected)
        assert not {id(p) for p in twin.parameters()} & {id(p) for p in model.parameters()}


def kinds(seed: int) -> set[tuple[str, Any]]:
    """The blocks of a random network, and the way in which each is written."""
    return {(type(m).__name__, getattr(m, "how", None)) for m in network(seed)[0].modules()}


def test_the_random_networks_hold_each_kind_of_block() -> None:
    held = set[tuple[str, Any]]().union(*map(kinds, SEEDS))
    assert held == held.union(*map(kinds, range(300)))


@pytest.mark.parametrize("seeds", [SEEDS[i::4] for i in range(4)])
def test_any_network_keeps_the_laws_or_is_refused_by_name(seeds: Sequence[int]) -> None:
    for seed in seeds:
        plain, refused = network(seed)
        plain = told(plain, seed).double()
        x = torch.randn(2, *SHAPE, generator=torch.Generator().manual_seed(seed)).double()
        if refused is not None:
            with pytest.raises(UserError, match=rf"in {refused} \(Unfollowed\), plain_random.py:"):
                elastic(plain, x)
            continue
        model = elastic(plain, x)
        check_keys_and_largest(plain, model, x)
        for arch in each_option(search_space(model)):
            check_extracted_is_active(model, arch, x)
        check_sorted_is_the_same(model, x)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("resnet", {"conv1": (16,), "layer2.0.conv1": (32,), "layer1.0.depth": (0, 2)}),
        ("mobilenet", {"features.1.depth": (0, 1), "features.3.depth": (0, 2)}),
    ],
)
def test_channels_that_must_agree_are_one_decision(name: str, expected: dict[str, Any]) -> None:
    space = search_space(elastic_zoo(name)[1])
    for decision, ends in expected.items():
        assert space[decision][-1] == ends[-1]
    assert not any("bn" in decision or "shortcut" in decision for decision in space)


@pytest.mark.parametrize("name", ["resnet", "mobilenet-se", "vit-heads", "convnext", "shufflenet"])
def test_a_network_on_meta_has_the_same_decisions(name: str) -> None:
    make, shape = ZOO[name]
    with torch.device("meta"):
        empty = elastic(make(), torch.zeros(1, *shape))
    assert dict(search_space(empty)) == dict(search_space(elastic_zoo(name)[1]))
    assert all(tensor.is_meta for tensor in empty.state_dict().values())


def test_heads_are_a_decision_and_their_size_stays() -> None:
    _, model, _ = elastic_zoo("vit-free")
    space = search_space(model)
    name = "blocks.0.attention.query.heads"
    assert space[name] == (1, 2, 3, 4) and space["patches"] == (4, 8, 12, 16)
    small = extract(model, space.complete({**space.extreme(-1), name: 2}, Random(0)))
    attention: Any = small.get_submodule("blocks.0.attention")
    assert attention.heads == 2 and attention.query.out_features == 2 * attention.size
    assert model.get_submodule("blocks.0.attention").heads == 4


def test_where_heads_are_parts_of_the_width_it_follows_them() -> None:
    plain, model, _ = elastic_zoo("vit-heads")
    space = search_space(model)
    assert "patches" not in space and "blocks.1.attention.qkv.heads" not in space
    arch = space.complete({**space.extreme(-1), "blocks.0.attention.qkv.heads": 3}, Random(0))
    small: Any = extract(model, arch)
    assert small.patches.out_channels == 12 and small.positions.shape == (1, 5, 12)
    qkv, whole = small.blocks[0].attention.qkv.weight, plain.get_submodule("blocks.0.attention")
    first = torch.cat([torch.arange(start, start + 12) for start in (0, 16, 32)])
    assert torch.equal(qkv, whole.qkv.weight[first][:, :12])  # type: ignore[union-attr, index]


def test_fewer_heads_are_the_network_without_what_the_others_give() -> None:
    plain, model, x = elastic_zoo("vit-free")
    space = search_space(model)
    arch = space.complete({**space.extreme(-1), "blocks.0.attention.query.heads": 3}, Random(0))
    without: Any = copy.deepcopy(plain)
    with torch.no_grad():
        without.blocks[0].attention.proj.weight[:, 12:] = 0
        torch.testing.assert_close(extract(model, arch)(x), without(x), rtol=1e-5, atol=1e-5)


def test_the_inner_width_of_a_squeeze_excite_follows_the_one_that_it_scales() -> None:
    _, model, _ = elastic_zoo("mobilenet-se")
    space = search_space(model)
    assert not any("reduce" in name for name in space)
    for middle, inner in ((16, 2), (32, 4), (48, 6), (64, 8)):
        arch = {**space.extreme(-1), "features.1.conv.0.0": middle}
        gate: Any = extract(model, arch).get_submodule("features.1.conv.2")
        assert (gate.reduce.in_channels, gate.reduce.out_channels) == (middle, inner)


def test_tensors_of_a_channels_length_are_cut_with_it() -> None:
    _, model, _ = elastic_zoo("convnext")
    arch = {**search_space(model).extreme(-1), "stem.0": 8}
    small: Any = extract(model, arch)
    assert small.blocks[0].gamma.shape == (8,) and small.stem[1].normalized_shape == (8,)
    assert type(small.blocks[0]).__name__ == "Next" and isinstance(
        small.blocks[0].gamma, nn.Parameter
    )
    with active(model, arch):
        assert model.get_submodule("blocks.0").gamma.shape == (8,)
    assert model.get_submodule("blocks.0").gamma.shape == (16,)


def test_what_stays_fixed_is_said() -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.body, self.last = conv(3, 16), conv(16, 32), conv(32, 16)
            self.weight = nn.Parameter(torch.eye(16))
            self.head = nn.Linear(16, 4)

        def forward(self, x: Tensor) -> Tensor:
            x = self.stem(x)
            x = x + self.last(self.body(x))
            return self.head(F.linear(x.mean((2, 3)), self.weight))

    found = converted(Own(), torch.zeros(1, 3, 8, 8))
    assert "linear (" in found.fixed["stem.0"] and "test_conversion.py:" in found.fixed["stem.0"]
    assert "output" in found.fixed["head"]
    assert set(search_space(found.model)) == {"body.0"}


def test_a_width_without_another_option_says_so() -> None:
    model = nn.Sequential(conv(3, 16), nn.Conv2d(16, 1, 1), nn.Conv2d(1, 4, 1))
    found = converted(model, torch.zeros(1, 3, 8, 8))
    assert set(search_space(found.model)) == {"0.0"}
    assert found.fixed["1"] == "no share of it gives another width"


def test_a_norm_of_one_group_is_sorted_and_cut() -> None:
    model = told(nn.Sequential(conv(3, 16), nn.GroupNorm(1, 16), nn.Conv2d(16, 4, 1)))
    x = torch.randn(2, 3, 8, 8)
    made = elastic(model, x)
    space = search_space(made)
    assert space["0.0"] == (4, 8, 12, 16)
    for arch in each_option(space):
        check_extracted_is_active(made, arch, x)
    first = model[0][0].weight.clone()  # type: ignore[index]
    check_sorted_is_the_same(made, x)
    assert not torch.equal(made.get_submodule("0.0").weight, first)  # type: ignore[arg-type]


def test_attention_of_torch_stays_and_the_reason_is_said() -> None:
    make, shape = ZOO["vit"]
    found = converted(make(), torch.zeros(1, *shape))
    assert "torch's own attention" in found.fixed["blocks.0.attention"]
    assert "blocks.0.mlp.0" in search_space(found.model)


class Written(nn.Module):
    """Heads as numbers in forward."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.qkv, self.out = nn.Linear(8, 16), nn.Linear(16, 48), nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(self.stem(x)).view(-1, 6, 3, 4, 4).permute(2, 0, 3, 1, 4).unbind()
        return self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


def test_numbers_that_would_be_wrong_keep_the_heads_and_are_named() -> None:
    found = converted(Written(), torch.zeros(2, 6, 8))
    assert set(search_space(found.model)) == {"stem"}
    assert "test_conversion.py:" in found.fixed["qkv"] and "-1" in found.fixed["qkv"]


def test_kernels_and_depths_are_decided_where_asked_for() -> None:
    model = nn.Sequential(conv(3, 16, 5), nn.Sequential(Basic(16, 16), Basic(16, 16)), conv(16, 4))
    x = torch.randn(1, 3, 8, 8)
    space = search_space(elastic(model, x, kernels=True))
    assert space["0.0.kernel"] == (3, 5) and space["1.0.depth"] == (0, 1, 2)
    small = search_space(elastic(model, x, depth=False))
    assert not any("depth" in name or "kernel" in name for name in small)


class Numbers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 16, 3), nn.Linear(16 * 36, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.conv(x).view(-1, 576))


@pytest.mark.parametrize(
    ("make", "shape", "said"),
    [
        (Numbers, (3, 8, 8), "x.flatten(1)"),
        (lambda: nn.Linear(8, 4), (8,), "no inner width"),
        (lambda: nn.Sequential(nn.Conv2d(3, 4, 1)), (3, 8, 8), "it is the output's"),
    ],
)
def test_a_network_without_an_inner_width_is_refused(
    make: Callable[[], nn.Module], shape: tuple[int, ...], said: str
) -> None:
    with pytest.raises(UserError) as caught:
        elastic(make(), torch.zeros(1, *shape))
    assert said in str(caught.value)


@pytest.mark.parametrize("widths", [(), (0.5,), (0, 1), (1, 2), (-1, 1)])
def test_shares_of_widths_are_checked(widths: Any) -> None:
    with pytest.raises(UserError, match="shares above 0"):
        elastic(
            nn.Sequential(nn.Conv2d(3, 16, 3), nn.Conv2d(16, 4, 1)), torch.zeros(1, 3, 8, 8), widths
        )
