"""The MobileNet spaces: Once-For-All's published and recorded counts, the small-image family's
range."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from random import Random

import pytest
import torch
from torch import nn

from archsmith.elastic.supernet import extract, search_space
from archsmith.errors import UserError
from archsmith.metrics.cost import Costs
from archsmith.spaces.mobilenet import mobilenet, ofa_mobilenet_v3, ofa_w10, ofa_w12

RECORDS = (
    Path(os.environ.get("ARCHSMITH_DATA", "/nowhere")) / "nas" / "ofa_mbv3_w1.0_subnet_accuracy.csv"
)


def on_meta(make, *arguments, **settings) -> nn.Module:
    with torch.device("meta"):
        return make(*arguments, **settings)


def test_the_once_for_all_space_has_its_size() -> None:
    space = search_space(on_meta(ofa_mobilenet_v3))
    # depth 2, 3, 4 of blocks with 9 settings
    assert space.size == ((3 * 3) ** 2 + (3 * 3) ** 3 + (3 * 3) ** 4) ** 5


@pytest.mark.parametrize(
    ("make", "published", "exact"),
    # parameters and MACs of the smallest and the largest at 224 pixels, 1000 classes: as published,
    # to the last digit
    [
        (
            ofa_w10,
            (("3.41e+06", "1.21e+08"), ("7.66e+06", "5.66e+08")),
            ((3410792, 121278672), (7664760, 566170656)),
        ),
        (ofa_w12, (None, ("1.07e+07", "8.43e+08")), ((4602456, 193078200), (10701632, 843101040))),
    ],
)
def test_the_extremes_have_the_published_counts(make, published, exact) -> None:
    model = on_meta(make)
    space, costs = search_space(model), Costs(model, (3, 224, 224), ("params", "macs"))
    for which, rounded, full in zip((0, -1), published, exact, strict=True):
        counted = tuple(costs(space.extreme(which)).values())
        assert counted == full == tuple(costs.exact(space.extreme(which)).values())
        assert rounded in (None, tuple(f"{value:.3g}" for value in counted))


@pytest.mark.skipif(
    not RECORDS.is_file(), reason="needs ARCHSMITH_DATA with nas/ofa_mbv3_w1.0_subnet_accuracy.csv"
)
def test_the_recorded_counts_of_2223_networks_are_reproduced_exactly() -> None:
    """No systematic difference is left to explain: all 2,373 rows (150 are repeats) agree to the
    last digit."""
    model = on_meta(ofa_w10)
    space, costs = search_space(model), Costs(model, (3, 224, 224), ("params", "macs"))
    seen = set()
    with RECORDS.open(newline="") as file:
        for row in csv.DictReader(file):
            kernels, expansions, depths = (
                [int(v) for v in row[name].split()] for name in ("ks", "e", "d")
            )
            options = {f"stage{s + 1}.depth": depth for s, depth in enumerate(depths)}
            for s, depth in enumerate(depths):
                for b in range(depth):
                    options[f"stage{s + 1}.block{b + 1}.kernel"] = kernels[4 * s + b]
                    options[f"stage{s + 1}.block{b + 1}.expand"] = expansions[4 * s + b]
            arch = space.check(options)
            seen.add((row["ks"], row["e"], row["d"]))
            assert costs(arch) == {"params": int(row["params"]), "macs": int(row["macs"])}, row
    assert len(seen) == 2223


@pytest.mark.parametrize(
    ("channels", "size", "below", "above"),
    [  # parameters and MACs that the family must reach down and up to
        (1, 8, (5e3, 0.2e6), (2e5, 5e6)),
        (3, 32, (2e4, 2e6), (4e6, 300e6)),
        (3, 64, (2e4, 8e6), (4e6, 300e6)),
        (3, 224, (1e5, 30e6), (7e6, 500e6)),
    ],
)
def test_the_family_covers_the_budgets(channels: int, size: int, below, above) -> None:
    model = on_meta(mobilenet, 10, channels, size)
    space = search_space(model)
    costs = Costs(model, (channels, size, size), ("params", "macs"))
    smallest, largest = (costs(space.extreme(which)) for which in (0, -1))
    assert smallest["params"] <= below[0] and smallest["macs"] <= below[1]
    assert largest["params"] >= above[0] and largest["macs"] >= above[1]


@pytest.mark.parametrize(
    ("size", "ends"),
    [(8, 2), (12, 3), (16, 4), (28, 4), (32, 4), (48, 6), (64, 4), (65, 3), (96, 3), (224, 7)],
)
def test_maps_end_at_a_sensible_size(size: int, ends: int) -> None:
    model = on_meta(mobilenet, 3, 1, size)
    plain = extract(model, search_space(model).sample(Random(0)), "fresh", device="meta").eval()
    assert isinstance(plain, nn.Sequential)
    x = plain[:-1](torch.empty(1, 1, size, size, device="meta"))
    assert x.shape[2:] == (ends, ends)
    assert plain(torch.empty(5, 1, size, size, device="meta")).shape == (5, 3)


def test_kernels_larger_than_their_map_are_not_offered() -> None:
    space = search_space(on_meta(mobilenet, 10, 1, 8))
    assert space["stage2.block1.kernel"] == (3, 5)  # 4 x 4
    assert "stage3.block1.kernel" not in space  # 2 x 2: 3 only
    assert search_space(on_meta(mobilenet, 10, 3, 96))["stage2.block1.kernel"] == (3, 5, 7)


def test_extracted_networks_are_named_stages_of_named_blocks() -> None:
    model = on_meta(mobilenet, 10, 3, 32)
    arch = search_space(model).complete({"stage1.depth": 0, "stage2.depth": 3}, Random(0))
    plain = extract(model, arch, "fresh", device="meta")
    assert [name for name, _ in plain.named_children()] == [
        "stem",
        "stage1",
        "stage2",
        "stage3",
        "stage4",
        "head",
    ]
    assert [name for name, _ in plain.stage2.named_children()] == ["block1", "block2", "block3"]
    assert len(plain.stage1) == 0


@pytest.mark.parametrize("arguments", [(0, 3, 32), (10, 0, 32), (10, 3, 3), (10, 3, 32.5)])
def test_impossible_inputs_are_named(arguments) -> None:
    with pytest.raises(UserError, match="is not a whole number of at least"):
        mobilenet(*arguments)
