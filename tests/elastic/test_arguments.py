"""Every argument of torch's own constructors, given to every elastic layer: computed as torch does,
or refused at once."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from archsmith import elastic
from archsmith.elastic import Choice, Concat, Derived, OneOf, Parallel, Repeat
from archsmith.elastic.supernet import active, extract, search_space
from archsmith.errors import UserError

LAYERS = (
    "Conv2d",
    "ConvTranspose2d",
    "Linear",
    "BatchNorm1d",
    "BatchNorm2d",
    "GroupNorm",
    "LayerNorm",
    "Embedding",
)
WIDTHS = st.sampled_from([1, 2, 4, 6, np.int64(4), np.int32(2)])
FLAGS = st.sampled_from([True, False, np.True_, 0, 1])
PAIRS = st.one_of(
    st.integers(1, 3),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.lists(st.integers(1, 3), min_size=2, max_size=2),
    st.sampled_from([np.int64(2), (np.int64(1), 2), (2,)]),
)
ODD = st.sampled_from(
    [
        -1,
        0,
        1.5,
        2.0,
        True,
        "3",
        None,
        (1, -1),
        (1, 2, 3),
        (),
        (1.0, 2),
        float("nan"),
        [2],
        b"x",
        {},
        np.ones(2),
    ]
)
# what torch itself takes for each argument, by its name
LEGAL: dict[str, st.SearchStrategy[Any]] = {
    "in_channels": WIDTHS,
    "out_channels": WIDTHS,
    "in_features": WIDTHS,
    "out_features": WIDTHS,
    "num_features": WIDTHS,
    "num_channels": WIDTHS,
    "num_groups": st.sampled_from([1, 2, np.int64(2)]),
    "num_embeddings": st.sampled_from([3, 5]),
    "embedding_dim": WIDTHS,
    "padding_idx": st.sampled_from([None, 0, 2, -1, np.int64(1)]),
    "max_norm": st.sampled_from([None, 1.0]),
    "norm_type": st.sampled_from([2.0, 1]),
    "scale_grad_by_freq": FLAGS,
    "sparse": FLAGS,
    "_freeze": FLAGS,
    "_weight": st.sampled_from([None, torch.ones(5, 4), torch.ones(3, 2, dtype=torch.float64)]),
    "output_padding": st.sampled_from([0, 1, (0, 1), [1, 0]]),
    "kernel_size": PAIRS,
    "stride": PAIRS,
    "dilation": PAIRS,
    "padding": st.one_of(PAIRS, st.sampled_from([0, (0, 1), "same", "valid"])),
    "groups": st.sampled_from([1, 2]),
    "padding_mode": st.sampled_from(["zeros", "reflect", "replicate", "circular"]),
    "bias": FLAGS,
    "affine": FLAGS,
    "track_running_stats": FLAGS,
    "elementwise_affine": FLAGS,
    "eps": st.sampled_from([1e-5, 0.1, 1, np.float32(0.01)]),
    "momentum": st.sampled_from([0.1, None, 1, np.float64(0.5)]),
    "normalized_shape": st.sampled_from([6, (4,), [4], np.int64(3), torch.Size([5])]),
    "device": st.sampled_from([None, "cpu", torch.device("cpu")]),
    "dtype": st.sampled_from([None, torch.float64]),
}


def arguments(name: str) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(getattr(nn, name)).parameters)


def drawn(data: st.DataObject, name: str, *, odd: str | None = None) -> dict[str, Any]:
    """Legal values for what must be given and for some of the rest; one argument odd."""
    found = {}
    for argument, parameter in arguments(name).items():
        if (
            parameter.default is parameter.empty
            or argument == odd
            or data.draw(st.booleans(), label=f"give {argument}")
        ):
            found[argument] = data.draw(ODD if argument == odd else LEGAL[argument], label=argument)
    return found


def image(layer: nn.Module, name: str, dtype: torch.dtype, width: int | None = None) -> Tensor:
    if isinstance(layer, nn.Embedding):
        return torch.arange(2 * layer.num_embeddings).remainder(layer.num_embeddings).view(2, -1)
    sizes = {
        "Conv2d": ("in_channels", 9, 8),
        "Linear": ("in_features",),
        "BatchNorm1d": ("num_features",),
        "BatchNorm2d": ("num_features", 3, 4),
        "LayerNorm": ("normalized_shape",),
        "ConvTranspose2d": ("in_channels", 5, 4),
        "GroupNorm": ("num_channels", 3, 2),
    }
    attribute, *rest = sizes[name]
    given = getattr(layer, attribute)
    channels = width or (given[0] if isinstance(given, tuple) else given)
    return torch.randn(4, channels, *rest, generator=torch.Generator().manual_seed(3), dtype=dtype)


def randomized(layer: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for tensor in layer.state_dict().values():
            if tensor.is_floating_point():
                tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.1)
    return layer


def outcome(compute: Callable[[], Tensor]) -> Tensor | type[Exception]:
    try:
        return compute()
    except Exception as error:
        return type(error)


def same(first: Tensor | type[Exception], second: Tensor | type[Exception]) -> None:
    if isinstance(first, Tensor) and isinstance(second, Tensor):
        torch.testing.assert_close(first, second, rtol=1e-5, atol=1e-5, equal_nan=True)
    else:  # an input that the one does not take the other does not either
        assert first is second


def check(name: str, given: dict[str, Any]) -> None:
    """As torch's layer and as its twin, or a UserError."""
    try:
        layer = randomized(getattr(elastic, name)(**given))
    except UserError:
        return
    reference = getattr(nn, name)
    # ours goes with a stride too, and torch's transposed ones know no words
    if isinstance(given.get("padding"), str):
        given = given | {"padding": layer.padding}
    # numpy's flags, 0 and 1 too, which torch takes for others only
    if "scale_grad_by_freq" in given:
        given = given | {"scale_grad_by_freq": layer.scale_grad_by_freq}
    twin = reference(**given)
    twin.load_state_dict(layer.state_dict())
    dtype = next(iter(layer.parameters()), torch.zeros(0, dtype=given.get("dtype"))).dtype
    for training in (False, True):
        x = image(twin, name, dtype)
        ours = outcome(lambda: layer.train(training)(x))  # noqa: B023
        same(ours, outcome(lambda: extract(layer, {})(x)))  # noqa: B023
        same(ours, outcome(lambda: twin.train(training)(x)))  # noqa: B023


