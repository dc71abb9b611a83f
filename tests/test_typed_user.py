"""The package tells type checkers its types (`py.typed`): code of a user is checked, and its
mistakes are found."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

CODE = Path(__file__).with_name("typed_user.py")
MISTAKE = re.compile(r"# wrong: ([a-z-]+)$")
# what no type of ours comes from; reading it takes three quarters of the time
UNREAD = (
    *("_dynamo", "_export", "_functorch", "_higher_order_ops", "_inductor", "_library", "_prims"),
    *("_refs", "_subclasses", "ao", "backends", "cuda", "distributed", "export", "fx", "onnx"),
    *("sparse", "testing", "utils"),
)
OTHERS = ("jinja2", "numpy", "onnx", "onnxruntime", "onnxscript", "PIL", "plotly", "rich", "scipy")


@pytest.mark.slow
def test_a_type_checker_finds_the_mistakes_of_a_user_and_no_others(tmp_path: Path) -> None:
    unread = ",".join(f"{name}.*" for name in (*(f"torch.{part}" for part in UNREAD), *OTHERS))
    config = tmp_path / "mypy.ini"
    config.write_text(f"[mypy]\nfollow_imports = silent\n[mypy-{unread}]\nfollow_imports = skip\n")
    options = ["--config-file", str(config), "--no-incremental", "--cache-dir", os.devnull]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *options, str(CODE)],
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.findall(
        r"^\S+?typed_user\.py:(\d+): error: "
        r".*\[([a-z-]+)\]$",
        done.stdout,
        re.MULTILINE,
    )
    lines = CODE.read_text(encoding="utf-8").splitlines()
    wanted = [
        (str(n), match[1]) for n, line in enumerate(lines, 1) if (match := MISTAKE.search(line))
    ]
    assert len(wanted) > 3 and found == wanted, done.stdout + done.stderr
