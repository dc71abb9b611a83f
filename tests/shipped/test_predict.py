"""shipped/predict.py: reads pictures as the training did, and answers whatever it is given without
a traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from archsmith.data.decode import Preprocessing, decode
from archsmith.export.package import predict_source
from archsmith.graph.export import onnx_bytes
from archsmith.graph.writer import Deployment, annotate

EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n%%EOF\n"


class Corners(nn.Module):
    """Values that say what the input was: its mean and its four edges, in 0..255."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = nn.Conv2d(1, 4, 8, bias=False)
        weight = torch.zeros(4, 1, 8, 8)
        weight[0] = 1 / 64
        weight[1, :, :, 0], weight[2, :, :, -1], weight[3, :, 0] = 1 / 8, 1 / 8, 1 / 8
        self.pool.weight.data = weight

    def forward(self, x: Tensor) -> Tensor:
        return torch.flatten(self.pool(x), 1)


def package(folder: Path, how: Preprocessing) -> Path:
    deployment = Deployment((0.0,), (1.0,), "values", (255.0,) * 4, (0.0,) * 4)
    onnx = onnx_bytes(Corners().eval(), (1, 8, 8), deployment)
    notes = {
        "labels": ["mean", "left", "right", "top"],
        "task": "regression",
        "preprocess": how.document(),
    }
    (folder / "model.onnx").write_bytes(annotate(onnx, notes))
    (folder / "predict.py").write_text(predict_source(), "utf-8")
    return folder / "predict.py"


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("best")
    Image.fromarray(np.full((8, 8), 77, np.uint8)).save(folder / "good.png")
    return package(folder, Preprocessing())


def run(script: Path, *arguments: object, **options: object) -> subprocess.CompletedProcess:
    command = [sys.executable, str(script), *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL, **options
    )  # type: ignore[call-overload]


HOWS = {
    "crop": Preprocessing(),
    "pad": Preprocessing("pad"),
    "squeeze": Preprocessing("squeeze"),
    "12 bits": Preprocessing(integers=(0, 4095)),
    "signed floats": Preprocessing(floats=(-1, 1)),
    "floats 0..255": Preprocessing("pad", floats=(0, 255)),
}


@pytest.mark.parametrize("name", HOWS)
def test_pictures_are_read_as_the_training_read_them(tmp_path: Path, name: str) -> None:
    how, script = HOWS[name], package(tmp_path, HOWS[name])
    ramp = np.linspace(0, 1, 8 * 24).reshape(8, 24).T.reshape(8, 24)
    pictures = {"bytes": (ramp * 255).astype(np.uint8)}
    if name == "12 bits":
        pictures["deep"] = (ramp * 4095).astype(np.uint16)
    low, high = how.floats
    pictures["float"] = (low + ramp * (high - low)).astype(np.float32)
    pictures["dark float"] = (low + 0.2 * ramp * (high - low)).astype(np.float32)
    paths = []
    for kind, pixels in pictures.items():
        paths.append(tmp_path / f"{kind}.tif")
        Image.fromarray(pixels).save(paths[-1])
    result = run(script, *paths, "--json")
    assert result.returncode == 0, result.stderr
    for path, found in zip(paths, json.loads(result.stdout), strict=True):
        pixels = decode(path, 1, 8, how)[0].astype(float)
        expected = {
            "mean": pixels.mean(),
            "left": pixels[:, 0].mean(),
            "right": pixels[:, -1].mean(),
            "top": pixels[0].mean(),
        }
        assert found["values"] == pytest.approx(expected, abs=1e-2)


def test_floats_of_another_scale_are_told(tmp_path: Path) -> None:
    script = package(tmp_path, Preprocessing())
    Image.fromarray(np.linspace(0, 255, 64, dtype=np.float32).reshape(8, 8)).save(
        tmp_path / "wide.tif"
    )
    result = run(script, tmp_path / "wide.tif")
    assert (result.returncode, result.stdout) == (2, "")
    assert "values from 0 to 255, where those of this set go from 0 to 1" in result.stderr


