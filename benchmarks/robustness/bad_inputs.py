"""Bad command lines and files, hundreds of them: each must end with the right exit code, one
message, no traceback, no run.

In this process, with its output caught, where that is safe; what concerns pipes and signals in
processes of its own.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

LIMIT_S = 20.0  # for one case
LONG, FOREIGN, NOBODY = "x" * 100_000, os.fsdecode(b"caf\xe9"), "~nouser/x"
SCORE = (*"score --space vit-nano --size 8 --batch 2 --sample 1 --proxies params".split(),)
SEARCH = (*"search digits --steps 4 --threads 1 --no-reference".split(),)
BASES: dict[str, tuple[str, ...]] = {  # command -> words that it works with
    "search": SEARCH,
    "profile": ("profile", "--size", "8"),
    "score": SCORE,
    "resume": ("resume", "nowhere"),
    "report": ("report", "nowhere"),
    "export": ("export", "nowhere"),
    "train": (*"train nowhere --steps 4".split(),),
    "again": (*"again nowhere --budget params<=3M".split(),),
    "bench proxies": (
        *"bench proxies --benchmark toy --sample 2 --proxies params --workers 1".split(),
    ),
    "bench searchers": (
        *"bench searchers --benchmark toy --seeds 1 --budget 4 --workers 1".split(),
    ),
    "bench supernets": (*"bench supernets --data digits --benchmark toy".split(),),
    "bench speed": (*"bench speed --networks 1".split(),),
}
LIMITS = (
    "params",
    "params<=",
    "<=3M",
    "params==3M",
    "params=3M",
    "params:3M",
    "params!=3M",
    "prams<=3M",
    "params<=0",
    "params<=-3M",
    "params<=nan",
    "params<=inf",
    "params<=1e999",
    "params<=3MiB",
    "params<=3ms",
    "params<=1,5M",
    "params<=1.000.000",
    "params<=3M,params<=4M",
    "params>=3M,params<=1M",
    "latency<=8parsec",
    "latency<=0",
    "memory<=3Mbit",
    "memory<=three",
    "depth<=4k",
    "depth<=.5",
    "size<=3MB",
    "fps>=30",
    "time<=45m",
    "accuracy>=90",
    "ops<=1G",
    "300KB",
    "5",
    "5s",
    "x",
    "<",
    "<=",
    "params<=3M or macs<=60M",
    "params in 1M..3M",
    "params<=10k-3M",
    "macs<=60,100k<=params",
    "\x1b[31mparams<=3M",
    "параметры<=3",
    "params<=3,5M",
    "params<=0,3M",
    "latency<=8,5",
    "params<=²",
    "params<=300k³",
    "20 layers",
    "params<=300k macs",
    "params<=٣",
    "params<=3M%",
    "params<=1__000",
    "params<=0x10",
    "params<=1e",
    "params<=+-3",
    "latency_ms<=8s",
    "params<=3M;;macs",
    "{}",
    "[]",
    "null",
    "params<=${N}",
    "p" * 9000,
    "params<=" + "9" * 9000,
)
READ = (
    "params<=60M",
    "params<=60 M",
    "macs<=60 MFLOPs",
    "60 MFLOPs",
    "macs<=1.5GMACs",
    "params<=1_000_000",
    "params<=1,000,000",
    "macs<=.5G",
    "params<=3e6",
    "params ≤ 3M",
    "params<3M",
    "params=<3M",
    "params<=3M, macs<=60M,",
    "params<=3M and macs<=60M",
    "params<=3M; macs<=60M",
    "PARAMS<=3M",
    "parameters<=3M",
    "100<=params<=3M",
    "memory<=3000KB",
    "mem<=30 MiB",
    "flops<=60M",
    "params＜＝３M",
    "params<=3M，macs<=60M",
    "params<=3M、macs<=60M",
    "\u200eparams\u200b<=3M",
    "params < 3000 k",
    "params<=3M params",
)
TIMES = (
    "",
    " ",
    "0",
    "0s",
    "-3s",
    "inf",
    "nan",
    "1e999",
    "1e9",
    "999999h",
    "soon",
    "5 moons",
    "1:30",
    "30 30",
    "1m 1h",
    *"20q m 1h30m20x --5 5'".split(),
    '30"',
    "1,5h",
    "half an hour",
    "PT5M",
    "-5m",
    "1e3",
)
DEVICES = (
    "tpu",
    "cpu:7",
    "cpu:",
    "cuda",
    "cuda:",
    "cuda:0",
    "cuda:x",
    "cuda:²",
    "cuda:" + "9" * 50,
    "mps",
    "mps:3",
    "",
    "CPU",
    "gpu",
)
SETTINGS = (
    "x",
    "=",
    "a=",
    "=3",
    "rounds=4",
    "rounds=1e999",
    "rounds=" + "[" * 9000,
    "a=b=c",
    "splits=two",
    ",=,",
)
SHAPES = (
    *"--classes=0 --classes=-1 --classes=x --classes=99999999999 --channels=0 --channels=-3 "
    "--channels=1e3 --size=-1 --size=0 --size=1000000 --size=1.5 --size= --batch=1 "
    "--batch=99999999999 --sample=0 --sample=-1 --sample=99999999999 --threads=0 --threads=100000 "
    "--threads=-1 --seed=-1 --seed=99999999999 --proxies= --proxies=, --proxies=zicoo "
    "--budget=latency<=3ms --space=nowhere --space= --space=nowhere.py --space=nowhere.py:Net "
    "--space=: --space=.py --space=/:Net --data= --data=nowhere --data=/dev/null --architecture= "
    "--architecture=nowhere --architecture=. --architecture=/dev/null --nothing extra".split(),
)


@dataclass(frozen=True)
class Case:
    """A command line with what it must come to."""

    name: str
    words: tuple[str, ...]
    code: int = 2
    said: str = ""  # a part of the message


@dataclass(frozen=True)
class Outcome:
    """What it came to; `fault`: what is wrong with that ("": nothing)."""

    case: Case
    fault: str
    text: str
    seconds: float


# -- what is tried ---------------------------------------------------------------------------------


def options() -> Iterator[tuple[str, str, bool]]:
    """(command, option or "" for an argument, whether it is a number) of the whole command line, as
    it declares itself."""
    import typer

    from archsmith.cli.app import app

    root: Any = typer.main.get_command(app)
    for name, command in root.commands.items():
        for inner, leaf in getattr(command, "commands", {"": command}).items():
            for parameter in leaf.params:
                whole = f"{name} {inner}".strip()
                if (
                    whole not in BASES
                    or getattr(parameter, "is_bool_flag", False)
                    or parameter.name == "help"
                ):
                    continue
                number = parameter.min is not None or parameter.name.endswith("_share")
                yield whole, parameter.opts[0] if parameter.opts[0].startswith("-") else "", number


def lines() -> list[Case]:
    """Every option and argument with values that are no values, and lists of what people write
    wrongly."""
    found = []
    for command, option, number in options():
        for value, what in ((LONG, "100 kB"), (FOREIGN, "not UTF-8"), (NOBODY, "home of nobody")):
            if option:
                words = (*BASES[command], option, value)
            else:
                words = (*command.split(), value, *BASES[command][len(command.split()) + 1 :])
            found.append(Case(f"{command} {option or 'argument'}: {what}", words))
        for value in ("x", "nan", "1e999", "9" * 30) if number else ():
            found.append(Case(f"{command} {option}: {value[:9]}", (*BASES[command], option, value)))
        if option in (*"--out --init --teacher --recorded --architecture --data".split(),):
            found.append(Case(f"{command} {option}: empty", (*BASES[command], option, "")))
    found += [Case(f"limit {text[:30]!a}", (*SCORE, "--budget", text)) for text in LIMITS]
    found += [Case(f"limit {text!a} is read", (*SCORE, "--budget", text), 0) for text in READ]
    found += [Case(f"time {text!a}", ("search", "digits", f"--time={text}")) for text in TIMES]
    found += [
        Case(f"device {text[:20]!a}", (*SEARCH, f"--device={text}"), said="device")
        for text in DEVICES
    ]
    found += [Case(f"setting {text[:30]!a}", (*SEARCH, "--set", text)) for text in SETTINGS]
    found += [Case(f"score {text[:30]}", (*SCORE, text)) for text in SHAPES]
    for words in (
        ["serach"],
        ["bench", "proxis"],
        ["search"],
        ["--nothing"],
        "search digits --tiem 3m".split(),
        [""],
        ["x\x1b[2Jy"],
    ):
        found.append(Case(f"command {' '.join(words)!a}", tuple(words)))
    for words in (
        "train nowhere --steps 4 --time 1m".split(),
        "train nowhere --steps 4 --epochs 1".split(),
        "again nowhere --budget params<=3M --steps 4 --time 1m".split(),
        [*SEARCH, "--time", "1m"],
    ):
        found.append(
            Case(f"two lengths {words[0]} {words[-2]}", tuple(words), said="give one of them")
        )
    for words in (
        ["search", ""],
        ["search", "digts"],
        ["search", "nowhere"],
        ["search", ","],
        ["search", "/dev/null"],
    ):
        found.append(Case(f"data {' '.join(words)!a}", (*words, *SEARCH[2:])))
    return found


def files(folder: Path) -> list[Case]:
    """Files of every kind that are not what they should be."""
    found = [
        Case(f"architecture: {n}", (*SCORE, "--architecture", str(p)))
        for n, p in _architectures(folder)
    ]
    for name, text in MODELS.items():
        path = folder / f"model{len(found)}.py"
        path.write_text(text, encoding="utf-8", errors="surrogateescape")
        found.append(Case(f"space: {name}", (*SCORE, "--space", f"{path}:Net")))
    for name, text in LOSSES.items():
        path = folder / f"loss{len(found)}.py"
        path.write_text(text, encoding="utf-8", errors="surrogateescape")
        found.append(Case(f"loss: {name}", (*SEARCH, "--loss", f"{path}:focal"), said="loss"))
    found += [
        Case(f"weights: {n}", (*SEARCH, "--init", str(p)), said="--init")
        for n, p in _weights(folder)
    ]
    found += [
        Case(f"teacher: {n}", (*SEARCH, "--teacher", str(p)), said="--teacher")
        for n, p in _teachers(folder)
    ]
    for name, text in RUNS.items():
        run = folder / f"run{len(found)}"
        run.mkdir()
        (run / "run.json").write_bytes(text.encode("utf-8", "surrogateescape"))
        found += [
            Case(f"{command}: run.json {name}", (command, str(run)))
            for command in ("resume", "report", "export")
        ]
    found += [
        Case(f"images: {name}", ("search", str(path), *SEARCH[2:]))
        for name, path in _images(folder)
    ]
    return found


MODELS = {
    "calls sys.exit": "import sys\nsys.exit(0)\n",
    "calls sys.exit with a text": "import sys\nsys.exit('bye')\n",
    "calls sys.exit when built": "import sys\ndef Net(classes):\n    sys.exit(3)\n",
    "raises its own BaseException": "class Stop(BaseException): pass\nraise Stop('x' * 100000)\n",
    "raises GeneratorExit when built": "def Net(classes):\n    raise GeneratorExit\n",
    "syntax error": "def Net(:\n",
    "colours and lines": "raise ValueError('\\x1b[31mred\\n\\nlines')\n",
    "defines no such name": "def net(classes):\n    return None\n",
    "name is a number": "Net = 3\n",
    "is no module": "def Net(classes):\n    return 'network'\n",
    "needs what is not passed": "def Net(classes, secret):\n    return None\n",
    "imports what is not there": "import nothing_of_that_name\n",
    "recursion": "def Net(classes):\n    return Net(classes)\n",
    "empty": "",
    "not UTF-8": "# caf\udce9\nNet = 1\n",
    "NUL": "Net = '\0'\n",
    "no memory": "def Net(classes):\n    raise MemoryError\n",
    "no choices": "from torch import nn\ndef Net(classes, channels):\n    return "
    "nn.Conv2d(channels, classes, 'x')\n",
}
LOSSES = {
    "calls sys.exit": "import sys\nsys.exit(0)\n",
    "calls sys.exit when called": "import sys\ndef focal(o, y):\n    sys.exit(3)\n",
    "raises its own BaseException": "class Stop(BaseException): pass\n"
    "def focal(o, y):\n    raise Stop('x' * 100000)\n",
    "syntax error": "def focal(:\n",
    "defines no such name": "def loss(o, y):\n    return o.sum()\n",
    "name is a number": "focal = 3\n",
    "is a class": "class focal:\n    pass\n",
    "needs what is not passed": "def focal(o, y, gamma):\n    return o.sum()\n",
    "a number": "def focal(o, y):\n    return 3.0\n",
    "a loss of each image": "def focal(o, y):\n    return o.sum(1)\n",
    "nothing": "def focal(o, y):\n    pass\n",
    "no gradient": "def focal(o, y):\n    return o.detach().sum()\n",
    "not finite": "def focal(o, y):\n    return (o - o.detach()).log().sum()\n",
    "more classes": "def focal(o, y):\n    return o[:, 1000].sum()\n",
    "not UTF-8": "# caf\udce9\nfocal = 1\n",
    "empty": "",
}
RUNS = {
    "empty": "",
    "torn": '{"format": 1, "requ',
    "a list": "[]",
    "a number": "3",
    "null": "null",
    "no request": '{"format": 1}',
    "nested": "[" * 100_000,
    "not UTF-8": "\udcff\udcfe",
    "request a list": '{"format": 1, "request": []}',
    "unknown field": '{"format": 1, "request": {"data": "x", "evil": 1}}',
    "another format": '{"format": 2, "request": {"data": "digits"}}',
    "no status": '{"format": 1, "request": {"data": "nowhere"}}',
}


def _architectures(folder: Path) -> Iterator[tuple[str, Path]]:
    texts: dict[str, bytes] = {
        "empty": b"",
        "torn": b'{"depth": ',
        "a list": b"[]",
        "a text": b'"depth"',
        "a number": b"1",
        "nested lists": b"[" * 100_000,
        "nested objects": b'{"a":' * 100_000,
        "not UTF-8": b'{"caf\xe9": 1}',
        "binary": bytes(range(256)),
        "no decision": b"{}",
        "other decisions": b'{"width": 3}',
        "options a text": b'{"options": "{}"}',
        "options nested": b'{"options": {"options": {}}}',
        "surrogate": b'{"\\ud800": 1}',
        "NaN": b'{"depth": NaN}',
        "endless number": b'{"depth": ' + b"9" * 100_000 + b"}",
        "deep option": b'{"depth": ' + b"[" * 500 + b"]" * 500 + b"}",
        "object as option": b'{"depth": {}}',
    }
    for number, (name, text) in enumerate(texts.items()):
        path = folder / f"architecture{number}.json"
        path.write_bytes(text)
        yield name, path


def _weights(folder: Path) -> Iterator[tuple[str, Path]]:
    import torch

    from archsmith.spaces import build

    own = {
        name: torch.zeros(tensor.shape)
        for name, tensor in build("mobilenet", 10, 1, 8).state_dict().items()
    }
    own = {name: tensor for name, tensor in own.items() if tensor.ndim == 4}
    made: dict[str, Any] = {
        "sparse": {name: tensor.to_sparse() for name, tensor in own.items()},
        "complex": {name: tensor.to(torch.complex64) for name, tensor in own.items()},
        "whole numbers": {name: tensor.to(torch.int8) for name, tensor in own.items()},
        "empty tensors": {name: tensor[:0] for name, tensor in own.items()},
        "not finite": {name: tensor + torch.nan for name, tensor in own.items()},
        "other shapes": {name: tensor[None] for name, tensor in own.items()},
        "other names": {f"other.{name}": tensor for name, tensor in own.items()},
        "nothing": {},
        "a tensor": torch.zeros(3),
        "a list": [1, 2],
        "texts": {"a": "b"},
        "nested": {"state_dict": {"a": 1}},
    }
    for number, (name, value) in enumerate(made.items()):
        path = folder / f"weights{number}.pt"
        torch.save(value, path)
        yield name, path
    for name, data, ending in (
        ("empty file", b"", "pt"),
        ("no weights", b"hello", "pt"),
        ("empty file", b"", "safetensors"),
        ("long header", b"\xff" * 16, "safetensors"),
        ("torn", (folder / "weights4.pt").read_bytes()[:500], "pt"),
        ("a program", b"cos\nsystem\n(S'true'\ntR.", "pt"),
    ):
        path = folder / f"{name.replace(' ', '-')}.{ending}"
        path.write_bytes(data)
        yield f"{name} .{ending}", path
    yield "a folder", folder
    yield "nowhere", folder / "nowhere.pt"


def _teachers(folder: Path) -> Iterator[tuple[str, Path]]:
    import torch
    from torch import nn

    place = folder / "teachers"
    place.mkdir()
    pixels, free = torch.zeros(2, 1, 8, 8), ({0: torch.export.Dim.DYNAMIC},)
    flat = {
        "vectors": (nn.Linear(4, 10), torch.zeros(2, 4)),
        "whole numbers": (nn.Flatten(), pixels.long()),
        "colour and one more": (nn.Flatten(), torch.zeros(2, 4, 8, 8)),
    }
    for number, (name, (module, example)) in enumerate(flat.items()):
        path = place / f"{number}.pt2"
        torch.export.save(torch.export.export(module, (example,), dynamic_shapes=free), path)
        yield name, path
    torch.save(nn.Linear(64, 10).state_dict(), place / "weights.pt")
    torch.save(nn.Linear(64, 10), place / "pickled.pt")
    yield from (("weights", place / "weights.pt"), ("pickled", place / "pickled.pt"))
    for name, data in {
        "empty.onnx": b"",
        "text.onnx": b"hello",
        "torn.pt2": (place / "0.pt2").read_bytes()[:500],
        "program.pkl": b"cos\nsystem\n(S'true'\ntR.",
        "no-ending": b"hello",
    }.items():
        (place / name).write_bytes(data)
        yield name, place / name
    yield "a folder", place
    yield "nowhere", place / "nowhere.onnx"


def _images(folder: Path) -> Iterator[tuple[str, Path]]:
    empty, texts = folder / "empty", folder / "texts"
    for path in (empty, texts / "a", texts / "b"):
        path.mkdir(parents=True)
    for path in (texts / "a", texts / "b"):
        (path / "x.png").write_text("no image")
    yield from (("empty folder", empty), ("no images", texts))
    for name, data in {
        "empty.csv": b"",
        "header.csv": b"path,label\n",
        "columns.csv": b"a,b\n1,2\n",
        "binary.csv": bytes(range(256)),
        "missing.csv": b"path,label\nnowhere.png,a\n",
        "empty.parquet": b"",
        "torn.parquet": b"PAR1xxxxPAR1",
        "empty.npz": b"",
        "torn.npz": b"PK\x03\x04xxxx",
        "text.txt": b"hello",
        "no-ending": b"hello",
    }.items():
        path = folder / name
        path.write_bytes(data)
        yield name, path
    arrays: dict[str, dict[str, Any]] = {
        "no-labels.npz": {"images": np.zeros((9, 8, 8), np.uint8)},
        "nothing.npz": {"a": np.zeros(3)},
        "lengths.npz": {"images": np.zeros((9, 8, 8), np.uint8), "labels": np.zeros(3, int)},
        "one-class.npz": {"images": np.zeros((30, 8, 8), np.uint8), "labels": np.zeros(30, int)},
        "none.npz": {"images": np.zeros((0, 8, 8), np.uint8), "labels": np.zeros(0, int)},
    }
    for name, content in arrays.items():
        np.savez(folder / name, **content)
        yield name, folder / name


# -- how it is tried -------------------------------------------------------------------------------


@contextlib.contextmanager
def _within(seconds: float) -> Iterator[None]:
    def late(*_: object) -> None:
        raise TimeoutError("still at it")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def tried(case: Case, within_s: float = LIMIT_S) -> Outcome:
    """The case in this process, in an empty folder of its own."""
    from archsmith.cli.app import main

    out, err, code, began = io.StringIO(), io.StringIO(), 0, time.monotonic()
    here, argv = Path.cwd(), sys.argv
    with tempfile.TemporaryDirectory(prefix="bad-") as folder:
        os.chdir(folder)
        sys.argv = ["archsmith", *case.words]
        try:
            with (
                contextlib.redirect_stdout(out),
                contextlib.redirect_stderr(err),
                _within(within_s),
            ):
                main()
        except SystemExit as ending:
            code = ending.code if isinstance(ending.code, int) else 1
        except BaseException as error:
            err.write(f"Traceback: {type(error).__name__}: {error}")
        finally:
            os.chdir(here)
            sys.argv = argv
        left = sorted(path.name for path in Path(folder).rglob("*") if path.name != "page.html")
    return _judged(
        case,
        code,
        out.getvalue(),
        err.getvalue(),
        left if case.code else [],
        time.monotonic() - began,
    )


def _judged(
    case: Case, code: int, out: str, err: str, left: Sequence[str], seconds: float
) -> Outcome:
    said = [line for line in err.splitlines() if line.startswith("error: ")]
    others = [
        line
        for line in err.splitlines()
        if line and line not in said and not line.startswith(("note: ", *STAGE_LINES))
    ]
    faults = []
    if code != case.code:
        faults.append(f"exit code {code} instead of {case.code}")
    if "Traceback" in err + out or "error: unexpected" in err:
        faults.append("a traceback")
    if case.code == 2 and len(said) != 1:
        faults.append(f"{len(said)} messages")
    if case.code == 2 and others:
        faults.append(f"beside the message: {others[0][:80]!a}")
    if case.code == 2 and out:
        faults.append(f"on standard output: {out[:80]!a}")
    if any(len(line) > 1500 for line in said) or any(ord(c) < 32 for line in said for c in line):
        faults.append("a message that is too long, or holds control characters")
    if case.said not in err:
        faults.append(f"nothing of '{case.said}'")
    if left:
        faults.append(f"left behind: {', '.join(left[:3])}")
    text = said[0] if said else (err.strip().splitlines() or [""])[-1]
    return Outcome(case, "; ".join(faults), text, seconds)


STAGE_LINES = (
    "look ",
    "profile ",
    "screen ",
    "train ",
    "search ",
    "finish ",
    "ship ",
    "score ",
    "estimate ",
    "time ",
)


def pipes() -> Iterator[Outcome]:
    """Standard output that is full, closed, or read by nobody."""
    for words in (
        ("spaces",),
        ("methods",),
        ("proxies", "--json"),
        ("benchmarks",),
        ("doctor",),
        ("--help",),
        SCORE,
        (*SCORE, "--json"),
    ):
        line = " ".join(words)
        for what, tail, codes in (
            ("> /dev/full", "> /dev/full", (2,)),
            ("| true", "| true", (0, 141)),
            (">&-", ">&-", (0, 2)),
        ):
            began = time.monotonic()
            shell = f"{sys.executable} -m archsmith {line} {tail}; echo ${{PIPESTATUS[0]}} >&2"
            done = subprocess.run(
                ["bash", "-c", shell], capture_output=True, text=True, check=False
            )
            *said, code = done.stderr.strip().splitlines()
            case = Case(f"{line[:20]} {what}", words, int(code) if int(code) in codes else codes[0])
            yield _judged(case, int(code), "", "\n".join(said), [], time.monotonic() - began)


def _listening() -> None:
    """What a shell starts with `&` or nohup ignores Ctrl-C, and so would its children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def interrupts(moments: Sequence[float] = (0.2, 0.5, 1.0, 2.0, 4.0)) -> Iterator[Outcome]:
    """Ctrl-C at several moments of several commands."""
    endless: dict[str, tuple[str, ...]] = {
        "score": ("score", "--sample", "100000"),
        "profile": ("profile", "--latency"),
        "search": ("search", "digits"),
        "bench proxies": (*"bench proxies --benchmark toy --proxies zico --sample 0".split(),),
    }
    for name, words in endless.items():
        for moment in moments:
            began = time.monotonic()
            with tempfile.TemporaryDirectory() as folder:
                command = [sys.executable, "-m", "archsmith", *words]
                heard = {"cwd": folder, "preexec_fn": _listening}
                process = subprocess.Popen(
                    command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **heard
                )
                time.sleep(moment)
                process.send_signal(signal.SIGINT)
                out, err = process.communicate()
            stopped = [line for line in err.splitlines() if line.startswith("stopped")]
            case = Case(f"Ctrl-C in {name} after {moment} s", words, 130)
            found = _judged(case, process.returncode, out, err, [], time.monotonic() - began)
            fault = found.fault or (
                "" if len(stopped) == 1 else f"{len(stopped)} lines that say so"
            )
            yield Outcome(case, fault, stopped[0] if stopped else found.text, found.seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="a word of the names")
    parser.add_argument("--no-processes", action="store_true", help="leave pipes and signals out")
    parser.add_argument("--json", type=Path, help="write all outcomes here")
    asked = parser.parse_args()
    outcomes: list[Outcome] = []

    def tell(outcome: Outcome) -> None:
        outcomes.append(outcome)
        state = "BAD" if outcome.fault else "ok "
        print(
            f"{state} {outcome.case.name[:60]:<60} {outcome.seconds:5.1f} s  "
            f"{outcome.fault or outcome.text[:90]}",
            flush=True,
        )

    with tempfile.TemporaryDirectory(prefix="bad-files-") as folder:
        for case in (*lines(), *files(Path(folder))):
            if asked.only in case.name:
                tell(tried(case))
    made: list[Callable[[], Iterator[Outcome]]] = (
        [] if asked.no_processes or asked.only else [pipes, interrupts]
    )
    for make in made:
        for outcome in make():
            tell(outcome)
    bad = [outcome for outcome in outcomes if outcome.fault]
    print(f"\n{len(outcomes)} cases, {len(bad)} bad")
    if asked.json:
        rows = [
            {"name": o.case.name, "fault": o.fault, "said": o.text, "seconds": round(o.seconds, 2)}
            for o in outcomes
        ]
        asked.json.write_text(json.dumps(rows, indent=1))
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
