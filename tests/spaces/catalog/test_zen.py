"""Zen-NAS strings both ways, mistakes named, counts, and the mutation of ZiCo's search."""

from __future__ import annotations

from random import Random

import pytest

from archsmith.errors import UserError
from archsmith.spaces.catalog.zen import (
    BLOCKS,
    EXPANSIONS,
    FACTORS,
    KERNELS,
    LAYERS,
    SEED,
    WIDTHS,
    architecture,
    chain,
    counts,
    parse,
    propose,
    text,
)

NET = (
    "SuperConvK3BNRELU(3,24,2,1)SuperResIDWE1K7(24,48,2,48,1)SuperResIDWE2K7(48,72,2,72,1)SuperResIDWE6K5(72,160,2,96,1)"
    "SuperResIDWE6K7(160,200,2,112,5)SuperResIDWE6K7(200,168,1,168,4)SuperConvK1BNRELU(168,2048,1,1)"
)


def test_strings_both_ways() -> None:
    arch = parse(NET)
    assert (
        text(arch) == NET
        and parse(NET.replace(")S", ")\n S")) == arch
        and architecture(chain(arch)) == arch
    )
    assert (
        arch["stage4.blocks"] == 2
        and arch["stage4.block2.bottleneck"] == 168
        and "stage3.block2.width" not in arch
    )
    assert chain(arch).layers == 14 and text(SEED).startswith(
        "SuperConvK3BNRELU(3,8,2,1)SuperResIDWE6K3(8,32,2,8,1)"
    )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("SuperConvK3", "ConvK3", "is no Zen network"),
        ("(48,72,2", "(56,72,2", "reads 56 channels, but what comes before it gives 48"),
        ("E2K7", "E3K7", "expansion of SuperResIDWE3K7(48,72,2,72,1) is 3; allowed are 1, 2, 4, 6"),
        ("E2K7", "E2K9", "kernel of"),
        (
            "2,72,1)",
            "2,76,1)",
            "bottleneck of SuperResIDWE2K7(48,72,2,76,1) is 76; allowed are 8 to 2048 by 8",
        ),
        ("112,5)", "112,6)", "layers of"),
        ("(24,48,2", "(24,48,1", "the first block must have stride 2"),
        ("(160,200,2", "(160,200,1", "3 blocks of stride 2 with up to 3"),
        ("(168,2048", "(176,2048", "the last convolution reads 176 channels"),
        ("(3,24,2,1)", "(3,20,2,1)", "stem width is 20"),
    ],
)
def test_mistakes_are_named(old: str, new: str, message: str) -> None:
    with pytest.raises(UserError) as raised:
        parse(NET.replace(old, new))
    assert message in str(raised.value)


def test_counts_of_the_smallest_network_by_hand() -> None:
    blocks = "".join("SuperResIDWE1K3(8,8,2,8,1)" for _ in range(4))
    arch = parse(f"SuperConvK3BNRELU(3,8,2,1){blocks}SuperConvK1BNRELU(8,2048,1,1)")
    inverted = 64 + 16 + 72 + 16 + 64 + 16
    block = 2 * inverted + 64 + 8 + 16  # one projection with bias and BatchNorm
    params = 216 + 16 + 4 * block + 8 * 2048 + 4096 + 2048 * 10 + 10
    area = [16 * 16, 8 * 8, 4 * 4, 2 * 2, 1]
    macs = 216 * area[0] + 16384 * area[4] + 20480
    for before, after in zip(area, area[1:], strict=False):
        macs += 64 * before + 72 * after + 64 * after + 64 * after + (64 + 72 + 64) * after
    assert counts(arch, (3, 32, 32), classes=10) == {
        "params": params,
        "macs": macs,
        "depth": 31,
        "layers": 6,
    }
    squeezed = 4 * 2 * (2 * 8 * 2 + 2 * (8 + 2))
    assert counts(arch, (3, 32, 32), classes=10, se=True)["params"] == params + squeezed


def test_proposals_stay_in_the_space_and_change_what_they_should() -> None:
    rng, arch, kinds = Random(0), parse(NET), set()
    for _ in range(300):
        before, arch = arch, propose(arch, rng)
        # checks the chain of channels, widths, layers and the number of blocks
        again = parse(text(arch))
        assert again == arch and len(chain(arch).stages) == 4
        old, new = chain(before), chain(arch)
        if old.stem != new.stem:
            kinds.add("stem")
            assert new.stem in {min(2048, max(8, round(old.stem * f / 8) * 8)) for f in FACTORS}
        for one, two in zip(old.stages, new.stages, strict=True):
            if len(two) > len(one):
                kinds.add("split")
                assert sum(b.layers for b in two) - sum(b.layers for b in one) <= 4
        if arch["stem.width"] > 64:  # back to where there is room
            arch = parse(NET)
    assert kinds == {"stem", "split"}


def test_a_block_is_drawn_uniformly_from_all_its_alternatives() -> None:
    rng, first = Random(1), []
    for _ in range(4000):
        first.append(chain(propose(SEED, rng, positions=1)).stages[0][0])
    moved = [b for b in first if b != chain(SEED).stages[0][0]]
    assert 0.15 < len(moved) / 4000 < 0.25  # one of five places
    for field, options in (
        ("expand", EXPANSIONS),
        ("kernel", KERNELS),
        ("layers", (1, 2, 3)),
        ("bottleneck", (8, 16)),
    ):
        share = [sum(getattr(b, field) == option for b in moved) / len(moved) for option in options]
        assert min(share) > 0.8 / len(options) and abs(sum(share) - 1) < 1e-9, field


def test_six_layers_become_two_blocks_of_three_while_there_is_room() -> None:
    seen = set()
    for seed in range(400):
        stage = chain(propose(parse(NET), Random(seed), positions=1)).stages[3]
        seen.add(tuple(b.layers for b in stage))
        if len(stage) == BLOCKS:
            assert max(b.layers for b in stage) <= LAYERS[-1] and any(
                a.width == b.width for a, b in zip(stage, stage[1:], strict=False)
            )
    assert {(3, 3, 4), (3, 4, 4), (5, 3, 3)} <= seen
    assert WIDTHS[0] == 8 and WIDTHS[-1] == 2048 and len(WIDTHS) == 256
