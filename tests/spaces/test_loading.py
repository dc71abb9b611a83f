"""Networks from the table of spaces and from users' files."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch import nn

from archsmith.elastic.supernet import search_space
from archsmith.errors import UserError
from archsmith.spaces import SPACES, build

NET = """
from torch import nn
from archsmith.elastic import Choice, Conv2d, Linear

class Net(nn.Module):
    def __init__(self, classes, channels=3):
        super().__init__()
        width = Choice(4, 8, name="width")
        self.stem, self.head = Conv2d(channels, width, 3), Linear(width, classes)

    def forward(self, x):
        return self.head(self.stem(x).mean((2, 3)))

def make(**inputs):
    assert inputs == {"classes": 7, "channels": 1, "size": 9}
    return Net(inputs["classes"])

def needs(classes, depth): ...
def fails(): raise KeyError("inside")
def number(): return 3
constant = 5
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "my_model.py"
    path.write_text(NET)
    return path


@pytest.mark.parametrize("name", SPACES)
def test_every_space_builds_on_meta(name: str) -> None:
    model = build(name, 5, 1, 32)
    assert all(p.is_meta for p in model.parameters())
    assert search_space(model).size >= 4096


def test_a_class_gets_what_its_signature_has(file: Path) -> None:
    model = build(f"{file}:Net", 7, 1, 9, device="cpu")
    assert model.stem.in_channels == 1 and model.head.out_features == 7
    assert dict(search_space(model)) == {"width": (4, 8)}
    assert (
        not next(model.parameters()).is_meta
        and next(build(f"{file}:Net", 7, 1, 9).parameters()).is_meta
    )


def test_a_width_is_passed_or_refused(file: Path) -> None:
    narrow, usual = (build("nasbench201", 7, 1, 9, width=width) for width in (4, None))
    assert next(narrow.parameters()).shape[0] * 4 == next(usual.parameters()).shape[0]
    with pytest.raises(UserError, match="Net has no parameter width"):
        build(f"{file}:Net", 7, 1, 9, width=4)


def test_a_function_with_keywords_gets_everything(file: Path) -> None:
    assert isinstance(build(f"{file}:make", 7, 1, 9), nn.Module)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mobilnet", "unknown space 'mobilnet'; did you mean 'mobilenet'"),
        ("{file}", "does not say which space"),
        ("{file}:", "does not say which space"),
        ("{file}:Nett", "has no 'Nett'; did you mean 'Net'"),
        ("{file}:needs", "needs depth; only classes, channels, size are passed"),
        ("{file}:fails", "failed: KeyError: 'inside'"),
        ("{file}:number", "gives a int; it must be, or return, a torch.nn.Module"),
        ("{file}:constant", "is a int; it must be a class or function"),
        ("nowhere.py:Net", "no file 'nowhere.py'"),
        ("{bad}:Net", "cannot be run: SyntaxError"),
    ],
)
def test_mistakes_are_named(file: Path, name: str, message: str) -> None:
    bad = file.with_name("bad.py")
    bad.write_text("def (:\n")
    with pytest.raises(UserError) as raised:
        build(name.format(file=file, bad=bad), 7, 1, 9)
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import sys\nsys.exit(0)\n", "sys.exit"),
        ("class Stop(BaseException): pass\nraise Stop('over')\n", "Stop: over"),
        ("raise GeneratorExit\n", "GeneratorExit"),
        ("def Net(:\n", "SyntaxError"),
        ("import sys\ndef Net(classes): sys.exit('bye')\n", "sys.exit"),
        ("def Net(classes): return Net(classes)\n", "RecursionError"),
    ],
)
def test_whatever_a_file_raises_is_told(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "odd.py"
    path.write_text(text)
    with pytest.raises(UserError, match=said):
        build(f"{path}:Net", 7, 1, 9)
