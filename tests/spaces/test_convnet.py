"""The family of convolutional networks: what each kind of block computes and counts, the old name's
draws, hand-made ones."""

from __future__ import annotations

import hashlib
from random import Random

import pytest
import torch
from torch import nn

from archsmith.elastic.supernet import extract, search_space
from archsmith.metrics.cost import Costs, macs, params
from archsmith.space import Architecture
from archsmith.spaces import build
from archsmith.spaces.blocks import KINDS, pooling
from archsmith.spaces.convnet import by_hand, convnet, decided_by_hand, head_by_hand, nearest
from archsmith.spaces.mobilenet import mobilenet

STEMS = ("patches", "conv")
OLD_ENDS = {"stem.block": "conv", "head.pool": "mean"}  # those of the family before it had others
FORMS = ((1, 8), (3, 32), (3, 64), (3, 224))


def on_meta(make, *arguments, **settings) -> nn.Module:
    with torch.device("meta"):
        return make(*arguments, **settings)


@pytest.mark.parametrize(("channels", "size"), FORMS)
def test_every_stage_may_be_of_every_kind(channels: int, size: int) -> None:
    model = on_meta(convnet, 10, channels, size)
    space = search_space(model)
    stages = [name for name, _ in model.named_children() if name.startswith("stage")]
    found = {stage: set(KINDS) - set(space[f"{stage}.block"]) for stage in stages}
    assert found["stage1"] == {"pooled"} and all(left <= {"pooled"} for left in found.values())
    assert sum(not left for left in found.values()) >= 2  # where the map is made smaller
    x = torch.empty(2, channels, size, size, device="meta")
    for kind in KINDS:
        blocks = {f"{stage}.block": kind for stage in stages if kind in space[f"{stage}.block"]}
        arch = space.complete(blocks | {"stage1.depth": 2}, Random(1))
        assert extract(model, arch, "fresh", device="meta").eval()(x).shape == (2, 10)


def test_a_decision_exists_only_where_it_decides_something() -> None:
    space = search_space(on_meta(convnet, 10, 3, 32))
    rng = Random(0)
    for _ in range(200):
        arch = space.sample(rng)
        assert ("stage1.block" in arch) == (arch["stage1.depth"] > 0)
        assert ("head.width" in arch) == (arch["head.pool"] != "bare")
        for stage in ("stage2", "stage3", "stage4"):
            kind = arch[f"{stage}.block"]
            assert (f"{stage}.se" in arch) == (kind in ("inverted", "fused"))
            assert (f"{stage}.block1.expand" in arch) == (kind == "inverted")
            assert (f"{stage}.block1.fused_expand" in arch) == (kind == "fused")


def test_no_two_architectures_are_one_network() -> None:
    """8 x 8 images, one stage looked at: every decision that is left changes a count or a layer."""
    model = on_meta(convnet, 10, 1, 8)
    space = search_space(model)
    fixed = {
        "stem.width": 8,
        "head.pool": "mean",
        "head.width": 32,
        "stage3.depth": 1,
        "stage3.block": "conv",
        "stage3.width": 16,
    }
    small = space.restrict(
        {name: (option,) for name, option in fixed.items()}
        | {"stage1.depth": (0, 1), "stage2.depth": (1,)}
    )
    seen: dict[str, str] = {}
    rng = Random(0)
    for _ in range(300):
        arch = small.sample(rng)
        network = repr(extract(model, arch, "fresh", device="meta"))
        assert seen.setdefault(network, arch.key) == arch.key


@pytest.mark.parametrize(
    ("kind", "weights"),
    [  # of the two blocks of a stage, 8 -> 16 channels, without BatchNorm: by hand
        ("conv", 9 * 8 * 16 + 9 * 16 * 16),
        ("basic", (9 * 8 * 16 + 9 * 16 * 16 + 8 * 16) + 2 * 9 * 16 * 16),
        ("fused", (9 * 8 * 16 + 16 * 16) + (9 * 16 * 32 + 32 * 16)),  # expansion 2
        # expansion 2, kernel 3
        ("inverted", (8 * 16 + 9 * 16 + 16 * 16) + (16 * 32 + 9 * 32 + 32 * 16)),
    ],
)
def test_blocks_have_the_weights_of_their_papers(kind: str, weights: int) -> None:
    model = on_meta(convnet, 10, 3, 32)
    options = {
        "stem.width": 8,
        "stage1.depth": 0,
        "stage2.block": kind,
        "stage2.width": 16,
        "stage2.depth": 2,
        "stage2.se": False,
    }
    for i in (1, 2):
        options |= {
            f"stage2.block{i}.{name}": v
            for name, v in (("expand", 2), ("fused_expand", 2), ("kernel", 3), ("fused_kernel", 3))
        }
    space = search_space(model)
    arch = space.complete({name: v for name, v in options.items() if name in space}, Random(0))
    plain = extract(model, arch, "fresh", device="meta")
    assert (
        sum(m.weight.numel() for m in plain.stage2.modules() if isinstance(m, nn.Conv2d)) == weights
    )


def test_a_plain_stack_of_convolutions_is_inside() -> None:
    """As in RepVGG: 3 x 3 convolutions alone, wider as the map gets smaller."""
    model = on_meta(convnet, 10, 3, 32)
    options = {f"stage{i}.block": "conv" for i in (1, 2, 3, 4)} | {
        f"stage{i}.depth": 2 for i in (1, 2, 3, 4)
    }
    widths = {
        "stem.width": 32,
        "stage2.width": 64,
        "stage3.width": 96,
        "stage4.width": 256,
        "head.width": 256,
    }
    arch = search_space(model).check({**options, **widths, **OLD_ENDS})
    plain = extract(model, arch, "fresh", device="meta")
    kernels = [
        m.kernel_size
        for name, m in plain.named_modules()
        if isinstance(m, nn.Conv2d) and not name.startswith("head")
    ]
    assert kernels == [(3, 3)] * 9
    assert not [m for m in plain.modules() if isinstance(m, nn.Conv2d) and m.groups > 1]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [8, 16, 28, 33, 48, 64, 96, 97])
