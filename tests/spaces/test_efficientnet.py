"""EfficientNet-Lite0: the published network at its largest, by an independent rendering of its
description; parts of it cost what they do."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from archsmith.elastic import Choice
from archsmith.elastic.supernet import extract, search_space
from archsmith.metrics.cost import Costs, macs, params
from archsmith.spaces import SPACES, build
from archsmith.spaces.catalog.efficientnet import STAGES
from archsmith.spaces.efficientnet import efficientnet_lite0

NAME = "efficientnet-lite0"


def random_numbers(model: nn.Module) -> None:
    """Statistics and scales of BatchNorm, too, so that nothing is 0 or 1."""
    generator = torch.Generator().manual_seed(1)
    for name, tensor in model.state_dict().items():
        if name.endswith("num_batches_tracked"):
            continue
        drawn = torch.randn(tensor.shape, generator=generator)
        positive = name.endswith(("running_var", "norm.weight"))
        tensor.copy_(drawn.abs() + 0.5 if positive else drawn / max(1, tensor[0].numel()) ** 0.5)


def rendered(weights: Mapping[str, Tensor], x: Tensor) -> Tensor:
    """The network as TensorFlow computes it: padding "SAME" by the sizes at hand, BatchNorm with
    0.001 under the root."""

    def conv(x: Tensor, name: str, stride: int = 1, groups: int = 1) -> Tensor:
        w = weights[f"{name}.conv.weight"]
        side, kernel = x.shape[-1], w.shape[-1]
        total = max((-(-side // stride) - 1) * stride + kernel - side, 0)
        before = total // 2
        x = F.pad(x, (before, total - before) * 2)
        mean, var = weights[f"{name}.norm.running_mean"], weights[f"{name}.norm.running_var"]
        scale, shift = weights[f"{name}.norm.weight"], weights[f"{name}.norm.bias"]
        y = F.conv2d(x, w, stride=stride, groups=groups)
        return F.batch_norm(y, mean, var, scale, shift, eps=1e-3)

    x = F.relu6(conv(x, "stem", 2))
    for number, (_, depth, _, stride, expand) in enumerate(STAGES, start=1):
        for i in range(1, depth + 1):
            block, y = f"stages.stage{number}.block{i}", x
            if expand > 1:
                y = F.relu6(conv(y, f"{block}.expand"))
            y = conv(y, f"{block}.depthwise", stride if i == 1 else 1, y.shape[1])
            y = conv(F.relu6(y), f"{block}.project")
            x = x + y if i > 1 else y
    x = F.relu6(conv(x, "head.7")).mean((2, 3))
    return F.linear(x, weights["head.7.classifier.weight"], weights["head.7.classifier.bias"])


@pytest.mark.parametrize("side", [64, 96])
def test_the_largest_is_the_published_network(side: int) -> None:
    model = build(NAME, 11, 3, side, device="cpu").eval()
    random_numbers(model)
    x = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found, wanted = model(x), rendered(model.state_dict(), x)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4 * float(wanted.abs().max()))


def test_it_has_the_published_number_of_parameters() -> None:
    model = build(NAME, 1000, 3, 224)
    whole = extract(model, search_space(model).extreme(-1), "fresh", device="meta").eval()
    assert params(whole) == 4_652_008  # EfficientNet-Lite's page: 4.7M
    assert macs(whole, (3, 224, 224)) == pytest.approx(385.2e6, rel=2e-4)  # there: 407M of 2 kinds


@pytest.mark.parametrize(("end", "own"), [(3, 55_914), (4, 254_794), (5, 701_898), (7, 3_383_818)])
def test_a_part_is_its_first_stages_with_a_classifier(end: int, own: int) -> None:
    model = build(NAME, 10, 3, 64)
    space = search_space(model)
    arch = space.complete({**{n: max(o) for n, o in space.items()}, "end": end}, Random(0))
    plain = extract(model, arch, "fresh", device="meta")
    assert params(plain) == own
    names = [name for name, _ in plain.named_children()]
    assert names == ["stem", "stages", "head"]
    assert len(list(plain.get_submodule("stages").children())) == end


def test_costs_are_sums_over_its_decisions() -> None:
    model = build(NAME, 7, 3, 96)
    costs, space, rng = Costs(model, (3, 96, 96)), search_space(model), Random(0)
    for arch in (space.sample(rng) for _ in range(6)):
        plain = extract(model, arch, "fresh", device="meta").eval()
        assert costs(arch) == {"params": params(plain), "macs": macs(plain, (3, 96, 96))}


def test_the_table_says_how_many_there_are() -> None:
    assert float(SPACES[NAME].networks) == pytest.approx(
        search_space(build(NAME, 10, 3, 64)).size, rel=0.05
    )


def test_the_side_of_its_images_can_be_decided_too() -> None:
    with torch.device("meta"):
        model = efficientnet_lite0(10, 3, 128, pixels=Choice(64, 96, name="pixels"))
        plain = efficientnet_lite0(10, 3, 128)
    space = search_space(model)
    assert space["pixels"] == (64, 96) and "pixels" not in search_space(plain)
    assert set(space) - {"pixels"} == set(search_space(plain))
    assert model.state_dict().keys() == plain.state_dict().keys()
    costs, rng = Costs(model, (3, 128, 128)), Random(0)
    for side in (64, 96):
        arch = space.complete({"pixels": side, "end": 4}, rng)
        alone = extract(
            plain, {n: o for n, o in arch.items() if n != "pixels"}, "fresh", device="meta"
        ).eval()
        assert costs(arch) == {"params": params(alone), "macs": macs(alone, (3, side, side))}
