"""The examples in the docstrings of the public names run, and each of these has one; nothing is
promised that is not so."""

from __future__ import annotations

import doctest
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import archsmith

NAMES = sorted(name for name in archsmith.__all__ if not name.startswith("__"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That of a finished run, which the examples of `Result`, `open_run` and `resume` call so."""
    found = tmp_path_factory.mktemp("runs") / "digits"
    archsmith.search(
        "digits", out=found, steps=10, method="random", space="vit-nano", reference=False, threads=1
    )
    return found


NETWORK = """from torch import nn


class Net(nn.Sequential):
    def __init__(self):
        super().__init__(
            nn.Conv2d(1, 16, 3), nn.ReLU(), nn.Conv2d(16, 16, 3), nn.ReLU(), nn.Flatten(),
            nn.Linear(256, 10),
        )
"""


def own_network() -> None:
    """A network and its weights here, which the example of `shrink` calls net.py and net.pt."""
    Path("net.py").write_text(NETWORK)
    names: dict[str, Any] = {}
    exec(NETWORK, names)
    torch.save(names["Net"]().state_dict(), "net.pt")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Examples write where they are run."""
    monkeypatch.chdir(tmp_path)
    yield


@pytest.mark.parametrize("name", NAMES)
def test_the_example_of(name: str, request: pytest.FixtureRequest) -> None:
    text = inspect.getdoc(getattr(archsmith, name)) or ""
    assert ">>> " in text, f"{name} has no example"
    known = {"archsmith": archsmith}
    if "folder" in text and name in ("Result", "open_run", "resume"):
        known["folder"] = request.getfixturevalue("folder")
    if name == "shrink":
        own_network()
    test = doctest.DocTestParser().get_doctest(text, known, name, None, None)
    told: list[str] = []
    doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL).run(
        test, out=told.append
    )
    assert not told, "".join(told)


@pytest.mark.parametrize(
    "name", [name for name in NAMES if inspect.isfunction(getattr(archsmith, name))]
)
def test_every_argument_is_explained_in(name: str) -> None:
    function = getattr(archsmith, name)
    text = inspect.getdoc(function) or ""
    missing = [
        argument
        for argument in inspect.signature(function).parameters
        if not re.search(rf"`{argument}\b", text)
    ]
    assert not missing, f"{name} does not say what {missing} are"
