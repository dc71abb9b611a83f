"""Exact counts against oracles, and additive ones against exact counts, also where a model is not
additive."""

from __future__ import annotations

import logging
import math
import warnings
from dataclasses import replace
from random import Random

import pytest
import torch
from elastic_models import SIDED, SIDES, Decoder, sided
from torch import Tensor, nn

from archsmith.elastic import (
    Attention,
    BatchNorm2d,
    Choice,
    Conv2d,
    Linear,
    OneOf,
    Repeat,
    Resize,
)
from archsmith.elastic.supernet import extract, search_space
from archsmith.errors import UserError
from archsmith.metrics import cost, memory
from archsmith.metrics.cost import (
    LAYERS,
    NAMES,
    Costs,
    layer_sums,
    macs,
    macs_by_module,
    macs_while,
    params,
    peak_memory,
)
from archsmith.metrics.memory import traced_memory
from archsmith.space import Architecture
from archsmith.spaces import build
from archsmith.spaces.mobilenet import mobilenet
from archsmith.spaces.reference import BY_HAND, Reference


def network(size: int, seed: int = 0) -> nn.Module:
    model = mobilenet(10, 3, size)
    return extract(model, search_space(model).sample(Random(seed)), "fresh")


def test_macs_while_something_runs_are_those_of_all_it_computes() -> None:
    plain, image = network(16).eval(), torch.zeros(3, 3, 16, 16)
    assert macs_while(lambda: (plain(image), plain(image[:1]))) == 4 * macs(plain, (3, 16, 16))
    assert macs_while(lambda: image + 1) == 0


@pytest.mark.parametrize("size", [16, 32, 96])
def test_macs_agree_with_fvcore(size: int) -> None:
    plain = network(size).eval()
    counts = fvcore_counts(plain, (3, size, size))
    assert macs(plain, (3, size, size)) == counts["conv"] + counts["linear"]


def fvcore_counts(plain: nn.Module, shape: tuple[int, ...]) -> dict[str, int]:
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from fvcore.nn import FlopCountAnalysis

            return FlopCountAnalysis(plain, torch.zeros(1, *shape)).by_operator()
    finally:
        logging.disable(logging.NOTSET)


def test_sums_over_layers_by_hand() -> None:
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        nn.Conv2d(4, 4, 3, 2, 1, groups=4),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(64, 5),
    )
    found = layer_sums(net, (3, 8, 8))
    assert found["depth"] == 3 and found["outputs"] == 4 * 64 + 4 * 16 + 5
    assert found["log_sizes"] == pytest.approx(math.log(108) + math.log(36) + math.log(320))


def test_transposed_convolutions_count_as_others_do() -> None:
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1, dilation=1), nn.ConvTranspose2d(4, 6, 3, 2, 1, 1, groups=2)
    )
    found = layer_sums(net, (3, 8, 8))
    assert found["depth"] == 2 and found["outputs"] == 4 * 64 + 6 * 256
    assert found["log_sizes"] == pytest.approx(math.log(108) + math.log(108))
    # each weight once for each place of the input
    assert macs(net, (3, 8, 8)) == 108 * 64 + 108 * 64


def test_a_network_that_multiplies_nothing_has_no_macs() -> None:
    assert macs(nn.Sequential(nn.GroupNorm(1, 3), nn.ReLU()), (3, 8, 8)) == 0


def test_networks_with_transposed_convolutions_groups_and_embeddings_are_tabulated() -> None:
    model = Decoder()
    costs = Costs(model, (3, 8, 6), (*NAMES, *LAYERS))
    assert costs.additive
    for seed in range(20):
        arch = search_space(model).sample(Random(seed))
        plain = extract(model, arch).eval()
        counts = fvcore_counts(plain, (3, 8, 6))
        assert costs(arch) == pytest.approx(costs.exact(arch), rel=1e-12)
        assert costs(arch)["macs"] == counts["conv"] and costs(arch)["params"] == sum(
            p.numel() for p in plain.parameters()
        )
        assert costs(arch)["depth"] == 4


def test_sums_over_layers_are_tabulated_like_counts() -> None:
    model = mobilenet(10, 3, 16)
    costs = Costs(model, (3, 16, 16), ("params", *LAYERS))
    assert costs.additive
    for seed in range(20):
        arch = search_space(model).sample(Random(seed))
        assert costs(arch) == pytest.approx(costs.exact(arch), rel=1e-12)
    assert "macs" not in costs(arch)
    with pytest.raises(UserError, match="did you mean 'depth'"):
        Costs(model, (3, 16, 16), ("dept",))