@pytest.mark.parametrize("name", LAYERS)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_whatever_torch_takes_is_computed_as_torch_does_or_refused(
    name: str, data: st.DataObject
) -> None:
    check(name, drawn(data, name))


@pytest.mark.parametrize("name", LAYERS)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_whatever_else_is_given_is_refused_or_computed_as_torch_does(
    name: str, data: st.DataObject
) -> None:
    argument = data.draw(
        st.sampled_from([a for a in arguments(name) if a not in ("device", "dtype")]),
        label="odd argument",
    )
    check(name, drawn(data, name, odd=argument))


@pytest.mark.parametrize("name", LAYERS)
def test_every_argument_of_torch_is_one_of_the_elastic_layer_in_the_same_place(name: str) -> None:
    ours = inspect.signature(getattr(elastic, name)).parameters
    for argument, parameter in arguments(name).items():
        assert ours[argument].kind is parameter.kind and ours[argument].default == parameter.default
    assert [a for a in ours if a in arguments(name)] == list(arguments(name))


WIDE = (
    "in_channels",
    "out_channels",
    "in_features",
    "out_features",
    "num_features",
    "normalized_shape",
    "num_groups",
    "num_channels",
    "num_embeddings",
    "embedding_dim",
    "kernel_size",
    "groups",
    "dilation",
)


@pytest.mark.parametrize(
    ("name", "argument"), [(n, a) for n in LAYERS for a in arguments(n) if a not in WIDE]
)
def test_a_choice_where_none_is_taken_is_told_at_construction(name: str, argument: str) -> None:
    required = {a: 4 for a, p in arguments(name).items() if p.default is p.empty} | (
        {"kernel_size": 3} if "Conv" in name else {}
    )
    if argument in ("device", "dtype", "max_norm", "_weight"):
        with pytest.raises((UserError, TypeError)):
            getattr(elastic, name)(**required, **{argument: Choice(1, 2)})
        return
    for value in (
        Choice(1, 2),
        Derived(lambda c: c + 1, Choice(1, 2)),
        *([(1, Choice(1, 2))] if "Conv" in name else ()),
    ):
        with pytest.raises(UserError, match=f"{name}\\({argument}=.*takes no Choice"):
            getattr(elastic, name)(**required, **{argument: value})


