"""The Zen-NAS block strings (Lin et al., ICCV 2021), their counts, and the mutation of ZiCo's
search; needs no torch."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from archsmith.errors import UserError
from archsmith.space import Architecture
from archsmith.spaces.catalog.entry import Format, Space

EXPANSIONS, KERNELS = (1, 2, 4, 6), (3, 5, 7)
WIDTHS = tuple(range(8, 2049, 8))
STAGES = 4  # each starts with a block of stride 2
BLOCKS = 3  # at most, in each stage of the finite space
LAYERS = (1, 2, 3, 4, 5)  # a block of six or more is split
HEAD = 2048
FACTORS = (2.5, 2, 1.5, 1.25, 1, 1 / 1.25, 1 / 1.5, 1 / 2, 1 / 2.5)
_SPLIT = 6

Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Block:
    """A super block SuperResIDWE{expand}K{kernel}: `layers` times two inverted bottlenecks, through
    `bottleneck` to `width`."""

    expand: int
    kernel: int
    width: int
    bottleneck: int
    layers: int


@dataclass(frozen=True)
class Chain:
    """Width of the stem and the blocks of each stage; the first block of a stage has stride 2, the
    others 1."""

    stem: int
    stages: tuple[tuple[Block, ...], ...]

    def walk(self) -> Iterator[tuple[int, int, Block]]:
        """Input channels, stride, block."""
        inputs = self.stem
        for stage in self.stages:
            for i, block in enumerate(stage):
                yield inputs, 1 if i else 2, block
                inputs = block.width

    @property
    def width(self) -> int:
        """Channels after the last block."""
        return self.stages[-1][-1].width

    @property
    def layers(self) -> int:
        """What ZiCo caps (14, 14, 16): the layers of all blocks, the stem and the last
        convolution."""
        return sum(block.layers for stage in self.stages for block in stage) + 2


# -- architecture, chain, text -------------------------------------------------------------------


def chain(arch: Mapping[str, Any]) -> Chain:
    """The chain of an architecture of `models.zen`."""
    stages = []
    for s in range(1, STAGES + 1):
        names = [f"stage{s}.block{b}" for b in range(1, arch[f"stage{s}.blocks"] + 1)]
        fields = ("expand", "kernel", "width", "bottleneck", "layers")
        stages.append(
            tuple(Block(*(arch[f"{name}.{field}"] for field in fields)) for name in names)
        )
    return Chain(arch["stem.width"], tuple(stages))


def architecture(of: Chain) -> Architecture:
    """The other way; whether a space holds it, `space.check` tells."""
    known: dict[str, Any] = {"stem.width": of.stem}
    for s, stage in enumerate(of.stages, start=1):
        known[f"stage{s}.blocks"] = len(stage)
        for b, block in enumerate(stage, start=1):
            known |= {f"stage{s}.block{b}.{field}": value for field, value in vars(block).items()}
    return Architecture(known)


_BLOCK = re.compile(r"SuperResIDWE(\d+)K(\d+)\((\d+),(\d+),(\d+),(\d+),(\d+)\)")
_TEXT = re.compile(
    rf"SuperConvK3BNRELU\(3,(\d+),2,1\)((?:{_BLOCK.pattern})+)SuperConvK1BNRELU\((\d+),{HEAD},1,1\)"
)


def text(arch: Mapping[str, Any]) -> str:
    """The publishers' string:
    SuperConvK3BNRELU(3,16,2,1)SuperResIDWE1K7(16,40,2,40,1)...SuperConvK1BNRELU(224,2048,1,1)."""
    of = chain(arch)
    blocks = (
        f"SuperResIDWE{b.expand}K{b.kernel}({inputs},{b.width},{stride},{b.bottleneck},{b.layers})"
        for inputs, stride, b in of.walk()
    )
    head = f"SuperConvK1BNRELU({of.width},{HEAD},1,1)"
    return f"SuperConvK3BNRELU(3,{of.stem},2,1){''.join(blocks)}{head}"


def parse(string: str) -> Architecture:
    """The architecture of the publishers' string, white space ignored; UserError where the finite
    space holds no such network.

    Four blocks of stride 2, each followed by up to two of stride 1; widths 8 to 2048 by 8; at most
    five layers a block.
    """
    compact = re.sub(r"\s", "", string)
    match = _TEXT.fullmatch(compact)
    if not match:
        raise UserError(
            f"{string[:60]!r}... is no Zen network: write SuperConvK3BNRELU(3,out,2,1), then "
            f"blocks "
            f"SuperResIDWE4K7(in,out,stride,bottleneck,layers), then "
            f"SuperConvK1BNRELU(in,{HEAD},1,1)"
        )
    stages: list[list[Block]] = []
    inputs = int(match[1])
    _allowed("stem width", inputs, WIDTHS)
    for numbers in _BLOCK.finditer(compact):
        expand, kernel, given, width, stride, bottleneck, layers = map(int, numbers.groups())
        what = numbers[0]
        if given != inputs:
            raise UserError(
                f"{what} reads {given} channels, but what comes before it gives "
                f"{inputs}; make them equal"
            )
        for name, value, options in (
            *(
                ("expansion", expand, EXPANSIONS),
                ("kernel", kernel, KERNELS),
                ("layers", layers, LAYERS),
            ),
            *(
                ("width", width, WIDTHS),
                ("bottleneck", bottleneck, WIDTHS),
                ("stride", stride, (1, 2)),
            ),
        ):
            _allowed(f"{name} of {what}", value, options)
        if stride == 2:
            stages.append([])
        elif not stages:
            raise UserError(f"{what}: the first block must have stride 2")
        stages[-1].append(Block(expand, kernel, width, bottleneck, layers=layers))
        inputs = width
    if int(match.groups()[-1]) != inputs:
        raise UserError(
            f"the last convolution reads {match.groups()[-1]} channels, but the last "
            f"block gives {inputs}"
        )
    if len(stages) != STAGES or max(map(len, stages)) > BLOCKS:
        raise UserError(
            f"{len(stages)} blocks of stride 2 with up to {max(map(len, stages))} blocks from one "
            f"to the next; "
            f"the finite space has {STAGES} with up to {BLOCKS}"
        )
    return architecture(Chain(int(match[1]), tuple(map(tuple, stages))))


def _allowed(what: str, value: int, options: tuple[int, ...]) -> None:
    if value not in options:
        shown = (
            ", ".join(map(str, options))
            if len(options) < 10
            else f"{options[0]} to {options[-1]} by {options[1] - options[0]}"
        )
        raise UserError(f"{what} is {value}; allowed are {shown}")


SEED = parse(
    "SuperConvK3BNRELU(3,8,2,1)SuperResIDWE6K3(8,32,2,8,1)SuperResIDWE6K3(32,48,2,32,1)SuperResIDWE6K3(48,96,2,48,1)"
    "SuperResIDWE6K3(96,128,2,96,1)SuperConvK1BNRELU(128,2048,1,1)"
)  # where ZiCo's search starts

# -- counts ---------------------------------------------------------------------------------------


def counts(
    arch: Mapping[str, Any],
    shape: Shape = (3, 224, 224),
    classes: int = 1000,
    se: bool = False,
    shortcuts: bool = True,
) -> dict[str, int]:
    """params, macs, depth (convolutions and the classifier) and layers of the network, in
    microseconds.

    The first three equal what `metrics.cost` counts on the extracted network; `layers` is what ZiCo
    caps.
    """
    of, (channels, *pixels) = chain(arch), shape
    pixels = [_half(p) for p in pixels]
    params = 9 * channels * of.stem + 2 * of.stem
    macs = 9 * channels * of.stem * pixels[0] * pixels[1]
    depth = 3  # stem, last convolution, classifier
    for inputs, stride, block in of.walk():
        for layer in range(block.layers):
            step = stride if layer == 0 else 1
            into = inputs if layer == 0 else block.width
            for source, target, by, projected in (
                (into, block.bottleneck, step, layer == 0 or into != block.bottleneck),
                (block.bottleneck, block.width, 1, block.bottleneck != block.width),
            ):
                before = pixels[0] * pixels[1]
                pixels = [_half(p) for p in pixels] if by == 2 else pixels
                area = pixels[0] * pixels[1]
                middle, taps = target * block.expand, block.kernel**2
                params += (
                    source * middle + taps * middle + middle * target + 4 * middle + 2 * target
                )
                macs += source * middle * before + taps * middle * area + middle * target * area
                depth += 3
                if projected and shortcuts:
                    depth += 1
                    params += source * target + 3 * target
                    macs += source * target * area
                if se:
                    squeezed = squeeze(middle)
                    depth += 2
                    params += 2 * middle * squeezed + 2 * (middle + squeezed)
                    macs += 2 * middle * squeezed
    params += of.width * HEAD + 2 * HEAD + HEAD * classes + classes
    macs += of.width * HEAD * pixels[0] * pixels[1] + HEAD * classes
    return {"params": params, "macs": macs, "depth": depth, "layers": of.layers}


def squeeze(channels: int) -> int:
    """Channels inside squeeze-excite: a quarter, rounded."""
    return max(1, round(channels / 4))


def _half(pixels: int) -> int:
    return -(-pixels // 2)


# -- the proposal of ZiCo's evolution ------------------------------------------------------------


def propose(arch: Mapping[str, Any], rng: Random, positions: int = 2) -> Architecture:
    """A network with the blocks at `positions` places, drawn with repetition, changed (Lin et al.,
    algorithm 1, released code).

    A block's type, width, bottleneck and layers are drawn anew together, uniformly from all its
    alternatives: widths times FACTORS, in multiples of 8, layers up to two more or fewer; of the
    stem only the width. What comes after is re-linked, a block of six or more layers is split in
    two. Deviations, where the finite space ends: widths stop at 2048, and a block that would be
    split in a stage that is full has five layers.
    """
    of = chain(arch)
    places = [(s, b) for s, stage in enumerate(of.stages) for b in range(len(stage))]
    drawn = {rng.randrange(len(places) + 1) for _ in range(positions)}
    stem = rng.choice(_widths(of.stem)) if 0 in drawn else of.stem
    stages = [list(stage) for stage in of.stages]
    for s, b in (places[i - 1] for i in sorted(drawn) if i):
        old = stages[s][b]
        stages[s][b] = Block(
            rng.choice(EXPANSIONS),
            rng.choice(KERNELS),
            rng.choice(_widths(old.width)),
            rng.choice(_widths(old.bottleneck)),
            layers=rng.choice(sorted({max(1, old.layers + more) for more in (-2, -1, 0, 1, 2)})),
        )
    return architecture(Chain(stem, tuple(_split(stage) for stage in stages)))


def _widths(width: int) -> list[int]:
    return sorted({min(WIDTHS[-1], max(8, round(width * factor / 8) * 8)) for factor in FACTORS})


def _split(stage: list[Block]) -> tuple[Block, ...]:
    blocks: list[Block] = []
    for position, block in enumerate(stage):
        if block.layers < _SPLIT:
            blocks.append(block)
        elif len(blocks) + len(stage) - position < BLOCKS:
            half = _SPLIT // 2
            blocks += [replace(block, layers=half), replace(block, layers=block.layers - half)]
        else:
            blocks.append(replace(block, layers=LAYERS[-1]))
    return tuple(blocks)


# -- the entries ---------------------------------------------------------------------------------

SPACE = Space(
    "zen",
    "archsmith.spaces.zen:zen",
    "residual bottlenecks of chosen widths, kernels and depths (Lin et al., ICCV 2021; Li et al., "
    "ICLR 2023)",
    "3.5e+81",
    images="photos of about 224 pixels, 32 and up",
    formats=(
        Format(
            "string of Zen-NAS",
            text,
            parse,
            lambda string: re.search(r"Super\w+\(", string) is not None,
        ),
    ),
)
SCORED = replace(
    SPACE,
    name="zen-scored",
    network="archsmith.spaces.zen:zen_scored",
    what="the same without what its score leaves out",
)
