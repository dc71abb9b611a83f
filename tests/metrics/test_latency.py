"""Timing of ONNX files, and the table that predicts a network's time from its blocks (no test
asserts a wall-clock time)."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest
import torch
from elastic_models import SIDED, SIDES
from plain_networks import Tokens
from torch import Tensor, nn

from archsmith.elastic import Choice, Conv2d, ConvTranspose2d, GroupNorm, Linear
from archsmith.elastic.supernet import search_space
from archsmith.errors import UserError
from archsmith.metrics import latency
from archsmith.metrics.cost import LAYERS, Costs
from archsmith.metrics.latency import LatencyTable
from archsmith.predictors.ranking import spearman
from archsmith.space import Architecture
from archsmith.spaces.mobilenet import mobilenet


@pytest.fixture
def clock(monkeypatch):
    """Instead of a clock: a time that is made of the file's weights, so that tables can be checked
    exactly."""
    timed = []

    def open_session(model: bytes, threads: int):
        session = real(model, threads)
        sizes[session] = len(model)
        return session

    def quick(session, feed):
        timed.append(sizes[session])
        return sizes[session] / 1e4  # bytes stand for time

    sizes: dict = {}
    real = latency.open_session
    monkeypatch.setattr(latency, "open_session", open_session)
    monkeypatch.setattr(latency, "quick", quick)
    return timed


def test_equal_blocks_are_timed_once_and_add_up(clock):
    model = mobilenet(5, 3, 8)
    table, space, rng = LatencyTable(model, (3, 8, 8)), search_space(model), random.Random(0)
    archs = [space.sample(rng) for _ in range(12)]
    values = [table(arch) for arch in archs]
    assert len(clock) == 2 * table.errors()["entries"] > 24  # in two rounds that agree
    assert [table(arch) for arch in archs] == values and len(clock) == 2 * table.errors()["entries"]
    fresh = LatencyTable(model, (3, 8, 8))
    assert [fresh(arch) for arch in reversed(archs)] == values[::-1]  # whatever the order
    for arch, value in zip(archs, values, strict=True):
        total, blocks, _ = table._sums(arch)
        depth = sum(option for name, option in arch.items() if name.endswith(".depth"))
        assert value == total and blocks == depth + 2


def test_blocks_that_differ_in_a_dilation_or_in_groups_alone_are_timed_each(clock):
    model = nn.Sequential(
        nn.Sequential(Conv2d(3, 8, 3, padding="same", dilation=Choice(1, 2))),
        nn.Sequential(GroupNorm(Choice(1, 2), 8)),
        nn.Sequential(ConvTranspose2d(8, 4, Choice(1, 3), 2, "same", 1)),
    )
    table = LatencyTable(model, (3, 8, 8))
    for arch in search_space(model).architectures():
        table(arch)
    assert table.errors()["entries"] == 6


def test_an_option_outside_a_block_does_not_matter_to_it(clock):
    model = mobilenet(5, 3, 8)
    table, space = LatencyTable(model, (3, 8, 8)), search_space(model)
    arch = space.sample(random.Random(1))
    table(arch)
    before = len(clock)
    width = next(w for w in space["head.width"] if w != arch["head.width"])
    table(space.complete({**arch, "head.width": width}, random.Random(0)))
    assert len(clock) == before + 2


def test_calibration_fits_and_reports_the_error_on_other_networks(clock, tmp_path):
    model = mobilenet(5, 3, 8)
    table = LatencyTable(model, (3, 8, 8), path=tmp_path / "latency.jsonl")
    found = table.calibrate(random.Random(0))
    assert (found["held_out"], found["fitted_on"], found["threads"]) == (20, 24, 1)
    assert found["mape"] < 0.05 and found["mape"] <= found["max_error"] and found["spearman"] > 0.99
    assert table.calibrate(random.Random(1)) == found  # once
    again = LatencyTable(model, (3, 8, 8), path=tmp_path / "latency.jsonl")
    assert again.errors() == found
    arch = search_space(model).sample(random.Random(3))
    assert again(arch) == table(arch)
    other = LatencyTable(mobilenet(5, 3, 16), (3, 16, 16), path=tmp_path / "latency.jsonl")
    assert "mape" not in other.errors() and other.errors()["entries"] == table.errors()["entries"]


@pytest.mark.parametrize(
    "change", [('"ms": ', '"ms": 9'), ('"out": [', '"out": [1, '), ('"sum": "', '"sum": "0')]
)
def test_a_line_that_was_changed_is_measured_again(clock, tmp_path, change):
    model, path = mobilenet(5, 3, 8), tmp_path / "latency.jsonl"
    arch = search_space(model).extreme(0)
    value, before = LatencyTable(model, (3, 8, 8), path=path)(arch), len(clock)
    path.write_text(path.read_text().replace(*change))
    assert LatencyTable(model, (3, 8, 8), path=path)(arch) == value and len(clock) > before


def test_the_file_survives_a_torn_line_and_another_machine(clock, tmp_path, monkeypatch):
    model, path = mobilenet(5, 3, 8), tmp_path / "latency.jsonl"
    arch = search_space(model).sample(random.Random(0))
    table = LatencyTable(model, (3, 8, 8), path=path)
    value = table(arch)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1]) + lines[-1][:20])
    before = len(clock)
    again = LatencyTable(model, (3, 8, 8), path=path)
    assert again(arch) == value and len(clock) == before + 2
    assert LatencyTable(model, (3, 8, 8), path=path)(arch) == value and len(clock) == before + 2
    monkeypatch.setattr(latency, "machine_name", lambda: "another")
    assert LatencyTable(model, (3, 8, 8), path=path)(arch) == value and len(clock) > before + 2
    with pytest.raises(UserError, match="latency table"):
        LatencyTable(model, (3, 8, 8), path=tmp_path)


class Straight(nn.Module):
    """No sequence: timed whole. Softmax is written by torch's exporter only."""

    def __init__(self) -> None:
        super().__init__()
        width = Choice(4, 8, name="width")
        self.conv = Conv2d(3, width, 3, padding="same")
        self.soft = nn.Softmax(1)
        self.out = Linear(width, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.soft(self.conv(x)).mean((2, 3)))