GEOMETRY = [
    {"kernel_size": (1, 3)},
    {"kernel_size": (3, 5), "padding": "same"},
    {"kernel_size": (3, 1), "padding": (1, 0)},
    {"kernel_size": 3, "stride": (1, 2)},
    {"kernel_size": 3, "stride": (2, 1), "padding": "same"},
    {"kernel_size": 3, "dilation": (1, 2), "padding": (1, 2)},
    {"kernel_size": (3, 3), "dilation": (2, 1), "padding": "same"},
    {
        "kernel_size": Choice(3, 5, name="k"),
        "padding": "same",
        "dilation": (1, 2),
        "stride": (2, 1),
    },
    {"kernel_size": Choice(1, 3, name="k"), "padding": "same", "padding_mode": "reflect"},
    {"kernel_size": (3, 5), "padding": "same", "dilation": Choice(1, 2, 3, name="d")},
    {
        "kernel_size": Choice(3, 5, name="k"),
        "padding": "same",
        "dilation": Choice(1, 2, name="d"),
        "padding_mode": "circular",
    },
    {"kernel_size": (2, 3), "padding": (0, 1), "padding_mode": "circular"},
    {"kernel_size": 2, "padding": "valid"},
]


@pytest.mark.parametrize("given", GEOMETRY, ids=str)
@pytest.mark.parametrize("depthwise", [False, True])
def test_pairs_are_the_same_in_the_supernet_the_twin_and_the_counts(
    given: dict[str, Any], depthwise: bool
) -> None:
    from archsmith.metrics.cost import Costs

    width = Choice(2, 4, name="width")
    layer = randomized(
        elastic.Conv2d(width, width if depthwise else 6, **given, groups=width if depthwise else 1)
    )
    stem = elastic.Conv2d(3, width, 1)
    model = nn.Sequential(stem, layer)
    costs = Costs(model, (3, 9, 8), ("params", "macs"))
    for arch in search_space(model).architectures():
        x = torch.randn(2, 3, 9, 8)
        plain = extract(model, arch)
        with active(model, arch):
            torch.testing.assert_close(model(x), plain(x), rtol=1e-5, atol=1e-5)
        assert costs(arch) == costs.exact(arch)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: elastic.Conv2d(3, 8, Choice((1, 3), (3, 3))), "elastic kernels are square"),
        (lambda: elastic.Conv2d(3, 8, (1, Choice(3, 5))), "takes no Choice"),
        (lambda: elastic.Conv2d(3, 8, 2, padding="same"), "is even"),
        (lambda: elastic.Conv2d(3, 8, 3, dilation=(1, Choice(1, 2))), "a pair takes no Choice"),
        (
            lambda: elastic.Conv2d(3, 8, 3, dilation=Choice((1, 2), (1, 1)), padding="same"),
            "same along height and width",
        ),
        (
            lambda: elastic.Conv2d(3, 8, 3, padding=1, dilation=Choice(1, 2)),
            "elastic dilation .* use padding='same'",
        ),
        (lambda: elastic.Conv2d(3, 8, 3, padding="same", dilation=Choice(0, 2)), "may become 0"),
        (lambda: elastic.ConvTranspose2d(3, 8, Choice(2, 4), padding="same"), "must be odd"),
        (lambda: elastic.ConvTranspose2d(3, 8, Choice(3, 5), padding=1), "use padding='same'"),
        (
            lambda: elastic.ConvTranspose2d(3, 8, 3, 2, output_padding=2),
            "must be less than the stride",
        ),
        (
            lambda: elastic.ConvTranspose2d(
                3, 8, 3, output_padding=1, padding="same", dilation=Choice(1, 2)
            ),
            "must be less than",
        ),
        (lambda: elastic.ConvTranspose2d(3, 8, 3, padding_mode="reflect"), "give one of 'zeros'"),
        (lambda: elastic.ConvTranspose2d(Choice(4, 6), 6, 3, groups=2), "channels per group"),
        (
            lambda: elastic.GroupNorm(4, Choice(8, 10)),
            "10 channels are not to be had in 4 equal groups",
        ),
        (
            lambda: elastic.GroupNorm(Choice(2, 3), Choice(6, 8)),
            "8 channels are not to be had in 3 equal groups",
        ),
        (lambda: elastic.GroupNorm(Concat(2, 2), 8), "give a number"),
        (lambda: elastic.Embedding(Concat(4, Choice(2, 4)), 8), "rows are a prefix"),
        (
            lambda: elastic.Embedding(Choice(4, 6), 8, padding_idx=4),
            "the smallest table has 4 rows",
        ),
        (lambda: elastic.Embedding(Choice(4, 6), 8, padding_idx=-1), "0 or more"),
        (lambda: elastic.Embedding(4, 8, max_norm=1.0), "other networks share"),
        (lambda: elastic.Embedding(4, 8, sparse=True), "dense"),
        (
            lambda: elastic.Embedding(Choice(4, 6), 8, _weight=torch.ones(4, 8)),
            r"give a tensor "
            r"\(6, 8\), the largest",
        ),
        (lambda: elastic.Conv2d(3, 8, 3, padding="half"), "give one of 'same', 'valid'"),
        (lambda: elastic.Conv2d(3, 8, 3, padding_mode="mirror"), "give one of 'zeros'"),
        (lambda: elastic.Conv2d(3, True, 3), "neither a number nor a size"),
        (lambda: elastic.Conv2d(3, 8.0, 3), "neither a number nor a size"),
        (lambda: elastic.Conv2d(3, Choice(8.5, 16), 3), "no whole number"),
        (lambda: elastic.Conv2d(3, Choice(0, 16), 3), "may become 0"),
        (lambda: elastic.Linear(4, Derived(lambda c: c / 3, Choice(3, 4))), "round it"),
        (lambda: elastic.Linear(Concat(4, Choice(-1, 2)), 3), "may become -1"),
        (lambda: elastic.LayerNorm((3, 8)), "last axis alone"),
        (lambda: elastic.BatchNorm2d("8"), "neither a number nor a size"),
        (lambda: elastic.Attention(8, Choice("two", "three"), 4), "no whole number"),
        (lambda: elastic.Attention(8, 2, Choice(4, 8)), "takes no Choice"),
        (lambda: elastic.SqueezeExcite(8, 0), "out_channels"),
        (lambda: OneOf({"1": nn.ReLU(), 1: nn.GELU()}), "two modules are called '1'"),
        (lambda: OneOf({"a.b": nn.ReLU()}), "take another name"),
        (lambda: OneOf({"forward": nn.ReLU()}), "take another name"),
        (lambda: OneOf(nn.ReLU(), "relu"), "give modules"),
        (lambda: OneOf(nn.ReLU(), nn.GELU(), choice=1), "give a Choice"),
        (lambda: OneOf(), "at least one"),
        (lambda: Repeat(nn.ReLU(), depth=1.0), "whole numbers"),
        (
            lambda: Parallel(nn.ReLU(), nn.GELU(), mask=Choice((0, 0), (0, 1))),
            "twice or out of order",
        ),
    ],
)
def test_what_no_layer_can_be_is_told_at_construction(
    make: Callable[[], object], told: str
) -> None:
    with pytest.raises(UserError, match=told):
        make()


@pytest.mark.parametrize(
    "make",
    [
        lambda size: nn.Linear(3, size),
        lambda size: nn.Conv2d(size, 4, 3),
        lambda size: nn.BatchNorm2d(size),
        lambda size: nn.LayerNorm(size),
        lambda size: nn.GroupNorm(4, size),
        lambda size: nn.Embedding(5, size),
        lambda size: nn.Conv2d(3, 4, 3, dilation=size),
        lambda size: torch.zeros(3, size),
        lambda size: 2 * size,
        lambda size: size // 2,
        lambda size: range(size),
        lambda size: nn.MultiheadAttention(size, 2),
    ],
)
@pytest.mark.parametrize(
    "size", [Choice(4, 8), Derived(lambda c: 2 * c, Choice(4, 8)), Concat(Choice(4, 8), 3)], ids=str
)
def test_a_size_that_is_open_used_as_a_number_says_what_to_write(
    make: Callable[[Any], object], size: Any
) -> None:
    with pytest.raises(
        UserError, match="no number yet: give it to the layers of archsmith.elastic"
    ):
        make(size)