STRANGE = {
    "missing": "No such file or directory",
    "folder": "Is a directory",
    "pipe": "a pipe, not a file",
    "device": "a device, not a file",
    "eps": "not a picture of a known format",
    "text": "not a picture of a known format",
    "empty": "not a picture of a known format",
    "torn": "truncated",
}


@pytest.mark.parametrize("kind", STRANGE)
def test_what_is_no_picture_has_one_line_and_the_others_are_answered(
    script: Path, tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "x.png"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path = Path("/dev/zero")
    elif kind == "torn":
        path.write_bytes((script.parent / "good.png").read_bytes()[:-30])
    elif kind != "missing":
        path.write_bytes({"eps": EPS, "text": b"hello", "empty": b""}[kind])
    result = run(script, path, script.parent / "good.png")
    assert result.returncode == 2
    assert result.stderr.splitlines() == [f"{path}: {result.stderr.strip().partition(': ')[2]}"]
    assert STRANGE[kind] in result.stderr and "mean 77" in result.stdout


@pytest.mark.parametrize("fault", ["head", "full", "torn model", "no model", "model is a folder"])
def test_it_ends_without_a_traceback(script: Path, tmp_path: Path, fault: str) -> None:
    good = script.parent / "good.png"
    if fault in ("head", "full"):
        arguments = [sys.executable, str(script), *[str(good)] * 40]
        if fault == "full":
            with open("/dev/full", "w") as full:
                result = subprocess.run(
                    arguments, stdout=full, stderr=subprocess.PIPE, text=True, timeout=120
                )
            assert (result.returncode, result.stderr.strip()) == (
                2,
                "cannot write the answer: No space left on device",
            )
            return
        reader, writer = os.pipe()
        os.close(reader)
        result = subprocess.run(
            arguments, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=120
        )
        os.close(writer)
        assert (result.returncode, result.stderr) == (0, "")
        return
    (tmp_path / "predict.py").write_text(script.read_text("utf-8"), "utf-8")
    if fault == "torn model":
        (tmp_path / "model.onnx").write_bytes((script.parent / "model.onnx").read_bytes()[:200])
    elif fault == "model is a folder":
        (tmp_path / "model.onnx").mkdir()
    result = run(tmp_path / "predict.py", good)
    assert (
        result.returncode == 2
        and "Traceback" not in result.stderr
        and "model.onnx" in result.stderr
    )


@pytest.mark.parametrize(
    "names",
    [
        ("a.png", "a.gif"),
        ("a.png", "a.again.png"),
        ("a.png", "a.png", "a.png"),
        ("x/a.png", "y/a.png", "a.bmp"),
    ],
)
def test_pictures_that_are_given_again_never_take_the_place_of_one_another(
    names: tuple[str, ...], tmp_path: Path
) -> None:
    onnx = onnx_bytes(
        nn.Identity().eval(), (1, 8, 8), Deployment((0.0,), (1.0,), "pixels", (1.0,), (0.0,))
    )
    notes = {"labels": [], "task": "reconstruction", "preprocess": Preprocessing().document()}
    (tmp_path / "model.onnx").write_bytes(annotate(onnx, notes))
    (tmp_path / "predict.py").write_text(predict_source(), "utf-8")
    shades = {}
    for number, name in enumerate(dict.fromkeys(names)):
        shades[name] = 60 + 40 * number
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(np.full((8, 8), shades[name], np.uint8)).save(tmp_path / name)
    before = {name: (tmp_path / name).read_bytes() for name in shades}
    done = run(tmp_path / "predict.py", *names, "--json", cwd=tmp_path)
    answers = json.loads(done.stdout)
    assert done.returncode == 0 and len({found["again"] for found in answers}) == len(names)
    for found in answers:
        assert (
            abs(
                int(np.asarray(Image.open(tmp_path / found["again"])).mean())
                - shades[found["image"]]
            )
            <= 1
        )
    assert {name: (tmp_path / name).read_bytes() for name in shades} == before
