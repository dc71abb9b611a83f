"""What a run begins with: published weights for few photos, as far as the budget admits them; the
family from nothing for all else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from published import install, uninstall

from archsmith.data import Seen
from archsmith.errors import UserError
from archsmith.run.decisions import BEGINS
from archsmith.run.request import request_from
from archsmith.run.store import Run
from archsmith.stages.beginning import PRETRAINED, begin

PHOTOS = {"suggested": 224, "channels": 3, "images": 900, "outputs": 10}


def begun(folder: Path, seen: dict[str, int] | None = None, **asked: Any) -> tuple[str, Any, Any]:
    """(space, what it begins with, what is said)."""
    run = Run.create(folder / "run", request_from(data="photos", **asked))
    with run.locked():
        said = begin(run, Seen(**{**PHOTOS, **(seen or {})}))
    again = Run.open(folder / "run")
    return again.space, again.decided(BEGINS), said


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The weights are installed."""
    return install(tmp_path / "site", monkeypatch)


@pytest.mark.parametrize("budget", ["", "params<=300k, macs<=20M", "macs<=400M", "latency<=9ms"])
def test_few_photos_begin_with_published_weights(tmp_path: Path, file: Path, budget: str) -> None:
    space, begins, said = begun(tmp_path, budget=budget)
    assert space == PRETRAINED and begins.weights == str(file) and begins.published
    assert PRETRAINED in said


@pytest.mark.parametrize(
    ("seen", "asked"),
    [
        ({"channels": 1}, {}),
        ({"images": 60_000}, {}),
        ({}, {"budget": "params<=20k"}),  # no part of it is as small
        ({}, {"budget": "macs<=1M"}),
        ({}, {"method": "zico"}),
        ({}, {"method": "few-shot"}),
        ({}, {"task": "reconstruction"}),
        ({}, {"size": 24}),
        ({}, {"pretrained": False}),
        ({}, {"space": "mobilenet"}),
    ],
    ids=str,
)
def test_all_else_begins_from_nothing_without_a_word(
    tmp_path: Path, file: Path, seen: dict[str, int], asked: dict[str, Any]
) -> None:
    space, begins, said = begun(tmp_path, seen, **asked)
    assert space != PRETRAINED and begins.weights is None and said is None


@pytest.mark.parametrize("asked", [{}, {"space": PRETRAINED}])
def test_where_they_are_not_installed_it_is_said_how_to_get_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: dict[str, Any]
) -> None:
    uninstall(monkeypatch)
    space, begins, said = begun(tmp_path, **asked)
    assert begins.weights is None and "pip install 'archsmith[pretrained]'" in said
    assert space == (PRETRAINED if asked else "convnet")


@pytest.mark.parametrize(
    ("seen", "asked", "said"),
    [
        ({"channels": 1}, {}, "these are grey"),
        ({}, {"budget": "params<=5k"}, "does not admit any part"),
        ({}, {"space": "vit-nano"}, "no published weights of the space 'vit-nano'"),
        ({}, {"task": "reconstruction"}, "make no images"),
    ],
)
def test_asked_for_and_not_possible_is_refused(
    tmp_path: Path, file: Path, seen: dict[str, int], asked: dict[str, Any], said: str
) -> None:
    with pytest.raises(UserError, match=said):
        begun(tmp_path, seen, pretrained=True, **asked)


def test_asked_for_and_not_installed_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uninstall(monkeypatch)
    with pytest.raises(UserError, match="not installed.*pip install"):
        begun(tmp_path, pretrained=True)


def test_asked_for_they_are_taken_where_only_narrow_parts_keep_the_budget(
    tmp_path: Path, file: Path
) -> None:
    assert begun(tmp_path, budget="params<=20k", pretrained=True)[0] == PRETRAINED


def test_asked_for_they_are_taken_for_many_images_too(tmp_path: Path, file: Path) -> None:
    assert begun(tmp_path, {"images": 60_000}, pretrained=True)[0] == PRETRAINED


def test_a_file_of_ones_own_comes_first(tmp_path: Path, file: Path) -> None:
    space, begins, said = begun(tmp_path, init="/own.pt")
    assert space == "convnet" and begins.weights == "/own.pt" and not begins.published
    assert said is None
