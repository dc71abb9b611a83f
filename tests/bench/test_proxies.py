"""Scores against recorded accuracies on the toy benchmark: files, going on, judging, the page."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import pytest
import torch

from archsmith.bench import page, proxies
from archsmith.bench.proxies import Setting, _begin, _Job, _job, _network_key, _work, compare
from archsmith.elastic.supernet import search_space
from archsmith.errors import UserError
from archsmith.recorded import load
from archsmith.space import Architecture
from archsmith.spaces import SPACES, build


def test_scored_judged_and_gone_on_with(tmp_path: Path) -> None:
    setting = Setting("toy", ("params", "effective_params", "naswot"), sample=5, batch=4)
    found = compare(setting, tmp_path, workers=1)
    rows = found["truths"]["toy"]["scores"]
    assert set(rows) == {"params", "effective_params", "naswot"} and found["networks"] == 5
    lines = (tmp_path / "scores.jsonl").read_text().splitlines()
    assert len(lines) == 5 and all(set(json.loads(line)["scores"]) == set(rows) for line in lines)
    # cut off in the middle
    (tmp_path / "scores.jsonl").write_text("\n".join(lines[:3]) + '\n{"seed": 0, "key": "to')
    again = compare(
        Setting("toy", ("params", "effective_params", "naswot"), sample=5, batch=4),
        tmp_path,
        workers=1,
    )
    assert again["truths"] == found["truths"]
    assert (
        sum('"key"' in line for line in (tmp_path / "scores.jsonl").read_text().splitlines()) == 6
    )
    page.write_proxies(found, tmp_path / "page.html")
    html = (tmp_path / "page.html").read_text()
    assert "naswot" in html and "<script" not in html
    assert "naswot" in proxies.text(found)
    with pytest.raises(UserError, match="holds another comparison"):
        compare(Setting("toy", ("params",), sample=5, batch=8), tmp_path)


def test_networks_that_compute_the_same_get_the_same_scores_and_their_own_counts(
    tmp_path: Path,
) -> None:
    space = load("toy").space
    none = dict.fromkeys(space, "none")
    # no way from that edge to the output
    archs = [space.check(none), space.check(none | {"edge0to1": "nor_conv_3x3"})]
    proxies.score(Setting("toy", ("naswot", "params"), None, batch=4), archs, tmp_path, workers=1)
    rows = [json.loads(line) for line in (tmp_path / "scores.jsonl").read_text().splitlines()]
    by_key = {row["key"]: row["scores"] for row in rows}
    first, second = (by_key[arch.key] for arch in archs)
    assert first["naswot"] == second["naswot"] and first["params"] < second["params"]


def test_narrower_networks(tmp_path: Path) -> None:
    found = {}
    for width in (None, 4):
        out = tmp_path / str(width)
        compare(Setting("toy", ("params",), sample=4, batch=4, width=width), out, workers=1)
        rows = [json.loads(line) for line in (out / "scores.jsonl").read_text().splitlines()]
        found[width] = {row["key"]: row["scores"]["params"] for row in rows}
    assert all(found[4][key] < found[None][key] / 8 for key in found[4])
    assert "width" not in (tmp_path / "None" / "setting.json").read_text()


def test_bad_settings_are_named() -> None:
    with pytest.raises(UserError, match="did you mean 'zico'"):
        Setting("toy", ("zicco",))
    with pytest.raises(UserError, match="--batch 1"):
        Setting("toy", ("zico",), batch=1)
    with pytest.raises(UserError, match="--width 0"):
        Setting("toy", ("zico",), width=0)
    with pytest.raises(UserError, match="--seeds"):
        Setting("toy", ("zico",), seeds=())


@pytest.mark.parametrize("space", [space.name for space in SPACES.values() if space.canonical])
def test_a_cell_goes_by_its_form_without_dead_operations(space: str) -> None:
    dead = _with_dead_operations(space)
    assert (
        _network_key(space, dead)
        == SPACES[space].form(dead).key
        == _network_key(space, SPACES[space].form(dead))
    )


def test_a_cell_is_scored_without_its_dead_operations() -> None:
    dead = _with_dead_operations("transnas")
    images = [(torch.randn(4, 3, 32, 32), torch.randint(0, 10, (4,))) for _ in range(2)]
    _begin(_Job("transnas", 10, 32, ("naswot",), 4, {0: images}, "cpu"))
    try:
        (_, _, whole, _), (_, _, lean, _) = _work(
            0, [dict(dead), dict(SPACES["transnas"].form(dead))]
        )
    finally:
        _job.clear()
    assert whole == lean


def _with_dead_operations(space: str) -> Architecture:
    cells, rng = search_space(build(space, 10, 3, 32)), Random(0)
    return next(
        arch
        for arch in (cells.sample(rng) for _ in range(1000))
        if SPACES[space].form(arch) != arch
    )
