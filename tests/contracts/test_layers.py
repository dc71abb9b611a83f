"""The contract of elastic layers: every layer of the package keeps it, so does one of somebody's
own, broken ones are told."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from own_layers import BROKEN, ElasticScale
from torch import Tensor, nn

from archsmith import elastic, spaces
from archsmith.elastic import (
    BatchNorm1d,
    BatchNorm2d,
    Choice,
    Concat,
    Conv2d,
    ConvTranspose2d,
    Derived,
    Embedding,
    GroupNorm,
    LayerNorm,
    Linear,
)
from archsmith.elastic.supernet import extract, search_space
from archsmith.spaces.vit import ElasticTokens, Tokens
from archsmith.testing import RULES, check_layer

Sizes = Mapping[str, Any]


class Layer(NamedTuple):
    """A layer, what it takes, and the layer that it is at its largest."""

    make: Callable[[], nn.Module]
    inputs: Callable[[Sizes], Tensor]
    twin: Callable[[], nn.Module]


def _in() -> Choice:
    return Choice(2, 4, 6, name="in")


def _out() -> Choice:
    return Choice(3, 6, 9, name="out")


def _maps(name: str = "in", side: int = 8) -> Callable[[Sizes], Tensor]:
    return lambda sizes: torch.randn(2, sizes[name], side, side)


def _depthwise(kind: Any, **rest: Any) -> nn.Module:
    channels = _in()
    return kind(
        channels, channels, Choice(1, 3, 5, name="kernel"), 2, "same", groups=channels, **rest
    )


def _grouped(kind: Any, **rest: Any) -> nn.Module:
    channels = Choice(4, 8, 12, name="in")
    return kind(
        channels,
        Derived(lambda c: c // 2, channels),
        3,
        padding=1,
        groups=Derived(lambda c: c // 4, channels),
        **rest,
    )


def _concat() -> Concat:
    return Concat(_in(), Choice(1, 5, name="second"), 2)


def _joined(sizes: Sizes) -> Tensor:
    return torch.randn(2, sizes["in"] + sizes["second"] + 2, 4, 4)


def _eights(*rest: Any) -> GroupNorm:
    channels = Choice(8, 16, 24, name="in")
    return GroupNorm(Derived(lambda c: c // 8, channels), channels, *rest)


LAYERS: dict[str, Layer] = {
    "conv": Layer(
        lambda: Conv2d(_in(), _out(), Choice(3, 5, 7, name="kernel"), padding="same"),
        _maps(),
        lambda: nn.Conv2d(6, 9, 7, padding=3),
    ),
    "conv, cropped": Layer(
        lambda: Conv2d(
            _in(),
            4,
            Choice(3, 5, name="kernel"),
            padding="same",
            dilation=2,
            transform=False,
            bias=False,
        ),
        _maps(side=9),
        lambda: nn.Conv2d(6, 4, 5, padding=4, dilation=2, bias=False),
    ),
    "conv, dilations": Layer(
        lambda: Conv2d(
            _in(),
            4,
            Choice(3, 5, name="k"),
            2,
            "same",
            Choice(1, 2, 4, name="d"),
            padding_mode="circular",
        ),
        _maps(side=9),
        lambda: nn.Conv2d(6, 4, 5, 2, 8, 4, padding_mode="circular"),
    ),
    "conv, depthwise": Layer(
        lambda: _depthwise(Conv2d), _maps(), lambda: nn.Conv2d(6, 6, 5, 2, 2, groups=6)
    ),
    "conv, grouped": Layer(
        lambda: _grouped(Conv2d), _maps(), lambda: nn.Conv2d(12, 6, 3, padding=1, groups=3)
    ),
    "conv, joined": Layer(
        lambda: Conv2d(_concat(), _out(), 1), _joined, lambda: nn.Conv2d(13, 9, 1)
    ),
    "upwards": Layer(
        lambda: ConvTranspose2d(_in(), _out(), Choice(3, 5, 7, name="kernel"), 2, "same", 1),
        _maps(side=4),
        lambda: nn.ConvTranspose2d(6, 9, 7, 2, 3, 1),
    ),
    "upwards, dilations": Layer(
        lambda: ConvTranspose2d(
            _in(), 4, 3, (2, 1), "same", (1, 0), bias=False, dilation=Choice(1, 3, name="d")
        ),
        _maps(side=4),
        lambda: nn.ConvTranspose2d(6, 4, 3, (2, 1), 3, (1, 0), bias=False, dilation=3),
    ),
    "upwards, depthwise": Layer(
        lambda: _depthwise(ConvTranspose2d, output_padding=1),
        _maps(side=4),
        lambda: nn.ConvTranspose2d(6, 6, 5, 2, 2, 1, groups=6),
    ),
    "upwards, grouped": Layer(
        lambda: _grouped(ConvTranspose2d),
        _maps(side=4),
        lambda: nn.ConvTranspose2d(12, 6, 3, padding=1, groups=3),
    ),
    "upwards, joined": Layer(
        lambda: ConvTranspose2d(_concat(), _out(), 2, 2),
        _joined,
        lambda: nn.ConvTranspose2d(13, 9, 2, 2),
    ),
    "linear": Layer(
        lambda: Linear(_in(), _out()), lambda s: torch.randn(2, 5, s["in"]), lambda: nn.Linear(6, 9)
    ),
    "linear, no bias": Layer(
        lambda: Linear(_in(), 3, bias=False),
        lambda s: torch.randn(2, s["in"]),
        lambda: nn.Linear(6, 3, bias=False),
    ),
    "batch norm, maps": Layer(lambda: BatchNorm2d(_in()), _maps(side=3), lambda: nn.BatchNorm2d(6)),
    "batch norm, joined": Layer(
        lambda: BatchNorm2d(_concat(), bias=False), _joined, lambda: nn.BatchNorm2d(13, bias=False)
    ),
    "batch norm, vectors": Layer(
        lambda: BatchNorm1d(_in(), eps=1e-3, affine=False),
        lambda s: torch.randn(4, s["in"]),
        lambda: nn.BatchNorm1d(6, eps=1e-3, affine=False),
    ),
    "group norm": Layer(lambda: GroupNorm(2, _in()), _maps(side=3), lambda: nn.GroupNorm(2, 6)),
    "group norm, groups": Layer(
        lambda: GroupNorm(
            Choice(1, 2, 4, name="groups"), Choice(4, 8, name="in"), 1e-3, bias=False
        ),
        lambda s: torch.randn(2, s["in"], 5),
        lambda: nn.GroupNorm(4, 8, 1e-3, bias=False),
    ),
    "group norm, by channels": Layer(_eights, _maps(side=3), lambda: nn.GroupNorm(3, 24)),
    "group norm, plain": Layer(
        lambda: _eights(1e-5, False), _maps(side=3), lambda: nn.GroupNorm(3, 24, affine=False)
    ),
    "layer norm": Layer(
        lambda: LayerNorm(_in()), lambda s: torch.randn(2, 3, s["in"]), lambda: nn.LayerNorm(6)
    ),
    "layer norm, no bias": Layer(
        lambda: LayerNorm(_in(), bias=False),
        lambda s: torch.randn(2, 3, s["in"]),
        lambda: nn.LayerNorm(6, bias=False),
    ),
    "embedding": Layer(
        lambda: Embedding(7, _in()),
        lambda s: torch.arange(6).view(2, 3),
        lambda: nn.Embedding(7, 6),
    ),
    "embedding, entries": Layer(
        lambda: Embedding(
            Choice(3, 5, name="entries"), _concat(), padding_idx=1, scale_grad_by_freq=True
        ),
        lambda s: torch.arange(2 * s["entries"]).remainder(s["entries"]),
        lambda: nn.Embedding(5, 13, padding_idx=1, scale_grad_by_freq=True),
    ),
    "tokens": Layer(
        lambda: ElasticTokens(5, _in(), True),
        lambda s: torch.randn(2, 4, s["in"]),
        lambda: Tokens(5, 6, True),
    ),
}


def layers_of_the_package() -> set[type]:
    """Every class of `elastic` and of the spaces that is an elastic layer."""
    found: set[type] = set()
    for package in (elastic, spaces):
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            for name, kind in vars(importlib.import_module(module.name)).items():
                if (
                    isinstance(kind, type)
                    and issubclass(kind, nn.Module)
                    and not name.startswith("_")
                ):
                    found |= {kind} if hasattr(kind, "axes") and hasattr(kind, "weights") else set()
    return found


def test_none_is_left_out() -> None:
    assert {type(layer.make()) for layer in LAYERS.values()} == layers_of_the_package()
    public = {kind for kind in map(vars(elastic).get, elastic.__all__) if hasattr(kind, "axes")}
    assert public == {
        kind for kind in layers_of_the_package() if kind.__module__.startswith("archsmith.elastic.")
    }


@pytest.mark.parametrize("name", LAYERS)
def test_it_keeps_the_contract(name: str) -> None:
    layer = LAYERS[name]
    check_layer(layer.make, layer.inputs, twin=layer.twin)


@pytest.mark.parametrize("name", LAYERS)
def test_fresh_weights_are_those_that_torch_draws(name: str) -> None:
    layer = LAYERS[name]
    generator = torch.Generator().manual_seed(5)
    seed = int(torch.randint(2**62, (), generator=torch.Generator().manual_seed(5)).item())
    made = layer.make()
    sizes = {n: max(options) for n, options in search_space(made).items()}
    plain = extract(made, sizes, "fresh", generator)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        expected = layer.twin().state_dict()
    assert all(torch.equal(t, expected[key]) for key, t in plain.state_dict().items())


def test_a_layer_of_somebodys_own_keeps_it() -> None:
    check_layer(
        lambda: ElasticScale(Choice(4, 8, name="width")),
        lambda sizes: torch.randn(2, 3, sizes["width"]),
    )


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_told_by_its_rule(name: str) -> None:
    make, rule, seen = BROKEN[name]
    told = f"{type(make()).__name__} breaks the rule '{rule}': {re.escape(RULES[rule])}; .*{seen}"
    with pytest.raises(AssertionError, match=told):
        check_layer(make, lambda sizes: torch.randn(2, 3, sizes.get("width", 8)))


def test_every_rule_is_broken_by_some_layer_here() -> None:
    assert {rule for _, rule, _ in BROKEN.values()} == set(RULES)


def test_another_twin_than_the_one_named_is_told() -> None:
    for twin in (nn.LayerNorm(6, eps=1e-3), nn.LayerNorm(6, bias=False), nn.BatchNorm1d(6)):
        with pytest.raises(AssertionError, match="breaks the rule 'state_dict'"):
            check_layer(
                lambda: LayerNorm(_in()),
                lambda s: torch.randn(2, 3, s["in"]),
                twin=lambda twin=twin: twin,
            )


# -- made-up ones ----------------------------------------------------------------------------------

MADE_UP = settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
WIDTH = st.lists(st.integers(1, 5), min_size=1, max_size=3, unique=True)


def _choice(options: list[int], name: str) -> Choice | int:
    return Choice(*options, name=name) if len(options) > 1 else options[0]


@st.composite
def convolutions(draw: Any, kind: Any) -> tuple[Callable[[], nn.Module], Callable[[Sizes], Tensor]]:
    """Sizes, kernels, strides, dilations and groups in any order, elastic or not."""
    widths, outs = draw(WIDTH), draw(WIDTH)
    form = draw(st.sampled_from(["dense", "depthwise", "grouped"]))
    kernels = draw(st.lists(st.sampled_from([1, 3, 5]), min_size=1, max_size=3, unique=True))
    dilations = draw(st.lists(st.integers(1, 3), min_size=1, max_size=2, unique=True))
    strides = draw(st.one_of(st.integers(1, 3), st.tuples(st.integers(1, 3), st.integers(1, 2))))
    rest: dict[str, Any] = {"bias": draw(st.booleans()), "transform": draw(st.booleans())}
    if kind is ConvTranspose2d:
        least = min(strides) if isinstance(strides, tuple) else strides
        rest["output_padding"] = draw(st.integers(0, max(least, min(dilations)) - 1))
    else:
        rest["padding_mode"] = draw(st.sampled_from(["zeros", "replicate"]))
    per_group = draw(st.integers(1, 3))
    pairs = [
        (kernel, padding) for kernel in (2, (1, 3), (2, 4)) for padding in ("valid", 1, (0, 1))
    ]
    fixed = draw(st.sampled_from([None, *pairs]))
    if fixed is not None:
        dilations = dilations[:1]

    def make() -> nn.Module:
        width = Choice(*widths, name="in")
        inputs: Any = Derived(lambda c: c * per_group, width) if form == "grouped" else width
        outputs = {"dense": _choice(outs, "out"), "depthwise": inputs}.get(
            form, Derived(lambda c: 2 * c, width)
        )
        kernel, padding = fixed or (_choice(kernels, "kernel"), "same")
        groups, dilation = 1 if form == "dense" else width, _choice(dilations, "dilation")
        return kind(
            inputs, outputs, kernel, strides, padding, dilation=dilation, groups=groups, **rest
        )

    times = per_group if form == "grouped" else 1
    return make, lambda sizes: torch.randn(2, times * sizes["in"], 10, 11)


@pytest.mark.parametrize("kind", [Conv2d, ConvTranspose2d])
@MADE_UP
@given(data=st.data())
def test_made_up_convolutions_keep_it(kind: Any, data: st.DataObject) -> None:
    make, inputs = data.draw(convolutions(kind))
    check_layer(make, inputs, architectures=5)


@MADE_UP
@given(
    groups=st.lists(st.sampled_from([1, 2, 4]), min_size=1, max_size=2, unique=True),
    widths=WIDTH,
    affine=st.booleans(),
    rest=st.sampled_from([(), (4,), (3, 2)]),
)
def test_made_up_group_norms_keep_it(
    groups: list[int], widths: list[int], affine: bool, rest: tuple[int, ...]
) -> None:
    def make() -> nn.Module:
        return GroupNorm(
            _choice(groups, "groups"), Choice(*(4 * w for w in widths), name="in"), affine=affine
        )

    check_layer(make, lambda sizes: torch.randn(2, sizes["in"], *rest), architectures=5)


@MADE_UP
@given(entries=WIDTH, widths=WIDTH, row=st.integers(-5, 5), counted=st.booleans())
def test_made_up_embeddings_keep_it(
    entries: list[int], widths: list[int], row: int, counted: bool
) -> None:
    least = min(entries)
    row = row % least if len(entries) > 1 else max(-least, min(row, least - 1))

    def make() -> nn.Module:
        return Embedding(
            _choice(entries, "entries"),
            Choice(*widths, name="width"),
            row,
            scale_grad_by_freq=counted,
        )

    check_layer(
        make,
        lambda sizes: torch.arange(9).remainder(sizes.get("entries", least)).view(3, 3),
        architectures=5,
    )