def test_other_models_are_timed_whole(clock):
    with torch.device("meta"):
        model = Straight()
    table = LatencyTable(model, (3, 8, 8))
    archs = list(search_space(model).architectures())
    assert len({table(arch) for arch in archs}) == len(archs) == len(clock) / 2 == 2
    found = table.calibrate(random.Random(0))
    assert (found["held_out"], found["fitted_on"]) == (2, 0)


def without_side(arch):
    return Architecture({name: option for name, option in arch.items() if name != "pixels"})


@pytest.mark.parametrize("form", SIDED)
def test_where_a_side_is_decided_what_is_timed_is_what_is_shipped(form, clock):
    """Without the resizing, for images of that side: a table that knows nothing of it agrees."""
    model, plain = SIDED[form](None), SIDED[form](nn.Identity())
    table, space = LatencyTable(model, (3, 17, 17)), search_space(model)
    sides = {side: LatencyTable(plain, (3, side, side)) for side in SIDES}
    archs = [space.sample(random.Random(0))]
    archs += [space.complete({**archs[0], "pixels": side}, random.Random(0)) for side in SIDES]
    for arch in archs:
        assert table(arch) == sides[arch["pixels"]](without_side(arch))
    assert table._time_whole(archs) == [
        sides[arch["pixels"]]._time_whole([without_side(arch)])[0] for arch in archs
    ]
    timed = len(clock)
    assert [table(arch) for arch in archs] and len(clock) == timed  # each block once at each side
    assert table.terms is not None
    for arch in archs[:4]:
        total = sum(term.value(arch)["latency"] for term in table.terms)
        assert total == pytest.approx(table(arch))


def test_a_block_is_timed_at_each_side_for_itself(clock, monkeypatch):
    monkeypatch.setattr(latency, "quick", lambda session, feed: float(feed["images"].size))
    model = SIDED["chain"](None)
    table, space = LatencyTable(model, (3, 17, 17)), search_space(model)
    arch = space.extreme(0)
    first = {
        side: table(space.complete({**arch, "pixels": side}, random.Random(0))) for side in SIDES
    }
    # pixels that go into the stem, the convolutions and the head, of 3 and of 4 channels
    assert first == {side: (3 + 4 + 4) * side**2 for side in SIDES}


@pytest.mark.slow
def test_the_real_clock():
    model = mobilenet(10, 3, 32)
    found = LatencyTable(model, (3, 32, 32)).calibrate(random.Random(0), fit=6, held_out=4)
    assert (
        found["held_out"] == 4
        and np.isfinite([found["mape"], found["max_error"], found["spearman"]]).all()
    )
    json.dumps(found)


def test_bad_settings():
    with pytest.raises(UserError, match="threads=0"):
        LatencyTable(Tokens(), (3, 16, 16), threads=0)


def test_when_measuring_has_had_its_time_networks_with_new_blocks_are_reckoned_from_their_layers(
    clock, tmp_path
):
    model = mobilenet(5, 3, 8)
    space, rng = search_space(model), random.Random(0)
    counts = Costs(model, (3, 8, 8), ("params", "macs", *LAYERS))
    table = LatencyTable(model, (3, 8, 8), path=tmp_path / "latency.jsonl", counts=counts)
    table.allow(1e9)
    found = table.calibrate(random.Random(1))
    known = [space.sample(rng) for _ in range(5)]
    exact = [table(arch) for arch in known]
    measured = len(clock)
    table.allow(0.0)
    archs = [space.sample(rng) for _ in range(40)]
    values = [table(arch) for arch in archs]
    assert len(clock) == measured and 0 <= found["rough_mape"] < 0.5
    assert [table(arch) for arch in known] == exact  # what was measured stays so
    truth = [LatencyTable(model, (3, 8, 8))(arch) for arch in archs]
    assert spearman(np.array(values), np.array(truth)) > 0.8
    # read back, never anew
    again = LatencyTable(model, (3, 8, 8), path=tmp_path / "latency.jsonl", counts=counts)
    again.allow(0.0)
    assert [again(arch) for arch in archs] == values


@pytest.mark.parametrize("seconds", [0.0, 0.5, 3.0])
def test_calibrating_ends_with_its_time_and_says_on_how_many_networks(clock, monkeypatch, seconds):
    now = [0.0]

    def quick(session, feed, real=latency.quick):
        now[0] += 0.02
        return real(session, feed)

    monkeypatch.setattr(latency, "quick", quick)
    table = LatencyTable(mobilenet(5, 3, 8), (3, 8, 8))
    table._now = lambda: now[0]
    table.allow(seconds)
    found = table.calibrate(random.Random(0))
    assert now[0] < seconds + 4.0  # a handful of networks is timed whatever it takes
    assert found["held_out"] >= 3 and found["mape"] >= 0
