"""The input size by time: the largest at which a network sees each image often enough, and what is
said of it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from archsmith.data import Seen
from archsmith.elastic.supernet import extract
from archsmith.metrics.cost import macs, params
from archsmith.problem.budget import parse
from archsmith.run.decisions import MACS, Begins
from archsmith.spaces.convnet import by_hand
from archsmith.stages import sizing
from archsmith.stages.parts import parts
from archsmith.stages.work import PASSES
from archsmith.training.recipe import default_recipe


def sized(
    monkeypatch: pytest.MonkeyPatch,
    pixels_per_second: float,
    time_s: float,
    dense: bool = False,
    **seen: Any,
) -> tuple[int, str | None, list]:
    """With a network whose pace is that of the pixels."""
    asked: list[int] = []

    def pace(work: Any, given: Seen, side: int, recipe: Any) -> float:
        asked.append(side)
        return pixels_per_second / side**2

    monkeypatch.setattr(sizing, "_images_per_second", pace)
    request = SimpleNamespace(time_s=time_s, reference=True, refit=False)
    run = SimpleNamespace(request=request, decide=lambda decision, make: decided.append(make()))
    decided: list[float] = []
    work: Any = SimpleNamespace(run=run, device="cpu", dense=dense, begins=Begins(), timed=True)
    found = sizing.sized(
        work, Seen(**{"suggested": 224, "channels": 3, "images": 2000, "outputs": 10, **seen})
    )
    # in so many seconds, at that side, each image is seen often enough
    images, recipe = seen.get("images", 2000), default_recipe(seen.get("images", 2000))
    often = sizing.wanted(images, recipe, dense=dense) * max(1.0, (found[0] / 32) ** 2)
    assert decided == [pytest.approx(often * found[0] ** 2 / pixels_per_second)]
    return *found, asked


def test_with_enough_time_the_suggested_size_is_taken_without_a_word(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert sized(monkeypatch, 1e12, 600) == (224, None, [224])


@pytest.mark.parametrize("time_s", [60, 180, 600, 1800])
@pytest.mark.parametrize("pixels", [2e6, 1e7, 5e7])
@pytest.mark.parametrize("suggested", [224, 96, 144])
def test_the_size_is_one_at_which_each_image_is_seen_often_enough_or_the_smallest(
    monkeypatch: pytest.MonkeyPatch, time_s: float, pixels: float, suggested: int
) -> None:
    side, why, asked = sized(monkeypatch, pixels, time_s, suggested=suggested)
    passes = 0.35 * time_s * pixels / side**2 / 2000
    assert side <= suggested and len(asked) <= 3
    assert passes >= 0.5 * PASSES or side == 32 or (side < suggested and why is not None)
    if side < suggested:
        assert why is not None and f"{suggested}" in why and "passes" in why


def test_hopeless_times_are_told_with_the_time_to_ask_for(monkeypatch: pytest.MonkeyPatch) -> None:
    side, why, _ = sized(monkeypatch, 1e5, 60)
    assert side == 32 and why is not None and "give --time" in why


@pytest.mark.parametrize("suggested", [8, 16, 28, 32])
def test_small_images_are_never_made_smaller(
    monkeypatch: pytest.MonkeyPatch, suggested: int
) -> None:
    side, _, _ = sized(monkeypatch, 1e3, 60, suggested=suggested)
    assert side == suggested


def test_dense_networks_see_many_images_seldom_and_few_as_often_as_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So where there are many a larger input is taken, and a time that is enough is not called
    little."""
    many: dict[str, Any] = {
        "pixels_per_second": 2e6,
        "time_s": 36_000,
        "images": 40_000,
        "suggested": 96,
    }
    (large, silent, _), (small, said, _) = (
        sized(monkeypatch, dense=dense, **many) for dense in (True, False)
    )
    assert (large, silent) == (96, None) and small < 96 and said is not None
    few: dict[str, Any] = {"pixels_per_second": 1e6, "time_s": 300, "images": 1_000}
    assert sized(monkeypatch, dense=True, **few) == sized(monkeypatch, dense=False, **few)


@pytest.mark.parametrize("time_s", [120, 300, 900, 3600, 10_000])
def test_larger_inputs_are_taken_where_images_are_seen_so_much_oftener(
    monkeypatch: pytest.MonkeyPatch, time_s: float
) -> None:
    """With the square of the side above 32: results of clothes at four sizes."""
    side, _, _ = sized(monkeypatch, 1e7, time_s, dense=True, suggested=96)
    passes = 0.35 * time_s * 1e7 / side**2 / 2000
    assert side == 32 or passes >= PASSES * (side / 32) ** 2
    larger = [other for other in (40, 48, 64, 96) if other > side]
    # the next but one would not do: sizes are tried a few, not all
    assert (
        len(larger) < 2
        or 0.35 * time_s * 1e7 / larger[1] ** 2 / 2000 < PASSES * (larger[1] / 32) ** 2
    )


