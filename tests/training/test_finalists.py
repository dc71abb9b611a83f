"""Successive halving: the better network survives, failures leave the race, a killed race goes on
to the same end."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from archsmith.errors import EvaluationFailed
from archsmith.metrics.accuracy import evaluate
from archsmith.training import finalists
from archsmith.training.distillation import taught
from archsmith.training.finalists import (
    Entrant,
    Field,
    _resumed,
    alone,
    checkpoint_path,
    train_finalists,
    trained,
    trained_alone,
)
from archsmith.training.halving import rungs_for, work
from archsmith.training.recipe import Recipe

SHAPE = (1, 4, 4)


class Killed(BaseException):
    """Stands for kill -9: nothing may catch it."""


def images(seed: int, count: int) -> tuple[Tensor, Tensor]:
    """Two classes told apart by the sign of the left half's mean."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.randint(0, 2, (count,), generator=generator)
    x = torch.randn(count, *SHAPE, generator=generator)
    x[:, :, :, :2] += (y * 2 - 1).float().view(-1, 1, 1, 1) * 0.4
    return x, y


def stream(start: int) -> Iterator[tuple[Tensor, Tensor]]:
    while True:
        yield images(1000 + start, 32)
        start += 1


def linear(seed: int) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Flatten(), nn.Linear(16, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2)
        )

    return make


