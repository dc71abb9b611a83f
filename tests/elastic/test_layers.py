"""The contract of elastic layers, on every one: largest = torch's layer, twin = layer, sizes, dtypes, devices."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from archsmith.elastic import BatchNorm1d, BatchNorm2d, Choice, Concat, Conv2d, Derived, LayerNorm, Linear
from archsmith.elastic.layer import is_elastic, shapes
from archsmith.elastic.supernet import active, dimensions, extract, search_space, slices


@dataclass
class Layer:
    make: Callable[[], nn.Module]
    torch_layer: Callable[[], nn.Module]  # of the largest sizes
    inputs: Callable[[dict[str, Any]], tuple[int, ...]]  # shape of the input under an architecture


def _in() -> Choice:
    return Choice(2, 4, 6, name="in")


def _out() -> Choice:
    return Choice(3, 6, 9, name="out")


def _depthwise() -> Conv2d:
    channels = _in()
    return Conv2d(channels, channels, Choice(1, 3, 5, name="kernel"), 2, "same", groups=channels)


def _grouped() -> Conv2d:
    channels = Choice(4, 8, 12, name="in")
    outputs = Derived(lambda c: c // 2, channels)
    return Conv2d(channels, outputs, 3, padding=1, groups=Derived(lambda c: c // 4, channels))


def _joined() -> Conv2d:
    return Conv2d(Concat(_in(), Choice(1, 5, name="second"), 2), _out(), 1)


LAYERS = {
    "conv": Layer(
        lambda: Conv2d(_in(), _out(), Choice(3, 5, 7, name="kernel"), padding="same", bias=True),
        lambda: nn.Conv2d(6, 9, 7, padding=3),
        lambda a: (2, a["in"], 8, 8),
    ),
    "conv-cropped": Layer(
        lambda: Conv2d(_in(), 4, Choice(3, 5, name="kernel"), padding="same", dilation=2, transform=False, bias=False),
        lambda: nn.Conv2d(6, 4, 5, padding=4, dilation=2, bias=False),
        lambda a: (2, a["in"], 9, 9),
    ),
    "depthwise": Layer(_depthwise, lambda: nn.Conv2d(6, 6, 5, 2, 2, groups=6), lambda a: (2, a["in"], 8, 8)),
    "grouped": Layer(_grouped, lambda: nn.Conv2d(12, 6, 3, padding=1, groups=3), lambda a: (2, a["in"], 5, 5)),
    "joined": Layer(_joined, lambda: nn.Conv2d(13, 9, 1), lambda a: (2, a["in"] + a["second"] + 2, 4, 4)),
    "linear": Layer(lambda: Linear(_in(), _out()), lambda: nn.Linear(6, 9), lambda a: (2, 5, a["in"])),
    "linear-plain": Layer(lambda: Linear(_in(), 3, bias=False), lambda: nn.Linear(6, 3, bias=False), lambda a: (2, a["in"])),
    "batchnorm2d": Layer(lambda: BatchNorm2d(_in()), lambda: nn.BatchNorm2d(6), lambda a: (4, a["in"], 3, 3)),
    "batchnorm1d": Layer(
        lambda: BatchNorm1d(_in(), eps=1e-3, affine=False),
        lambda: nn.BatchNorm1d(6, eps=1e-3, affine=False),
        lambda a: (4, a["in"]),
    ),
    "layernorm": Layer(lambda: LayerNorm(_in()), lambda: nn.LayerNorm(6), lambda a: (2, 3, a["in"])),
    "layernorm-plain": Layer(
        lambda: LayerNorm(_in(), bias=False), lambda: nn.LayerNorm(6, bias=False), lambda a: (2, 3, a["in"])
    ),
}


def randomized(layer: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, tensor in layer.state_dict().items():
            if tensor.is_floating_point():
                tensor.copy_(torch.randn(tensor.shape, generator=generator).abs() if "var" in name else
                             torch.randn(tensor.shape, generator=generator))  # fmt: skip
    return layer


def image(shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=dtype)


@pytest.fixture(params=LAYERS)
def case(request: pytest.FixtureRequest) -> Layer:
    return LAYERS[request.param]


def test_at_its_largest_it_is_the_torch_layer(case: Layer) -> None:
    layer, twin = randomized(case.make()), case.torch_layer()
    x = image(case.inputs(dict(search_space(layer).extreme(-1))))
    missing = twin.load_state_dict({n: t for n, t in layer.state_dict().items() if not n.startswith("to")})
    assert not missing.missing_keys and not missing.unexpected_keys
    for training in (False, True):  # outside `active`, without a word, it works at its largest
        torch.testing.assert_close(layer.train(training)(x), twin.train(training)(x))


def test_the_twin_is_the_layer_at_every_size(case: Layer) -> None:
    layer = randomized(case.make())
    for arch in search_space(layer).architectures():
        x = image(case.inputs(dict(arch)))
        for training in (False, True):
            layer.train(training)
            plain = extract(layer, arch)
            assert type(plain).__module__.startswith("torch.nn") and plain.training is training
            with active(layer, arch):
                expected, tensors = layer(x), layer.weights()
                assert all(torch.equal(dict(plain.state_dict())[n], t) for n, t in tensors.items())
            torch.testing.assert_close(plain(x), expected, rtol=1e-5, atol=1e-5)


def test_shapes_are_those_of_the_twin(case: Layer) -> None:
    layer = case.make()
    choices = {c.name: c for size in vars(layer).values() for c in getattr(size, "choices", (size,)) if isinstance(c, Choice)}
    for arch in search_space(layer).architectures():
        plain = extract(layer, arch, "fresh", device="meta")
        values = {choices[name]: option for name, option in arch.items()}
        assert shapes(layer, values) == {name: tuple(p.shape) for name, p in plain.named_parameters()}


def test_fresh_weights_are_torchs_own(case: Layer) -> None:
    layer = case.make()
    plain = extract(layer, search_space(layer).extreme(-1), "fresh", torch.Generator().manual_seed(5))
    seed = int(torch.randint(2**62, (), generator=torch.Generator().manual_seed(5)).item())
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        expected = case.torch_layer().state_dict()
    assert all(torch.equal(t, expected[name]) for name, t in plain.state_dict().items())


def test_double_precision_and_meta(case: Layer) -> None:
    layer = case.make().double()
    arch = search_space(layer).extreme(0)
    x = image(case.inputs(dict(arch)), torch.float64)
    for weights in ("shared", "fresh"):
        assert extract(layer, arch, weights)(x).dtype is torch.float64
    with torch.device("meta"):
        meta = case.make()
    assert all(t.is_meta for t in [*meta.parameters(), *meta.buffers()])
    assert extract(meta, arch, "fresh")(x.float()).shape == extract(layer, arch)(x).shape


def test_axes_dimensions_and_slices_agree(case: Layer) -> None:
    layer = case.make()
    assert is_elastic(layer)
    governed = {(d.tensor, d.axis) for found in dimensions(layer).values() for d in found}
    for arch in search_space(layer).architectures():
        for name, where in slices(layer, arch).items():
            for axis, index in enumerate(where):
                length = layer.state_dict()[name].shape[axis]
                taken = index.stop - index.start if isinstance(index, slice) else len(index)
                assert taken == length or (name, axis) in governed
