"""The figures are valid Plotly and show what the record says."""

from __future__ import annotations

import json
from typing import Any

import pytest
from made_runs import other

from archsmith.report import figures
from archsmith.report.run_record import read

MAKERS = (figures.trained_front, figures.scored_front, figures.accuracy_curves, figures.loss_curves)


def painted(value: Any) -> Any:
    """As the page does it: color tokens become colors."""
    if isinstance(value, str):
        return "#123456" if value.startswith("$") else value
    if isinstance(value, dict):
        return {key: painted(v) for key, v in value.items()}
    return [painted(v) for v in value] if isinstance(value, list) else value


def named(figure: dict[str, Any], name: str) -> dict[str, Any]:
    return next(trace for trace in figure["data"] if trace["name"] == name)


@pytest.mark.parametrize("maker", MAKERS)
def test_plotly_accepts_them(made: Any, maker: Any) -> None:
    from plotly.graph_objects import Figure

    figure = maker(read(made().folder))
    # raises on an unknown attribute
    Figure(data=painted(figure["data"]), layout=painted(figure["layout"]))
    json.dumps(figures.finite(figure), allow_nan=False)


@pytest.mark.parametrize("maker", [figures.trained_front, figures.accuracy_curves])
def test_accuracy_is_drawn_where_it_can_be(made: Any, maker: Any) -> None:
    """One network alone, too: no axis says 150 %."""
    figure = maker(read(made().folder))
    low, high = figure["layout"]["yaxis"]["range"]
    values = [value for trace in figure["data"] for value in trace["y"]]
    assert 0 <= low <= min(values) and max(values) <= high <= 1


@pytest.mark.parametrize("maker", MAKERS)
def test_nothing_is_drawn_before_there_is_something(made: Any, maker: Any) -> None:
    assert maker(read(made(2).folder)) is None


def test_every_cost_can_be_the_axis(made: Any) -> None:
    figure = figures.scored_front(read(made().folder))
    assert figure is not None
    assert list(figure["axes"]) == ["params", "macs", "memory", "latency"]
    for index, values in figure["xs"].items():
        for cost, xs in values.items():
            ys = figure.get("ys", {}).get(index, {}).get(cost, figure["data"][int(index)]["y"])
            assert len(xs) == len(ys)
    assert "predicted" in figure["axes"]["latency"]
    assert figure["limits"] == {"params": 20000, "macs": 1000000}


def test_early_stopped_networks_look_different(made: Any) -> None:
    figure = figures.trained_front(read(made().folder))
    assert figure is not None
    assert named(figure, "stopped early")["marker"]["symbol"] == "circle-open"
    assert len(named(figure, "stopped early")["x"]) == 4
    assert len(named(figure, "chosen")["x"]) == 1
    assert {
        trace["marker"]["symbol"] for trace in figure["data"] if trace["name"] == "hand-made"
    } == {"square", "square-open"}
    assert [label for *_, label in figures.legend(figure)] == [
        "chosen",
        "hand-made",
        "stopped early",
    ]


def test_many_points_are_thinned_but_never_the_front(made: Any) -> None:
    record = read(made(5, trials=2 * figures.SHOWN).folder)
    figure = figures.scored_front(record)
    assert figure is not None
    assert len(named(figure, "screened")["x"]) == figures.SHOWN
    shown = {x for trace in figure["data"] if trace["mode"] == "markers" for x in trace["x"]}
    assert set(named(figure, "best at its size")["x"]) <= shown
    assert figure == figures.scored_front(record)


def test_a_value_that_is_no_number_leaves_a_gap(made: Any) -> None:
    record = read(made().folder)
    points = f"networks__{record.chosen}__curve"
    odd = {f"{points}__0__val_measure": float("nan"), f"{points}__1__val_measure": float("inf")}
    figure = figures.accuracy_curves(other(record, "finished", **odd))
    assert figure is not None and record.chosen_network is not None
    assert len(named(figure, "chosen network")["y"]) == len(record.chosen_network.curve) - 2


def test_names_cannot_smuggle_markup_into_plotly(made: Any) -> None:
    record, odd = read(made().folder), "<a href='x'>"
    assert record.reference is not None
    named_so = {**record.reference.to_json()["networks"], odd: record.reference.best.to_json()}
    record = other(record, "finished", reference__networks=named_so, reference__chosen=odd)
    for maker in (figures.trained_front, figures.accuracy_curves):
        assert "<a" not in json.dumps(maker(record))


@pytest.mark.parametrize(
    ("low", "high"), [(0.0, 0.0), (0.02, 0.98), (0.5, 0.5), (0.9, 1.0), (-0.4, 0.2)]
)
def test_no_axis_of_shares_goes_where_no_share_can_be(low: float, high: float) -> None:
    first, last = figures._share_range(low, high)
    assert first <= low and last >= high and last <= 1
    assert first >= 0 or low < 0


@pytest.mark.parametrize(
    ("low", "high"),
    [(2.1, 2.3), (0.0101, 0.0102), (1.1, 1.9), (0.5, 3.0), (1e-3, 10.0), (7.0, 8.5)],
)
def test_a_logarithmic_axis_has_ticks_within_the_values(low: float, high: float) -> None:
    found = figures._log_ticks(low, high)
    assert sum(low <= tick <= high for tick in found["tickvals"]) >= 2
    assert len(found["tickvals"]) < 30 and len(set(found["ticktext"])) == len(found["ticktext"])