class Blind(nn.Module):
    """Cannot learn: its input is multiplied by zero."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(16, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x.flatten(1) * 0)


class Explodes(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(16, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x.flatten(1)) * float("nan")


def field(folder: Path, **changes: Any) -> Field:
    store = folder / "decisions.json"

    def known() -> dict[str, Any]:
        return json.loads(store.read_text()) if store.exists() else {}

    def decide(name: str, make: Callable[[], Any]) -> Any:
        if name not in known():
            made = make()  # may decide something itself
            store.write_text(json.dumps({**known(), name: made}))
        return known()[name]

    val = images(7, 400)
    settings: dict[str, Any] = {
        "arm": "search",
        "recipe": Recipe(batch_size=32, lr=0.1),
        "budget": 60,
        "timed": False,
        "stream": stream,
        "evaluate": lambda network: evaluate(network, [val]),
        "sample": lambda network: evaluate(network, [val]),
        "sampled": 0.5,
        "looking": 0.04,
        "folder": folder,
        "decide": decide,
        "device": torch.device("cpu"),
        "seed": 3,
        "class_counts": (200, 200),
    }
    return Field(**{**settings, **changes})


def test_rungs_cost_what_they_say() -> None:
    assert work(1, rungs_for(1)) == 1.0
    assert work(3, rungs_for(3)) == pytest.approx(3 * 0.1 + 0.9)
    assert work(6, rungs_for(6)) == pytest.approx(6 * 0.06 + 2 * 0.14 + 0.8)


def test_the_one_that_learns_survives(tmp_path: Path) -> None:
    entrants = [Entrant("blind", Blind), Entrant("seeing", linear(0))]
    found = train_finalists(entrants, field(tmp_path))
    assert [s.name for s in found] == ["seeing", "blind"]
    best, other = found
    assert best.progress == 1.0 and other.progress == pytest.approx(0.1, abs=0.03)
    assert best.val_measure is not None and best.val_measure > 0.75
    assert best.steps == int(60 / work(2, rungs_for(2)))
    network = trained(entrants[1], field(tmp_path), len(entrants), vars(best))
    assert evaluate(network, [images(7, 400)])["accuracy"] == best.val_measure
    assert [point["step"] for point in best.curve] == sorted(
        {point["step"] for point in best.curve}
    )


def test_a_network_that_fails_leaves_with_its_reason(tmp_path: Path) -> None:
    found = train_finalists([Entrant("nan", Explodes), Entrant("good", linear(0))], field(tmp_path))
    assert (
        found[0].name == "good"
        and found[1].failed is not None
        and ("loss became nan") in found[1].failed
    )
    with pytest.raises(EvaluationFailed, match="every network failed.*nan"):
        train_finalists([Entrant("only", Explodes)], field(tmp_path))


@pytest.mark.parametrize("dies_at", [1, 9, 20, 33, 50, 59])
def test_killed_and_resumed_equals_straight(tmp_path: Path, dies_at: int) -> None:
    entrants = [Entrant(str(i), linear(i)) for i in range(4)]
    (tmp_path / "straight").mkdir()
    straight = train_finalists(entrants, field(tmp_path / "straight"))
    (tmp_path / "killed").mkdir()
    seen = 0

    def dying(start: int) -> Iterator[tuple[Tensor, Tensor]]:
        nonlocal seen
        for batch in stream(start):
            seen += 1
            if seen == dies_at:
                raise Killed
            yield batch

    with pytest.raises(Killed):
        train_finalists(entrants, field(tmp_path / "killed", stream=dying))
    resumed = train_finalists(entrants, field(tmp_path / "killed"))
    assert [(s.name, s.steps, s.val_measure) for s in resumed] == [
        (s.name, s.steps, s.val_measure) for s in straight
    ]
    best = next(e for e in entrants if e.name == straight[0].name)
    for a, b in zip(
        trained(best, field(tmp_path / "killed"), 4, vars(straight[0])).state_dict().values(),
        trained(best, field(tmp_path / "straight"), 4, vars(straight[0])).state_dict().values(),
        strict=True,
    ):
        assert torch.equal(a, b)


def test_a_race_of_taught_networks_killed_and_resumed_equals_straight(tmp_path: Path) -> None:
    entrants, found = [Entrant(str(i), linear(i)) for i in range(3)], []
    for name, dies_at in (("straight", 0), ("killed", 25)):
        (tmp_path / name).mkdir()
        lesson = {"step": lambda: taught(linear(9)())}
        batches = dying_at(dies_at)
        if dies_at:
            with pytest.raises(Killed):
                train_finalists(entrants, field(tmp_path / name, stream=batches, **lesson))
        found.append(train_finalists(entrants, field(tmp_path / name, **lesson)))
    (tmp_path / "untaught").mkdir()
    found.append(train_finalists(entrants, field(tmp_path / "untaught")))
    told = [[(s.name, s.steps, s.curve[-1]["train_loss"]) for s in one] for one in found]
    assert told[0] == told[1] != told[2]


def dying_at(count: int) -> Any:
    """A stream that kills the process when so many batches were drawn."""
    seen = 0

    def batches(start: int) -> Iterator[tuple[Tensor, Tensor]]:
        nonlocal seen
        for batch in stream(start):
            seen += 1
            if seen == count:
                raise Killed
            yield batch

    return batches


def test_one_trained_alone_is_looked_at_once_and_killed_and_resumed_equals_straight(
    tmp_path: Path,
) -> None:
    one, looks = Entrant("one", linear(0)), list[str]()
    watched = {"looks": False, "sample": lambda network: looks.append("sample")}
    folders = [tmp_path / name for name in ("straight", "killed")]
    for folder in folders:
        folder.mkdir()
    straight = alone(one, field(folders[0], **watched), 30)
    with pytest.raises(Killed):
        alone(one, field(folders[1], stream=dying_at(12), **watched), 30)
    resumed = alone(one, field(folders[1], **watched), 30)
    assert straight.steps == 30 and not looks and straight.curve == []
    assert resumed.val_measure == straight.val_measure is not None
    networks = [trained_alone(one, field(folder, **watched), 30, 30) for folder in folders]
    told: list[str] = []
    checkpoint_path(field(folders[1]), "one").unlink()
    networks.append(trained_alone(one, field(folders[1], note=told.append, **watched), 30, 30))
    assert "trained again from step 0" in told[0] and not networks[0].training
    for other in networks[1:]:
        for a, b in zip(networks[0].parameters(), other.parameters(), strict=True):
            assert torch.equal(a, b)


def test_a_torn_checkpoint_is_put_aside_and_trained_anew(tmp_path: Path) -> None:
    entrants = [Entrant("a", linear(0)), Entrant("b", linear(1))]
    (tmp_path / "straight").mkdir()
    straight = train_finalists(entrants, field(tmp_path / "straight"))
    (tmp_path / "torn").mkdir()
    train_finalists(entrants, field(tmp_path / "torn"))
    path = checkpoint_path(field(tmp_path / "torn"), straight[0].name)
    path.write_bytes(path.read_bytes()[:-9])
    (tmp_path / "torn" / "decisions.json").unlink()
    again = train_finalists(entrants, field(tmp_path / "torn"))
    assert [(s.name, s.steps, s.val_measure) for s in again] == [
        (s.name, s.steps, s.val_measure) for s in straight
    ]
    assert path.with_suffix(".damaged").exists()


@pytest.mark.parametrize(
    ("loss", "place"),
    [
        ("torn", 0),
        ("missing", 0),
        ("of another run", 0),
        ("behind", 0),
        ("torn", 2),
        ("missing", 2),
        ("of another run", 2),
    ],
)
def test_what_ships_is_trained_again_where_its_checkpoint_is_of_no_use(
    tmp_path: Path, loss: str, place: int
) -> None:
    entrants, early = [Entrant(str(i), linear(i)) for i in range(4)], dict[str, bytes]()
    plain = field(tmp_path).decide

    def keeping(name: str, make: Callable[[], Any]) -> Any:
        found = plain(name, make)
        if name.startswith("search/rung0/"):
            early[name.rpartition("/")[2]] = checkpoint_path(
                field(tmp_path), name.rpartition("/")[2]
            ).read_bytes()
        return found

    standings = train_finalists(entrants, field(tmp_path, of={"run": "a"}, decide=keeping))
    one = next(e for e in entrants if e.name == standings[place].name)
    path, told = checkpoint_path(field(tmp_path), one.name), list[str]()
    ours = field(tmp_path, of={"run": "a"}, note=told.append)
    expected = trained(one, ours, 4, vars(standings[place])).state_dict()
    assert not told
    if loss == "torn":
        path.write_bytes(path.read_bytes()[:-9])
    elif loss == "behind":
        path.write_bytes(early[one.name])
    else:
        path.unlink()
        if loss == "of another run":
            (tmp_path / "other").mkdir()
            train_finalists(entrants, field(tmp_path / "other", of={"run": "b"}))
            path.write_bytes(checkpoint_path(field(tmp_path / "other"), one.name).read_bytes())
    found = trained(one, ours, 4, vars(standings[place])).state_dict()
    assert told and all(torch.equal(found[name], expected[name]) for name in expected)


def test_with_time_the_budget_is_used_and_not_passed(tmp_path: Path) -> None:
    clock, val = [0.0], images(7, 400)

    def slow(start: int) -> Iterator[tuple[Tensor, Tensor]]:
        for batch in stream(start):
            clock[0] += 0.05
            yield batch

    def sample(network: nn.Module) -> dict[str, Any]:
        clock[0] += 0.2
        return evaluate(network, [val])

    def evaluated(network: nn.Module) -> dict[str, Any]:
        clock[0] += 0.4
        return evaluate(network, [val])

    watching = {
        "now": lambda: clock[0],
        "spent": lambda: clock[0],
        "stream": slow,
        "sample": sample,
        "evaluate": evaluated,
    }
    found = train_finalists(
        [Entrant(str(i), linear(i)) for i in range(5)],
        field(tmp_path, timed=True, budget=60.0, **watching),
    )
    assert found[0].progress == pytest.approx(1.0)
    assert 54.0 < clock[0] < 62.0


@pytest.mark.parametrize(
    ("look_s", "looks", "points"),
    # every tenth where a first look is short, every fifth where it is dear; a first one that takes
    # long is believed
    [(0.05, 2, 10), (0.15, 2, 10), (0.5, 1, 5)],
)
def test_a_learning_curve_takes_little_of_the_training(
    tmp_path: Path, look_s: float, looks: int, points: int
) -> None:
    clock, looked, val = [0.0], [0], images(7, 400)

    def slow(start: int) -> Iterator[tuple[Tensor, Tensor]]:
        for batch in stream(start):
            clock[0] += 0.1
            yield batch

    def sample(network: nn.Module) -> dict:
        clock[0] += look_s
        looked[0] += 1
        return evaluate(network, [val])

    timed = field(
        tmp_path,
        timed=True,
        budget=40.0,
        now=lambda: clock[0],
        spent=lambda: clock[0],
        stream=slow,
        sample=sample,
        evaluate=lambda network: evaluate(network, [val]),
    )
    found = train_finalists([Entrant("0", linear(0))], timed)
    assert looked[0] == looks + points == looks + len(found[0].curve)
    assert found[0].curve[-1]["progress"] == pytest.approx(1.0, abs=0.01)
    assert found[0].seconds > 0.85 * 40 and clock[0] < 41


@pytest.mark.parametrize(("wide", "share"), [(8, 0.99), (40_000, 0.95)])
def test_little_is_kept_for_checkpoints_of_small_networks_and_more_of_large_ones(
    tmp_path: Path, wide: int, share: float
) -> None:
    """A checkpoint of a million parameters takes a tenth of a second or two, of a few none."""

    def network() -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(16, wide), nn.ReLU(), nn.Linear(wide, 2))

    free = {"now": lambda: 0.0, "spent": lambda: 0.0}
    timed = field(tmp_path, timed=True, budget=20.0, **free)
    length = finalists._length(
        timed, [Entrant("0", network)], rungs=rungs_for(1), position=0, entrants=1, done=0.0
    )
    assert share - 0.03 < length / 20.0 < share


def pooled() -> nn.Module:
    """Takes images of any size, and begins with a convolution."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(24, 2),
    )


