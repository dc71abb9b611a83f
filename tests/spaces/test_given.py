"""An architecture from a file or a text: in JSON, or as its publishers write it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import call

from archsmith.errors import UserError
from archsmith.spaces.catalog.nasbench201 import nasbench201_arch
from archsmith.spaces.given import JSON, read_given

CELL = "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_3x3~0|none~1|skip_connect~2|"


def test_a_text_a_file_and_json_are_one_architecture(tmp_path: Path) -> None:
    arch = nasbench201_arch(CELL)
    file, decided, shipped = (
        tmp_path / name for name in ("cell.txt", "arch.json", "architecture.json")
    )
    file.write_text(f"{CELL}\n")
    decided.write_text(arch.to_json())
    shipped.write_text(json.dumps({"space": "nasbench201", "key": arch.key, "options": dict(arch)}))
    for given, form in (
        *(
            (CELL, "string of NAS-Bench-201"),
            (file, "string of NAS-Bench-201"),
            (str(file), "string of NAS-Bench-201"),
        ),
        *((decided, JSON), (shipped, JSON), (arch.to_json(), JSON)),
    ):
        found = read_given(given, "nasbench201")
        assert found.arch == arch and found.form == form


def test_a_users_own_space_may_decide_what_others_write() -> None:
    own = {"ks": 3, "e": 2, "d": 1}
    assert dict(read_given(json.dumps(own), "my_model.py:Net").arch) == own
    assert dict(
        read_given(json.dumps({"ks": [3], "e": [2], "d": [1]}), "my_model.py:Net").arch
    ) == {**{"ks": (3,), "e": (2,), "d": (1,)}}


@pytest.mark.parametrize(
    ("given", "space", "message"),
    [
        (
            CELL,
            "transnas",
            "written as networks of other spaces are; give --space with one of nasbench201",
        ),
        (CELL.replace("none", "nothing"), "nasbench201", "is no NAS-Bench-201 cell"),
        (
            "nowhere.json",
            "nasbench201",
            "no such file, and not the text of string of NAS-Bench-201; give an architecture.json",
        ),
        ("nowhere.json", "auto", "no such file; give an architecture.json"),
        ("{", "auto", "is no architecture"),
        (
            '{"ks": [3], "e": [3], "d": [2]}',
            "auto",
            "give --space with one of ofa-mobilenet-v3-w1.0, ofa-mobilenet-v3-w1.2",
        ),
        ("x" * 5000, "auto", "no such file"),
        ("a\x00b", "auto", "no such file"),
    ],
)
def test_mistakes_are_named(given: str, space: str, message: str) -> None:
    with pytest.raises(UserError) as raised:
        read_given(given, space)
    assert message in str(raised.value) and len(str(raised.value)) < 1000


@pytest.mark.parametrize(
    "content", [b"\xff\xfe\x00", b"[1, 2]", b"null", b'{"a": {"b": 1}}', b"[" * 100_000]
)
def test_files_that_are_none_are_told(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(UserError, match=r"--architecture .*a\.json"):
        read_given(tmp_path / "a.json", "auto")


def test_score_says_what_the_text_was_taken_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = (*"score --space nats-size --proxies params --batch 2 --architecture".split(),)
    code, out, err = call(capsys, monkeypatch, *words, "8:16:24:32:40")
    assert code == 0 and "architecture read as string of NATS-Bench's sizes" in out, err
    code, out, err = call(capsys, monkeypatch, *words, CELL)
    assert code == 2 and "--space with one of nasbench201" in err
