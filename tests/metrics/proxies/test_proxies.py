"""The table of proxies and the trivial baselines."""

from __future__ import annotations

import subprocess
import sys
from random import Random

import pytest
import torch
from torch import nn

from archsmith._internal.seeding import mix, seeded
from archsmith.elastic import Choice, Conv2d, Linear, Repeat
from archsmith.elastic.supernet import search_space
from archsmith.errors import UserError
from archsmith.metrics.proxies import PROXIES, build
from archsmith.space import Architecture


def model() -> nn.Module:
    width = Choice(2, 4, name="width")
    return nn.Sequential(
        Conv2d(3, width, 3),
        Repeat(nn.ReLU(), Conv2d(width, width, 1), depth=Choice(1, 2, name="depth")),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        Linear(width, 5),
    )


def data() -> list[tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    return [
        (
            torch.randn(8, 3, 6, 6, generator=generator),
            torch.randint(0, 5, (8,), generator=generator),
        )
        for _ in range(2)
    ]


def costs(arch: Architecture) -> dict[str, float]:
    return {"params": 10 * arch["width"], "macs": 100 * arch["width"], "depth": arch["depth"] + 1}


def test_every_proxy_of_the_table_scores_an_architecture_and_leaves_no_trace() -> None:
    elastic = model()
    before = {k: v.clone() for k, v in elastic.state_dict().items()}
    rng = torch.default_generator.get_state()
    for name in PROXIES:
        if name in ("dss", "az_nas"):  # for Transformers; for chains of blocks
            continue
        metric = build(name, elastic, data(), costs=costs)
        for seed in range(3):
            arch = search_space(elastic).sample(Random(seed))
            score = metric(arch)
            assert isinstance(score, float) and score == metric(arch) == build(
                name, elastic, data(), costs=costs
            )(arch)
        assert metric.name == name  # type: ignore[attr-defined]
    assert all(torch.equal(before[k], v) for k, v in elastic.state_dict().items())
    assert torch.equal(rng, torch.default_generator.get_state())


def test_baselines_say_what_they_count() -> None:
    elastic = model()
    for depth in (1, 2):
        arch = search_space(elastic).complete({"depth": depth, "width": 4}, Random(0))
        assert build("depth", elastic, data(), costs=costs)(arch) == depth + 1
        assert build("params", elastic, data(), costs=costs)(arch) == 40
        assert build("macs", elastic, data(), costs=costs)(arch) == 400
        assert 0 <= build("random", elastic, data())(arch) < 1
        assert build("random", elastic, data(), seed=1)(arch) != build("random", elastic, data())(
            arch
        )


def test_settings_reach_the_proxy_and_unknown_ones_are_named() -> None:
    elastic = model()
    assert build("zico", elastic, data(), repeats=2).passes == 4  # type: ignore[attr-defined]
    with pytest.raises(UserError, match="did you mean 'zico'"):
        build("ziko", elastic, data())
    with pytest.raises(UserError, match="did you mean 'repeats'"):
        build("zico", elastic, data(), repeat=2)
    with pytest.raises(UserError, match="pass costs="):
        build("params", elastic, data())


def test_the_table_is_read_without_torch() -> None:
    code = (
        "import sys; from archsmith.metrics.proxies import PROXIES; assert PROXIES and 'torch' "
        "not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_seeded_draws_leave_the_global_generator_alone() -> None:
    before = torch.default_generator.get_state()
    with seeded(3):
        first = torch.rand(4)
    with pytest.raises(ZeroDivisionError), seeded(3):
        assert torch.equal(first, torch.rand(4))
        _ = 1 / 0
    assert torch.equal(before, torch.default_generator.get_state())
    assert mix(1, 23) != mix(12, 3) and 0 <= mix("a") < 2**63 and mix("a", 1) == mix("a", 1)
