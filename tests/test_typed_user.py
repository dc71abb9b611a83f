"""The package tells type checkers its types (`py.typed`): code of a user is checked, and its
mistakes are found."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

CODE = Path(__file__).with_name("typed_user.py")
MISTAKE = re.compile(r"# wrong: ([a-z-]+)$")


@pytest.mark.slow
def test_a_type_checker_finds_the_mistakes_of_a_user_and_no_others(tmp_path: Path) -> None:
    options = ["--config-file", "", "--follow-imports", "silent", "--cache-dir", str(tmp_path)]
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
