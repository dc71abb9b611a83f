"""`make docs`: the site builds without a warning, and the reference holds every public name."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import archsmith

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    for name in ("sphinx", "furo", "myst_parser"):
        pytest.importorskip(name, reason="pip install -c constraints.txt archsmith[docs]")
    own = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        [
            sys.executable,
            *"-m sphinx -W --keep-going -q -b html docs".split(),
            str(tmp_path),
        ],
        cwd=ROOT,
        env=own,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    page = (tmp_path / "reference" / "archsmith.html").read_text(encoding="utf-8")
    held = set(re.findall(r'id="archsmith\.(\w+)"', page))
    held |= set(re.findall(r'id="archsmith(?:\.\w+)+\.(\w+)"', page))
    assert set(archsmith.__all__) - held == {"__version__"}
    assert "::" not in re.sub(r"<[^>]*>", "", page)  # no markup is left over