@pytest.mark.parametrize(
    ("make", "fresh", "grows"),
    [(pooled, True, True), (pooled, False, False), (linear(0), True, False)],
    ids=["any size", "given weights", "one size alone"],
)
def test_images_grow_for_new_networks_that_take_any_size(
    tmp_path: Path, make: Any, fresh: bool, grows: bool
) -> None:

    def big(start: int) -> Iterator[tuple[Tensor, Tensor]]:
        return ((x.repeat_interleave(4, 2).repeat_interleave(4, 3), y) for x, y in stream(start))

    network = make if make is pooled else lambda: nn.Sequential(nn.AvgPool2d(4), make())
    one = field(
        tmp_path, recipe=Recipe(batch_size=16, grow=0.5, whiten=True), fresh=fresh, stream=big
    )
    first = _resumed(Entrant("one", network), one)
    assert first.recipe.grow == (0.5 if grows else 1.0)
    whitened = make is pooled and fresh
    weights = next(first.module.parameters())
    assert torch.equal(weights, next(network().parameters())) != whitened
    found = train_finalists(
        [Entrant("one", network)], replace(one, evaluate=_judged(big), sample=_judged(big))
    )
    assert found[0].failed is None and found[0].progress == 1.0


def _judged(images: Any) -> Any:
    return lambda network: evaluate(network, [next(images(9))])
