"""Once-For-All's supernets as their publishers store them (Cai et al., ICLR 2020, and its released
code): MobileNetV3, ProxylessNAS."""

from __future__ import annotations

from functools import partial

from torch import Tensor

from archsmith.space import make_divisible
from archsmith.spaces.blocks import middle_width
from archsmith.spaces.catalog import ofa, proxyless
from archsmith.spaces.layouts.layout import (
    Layout,
    Source,
    Width,
    classified,
    convolved,
    flattened,
    transposed,
)

# what releases spell in two ways, elastic layers and plain ones
_SPELLINGS = (
    (".mobile_inverted_conv.", ".conv."),
    (".bn.bn.", ".bn."),
    (".conv.conv.weight", ".conv.weight"),
    (".linear.linear.", ".linear."),
)
_VARYING = {"stem.conv.weight": 1, "head.classifier.weight": 0, "head.classifier.bias": 0}
# epsilon of BatchNorm where Once-For-All's ProxylessNAS was trained, and here
_EPS, _OUR_EPS = 1e-3, 1e-5


def _layer(ours: str, theirs: str) -> dict[str, Source]:
    return convolved(ours, f"{theirs}.conv", f"{theirs}.bn")


def _ends(features: str) -> dict[str, Source]:
    return {
        **_layer("stem", "first_conv"),
        **_layer("head", features),
        **classified("head.classifier", "classifier.linear"),
    }


# -- MobileNetV3 ---------------------------------------------------------------------------------


def _mobilenet_v3() -> dict[str, Source]:
    sources = _ends("final_expand_layer") | {
        "head.dense.weight": Source("feature_mix_layer.conv.weight", flattened)
    }
    sources |= _layer("first.block1.depthwise", "blocks.0.conv.depth_conv")
    sources |= _layer("first.block1.project", "blocks.0.conv.point_linear")
    for stage, excited in enumerate(ofa.EXCITED, start=1):
        for block in range(1, ofa.OFA_DEPTHS[-1] + 1):
            number = ofa.OFA_DEPTHS[-1] * (stage - 1) + block
            ours, theirs = f"stage{stage}.block{block}", f"blocks.{number}.conv"
            sources |= _layer(f"{ours}.expand", f"{theirs}.inverted_bottleneck")
            sources |= _layer(f"{ours}.depthwise", f"{theirs}.depth_conv")
            sources |= _layer(f"{ours}.project", f"{theirs}.point_linear")
            for large, small in ((7, 5), (5, 3)):
                # there the matrix stands on the left of a kernel as a column, here on its right
                sources[f"{ours}.depthwise.conv.to{small}"] = Source(
                    f"{theirs}.depth_conv.conv.{large}to{small}_matrix",
                    transposed,
                    absent="identity",
                )
            if excited:
                for layer in ("reduce", "expand"):
                    sources |= classified(
                        f"{ours}.excite.{layer}", f"{theirs}.depth_conv.se.fc.{layer}"
                    )
    return sources


MOBILENET_V3 = Layout(
    "Once-For-All",
    "Once-For-All's MobileNetV3",
    _mobilenet_v3(),
    mark="first_conv.conv.weight",
    widths={
        ofa.channels(times)[0]: Width(space.name, times)
        for space, times in ((ofa.W10, 1.0), (ofa.W12, 1.2))
    },
    varying=_VARYING,
    spellings=_SPELLINGS,
    done=(("_matrix", "kernel matrices transposed"),),
    otherwise="these are weights of one smaller network: give those of the supernet, or of its "
    "largest network",
)


# -- ProxylessNAS --------------------------------------------------------------------------------


def _first(axis: int, count: int, tensor: Tensor) -> Tensor:
    """The first so many along an axis: how a narrower block is kept in a wider one."""
    return tensor[(slice(None),) * axis + (slice(count),)] if tensor.ndim > axis else tensor


def _variance(count: int | None, tensor: Tensor) -> Tensor:
    """A running variance that gives with our epsilon what it gave with theirs."""
    return (tensor if count is None else tensor[:count]) + (_EPS - _OUR_EPS)


def _kernel(size: int, count: int, weight: Tensor, *matrices: Tensor | None) -> Tensor:
    """The depthwise kernels (count, 1, size, size) within (channels, 1, 7, 7): the center of the
    next larger one times its matrix, twice for 3 x 3; the mere center where there is none."""
    weight = weight[:count]
    for matrix in matrices[: (weight.shape[-1] - size) // 2]:
        weight = weight[..., 1:-1, 1:-1]
        if matrix is not None:
            weight = (weight.flatten(2) @ matrix.t()).reshape(weight.shape)
    return weight


def _shifted(sources: dict[str, Source], count: int | None = None) -> dict[str, Source]:
    return {
        name: Source(source.name, partial(_variance, count))
        if name.endswith("running_var")
        else source
        for name, source in sources.items()
    }


def _narrowed(sources: dict[str, Source], count: int) -> dict[str, Source]:
    return _shifted(
        {name: Source(source.name, partial(_first, 0, count)) for name, source in sources.items()},
        count,
    )


def _option(ours: str, theirs: str, kernel: int, middle: int) -> dict[str, Source]:
    """One of the blocks that our space chooses from, within the one that Once-For-All keeps."""
    conv = f"{theirs}.depth_conv.conv"
    return {
        **_narrowed(_layer(f"{ours}.expand", f"{theirs}.inverted_bottleneck"), middle),
        **_narrowed(_layer(f"{ours}.depthwise", f"{theirs}.depth_conv"), middle),
        f"{ours}.depthwise.conv.weight": Source(
            f"{conv}.weight",
            partial(_kernel, kernel, middle),
            (f"{conv}.7to5_matrix", f"{conv}.5to3_matrix"),
        ),
        **_shifted(_layer(f"{ours}.project", f"{theirs}.point_linear")),
        f"{ours}.project.conv.weight": Source(
            f"{theirs}.point_linear.conv.weight", partial(_first, 1, middle)
        ),
    }


def _proxyless() -> dict[str, Source]:
    (_, inputs, *widths, _), _ = proxyless.layout(True)
    sources = _ends("feature_mix_layer")
    sources |= _layer("first.depthwise", "blocks.0.conv.depth_conv")
    sources |= _layer("first.project", "blocks.0.conv.point_linear")
    sources = _shifted(sources)
    number = 0
    for stage, (width, depth) in enumerate(zip(widths, proxyless.DEPTHS, strict=True), start=1):
        for block in range(1, depth + 1):
            number += 1
            for expand in proxyless.EXPANSIONS:
                for kernel in proxyless.KERNELS:
                    ours = f"stage{stage}.block{block}.{proxyless.option(kernel, expand)}"
                    sources |= _option(
                        ours, f"blocks.{number}.conv", kernel, middle_width(inputs, expand)
                    )
            inputs = width
    return sources


PROXYLESS = Layout(
    "Once-For-All",
    "Once-For-All's ProxylessNAS",
    _proxyless(),
    mark="first_conv.conv.weight",
    widths={make_divisible(proxyless.LARGE[0][0] * 1.3): Width(proxyless.SPACE.name, 1.3)},
    varying=_VARYING,
    spellings=_SPELLINGS,
    done=(
        ("", "each block cut out of the shared one"),
        ("_matrix", "kernel matrices applied"),
        ("running_var", "epsilon of BatchNorm put into its variances"),
    ),
    otherwise="they are of the space's networks for images of more than 64 pixels, and of the "
    "supernet or its largest network",
)
