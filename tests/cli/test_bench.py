"""`archsmith bench ...` as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import call


def test_searchers_leave_a_table_and_a_page(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    words = (
        *"bench searchers --benchmark toy --searchers random,local --budget 10 --seeds 2".split(),
    )
    code, out, err = call(
        capsys, monkeypatch, *words, "--out", str(tmp_path / "a"), "--workers", "1"
    )
    assert code == 0 and "random" in out and "mean rank" in out and "2 searchers, 2 seeds" in err
    assert (tmp_path / "a" / "page.html").exists()
    code, out, _ = call(capsys, monkeypatch, *words, "--out", str(tmp_path / "b"), "--json")
    assert code == 0 and json.loads(out)["benchmarks"]["toy"]["rows"]["local"]["mean"] > 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("searchers", "--benchmark", "toyy"), "no benchmark 'toyy'"),
        ((*"searchers --benchmark toy --searchers rnadom".split(),), "did you mean 'random'"),
        (
            (*"searchers --benchmark toy --searchers random,evolution:popluation=9".split(),),
            "did you mean 'population'",
        ),
        (
            (*"searchers --benchmark toy --searchers evolution:population=few".split(),),
            "population='few' is no number",
        ),
        (
            (*"searchers --benchmark toy --searchers random:population=9".split(),),
            "no setting 'population'; it has batch",
        ),
        (
            (*"searchers --benchmark toy --searchers evolution:population=0".split(),),
            "population",
        ),
        ((*"searchers --benchmark toy --budget 0".split(),), "--budget"),
        ((*"proxies --benchmark toy --proxies zicco".split(),), "did you mean 'zico'"),
        (("proxies", "--benchmark", "darts:surrogat"), "no benchmark"),
        (("speed", "--networks", "0"), "--networks"),
        (("speed", "--proxies", ","), "--proxies is empty"),
    ],
)
def test_mistakes_end_in_one_line(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    words: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, err = call(capsys, monkeypatch, "bench", *words)
    assert code == 2 and message in err and "Traceback" not in err


def test_speed_tells_ratios(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = (
        *"bench speed --proxies naswot,zico --networks 1 --rounds 1 --batch 4 --size 8".split(),
    )
    code, out, _ = call(capsys, monkeypatch, *words, "--json")
    rows = json.loads(out)["scores"]
    assert code == 0 and set(rows) == {"naswot", "zico"}
    assert all(row["ratio"] > 0 and row["per_second"] > 0 for row in rows.values())