@pytest.mark.parametrize(("kind", "depth", "first"), BY_HAND)
def test_networks_of_one_form_are_counted_by_the_first(kind: str, depth: int, first: int) -> None:
    one = Reference(kind, 7, 3, 33, depth=depth, width=1.0, head=64, kind=kind, first=first)
    counted = cost.MacsOfOneForm((3, 33, 33))
    for width, head in ((1.0, 64), (0.5, 64), (1.37, 65), (3.0, 8)):
        network = replace(one, width=width, head=head).make(None)
        assert counted(network) == cost.macs(network, (3, 33, 33))


def test_networks_of_another_form_are_counted_whole() -> None:
    counted = cost.MacsOfOneForm((3, 8, 8))
    for network in (
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 5, 1)),
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 5, 1)),
        nn.Sequential(nn.ConvTranspose2d(3, 4, 3), nn.Conv2d(4, 5, 1, groups=1)),
    ):
        assert counted(network) == cost.macs(network, (3, 8, 8))
    squares = cost.MacsOfOneForm((3, 8, 8))  # what it multiplies has no weight
    for width in (4, 6):
        network = nn.Sequential(nn.Conv2d(3, width, 3), Gram())
        assert squares(network) == cost.macs(network, (3, 8, 8))


class Gram(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(2)
        return x @ x.transpose(1, 2)


def test_macs_of_attention_by_hand() -> None:
    tokens, width, heads, head = 7, 12, 3, 4
    block = Attention(width, heads, head)
    plain = extract(block, {})
    # four linear layers, then q k' and its product with v
    assert (
        macs(plain, (tokens, width))
        == 4 * tokens * width * heads * head + 2 * heads * tokens * tokens * head
    )
    assert macs_by_module(plain, (tokens, width))[""] == 2 * heads * tokens * tokens * head


def test_parameters_count_tied_ones_once() -> None:
    first, second = nn.Linear(3, 3), nn.Linear(3, 3)
    second.weight = first.weight
    assert params(nn.Sequential(first, second)) == 9 + 3 + 3


def test_counting_leaves_the_module_as_it_was() -> None:
    plain = network(16).train()
    before = {name: t.clone() for name, t in plain.state_dict().items()}
    rng = torch.get_rng_state()
    macs(plain, (3, 16, 16)), peak_memory(plain, (3, 16, 16))
    assert all(m.training for m in plain.modules()) and torch.equal(torch.get_rng_state(), rng)
    assert all(torch.equal(t, before[name]) for name, t in plain.state_dict().items())


# -- memory ----------------------------------------------------------------------------------------


def test_peak_memory_by_hand() -> None:
    shape = (3, 8, 8)
    image, wide, narrow = 4 * 3 * 64, 4 * 16 * 64, 4 * 2 * 64
    chain = nn.Sequential(nn.Conv2d(3, 16, 1), nn.Conv2d(16, 2, 1), nn.Flatten(), nn.Linear(128, 5))
    assert peak_memory(chain, shape) == image + wide + narrow
    in_place = nn.Sequential(nn.Conv2d(3, 16, 1), nn.ReLU(inplace=True))
    assert peak_memory(in_place, shape) == image + wide
    assert peak_memory(nn.Sequential(nn.Conv2d(3, 16, 1), nn.ReLU()), shape) == image + 2 * wide
    assert peak_memory(nn.Identity(), shape) == image


class Shortcut(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 16, 1), nn.Conv2d(16, 3, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


def test_a_shortcut_keeps_its_input_alive() -> None:
    image, wide = 4 * 3 * 64, 4 * 16 * 64
    assert (
        peak_memory(nn.Sequential(nn.Conv2d(3, 3, 1), Shortcut()), (3, 8, 8))
        == image + image + wide + image
    )


@pytest.mark.parametrize("seed", range(3))
def test_meta_and_real_tensors_give_the_same_peak(seed: int) -> None:
    plain = network(16, seed).eval()
    assert peak_memory(plain, (3, 16, 16)) == traced_memory(plain, torch.zeros(1, 3, 16, 16))[0]


# -- Costs -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("channels", "size"), [(1, 8), (3, 32)])
def test_additive_counts_equal_exact_ones(channels: int, size: int) -> None:
    with torch.device("meta"):
        model = mobilenet(10, channels, size)
    space, rng = search_space(model), Random(1)
    costs = Costs(model, (channels, size, size), NAMES)
    assert costs.additive
    for _ in range(20):
        arch = space.sample(rng)
        counted = costs(arch)
        assert counted == costs.exact(arch)
        assert all(type(v) is int for v in counted.values())


def test_only_the_costs_asked_for_in_that_order() -> None:
    model = mobilenet(10, 1, 8)
    arch = search_space(model).sample(Random(0))
    full = Costs(model, (1, 8, 8), NAMES)(arch)
    for names in (("macs",), ("memory",), ("memory", "params"), ("params", "macs")):
        found = Costs(model, (1, 8, 8), names)(arch)
        assert tuple(found) == names and all(found[n] == full[n] for n in names)
    with pytest.raises(UserError, match="unknown cost 'mac'; did you mean 'macs'"):
        Costs(model, (1, 8, 8), ("mac",))


@pytest.mark.parametrize(
    "names", [None, ("params",), ("macs", "params"), ("depth",), ("params", "log_sizes")]
)
def test_memory_is_traced_only_where_it_is_asked_for(
    names: tuple[str, ...] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def traced(*_: object) -> None:
        raise AssertionError("memory was traced")

    monkeypatch.setattr(memory, "traced_memory", traced)
    monkeypatch.setattr(cost, "PeakMemory", traced)
    model = mobilenet(10, 1, 8)
    costs = Costs(model, (1, 8, 8)) if names is None else Costs(model, (1, 8, 8), names)
    arch = search_space(model).sample(Random(0))
    assert tuple(costs(arch)) == (names or ("params", "macs")) and costs(arch) == pytest.approx(
        costs.exact(arch)
    )


def test_memory_is_not_traced_where_other_costs_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    model = mobilenet(10, 1, 8)
    costs, arch = Costs(model, (1, 8, 8), NAMES), search_space(model).extreme()

    def traced(*_: object) -> None:
        raise AssertionError("memory was traced")

    monkeypatch.setattr(memory.PeakMemory, "__call__", traced)
    assert tuple(costs.showing("macs")(arch)) == ("macs",)
    with pytest.raises(AssertionError, match="traced"):
        costs.showing("memory")(arch)


class Strided(nn.Module):
    """Not additive: what `body` costs hangs on another module's stride."""

    def __init__(self) -> None:
        super().__init__()
        self.down = OneOf(
            {1: nn.Conv2d(3, 4, 3, 1, 1), 2: nn.Conv2d(3, 4, 3, 2, 1)},
            choice=Choice(1, 2, name="stride"),
        )
        self.body = Conv2d(4, Choice(4, 8, name="width"), 3, padding="same")

    def forward(self, x: Tensor) -> Tensor:
        return self.body(self.down(x)).mean((2, 3))


class Twice(nn.Module):
    """One layer in two places, under a gate in one of them."""

    def __init__(self) -> None:
        super().__init__()
        shared = Conv2d(3, 3, Choice(1, 3, name="kernel"), padding="same")
        self.body = Repeat(
            nn.Sequential(shared, nn.ReLU()),
            nn.Sequential(shared),
            depth=Choice(1, 2, name="depth"),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


@pytest.mark.parametrize("model", [Strided(), Twice()])
def test_models_that_are_not_additive_are_counted_exactly(model: nn.Module) -> None:
    costs = Costs(model, (3, 8, 8), NAMES)
    assert not costs.additive
    for arch in search_space(model).architectures():
        plain = extract(model, arch)
        expected = {
            "params": params(plain),
            "macs": macs(plain, (3, 8, 8)),
            "memory": peak_memory(plain, (3, 8, 8)),
        }
        assert costs(arch) == expected


class Tokens(nn.Module):
    """Attention spends MACs outside its layers, by its own sizes."""

    def __init__(self) -> None:
        super().__init__()
        width = Choice(4, 8, name="width")
        self.embed = Linear(5, width)
        self.mix = Repeat(
            *(Attention(width, Choice(1, 2, 3, name=f"heads{i}"), 4) for i in range(3)),
            depth=Choice(1, 2, 3),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.mix(self.embed(x))


def test_attention_is_additive() -> None:
    model = Tokens()
    costs = Costs(model, (6, 5), NAMES)
    assert costs.additive
    for arch in search_space(model).architectures():
        assert costs(arch) == costs.exact(arch)


class Bias(nn.Module):
    """A parameter of a container's own, and a stock layer."""

    def __init__(self) -> None:
        super().__init__()
        width = Choice(2, 4, name="width")
        self.scale = nn.Parameter(torch.ones(3, 1, 1))
        self.layers = nn.Sequential(nn.Conv2d(3, 3, 3), Conv2d(3, width, 1), BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x * self.scale)


def test_own_parameters_and_stock_layers_count() -> None:
    model = Bias()
    costs = Costs(model, (3, 6, 6), NAMES)
    assert costs.additive
    for arch in search_space(model).architectures():
        assert costs(arch) == costs.exact(arch)
        w = arch["width"]
        assert costs(arch)["params"] == 3 + (81 + 3) + (3 * w + w) + 2 * w
        assert costs(arch)["macs"] == 16 * (81 + 3 * w)


class Counting(nn.Sequential):
    """Counts itself, the MACs wrongly where asked to."""

    def __init__(self, wrong: int = 0) -> None:
        super().__init__(
            Conv2d(3, Choice(4, 8, name="width"), 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        )
        self.wrong = wrong

    def counts(self, arch: Architecture, shape: tuple[int, ...]) -> dict[str, float]:
        return {
            "params": 4 * arch["width"],
            "macs": 3 * arch["width"] * shape[1] * shape[2] + self.wrong,
        }


def test_a_model_that_counts_itself_is_asked_and_checked() -> None:
    model = Counting()
    costs = Costs(model, (3, 5, 5), ("params", "macs", "depth"))
    arch = search_space(model).extreme(-1)
    assert not costs.additive
    assert costs(arch) == costs.exact(arch) == {"params": 32, "macs": 600, "depth": 1}
    with pytest.raises(UserError, match="Counting.counts says macs=301 .* the network has 300"):
        Costs(Counting(wrong=1), (3, 5, 5))


def test_only_a_model_can_say_what_it_calls_its_layers() -> None:
    model = build("zen", 4, 3, 16, device="meta")
    costs = Costs(model, (3, 16, 16), ("layers", "macs"))
    assert costs(model.start) == {
        name: model.counts(model.start, (3, 16, 16))[name] for name in ("layers", "macs")
    }
    for other, said in (
        (Counting(), "Counting does not count layers"),
        (build("mobilenet", 4, 3, 16), "bound depth instead"),
    ):
        with pytest.raises(UserError, match=said):
            Costs(other, (3, 16, 16), ("params", "layers"))


@pytest.mark.parametrize("form", SIDED)
def test_where_a_side_is_decided_counts_are_those_of_what_is_shipped(form: str) -> None:
    """Without the resizing, for images of that side: an oracle that knows nothing of it."""
    model, plain = SIDED[form](None), SIDED[form](nn.Identity())
    costs, space = Costs(model, (3, 17, 17), (*NAMES, *LAYERS)), search_space(model)
    sides = {side: Costs(plain, (3, side, side), costs.names) for side in SIDES}
    assert costs.additive and space["pixels"] == SIDES
    for seed in range(10):
        arch = space.sample(Random(seed))
        rest = Architecture({name: o for name, o in arch.items() if name != "pixels"})
        found = costs(arch)
        assert found == pytest.approx(sides[arch["pixels"]].exact(rest), rel=1e-12)
        assert found == pytest.approx(costs.exact(arch), rel=1e-12)
        assert costs.once(arch)["macs"] * arch.get("views", 1) == found["macs"]
    assert len({costs(space.complete({"pixels": s}, Random(1)))["macs"] for s in SIDES}) == 3


@pytest.mark.parametrize("form", SIDED)
def test_networks_at_any_side_are_looked_up(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = SIDED[form](None)
    archs = [search_space(model).sample(Random(seed)) for seed in range(40)]
    costs = Costs(model, (3, 17, 17), ("params", "macs", *LAYERS))
    known = [costs(arch) for arch in archs]
    later = costs.showing(*costs.names)  # which has the tables, and no counts of whole networks

    def built(*_: object, **__: object) -> None:
        raise AssertionError("a network was built")

    monkeypatch.setattr(cost, "extract", built)
    monkeypatch.setattr(cost, "parts", built)
    assert [later(arch) for arch in archs] == known
    assert costs.terms is not None
    for arch, found in zip(archs, known, strict=True):
        for name in ("params", "macs"):
            assert sum(term.value(arch)[name] for term in costs.terms) == found[name]


def test_a_fixed_side_counts_as_one_too() -> None:
    costs = Costs(sided(Resize(9)), (3, 32, 32), NAMES)
    plain = Costs(sided(nn.Identity()), (3, 9, 9), NAMES)
    assert costs.additive
    for arch in search_space(costs.model).architectures():
        assert costs(arch) == plain(arch)


def test_a_side_that_a_decision_of_any_name_gives_is_found() -> None:
    """By the module that it stands in, not by what it is called: here widths rest on it, too."""
    size = Choice(4, 8, name="size")
    model = nn.Sequential(Resize(size), Conv2d(3, size, 3), Conv2d(size, 2, 1))
    costs, space = Costs(model, (3, 32, 32)), search_space(model)
    assert list(space) == ["size"] and costs.additive
    for side in (4, 8):
        arch = Architecture({"size": side})
        assert costs(arch)["macs"] == (side - 2) ** 2 * (27 * side + 2 * side)
