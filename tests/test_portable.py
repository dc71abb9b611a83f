"""Not only POSIX: all of it is imported, and a search runs, where there is no fcntl, no fork and no
mask of signals."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

from short_runs import FAST, SIZES

PACKAGE = Path(__file__).parents[1] / "src" / "archsmith"
# of another system than the one this runs on; what torch, psutil and Python itself need of it was
# imported before
ABSENT = """
import multiprocessing, os, pathlib, psutil, signal, subprocess, sys
import torch, torch.distributed, onnxruntime, scipy.optimize
for name in ("fcntl", "pwd", "grp", "resource", "termios"):
    sys.modules[name] = None
del os.fork, os.pread, os.ftruncate, os.getuid, os.killpg, os.mkfifo, signal.pthread_sigmask
multiprocessing.get_all_start_methods = lambda: ["spawn"]
"""
IMPORTS = """
import importlib
for path in sorted(pathlib.Path({package!r}).rglob("*.py")):
    parts = path.relative_to(pathlib.Path({package!r}).parent).with_suffix("").parts
    if parts[-1] != "__main__" and "shipped" not in parts:
        importlib.import_module(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
"""
SEARCH = """
from archsmith.run.request import request_from
from archsmith.run.store import Run
from archsmith.errors import UserError
from archsmith.stages.pipeline import carry_on

if __name__ == "__main__":
    run = Run.create({out!r}, request_from(**{asked!r}))
    with run.locked():
        try:
            with run.locked():
                raise SystemExit("a folder that is taken was given away")
        except UserError as error:
            assert f"(pid {{os.getpid()}})" in str(error), error
    carry_on(run)
"""


def ran(folder: Path, code: str) -> None:
    script = folder / "script.py"
    script.write_text(ABSENT + code)
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_all_of_it_is_imported_where_the_system_is_no_posix(tmp_path: Path) -> None:
    ran(tmp_path, IMPORTS.format(package=str(PACKAGE)))


def test_a_search_runs_from_end_to_end_where_the_system_is_no_posix(tmp_path: Path) -> None:
    (tmp_path / "sizes.py").write_text(SIZES)
    asked = {
        **FAST,
        "method": "zico",
        "space": f"{tmp_path / 'sizes.py'}:Net",
        "trials": 8,
        "steps": 20,
    }
    ran(tmp_path, SEARCH.format(out=str(tmp_path / "run"), asked=asked))
    assert (
        json.loads((tmp_path / "run" / "run.json").read_text())["id"]
        and (tmp_path / "run" / "report.html").is_file()
    )


# where each may be used, since it asks first whether it is there
GUARDED = {
    "pthread_sigmask": {"_internal/interrupts.py"},
    "kill": {"_internal/processes.py"},
    "fork": set(),
    "fcntl": set(),
    "getuid": set(),
    "setsid": set(),
    "killpg": set(),
    "pread": set(),
    "ftruncate": set(),
    "sched_getaffinity": set(),
    "nice": set(),
    "mkfifo": set(),
    "uname": set(),
    "statvfs": set(),
    "sysconf": set(),
    "waitpid": set(),
    "fchmod": set(),
}


def test_what_only_posix_has_is_used_in_one_place() -> None:
    wrong = []
    for path in sorted(PACKAGE.rglob("*.py")):
        place = path.relative_to(PACKAGE).as_posix()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            name = ""
            if (
                isinstance(node, ast.Attribute)
                and isinstance(node.value, ast.Name)
                and node.value.id in {"os", "signal"}
            ):
                name = node.attr
            elif isinstance(node, ast.Import):
                name = next((alias.name for alias in node.names if alias.name in GUARDED), "")
            if name in GUARDED and place not in GUARDED[name]:
                wrong.append(f"{place}:{node.lineno} {name}")
    assert not wrong, wrong


def test_text_is_read_and_written_in_an_encoding_that_is_named() -> None:
    """Windows reads in another one by default."""
    wrong = []
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or any(
                keyword.arg == "encoding" for keyword in node.keywords
            ):
                continue
            if (
                isinstance(node.func, ast.Attribute)
                and node.func.attr == "read_text"
                and not node.args
            ):
                wrong.append(f"{path}:{node.lineno}")
            if isinstance(node.func, ast.Name) and node.func.id == "open":
                mode = (
                    node.args[1]
                    if len(node.args) > 1
                    else next((k.value for k in node.keywords if k.arg == "mode"), None)
                )
                if not (isinstance(mode, ast.Constant) and "b" in str(mode.value)):
                    wrong.append(f"{path}:{node.lineno}")
    assert not wrong, wrong
