"""The Zen network: parameters and MACs of the four released networks, shortcuts, squeeze-excite,
its finite space."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from archsmith.elastic.supernet import extract, search_space
from archsmith.metrics.cost import macs, params
from archsmith.spaces.catalog.zen import SEED, counts, parse, propose
from archsmith.spaces.zen import NormedExcite, zen, zen_scored

SHAPE = (3, 224, 224)
# Li et al., ICLR 2023, released networks: structure; million MACs with one per BatchNorm output,
# without and with squeeze-excite; million parameters with it; layers
RELEASED = {
    "450M": (
        "K3(3,16,2,1) E1K7(16,40,2,40,1) E2K7(40,80,2,64,1) E4K7(80,96,2,96,5) "
        "E2K7(96,224,2,224,5) K1(224,2048,1,1)",
        *(443.5, 445.2, "7.53", 14),
    ),
    "600M": (
        "K3(3,24,2,1) E1K7(24,48,2,48,1) E2K7(48,72,2,72,1) E6K5(72,160,2,96,1) "
        "E6K7(160,200,2,112,5) E6K7(200,168,1,168,4) "
        "K1(168,2048,1,1)",
        *(596.9, 606.4, "19.2", 14),
    ),
    "1G": (
        "K3(3,48,2,1) E1K7(48,48,2,72,1) E1K7(48,80,2,128,1) E2K7(80,160,2,144,3) "
        "E4K7(160,288,2,232,4) E6K5(288,232,1,208,5) "
        "K1(232,2048,1,1)",
        *(994.3, 1007.7, "28.8", 16),
    ),
    "#Params": (
        "K3(3,8,2,1) E1K3(8,8,2,8,1) E1K3(8,8,2,8,1) E1K5(8,64,2,8,1) E6K5(64,1024,2,48,1) "
        "K1(1024,2048,1,1)",
        *(450.3, 469.3, "30.0", 6),
    ),
}
MODELS: dict[bool, nn.Module] = {}


def model(se: bool) -> nn.Module:
    if se not in MODELS:
        with torch.device("meta"):
            MODELS[se] = zen(se=se)
    return MODELS[se]


def full(short: str) -> str:
    return "".join(
        f"Super{'Conv' if b[0] == 'K' else 'ResIDW'}"
        f"{b.replace('(', 'BNRELU(' if b[0] == 'K' else '(')}"
        for b in short.split()
    )


def norm_outputs(plain: nn.Module) -> int:
    found: list[int] = []

    def note(_: nn.Module, inputs: Any, output: Tensor) -> None:
        found.append(output.numel())

    for module in plain.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.register_forward_hook(note)
    plain.eval()(torch.empty(1, *SHAPE, device="meta"))
    return sum(found)


@pytest.mark.parametrize("name", RELEASED)
@pytest.mark.parametrize("se", [False, True])
def test_the_released_networks_have_their_counts(name: str, se: bool) -> None:
    short, without, with_se, millions, layers = RELEASED[name]
    arch = parse(full(short))
    plain = extract(model(se), arch, "fresh", device="meta")
    found = counts(arch, SHAPE, se=se)
    depth = sum(isinstance(m, nn.Conv2d | nn.Linear) for m in plain.modules())
    assert found == {
        "params": params(plain),
        "macs": macs(plain, SHAPE),
        "depth": depth,
        "layers": layers,
    }
    assert round((found["macs"] + norm_outputs(plain)) / 1e6, 1) == (with_se if se else without)
    if se:
        assert f"{found['params'] / 1e6:#.3g}" == millions


def test_the_finite_space() -> None:
    space = search_space(model(False))
    block = 4 * 3 * 256 * 256 * 5
    assert space.size == 256 * (block + block**2 + block**3) ** 4
    rng, arch = Random(0), SEED
    for _ in range(30):
        arch = propose(arch, rng)
        assert space.check(arch) == arch


def test_a_fresh_network_of_the_model_on_meta_runs() -> None:
    arch = SEED
    plain = extract(model(False), arch, "fresh", torch.Generator().manual_seed(0)).eval()
    assert params(plain) == counts(arch)["params"]
    with torch.no_grad():
        assert plain(torch.zeros(2, 3, 32, 32)).shape == (2, 1000)


def test_shortcuts_are_the_input_between_equal_widths_and_projected_elsewhere() -> None:
    arch = parse(
        full(
            "K3(3,8,2,1) E1K3(8,16,2,16,2) E1K3(16,24,2,8,2) E1K3(24,8,2,8,1) "
            "E1K3(8,8,2,8,1) K1(8,2048,1,1)"
        )
    )
    plain = extract(model(False), arch, "fresh", device="meta")
    kinds = {
        path.removesuffix(".shortcut"): isinstance(m, nn.Identity)
        for path, m in plain.named_modules()
        if path.endswith("shortcut")
    }
    # first bottleneck of a block: always projected
    assert kinds["stage1.block1.layer1.inward"] is False
    assert kinds["stage1.block1.layer1.outward"] and kinds["stage1.block1.layer2.inward"]
    assert not any(kinds[f"stage2.block1.layer2.{way}"] for way in ("inward", "outward"))
    assert kinds["stage4.block1.layer1.inward"] is False and kinds["stage4.block1.layer1.outward"]


def test_the_scored_model_has_the_same_space_and_no_shortcuts() -> None:
    with torch.device("meta"):
        scored = zen_scored()
    assert dict(search_space(scored)) == dict(search_space(model(False)))
    plain = extract(scored, SEED, "fresh", device="meta")
    assert not any("shortcut" in path for path, _ in plain.named_modules())


def test_squeeze_excite_gates_channels_between_zero_and_one() -> None:
    gate = NormedExcite(8, 2).eval()
    x = torch.randn(2, 8, 3, 3, generator=torch.Generator().manual_seed(0)).abs()
    with torch.no_grad():
        share = gate(x) / x
    assert (
        share.min() > 0
        and share.max() < 1
        and torch.allclose(share, share[:, :, :1, :1].expand_as(share), atol=1e-6)
    )
