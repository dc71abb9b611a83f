"""Training time as a weighted sum of counts: the fit, the metric, the timing by a clock that the
test moves."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from archsmith._internal.fitting import fitted
from archsmith.space import Architecture
from archsmith.training.recipe import Recipe
from archsmith.training.threads import LEAST
from archsmith.training.throughput import COUNTS, Pace, images_per_second, timed


def test_the_weights_are_found_again() -> None:
    counts = [
        {"depth": d, "outputs": 1000.0 * o, "macs": 1e6 * m}
        for d, o, m in [(3, 1, 5), (9, 2, 1), (20, 7, 3), (5, 9, 9)]
    ]
    took = [0.1 * row["depth"] + 2e-4 * row["outputs"] + 3e-8 * row["macs"] for row in counts]
    found = fitted(counts, took, COUNTS)
    assert found == {
        "depth": pytest.approx(0.1),
        "outputs": pytest.approx(2e-4),
        "macs": pytest.approx(3e-8),
    }
    pace = Pace(lambda arch: counts[arch["i"]], found)
    assert [pace(Architecture({"i": i})) for i in range(4)] == pytest.approx(took)


def test_no_weight_is_negative() -> None:
    counts = [{"a": 1.0, "b": 5.0}, {"a": 2.0, "b": 3.0}, {"a": 3.0, "b": 1.0}]
    found = fitted(counts, [1.0, 2.0, 3.0], ("a", "b"))  # b counts against
    assert found["a"] > 0 and found["b"] == pytest.approx(0.0, abs=1e-9)


def test_a_count_that_is_always_zero_gets_no_weight_that_matters() -> None:
    found = fitted([{"a": 1.0, "b": 0.0}, {"a": 2.0, "b": 0.0}], [2.0, 4.0], ("a", "b"))
    assert found["a"] == pytest.approx(2.0) and found["b"] * 0.0 == 0.0


def test_the_fastest_of_the_timed_steps_counts_and_the_first_one_does_not() -> None:
    ticks = iter([0.0, 9.0, 10.0, 10.4, 20.0, 20.2, 30.0, 30.3])
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
    data = [(torch.randn(4, 3, 2, 2), torch.tensor([0, 1, 2, 0]))]
    before = net[1].weight.detach().clone()
    (took,) = timed([net], data, Recipe(), device=torch.device("cpu"), now=lambda: next(ticks))
    assert took == pytest.approx(1e3 * 0.2 / 4)
    assert not torch.equal(before, net[1].weight)  # real steps


@pytest.mark.parametrize(
    ("ticks", "steps", "taken"),
    [((0.5, 0.25, 0.125), 3, 0.125), ((0.125, 0.5, 0.25), 3, 0.25), ((4.0,), 1, 4.0)],
)
def test_the_faster_step_counts_and_a_slow_first_one_is_the_only_one(
    ticks: tuple[float, ...], steps: int, taken: float
) -> None:
    """By a clock that knows how long each step takes."""
    readings = [reading for i, tick in enumerate(ticks) for reading in (10.0 * i, 10.0 * i + tick)]
    clock = iter(readings)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.LazyLinear(2))
    network(torch.zeros(1, 3, 8, 8))
    found = images_per_second(
        network, (3, 8, 8), Recipe(), device=torch.device("cpu"), now=lambda: next(clock)
    )
    assert next(clock, None) is None and len(readings) == 2 * steps
    assert found == LEAST * min(torch.get_num_threads(), 4) / taken