def test_shares_of_a_largest_network_that_is_not_known_yet_bound_nothing() -> None:
    seen = Seen(suggested=32, channels=3, images=2000, outputs=10)

    def size(budget: str) -> int:
        work: Any = SimpleNamespace(
            run=SimpleNamespace(request=SimpleNamespace(budget=budget)), space_name="convnet"
        )
        return sum(p.numel() for p in sizing._network(work, seen, 32).parameters())

    assert size("macs<=1%, params<=1%") == size("") > size("macs<=1%, params<=10k")


@pytest.mark.parametrize(
    "budget", ["macs<=20M, params<=300k", "macs<=3M", "params<=20k", "params<=10k"]
)
@pytest.mark.parametrize("side", [32, 96])
def test_what_is_timed_is_the_first_of_ever_narrower_networks_that_keeps_the_budget(
    budget: str, side: int
) -> None:
    seen = Seen(suggested=side, channels=3, images=2000, outputs=10)
    limits = [(limit.metric, limit.value) for limit in parse(budget)]
    work: Any = SimpleNamespace(
        run=SimpleNamespace(request=SimpleNamespace(budget=budget)), space_name="convnet"
    )
    network = sizing._network(work, seen, side).eval()
    count: Any = {"macs": lambda n: macs(n, (3, side, side)), "params": params}
    width, best = 0.5, None
    while best is None:
        plain = by_hand_network(seen, side, width)
        if width < 0.05 or all(count[name](plain) <= most for name, most in limits):
            best = plain
        width *= 0.7
    assert params(network) == params(best)


def by_hand_network(seen: Seen, side: int, width: float) -> nn.Module:
    """One of pooled convolutions."""
    with torch.device("meta"):
        model = by_hand(
            seen.outputs,
            seen.channels,
            side,
            kind="pooled",
            depth=2,
            width=width,
            head=0,
        )
    return extract(model, {}, "fresh", device="meta")


def of_published(
    monkeypatch: pytest.MonkeyPatch, budget: str, macs_per_second: float, **seen: int
) -> tuple[int, float | None, str | None]:
    """The side, the most MACs and what is said, where training does so many a second."""
    decided: dict[str, float] = {}

    def pace(network: Any, shape: Any, recipe: Any, device: Any) -> float:
        return macs_per_second / macs(network, shape)

    monkeypatch.setattr(sizing, "images_per_second", pace)
    timed = macs_per_second > 0
    run = SimpleNamespace(
        request=SimpleNamespace(budget=budget, time_s=600.0, reference=False, refit=False),
        decide=lambda what, make: decided.setdefault(what.name, make()),
    )
    work: Any = SimpleNamespace(
        run=run, device="cpu", space_name="efficientnet-lite0", timed=timed, threads=1
    )
    found = {"suggested": 224, "channels": 3, "images": 1000, "outputs": 10, **seen}
    side, said = sizing.of_published(work, Seen(**found))
    return side, decided.get(MACS.name), said


@pytest.mark.parametrize("pace", [0.0, 1e8, 1e10, 1e12])
@pytest.mark.parametrize("budget", ["", "params<=1M, macs<=100M", "params<=300k, macs<=20M"])
def test_the_largest_part_of_a_published_network_that_budget_and_time_allow(
    monkeypatch: pytest.MonkeyPatch, budget: str, pace: float
) -> None:
    side, most, said = of_published(monkeypatch, budget, pace)
    seen = Seen(suggested=224, channels=3, images=1000, outputs=10)
    limits = parse(budget)
    own = max(
        parts("efficientnet-lite0", seen, [side], limits), key=lambda part: part.costs["macs"]
    )
    assert side % 32 == 0 and 64 <= side <= 224
    if not pace:  # steps are counted
        assert most is None and said is None
        return
    assert most is not None and most <= own.costs["macs"] and said is not None
    passes = 600 * 0.7 * pace / most / 1000
    if passes < sizing._TUNED:  # nothing smaller is worth it
        smaller = [part.costs["macs"] for part in parts("efficientnet-lite0", seen, [64], limits)]
        assert side == 64 and most in smaller
    if pace == 1e12:
        assert most == own.costs["macs"]


def test_small_images_are_enlarged_for_it_to_twice_their_side_or_what_it_needs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert of_published(monkeypatch, "", 1e13, suggested=32)[0] == 64
    assert of_published(monkeypatch, "", 1e13, suggested=48)[0] == 96
    assert of_published(monkeypatch, "", 1e13, suggested=20)[0] == 64