def test_patches_give_maps_as_large_as_a_convolution_does(channels: int, size: int) -> None:
    model = on_meta(convnet, 10, channels, size)
    space, rng = search_space(model), Random(size)
    for _ in range(5):
        arch = space.sample(rng)
        stems = [
            extract(model, space.check({**arch, "stem.block": block}), "fresh", device="meta").stem
            for block in STEMS
        ]
        one, other = (
            stem(torch.empty(2, channels, size, size, device="meta")).shape for stem in stems
        )
        assert one == other


def test_the_largest_value_of_a_map_counts_a_third() -> None:
    maps = torch.randn(3, 5, 4, 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(pooling("max")(maps)[:, :, 0, 0], maps.amax((2, 3)) / 3)
    assert torch.equal(pooling("mean")(maps)[:, :, 0, 0], maps.mean((2, 3)))


def test_an_airbench_like_stack_is_inside_and_is_what_one_makes_by_hand() -> None:
    """Jordan (2024): patches with two filters a direction, pooled convolutions, the largest value
    of each map, which the classifier reads."""
    head = head_by_hand("pooled", 1.0)
    hand_made = extract(
        on_meta(by_hand, 10, 3, 32, kind="pooled", depth=2, width=1.0, head=head, first=0),
        {},
        "fresh",
        device="meta",
    )
    model = on_meta(convnet, 10, 3, 32)
    decided = decided_by_hand(3, 32, kind="pooled", depth=2, width=1.0, head=head, first=0)
    plain = extract(model, nearest(search_space(model), decided), "fresh", device="meta")
    kinds = [
        [type(layer) for layer in network.modules() if not list(layer.children())]
        for network in (plain, hand_made)
    ]
    assert kinds[0] == kinds[1]
    stem = plain.stem.conv
    assert (stem.kernel_size, stem.in_channels, stem.out_channels) == ((2, 2), 3, 24)
    assert any(isinstance(layer, nn.AdaptiveMaxPool2d) for layer in plain.head.modules())
    assert not any(isinstance(layer, nn.Conv2d) for layer in plain.head.modules())


@pytest.mark.parametrize(
    ("channels", "size", "digest"),
    [
        (3, 32, "5ae182311fe2ba6d"),
        (1, 8, "20712d2e0291f0bc"),
        (3, 64, "07c6b600bc09fe1c"),
        (3, 224, "667e6c8b2333e7ba"),
    ],
)
def test_the_old_name_gives_the_old_draws(channels: int, size: int, digest: str) -> None:
    """Recorded before the family had other blocks: 50 draws of seed 5."""
    space, rng = search_space(build("mobilenet", 10, channels, size)), Random(5)
    keys = "".join(space.sample(rng).key for _ in range(50))
    assert hashlib.sha256(keys.encode()).hexdigest()[:16] == digest


def test_a_mobilenet_is_the_network_of_the_family_with_that_block() -> None:
    whole, part = on_meta(convnet, 10, 3, 32), on_meta(mobilenet, 10, 3, 32)
    count, other = (
        Costs(model, (3, 32, 32), ("params", "macs", "memory")) for model in (whole, part)
    )
    rng = Random(3)
    for _ in range(20):
        arch = search_space(part).sample(rng)
        blocks = {f"stage{i}.block": "inverted" for i in (1, 2, 3, 4) if arch[f"stage{i}.depth"]}
        same = search_space(whole).check({**arch, **blocks, **OLD_ENDS})
        assert count(same) == other(arch)
        assert list(extract(whole, same, "fresh", device="meta").state_dict()) == list(
            extract(part, arch, "fresh", device="meta").state_dict()
        )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("channels", "size"), FORMS)
def test_networks_by_hand_are_of_one_block_and_grow_with_width(
    kind: str, channels: int, size: int
) -> None:
    sizes = [
        (params(network), macs(network, (channels, size, size)))
        for width in (0.25, 0.5, 1.0)
        for network in [
            extract(
                on_meta(by_hand, 7, channels, size, kind=kind, depth=2, width=width, head=64),
                {},
                "fresh",
                device="meta",
            )
        ]
    ]
    assert sizes == sorted(set(sizes))


def test_architectures_of_runs_before_the_bare_head_are_still_those_of_the_family() -> None:
    """Decisions of a run of 30 November 2026: what was recorded is opened, exported and gone on
    with."""
    recorded = {
        "views": 1,
        "stem.block": "patches",
        "stem.width": 24,
        "stage1.depth": 0,
        **{f"stage{i}.depth": 2 for i in (2, 3, 4)},
        **{f"stage{i}.block": "pooled" for i in (2, 3, 4)},
        "stage2.width": 24,
        "stage3.width": 64,
        "stage4.width": 112,
        "head.width": 320,
        "head.pool": "max",
    }
    model = on_meta(convnet, 10, 3, 32, mirrors=True)
    arch = search_space(model).check(Architecture.from_json(recorded))
    plain = extract(model, arch, "fresh", device="meta").eval()
    assert arch.key == "d129a3b8340e6e83"
    assert params(plain) == 279_266 and macs(plain, (3, 32, 32)) == 19_340_416
