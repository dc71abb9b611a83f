"""What holds of every plain network that was made elastic."""

from __future__ import annotations

import copy
import logging
import warnings
from functools import cache
from random import Random

import torch
from plain_zoo import ZOO
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from archsmith.elastic.conversion import elastic
from archsmith.elastic.sorting import sort_channels
from archsmith.elastic.supernet import active, extract, search_space
from archsmith.space import Architecture, SearchSpace


def told(plain: nn.Module, seed: int = 0) -> nn.Module:
    """The network in eval mode, its tensors such that each channel tells."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in plain.state_dict().items():
            if tensor.is_floating_point():
                noise = torch.rand(tensor.shape, generator=generator)
                tensor.copy_(0.5 + noise if "var" in name else tensor + 0.2 * (noise - 0.5))
    return plain.eval()


@cache
def elastic_zoo(name: str) -> tuple[nn.Module, nn.Module, Tensor]:
    """A plain network of the zoo whose tensors all tell, the same made elastic, and images; made
    once, for tests that leave them as they are."""
    make, shape = ZOO[name]
    plain = told(make())
    x = torch.randn(2, *shape, generator=torch.Generator().manual_seed(0))
    return plain, elastic(plain, x), x


def check_keys_and_largest(plain: nn.Module, model: nn.Module, x: Tensor) -> None:
    """The same keys and tensors, and at the largest the same numbers, to the bit."""
    assert list(model.state_dict()) == list(plain.state_dict())
    for one, other in zip(model.state_dict().values(), plain.state_dict().values(), strict=True):
        assert torch.equal(one, other)
    assert not {id(p) for p in model.parameters()} & {id(p) for p in plain.parameters()}
    largest = search_space(model).extreme(-1)
    with torch.no_grad():
        expected = plain(x)
        assert torch.equal(model.eval()(x), expected)
        assert torch.equal(extract(model, largest).eval()(x), expected)
        with active(model, largest):
            assert torch.equal(model(x), expected)


def each_option(space: SearchSpace) -> list[Architecture]:
    """The smallest network, and some that hold together every option of each decision: decisions
    turn out of step with one another, and what no network holds so is taken into the largest."""
    whole, smallest = space.extreme(-1), space.extreme(0)
    found = [smallest] + [
        space.complete(
            {
                name: options[(turn + place) % len(options)]
                for place, (name, options) in enumerate(space.items())
            },
            Random(0),
        )
        for turn in range(max(map(len, space.values())))
    ]
    held = {pair for arch in found for pair in arch.items()}
    for name, options in space.items():
        for option in options if name in whole else ():
            if (name, option) not in held:
                found.append(space.complete({**whole, name: option}, Random(0)))
                held |= set(found[-1].items())
    return found


def check_extracted_is_active(model: nn.Module, arch: Architecture, x: Tensor) -> None:
    """The network alone computes what the model does while it is that network, to the bit, is made
    of stock layers and the user's classes, and learns."""
    with torch.no_grad(), active(model.eval(), arch):
        expected = model(x)
    plain = extract(model, arch).eval()
    with torch.no_grad():
        assert torch.equal(plain(x), expected)
    assert not any(type(module).__module__.startswith("archsmith") for module in plain.modules())
    plain(x).square().sum().backward()
    model.zero_grad()
    with active(model, arch):
        model(x).square().sum().backward()
    for parameter in plain.parameters():
        assert parameter.grad is None or bool(parameter.grad.isfinite().all())
    given = sum(float(p.grad.abs().sum()) for p in model.parameters() if p.grad is not None)
    kept = sum(float(p.grad.abs().sum()) for p in plain.parameters() if p.grad is not None)
    assert given > 0
    torch.testing.assert_close(given, kept, rtol=1e-3, atol=1e-6)


def check_sorted_is_the_same(model: nn.Module, x: Tensor) -> None:
    """Sorted channels compute the same, and nothing had to be put back."""
    with torch.no_grad():
        before = model.eval()(x)
        assert sort_channels(model, probe=x) == {}
        torch.testing.assert_close(model(x), before, rtol=1e-5, atol=1e-5)


def counted_by_fvcore(plain: nn.Module, x: Tensor) -> int | None:
    """Multiply-accumulates of one input; None of a network with operations that it does not
    count."""
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from fvcore.nn import FlopCountAnalysis

            analysis = FlopCountAnalysis(plain, x[:1])
            found = analysis.by_operator()
            if any("attention" in name for name in analysis.unsupported_ops()):
                return None
    finally:
        logging.disable(logging.NOTSET)
    return int(sum(found[name] for name in ("conv", "linear", "matmul", "bmm", "einsum")))


def counted_by_torch(plain: nn.Module, x: Tensor) -> int:
    """The same by torch's own counter, which counts two for each; on the CPU it would not see what
    is inside attention."""
    network, image = copy.deepcopy(plain).to("meta"), x[:1].to("meta")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(image)
    return counter.get_total_flops() // 2
