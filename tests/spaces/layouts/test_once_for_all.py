"""Once-For-All's files: what is made of them computes what the publishers' rule computes, written
here once more in plain torch."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from archsmith.elastic.supernet import extract, search_space
from archsmith.errors import UserError
from archsmith.spaces import build
from archsmith.spaces.catalog.ofa import ofa_settings
from archsmith.spaces.catalog.proxyless import NONE
from archsmith.spaces.layouts import Arranged, arranged

W10, W12 = "ofa-mobilenet-v3-w1.0", "ofa-mobilenet-v3-w1.2"
Weights = dict[str, Tensor]

# -- the rule, from the paper and the released networks --------------------------------------------

WIDTHS = {
    W10: (16, 24, 40, 80, 112, 160, 960, 1280),
    W12: (24, 32, 48, 96, 136, 192, 1152, 1536),
    "proxyless": (40, 24, 32, 56, 104, 128, 248, 416, 1664),  # the second is of the first block
}
STRIDES, EXCITED = (2, 2, 2, 1, 2), (False, True, False, True, True)


def divisible(value: float) -> int:
    """The nearest multiple of eight, not below nine tenths."""
    near = max(8, int(value + 4) // 8 * 8)
    return near if near >= 0.9 * value else near + 8


class Drawn:
    """A file of Once-For-All's with random numbers: elastic layers hold another, as released."""

    def __init__(self, space: str, classes: int = 1000, seed: int = 0) -> None:
        self.weights: Weights = {}
        self.space, self.classes = space, classes
        self._generator = torch.Generator().manual_seed(seed)
        stem, *widths = WIDTHS[space]
        self.conv("first_conv.conv", stem, 3, 3)
        self.norm("first_conv.bn", stem)
        first = widths.pop(0) if space == "proxyless" else stem
        self.conv("blocks.0.conv.depth_conv.conv", stem, 1, 3)
        self.norm("blocks.0.conv.depth_conv.bn", stem)
        self.conv("blocks.0.conv.point_linear.conv", first, stem, 1)
        self.norm("blocks.0.conv.point_linear.bn", first)
        if space == "proxyless":
            *widths, features = widths
            blocks = [w for i, w in enumerate(widths) for _ in range(4 if i < 5 else 1)]
            self.conv("feature_mix_layer.conv", features, widths[-1], 1)
            self.norm("feature_mix_layer.bn", features)
        else:
            *widths, middle, features = widths
            blocks = [w for w in widths for _ in range(4)]
            self.conv("final_expand_layer.conv", middle, widths[-1], 1)
            self.norm("final_expand_layer.bn", middle)
            self.conv("feature_mix_layer.conv", features, middle, 1)
        for number, (inputs, outputs) in enumerate(
            zip([first, *blocks[:-1]], blocks, strict=True), start=1
        ):
            self.block(number, inputs, outputs)
        self.weights["classifier.linear.weight"] = self.draw(classes, features) / features**0.5
        self.weights["classifier.linear.bias"] = self.draw(classes)

    def draw(self, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=self._generator)

    def conv(self, name: str, outputs: int, inputs: int, kernel: int) -> None:
        scale = (2 / (inputs * kernel**2)) ** 0.5
        self.weights[f"{name}.weight"] = self.draw(outputs, inputs, kernel, kernel) * scale

    def norm(self, name: str, width: int) -> None:
        self.weights |= {
            f"{name}.weight": 1 + 0.2 * self.draw(width),
            f"{name}.bias": 0.2 * self.draw(width),
            f"{name}.running_mean": 0.2 * self.draw(width),
            f"{name}.running_var": 0.5 + self.draw(width) ** 2,
            f"{name}.num_batches_tracked": torch.tensor(7),
        }

    def block(self, number: int, inputs: int, outputs: int) -> None:
        name, middle = f"blocks.{number}.conv", divisible(6 * inputs)
        self.conv(f"{name}.inverted_bottleneck.conv.conv", middle, inputs, 1)
        self.norm(f"{name}.inverted_bottleneck.bn.bn", middle)
        self.conv(f"{name}.depth_conv.conv.conv", middle, 1, 7)
        for large, small in ((7, 5), (5, 3)):
            self.weights[f"{name}.depth_conv.conv.{large}to{small}_matrix"] = torch.eye(
                small**2
            ) + 0.2 * self.draw(small**2, small**2)
        self.norm(f"{name}.depth_conv.bn.bn", middle)
        if self.space != "proxyless" and EXCITED[(number - 1) // 4]:
            squeezed = divisible(middle // 4)
            for layer, out, into in (("reduce", squeezed, middle), ("expand", middle, squeezed)):
                self.conv(f"{name}.depth_conv.se.fc.{layer}", out, into, 1)
                self.weights[f"{name}.depth_conv.se.fc.{layer}.bias"] = self.draw(out)
        self.conv(f"{name}.point_linear.conv.conv", outputs, middle, 1)
        self.norm(f"{name}.point_linear.bn.bn", outputs)


def normed(weights: Weights, name: str, x: Tensor, eps: float) -> Tensor:
    mean, var, weight, bias = (
        weights[f"{name}.{n}"][: x.shape[1]]
        for n in ("running_mean", "running_var", "weight", "bias")
    )
    return F.batch_norm(x, mean, var, weight, bias, False, 0.0, eps)


def kernel_of(weights: Weights, name: str, channels: int, size: int) -> Tensor:
    """The center of the next larger kernel as a row through F.linear, step by step."""
    kernel = weights[f"{name}.conv.weight"][:channels]
    for large, small in ((7, 5), (5, 3)):
        if size <= small:
            rows = kernel[:, :, 1:-1, 1:-1].reshape(channels, -1)
            rows = F.linear(rows, weights[f"{name}.{large}to{small}_matrix"])
            kernel = rows.reshape(channels, 1, small, small)
    return kernel


def block_of(
    weights: Weights, number: int, x: Tensor, *, k: int, e: int, stride: int, act: Any, eps: float
) -> Tensor:
    name, inputs = f"blocks.{number}.conv", x
    middle = divisible(round(x.shape[1] * e))
    x = F.conv2d(x, weights[f"{name}.inverted_bottleneck.conv.conv.weight"][:middle])
    x = act(normed(weights, f"{name}.inverted_bottleneck.bn.bn", x, eps))
    kernel = kernel_of(weights, f"{name}.depth_conv.conv", middle, k)
    x = F.conv2d(x, kernel, stride=stride, padding=k // 2, groups=middle)
    x = act(normed(weights, f"{name}.depth_conv.bn.bn", x, eps))
    gate = f"{name}.depth_conv.se.fc"
    if f"{gate}.reduce.weight" in weights:
        squeezed = divisible(middle // 4)
        y = F.conv2d(
            x.mean((2, 3), keepdim=True),
            weights[f"{gate}.reduce.weight"][:squeezed, :middle],
            weights[f"{gate}.reduce.bias"][:squeezed],
        )
        y = F.conv2d(
            F.relu(y),
            weights[f"{gate}.expand.weight"][:middle, :squeezed],
            weights[f"{gate}.expand.bias"][:middle],
        )
        x = x * (F.relu6(y + 3) / 6)
    x = F.conv2d(x, weights[f"{name}.point_linear.conv.conv.weight"][:, :middle])
    x = normed(weights, f"{name}.point_linear.bn.bn", x, eps)
    return x + inputs if stride == 1 and x.shape == inputs.shape else x


def begun(weights: Weights, x: Tensor, stem: Any, first: Any, eps: float) -> Tensor:
    """Stem and first block, without the shortcut."""
    x = F.conv2d(x, weights["first_conv.conv.weight"], stride=2, padding=1)
    x = stem(normed(weights, "first_conv.bn", x, eps))
    kernel = weights["blocks.0.conv.depth_conv.conv.weight"]
    y = F.conv2d(x, kernel, padding=1, groups=x.shape[1])
    y = first(normed(weights, "blocks.0.conv.depth_conv.bn", y, eps))
    y = F.conv2d(y, weights["blocks.0.conv.point_linear.conv.weight"])
    y = normed(weights, "blocks.0.conv.point_linear.bn", y, eps)
    return x + y if eps == 1e-5 else y


def mobilenet_v3(weights: Weights, x: Tensor, *, ks: Any, e: Any, d: Any) -> Tensor:
    """Logits of a sub-network: `ks`, `e` of 20 slots, `d` of five stages."""
    x = begun(weights, x, F.hardswish, F.relu, 1e-5)
    for stage in range(5):
        for i in range(d[stage]):
            x = block_of(
                weights,
                4 * stage + i + 1,
                x,
                k=ks[4 * stage + i],
                e=e[4 * stage + i],
                stride=STRIDES[stage] if i == 0 else 1,
                act=F.relu if stage < 2 else F.hardswish,
                eps=1e-5,
            )
    x = F.conv2d(x, weights["final_expand_layer.conv.weight"])
    x = F.hardswish(normed(weights, "final_expand_layer.bn", x, 1e-5)).mean((2, 3), keepdim=True)
    x = F.hardswish(F.conv2d(x, weights["feature_mix_layer.conv.weight"])).flatten(1)
    return F.linear(x, weights["classifier.linear.weight"], weights["classifier.linear.bias"])


def proxyless(weights: Weights, x: Tensor, blocks: Mapping[str, str]) -> Tensor:
    """Logits of a sub-network: stage1.block1 -> k5e3, or none."""
    x = begun(weights, x, F.relu6, F.relu6, 1e-3)
    number = 0
    for stage, depth in enumerate((4, 4, 4, 4, 4, 1), start=1):
        for i in range(1, depth + 1):
            number += 1
            if (option := blocks[f"stage{stage}.block{i}"]) != NONE:
                stride = (2, 2, 2, 1, 2, 1)[stage - 1] if i == 1 else 1
                k, e = int(option[1]), int(option[3])
                x = block_of(weights, number, x, k=k, e=e, stride=stride, act=F.relu6, eps=1e-3)
    x = F.conv2d(x, weights["feature_mix_layer.conv.weight"])
    x = F.relu6(normed(weights, "feature_mix_layer.bn", x, 1e-3)).mean((2, 3))
    return F.linear(x, weights["classifier.linear.weight"], weights["classifier.linear.bias"])


# -- what is made of a file ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def w10() -> Weights:
    return Drawn(W10).weights


def made(weights: Weights, space: str, classes: int = 1000) -> tuple[nn.Module, Arranged]:
    model = build(space, classes, 3, 224, device="cpu")
    own = model.state_dict()
    found = arranged(weights, own, space)
    model.load_state_dict({**own, **found.tensors})
    return model.eval(), found


def furthest(model: nn.Module, weights: Weights, count: int, size: int = 48) -> tuple[float, float]:
    """(largest difference between ours and the rule's, as a share of the largest logit; smallest
    share that two sub-networks differ by) over random ones, with both extremes."""
    space, rng = search_space(model), Random(1)
    images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(5))
    archs = [space.extreme(0), space.extreme(-1), *(space.sample(rng) for _ in range(count - 2))]
    worst, between, before = 0.0, 1.0, None
    with torch.no_grad():
        for arch in archs:
            logits = extract(model, arch, "shared").eval()(images)
            if "stage1.depth" in arch:
                right = mobilenet_v3(weights, images, **ofa_settings(arch))
            else:
                right = proxyless(weights, images, arch)
            scale = float(right.abs().max())
            worst = max(worst, float((logits - right).abs().max()) / scale)
            if before is not None:
                between = min(between, float((right - before).abs().max()) / scale)
            before = right
    return worst, between


@pytest.mark.parametrize(("space", "count"), [(W10, 24), (W12, 4)])
def test_sub_networks_compute_what_the_rule_does(space: str, count: int, w10: Weights) -> None:
    weights = w10 if space == W10 else Drawn(space).weights
    model, found = made(weights, space)
    assert len(found.tensors) == len(weights) == 475 and not found.left and not found.unused
    assert found.layout == "Once-For-All" and found.remarks == ("kernel matrices transposed",)
    worst, between = furthest(model, weights, count)
    assert worst < 1e-5 < 1e-2 < between


def test_without_the_transposition_they_do_not(w10: Weights) -> None:
    model, _ = made(w10, W10)
    with torch.no_grad():
        for name, matrix in model.named_parameters():
            if name.endswith((".to5", ".to3")):
                matrix.copy_(matrix.t().clone())
    assert furthest(model, w10, 4)[0] > 1e-2


def as_first_released(name: str) -> str:
    return (
        name.replace(".conv.", ".mobile_inverted_conv.", 1) if name.startswith("blocks") else name
    )


SPELLED = {
    "mobile_inverted_conv": as_first_released,
    "of several GPUs": lambda name: f"module.{as_first_released(name)}",
    "a linear layer within": lambda name: name.replace(
        "classifier.linear", "classifier.linear.linear"
    ),
}


@pytest.mark.parametrize("spelling", SPELLED)
def test_all_spellings_are_read(spelling: str, w10: Weights) -> None:
    model, found = made({SPELLED[spelling](name): t for name, t in w10.items()}, W10)
    plain, _ = made(w10, W10)
    assert len(found.tensors) == 475 and ("'module.' left out" in found.remark) == (
        spelling == "of several GPUs"
    )
    assert all(map(torch.equal, model.state_dict().values(), plain.state_dict().values()))


def test_other_classes_and_channels_are_made_new(w10: Weights) -> None:
    _, found = made(w10, W10, classes=10)
    assert len(found.tensors) == 473
    assert found.remark == (
        " (Once-For-All's layout, kernel matrices transposed); not taken: head.classifier.weight, "
        "head.classifier.bias (1000 classes there, 10 here: made new)"
    )
    grey = build(W10, 1000, 1, 224).state_dict()
    assert arranged(w10, grey).left == {"stem.conv.weight": "3 channels there, 1 here: made new"}


def plain(name: str) -> str:
    for there, here in ((".bn.bn.", ".bn."), (".conv.conv.weight", ".conv.weight")):
        name = name.replace(there, here)
    return name


def largest(weights: Weights) -> Weights:
    """The largest network as a plain one, as Neural Architecture Transfer releases it."""
    return {plain(name): t for name, t in weights.items() if not name.endswith("_matrix")}


def test_the_largest_network_alone_keeps_identities(w10: Weights) -> None:
    model, found = made(largest(w10), W10)
    assert len(found.tensors) == 435
    assert found.remark == (
        " (Once-For-All's layout); not taken: stage1.block1.depthwise.conv.to5, "
        "stage1.block1.depthwise.conv.to3 and 38 more (not in it: identity)"
    )
    state = model.state_dict()
    assert all(torch.equal(state[key], torch.eye(len(state[key]))) for key in found.left)
    eyes = {n: torch.eye(len(t)) for n, t in w10.items() if n.endswith("_matrix")}
    worst, between = furthest(model, {**w10, **eyes}, 4)
    assert worst < 1e-5 < 1e-2 < between


@pytest.mark.parametrize(("there", "here", "times"), [(W12, W10, "1.2"), (W10, W12, "0.83")])
def test_another_width_is_said(there: str, here: str, times: str) -> None:
    with pytest.raises(UserError, match=f"{times} times as wide: use --space {there}$"):
        arranged(Drawn(there).weights, build(here, 1000, 3, 224).state_dict(), here)


def test_one_smaller_network_is_refused(w10: Weights) -> None:
    smaller = largest(w10)
    name = "blocks.5.conv.depth_conv.conv.weight"
    smaller[name] = smaller[name][:, :, 1:-1, 1:-1]
    own = build(W10, 1000, 3, 224).state_dict()
    with pytest.raises(
        UserError, match="depth_conv.*one smaller network: give those of the supern"
    ):
        arranged(smaller, own, W10)
    less = {n: t for n, t in largest(w10).items() if not n.startswith("blocks.20.")}
    assert {key.rpartition(".")[0][:13] for key in arranged(less, own).left} >= {"stage5.block4"}


def test_what_no_such_network_has_is_refused(w10: Weights) -> None:
    more = {**w10, "exits.0.linear.weight": torch.zeros(10, 40), "exits.0.a": torch.zeros(1)}
    with pytest.raises(
        UserError, match=r"has no exits\.0\.linear\.weight, exits\.0\.a: they are of"
    ):
        arranged(more, build(W10, 1000, 3, 224).state_dict(), W10)


@pytest.mark.parametrize("space", ["mobilenet", "convnet", "proxyless", "vit-nano"])
def test_another_space_is_told_which_one_it_is(space: str, w10: Weights) -> None:
    own = build(space, 10, 3, 224).state_dict()
    with pytest.raises(UserError) as refused:
        arranged(w10, own, space)
    said = str(refused.value)
    assert "it has first_conv.conv.weight, first_conv.bn.weight, first_conv.bn.bias, ..." in said
    assert f"the space has {', '.join(list(own)[:3])}, ..." in said
    assert said.endswith(f"it is Once-For-All's MobileNetV3, not {space}: use --space {W10}")


def test_half_precision_is_converted_and_whole_numbers_are_refused(w10: Weights) -> None:
    half = {name: t.half() if t.is_floating_point() else t for name, t in w10.items()}
    own = build(W10, 1000, 3, 224).state_dict()
    found = arranged(half, own)
    assert len(found.tensors) == 475 and "float16 converted to float32" in found.remark
    assert {t.dtype for t in found.tensors.values()} == {torch.float32, torch.int64}
    some = dict(list(w10.items())[:1]) | {n: t.to(torch.int8) for n, t in list(w10.items())[1:]}
    assert "stem.norm.weight, stem.norm.bias and " in arranged(some, own).remark
    assert "(int8 there, which cannot be weights)" in arranged(some, own).remark
    with pytest.raises(UserError, match=r"'first_conv\.conv\.weight' holds whole numbers \(int8\)"):
        arranged({name: t.to(torch.int8) for name, t in w10.items()}, own)


# -- ProxylessNAS ----------------------------------------------------------------------------------


def test_each_block_of_proxyless_is_cut_out_of_the_shared_one() -> None:
    weights = Drawn("proxyless").weights
    model, found = made(weights, "proxyless")
    assert len(found.tensors) == len(model.state_dict()) and not found.left and not found.unused
    assert found.remarks[:2] == ("each block cut out of the shared one", "kernel matrices applied")
    worst, between = furthest(model, weights, 6)
    assert worst < 1e-5 < 1e-2 < between


def test_small_images_have_a_narrower_proxyless() -> None:
    with pytest.raises(UserError, match="networks for images of more than 64 pixels"):
        arranged(Drawn("proxyless").weights, build("proxyless", 1000, 3, 32).state_dict())
