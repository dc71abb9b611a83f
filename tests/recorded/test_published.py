"""The real tables, where ARCHSMITH_DATA names them: published optima, counts, correlations;
whatever is drawn has a record."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from random import Random

import numpy as np
import pytest

from archsmith.recorded import BENCHMARKS, load
from archsmith.recorded.columns import KINDS, read
from archsmith.recorded.convert import convert
from archsmith.spaces.catalog.edges import edges_canonical, live_edges
from archsmith.spaces.catalog.nasbench101 import (
    NASBENCH1SHOT1,
    cell_class,
    live_nodes,
    nasbench1shot1_cell,
)
from archsmith.spaces.catalog.nasbench201 import nasbench201_arch

DATA = os.environ.get("ARCHSMITH_DATA", "")
pytestmark = pytest.mark.skipif(
    not (Path(DATA) / "nas" / "nasbench201.csv").is_file(),
    reason="needs ARCHSMITH_DATA with nas/nasbench201.csv and the others",
)


def ranks(values) -> np.ndarray:
    return np.argsort(np.argsort(values)).astype(float)


@pytest.mark.parametrize(
    ("name", "optimum"), [("cifar10", 94.37), ("cifar100", 73.51), ("imagenet16", 47.31)]
)
def test_nasbench201_has_its_published_optima(name: str, optimum: float) -> None:
    recorded = load(f"nasbench201:{name}", DATA)
    assert recorded.facts["complete"] and recorded.facts["count"] == 15625
    assert recorded.facts["optimum"] == pytest.approx(optimum, abs=0.005)
    best = nasbench201_arch(recorded.facts["best"])
    assert recorded.truth(best) == recorded.facts["optimum"]
    rng = Random(0)
    for _ in range(100):
        arch = recorded.space.sample(rng)
        assert recorded.score(arch) > 0 and recorded.score.cost(arch)["simulated_seconds"] > 0


def test_cells_with_one_canonical_form_differ_by_the_noise_of_training() -> None:
    """Above chance exactly where input and output are connected; among equals the published
    standard deviation of 0.27."""
    recorded = load("nasbench201:cifar10", DATA)
    groups = defaultdict(list)
    for arch, truth in zip(recorded.archs(), recorded.truth.values, strict=True):
        assert (truth > 10.01) == bool(live_edges(arch))
        if live_edges(arch):
            groups[edges_canonical(arch)].append(truth)
    squares = sum(np.var(group) * len(group) for group in groups.values())
    assert np.sqrt(squares / sum(len(group) - 1 for group in groups.values())) == pytest.approx(
        0.27, abs=0.01
    )
    noise = recorded.facts["noise"]
    assert noise["test, one run, best tenth"] < noise["test, one run"]


def test_isomorphism_classes_are_those_of_the_tables() -> None:
    columns = read(KINDS["nasbench1shot1"], DATA)
    pairs = set()
    for matrix, operations, cell in zip(
        columns["module_adjacency"], columns["module_operations"], columns["cell_id"], strict=True
    ):
        pairs.add((cell_class(json.loads(matrix), json.loads(operations)), cell))
    assert len(pairs) == len({key for key, _ in pairs}) == len({cell for _, cell in pairs}) == 5385


@pytest.mark.parametrize(
    ("name", "count"), [("nasbench1shot1:1", 2127), ("nasbench1shot1:2", 3258), ("ecnas:5", 2532)]
)
def test_whatever_a_search_draws_has_a_record(name: str, count: int) -> None:
    recorded = load(name, DATA)
    assert recorded.facts["complete"] and recorded.facts["count"] == count
    rng = Random(1)
    for _ in range(150):
        arch = recorded.space.sample(rng)
        assert 0 < recorded.score(arch) < 100 and 0 < recorded.truth(arch) < 100


@pytest.mark.parametrize("which", [1, 2])
def test_1shot1_records_exactly_the_cells_whose_nodes_read_the_one_before(which: int) -> None:
    recorded = load(f"nasbench1shot1:{which}", DATA)
    rng = Random(2)
    for _ in range(150):
        arch = NASBENCH1SHOT1[which].sample(rng)
        matrix, _ = nasbench1shot1_cell(arch)
        chain = all(matrix[a][b] for a, b in pairwise(live_nodes(matrix)))
        assert recorded.space.contains(arch) == (arch in recorded.rows) == chain


def test_ecnas_measured_every_cell_four_times_over() -> None:
    recorded = load("ecnas", DATA)
    assert recorded.score.fidelities == (4.0, 12.0, 36.0, 108.0) and len(recorded.repeats) == 3
    for arch in recorded.space.architectures():
        seconds = [
            recorded.score.cost(arch, epochs)["simulated_seconds"]
            for epochs in recorded.score.fidelities
        ]
        assert seconds == sorted(seconds) and recorded.truth(arch) > 50
    assert recorded.facts["noise"]["test, one run"] == pytest.approx(0.32, abs=0.01)


def test_all_seven_tasks_of_transnas_are_there() -> None:
    for name in (name for name in BENCHMARKS if name.startswith("transnas")):
        recorded = load(name, DATA)
        assert recorded.facts["complete"] and recorded.facts["count"] == 4096
        assert np.isfinite(recorded.truth.values).all()


def test_the_oracle_ranks_what_was_evaluated() -> None:
    """Spearman 0.982 with the 2,373 evaluated rows, as published with the tables; 2,162 networks
    differ in what exists."""
    recorded = load("ofa", DATA)
    evaluated = recorded.records["top1_evaluated"]
    archs = [
        arch
        for arch, value in zip(recorded.archs(), evaluated.values, strict=True)
        if not np.isnan(value)
    ]
    assert len(archs) == 2162
    predicted, measured = recorded.score.batch(archs), evaluated.batch(archs)
    assert np.corrcoef(ranks(predicted), ranks(measured))[0, 1] == pytest.approx(0.982, abs=0.004)
    assert (
        np.mean(predicted) - np.mean(measured) == pytest.approx(5.9, abs=0.1)
        and ("5.9 points") in recorded.facts["surrogate"]
    )
    assert "latency_ms_v100_64" in recorded.records


def test_darts_cells_carry_their_surrogate() -> None:
    recorded = load("darts:surrogate", DATA)
    assert recorded.facts["count"] == 1218 and recorded.facts["surrogate"]
    assert recorded.facts["noise"]["between predictions of one cell"] == pytest.approx(
        0.06, abs=0.01
    )
    assert 90 < min(recorded.truth.values) < max(recorded.truth.values) < 95


def test_a_converted_nasbench201_is_small_and_the_same(tmp_path: Path) -> None:
    written = convert(
        "nasbench201", Path(DATA) / "nas" / "nasbench201.csv", tmp_path / "nasbench201.npz"
    )
    assert written["rows"] == 15625 and written["bytes"] < 3_000_000
    table, converted = (load("nasbench201:cifar10", source) for source in (DATA, tmp_path))
    assert np.array_equal(table.truth.values, converted.truth.values) and list(
        table.rows.texts
    ) == list(converted.rows.texts)
    assert table.facts["noise"] == converted.facts["noise"]
