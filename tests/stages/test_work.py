"""What the stages share: nothing of it is assigned once it is made; how large a network may be
where only the time says so."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import FrozenInstanceError, fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from archsmith._internal.progress import Silent
from archsmith.methods.protocol import Shares
from archsmith.run.request import request_from
from archsmith.run.store import Run
from archsmith.stages.work import PASSES, Work, fitting_macs

PACKAGE = Path(__file__).parents[2] / "src" / "archsmith"


def assigned(text: str) -> Iterator[str]:
    """Attributes of something called `work`, of whatever has one, and of `self` in the class Work,
    that a source assigns."""
    tree = ast.parse(text)
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    inside = {id(node) for one in classes if one.name == "Work" for node in ast.walk(one)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load):
            held = ast.unparse(node.value)
            if held.rpartition(".")[2] == "work" or (held == "self" and id(node) in inside):
                yield ast.unparse(node)
        if isinstance(node, ast.Call) and "setattr" in ast.unparse(node.func):
            first = [ast.unparse(one) for one in node.args[:1]]
            yield from (ast.unparse(node) for name in first if name.rpartition(".")[2] == "work")


@pytest.mark.parametrize(
    "text",
    [
        "work.data = 1",
        "since, work.stopwatch = 1, None",
        "work.latency: int = 3",
        "work.count += 1",
        "self.work.data = 1",
        "del work.data",
        "setattr(work, 'data', 1)",
        "object.__setattr__(work, 'data', 1)",
        "class Work:\n    def f(self):\n        self.data = 1",
    ],
)
def test_what_would_assign_one_is_found(text: str) -> None:
    assert list(assigned(text))


def test_nothing_of_it_is_assigned_anywhere() -> None:
    found = {
        f"{path.relative_to(PACKAGE)}: {name}"
        for path in PACKAGE.rglob("*.py")
        for name in assigned(path.read_text(encoding="utf-8"))
    }
    assert not found


def test_it_is_frozen_and_what_it_makes_is_made_once(tmp_path: Path) -> None:
    run, made = Run.create(tmp_path / "run", request_from(data="digits", steps=9)), list[Work]()

    def read(work: Work) -> list[Work]:
        made.append(work)
        return made

    work = Work(run, Silent(), torch.device("cpu"), 1, read=read)  # type: ignore[arg-type]
    names = [field.name for field in fields(work)]
    for name in (*names, "images", "latency", "stopwatch", "space"):
        with pytest.raises(FrozenInstanceError):
            setattr(work, name, None)
    assert not made and work.images is work.images and made == [work]
    assert work.stopwatch is work.stopwatch and work.stopwatch.stage is None


@pytest.mark.parametrize("images", [300, 4_000, 50_000])
def test_dense_networks_are_as_large_for_few_images_as_for_many_and_grow_with_the_root_of_the_time(
    images: int,
) -> None:
    once = fitting_macs(1e12, images, dense=True)
    assert once == fitting_macs(1e12, 1_000, dense=True)
    assert fitting_macs(4e12, images, dense=True) == pytest.approx(2 * once)


@pytest.mark.parametrize("images", [300, 40_000])
def test_others_see_each_image_so_many_times(images: int) -> None:
    assert 3e12 / images / fitting_macs(3e12, images, dense=False) == pytest.approx(PASSES)


@pytest.mark.parametrize("enough_s", [None, 1.0, 100.0, 200.0, 1000.0])
@pytest.mark.parametrize("asked", [True, False])
def test_a_reference_is_trained_beside_only_where_half_of_the_time_is_enough(
    enough_s: float | None, asked: bool
) -> None:
    notes: list[str] = []
    request = SimpleNamespace(refit=False, reference=asked)
    work: Any = SimpleNamespace(
        run=SimpleNamespace(request=request, decided=lambda decision: enough_s),
        left_s=560.0,
        shares=False,
        asked_of_clock=Shares(),
        _comparable=asked,
        note=notes.append,
    )
    plan = Work._planned(work, 600.0)
    beside = asked and (enough_s is None or enough_s <= 200.0)
    assert (plan["reference"] > 0) == beside and (len(notes) == 1) == (asked and not beside)
    if not beside:  # the whole of it is the search's
        assert plan["search"] == pytest.approx(560.0) and plan["training"] > 300.0


@pytest.mark.parametrize(
    ("capability", "machine", "asked", "tried"),
    [
        ("AVX512", "x86_64", {}, ("bf16",)),
        ("AVX2", "x86_64", {}, ()),
        ("DEFAULT", "AMD64", {}, ()),
        ("DEFAULT", "arm64", {}, ("bf16",)),  # torch tells nothing of it: measured
        ("AVX512", "x86_64", {"precision": "float32"}, ()),
    ],
)
def test_bf16_is_tried_where_the_processor_may_have_it(
    monkeypatch: pytest.MonkeyPatch,
    capability: str,
    machine: str,
    asked: dict[str, Any],
    tried: tuple[str, ...],
) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    monkeypatch.setattr("platform.machine", lambda: machine)
    run = SimpleNamespace(request=SimpleNamespace(training=asked))
    work: Any = SimpleNamespace(run=run, timed=True, device=torch.device("cpu"))
    assert Work.precisions.fget(work) == tried  # type: ignore[attr-defined]
