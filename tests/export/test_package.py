"""best/: every file agrees with PyTorch and works in an environment that has only what it says it
needs."""

from __future__ import annotations

import copy
import errno
import hashlib
import json
import subprocess
import sys
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
from elastic_models import SIDED, randomized
from PIL import Image
from plain_networks import Moody, Tokens, chain, perturbed
from torch import nn

from archsmith.data.decode import decode
from archsmith.elastic import Resize
from archsmith.elastic.supernet import extract, search_space
from archsmith.errors import Damaged, EvaluationFailed, UserError
from archsmith.export import deployment_of, export_file, package, read_architecture, ship, verify
from archsmith.graph.export import Deployed, exported
from archsmith.graph.writer import Deployment
from archsmith.metrics.cost import macs
from archsmith.space import Architecture
from archsmith.spaces.convnet import convnet
from archsmith.tasks import Classification, Regression

CLASSES = ["cat", "dög", 'a "quoted" \\ name', "d", "e"]
GOAL = Classification(tuple(CLASSES))
MEAN, STD = (0.49, 0.48, 0.45), (0.25, 0.24, 0.26)
FACTS = {
    "name": "photos",
    "accuracy": {"accuracy": 0.97, "balanced_accuracy": 0.96, "n": 200, "interval": [0.93, 0.99]},
    "budget": [
        {
            "metric": "params",
            "op": "<=",
            "limit": 3e6,
            "text": "params <= 3M",
            "value": 3149,
            "met": True,
        }
    ],
    "costs": {"params": 3149, "macs": 123456},
    "method": "zico",
}
ARCHITECTURE = Architecture({"width": 8, "kernels": (3, 5), "last": None})

# imports nothing but the standard library and what is named first; then runs a file as a script
ISOLATED = """
import runpy, sys
allowed = set(sys.argv[1].split(","))
class Only:
    def __init__(self, finder):
        self.finder = finder
    def find_spec(self, name, *rest):
        top = name.partition(".")[0]
        known = top in allowed or top in sys.stdlib_module_names or top.startswith("_")
        return self.finder.find_spec(name, *rest) if known else None
sys.meta_path[:] = [Only(finder) for finder in sys.meta_path]
sys.argv = sys.argv[2:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
TORCH = (
    "torch,torchgen,functorch,typing_extensions,sympy,mpmath,filelock,jinja2,markupsafe,networkx,"
    "fsspec,packaging,setuptools"
)


def isolated(allowed: str, *arguments: object, cwd: Path) -> subprocess.CompletedProcess:
    command = [sys.executable, "-I", "-c", ISOLATED, allowed, *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def network() -> nn.Module:
    return perturbed(chain())


@pytest.fixture(scope="module")
def shipped(network, tmp_path_factory) -> tuple[Path, dict]:
    folder = tmp_path_factory.mktemp("run") / "best"
    images = torch.randint(0, 256, (4, 3, 16, 16), dtype=torch.uint8)
    payload = ship(
        folder,
        network,
        shape=(3, 16, 16),
        task=GOAL,
        mean=MEAN,
        std=STD,
        architecture=ARCHITECTURE,
        facts=FACTS,
        threads=1,
        images=images,
    )
    return folder, payload


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> list[Path]:
    """Colour, grey, 16-bit, CMYK, palette with transparency, turned by EXIF, none of them
    square."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    smooth = Image.fromarray(rng.integers(0, 256, (5, 7, 3), np.uint8)).resize(
        (90, 60), Image.Resampling.BICUBIC
    )
    exif = Image.Exif()
    exif[0x0112] = 6
    smooth.save(folder / "turned.jpg", exif=exif)
    smooth.convert("CMYK").save(folder / "cmyk.jpg")
    smooth.convert("L").save(folder / "grey.png")
    smooth.convert("P").save(folder / "palette.png", transparency=3)
    smooth.save(folder / "wide.webp", lossless=True)
    Image.fromarray(np.asarray(smooth.convert("L")).astype(np.uint16) * 257).save(
        folder / "deep.png"
    )
    return sorted(folder.iterdir())


def expected(network: nn.Module, pictures: list[Path]) -> np.ndarray:
    pixels = torch.stack([torch.from_numpy(decode(p, 3, 16).copy()) for p in pictures])
    with torch.no_grad():
        return Deployed(network, Deployment(MEAN, STD)).eval()(pixels).numpy()


def test_the_folder_is_complete_and_the_payload_describes_it(shipped):
    folder, payload = shipped
    shapes = {"model.onnx", "picture.onnx", "model.pt2", "model.safetensors", "model.py"}
    names = shapes | {"architecture.json", "preprocess.json", "labels.json"}
    assert {p.name for p in folder.iterdir()} == names | {"predict.py", "card.md"}
    assert [p.name for p in folder.parent.iterdir()] == ["best"]
    for entry in payload["files"]:
        data = (folder / entry["name"]).read_bytes()
        assert (entry["bytes"], entry["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
    assert payload["skipped"] == []
    assert set(payload["max_difference"]) == {"onnx", "picture.onnx", "pt2", "model.py"}
    assert max(payload["max_difference"].values()) < 1e-5
    assert (
        payload["latency_ms"]["threads"] == 1
        and payload["latency_ms"]["p10_ms"] <= payload["latency_ms"]["median_ms"]
    )
    assert read_architecture(folder / "architecture.json") == ARCHITECTURE
    assert json.loads((folder / "labels.json").read_text("utf-8")) == CLASSES
    assert json.loads((folder / "preprocess.json").read_text())["normalization"]["mean"] == list(
        MEAN
    )
    json.dumps(payload)


def test_the_layers_are_those_of_the_network(shipped, network):
    layers = shipped[1]["layers"]
    assert [(entry["stage"], entry["name"]) for entry in layers] == [
        ("stem", ""),
        ("stage1", "block1"),
        ("stage1", "block2"),
        ("stage2", "block1"),
        ("head", ""),
    ]
    assert layers[2]["text"] == "5x5 depthwise, expand 2, 8 channels, shortcut"
    assert layers[3]["text"] == "3x3 depthwise, expand 2, squeeze-excite, stride 2, 12 channels"
    assert (layers[3]["in"], layers[3]["out"], layers[4]["out"]) == ([8, 16, 16], [12, 8, 8], [5])
    assert sum(entry["params"] for entry in layers) == sum(p.numel() for p in network.parameters())
    assert layers[0]["macs"] == 3 * 9 * 8 * 256 and layers[4]["macs"] == 60


def test_the_card_says_what_matters(shipped):
    text = (shipped[0] / "card.md").read_text("utf-8")
    for part in (
        "# photos",
        "97.00 %",
        "200 test images",
        "params <= 3M (met: 3.15k)",
        "123k",
        "zico",
        "model.pt2",
        "dög",
        "ms median",
    ):
        assert part in text


def test_the_onnx_file(shipped):
    import onnx

    model = onnx.load(shipped[0] / "model.onnx")
    notes = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(notes["labels"]) == CLASSES
    # ONNX Runtime 1.18 reads up to 10 and 21
    assert (model.ir_version, model.opset_import[0].version) == (9, 18)
    image = model.graph.input[0].type.tensor_type
    assert image.elem_type == onnx.TensorProto.UINT8
    assert [d.dim_param or d.dim_value for d in image.shape.dim] == ["batch", 3, 16, 16]
    assert {i.name for i in model.graph.initializer} >= {"stem.conv.weight", "head.out.bias"}


def test_labels_and_names_of_any_kind(network, tmp_path):
    labels = ["\udcff", "a\nb", '"""', "\\", "$title"]
    facts = {"name": 'x"""\\', "summary": "$shape"}
    ship(
        tmp_path / "best",
        network,
        shape=(3, 16, 16),
        task=Classification(tuple(labels)),
        mean=MEAN,
        std=STD,
        facts=facts,
    )
    names: dict = {"__name__": "model", "__file__": str(tmp_path / "best" / "model.py")}
    exec((tmp_path / "best" / "model.py").read_text("utf-8"), names)
    assert (
        list(names["LABELS"])
        == json.loads((tmp_path / "best" / "labels.json").read_text("utf-8"))
        == ["\\udcff", *labels[1:]]
    )


@pytest.mark.slow
def test_predict_needs_onnxruntime_numpy_and_pillow_only(shipped, network, pictures, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\nnot really")
    run = isolated(
        "numpy,onnxruntime,PIL",
        shipped[0] / "predict.py",
        *pictures,
        broken,
        "--json",
        "--top",
        5,
        cwd=tmp_path,
    )
    assert run.returncode == 2 and run.stderr == ""
    answers = json.loads(run.stdout)
    assert [a["image"] for a in answers] == [str(p) for p in (*pictures, broken)]
    assert answers[-1]["error"]
    for answer, right in zip(answers[:-1], expected(network, pictures), strict=True):
        given = {t["label"]: t["probability"] for t in answer["top"]}
        assert max(abs(given[label] - p) for label, p in zip(CLASSES, right, strict=True)) < 1e-4
        assert answer["label"] == CLASSES[int(right.argmax())]
    lines = isolated("numpy,onnxruntime,PIL", shipped[0] / "predict.py", pictures[0], cwd=tmp_path)
    assert lines.returncode == 0 and lines.stdout.count(" %") == 3


@pytest.mark.slow
def test_model_py_and_pt2_need_torch_only(shipped, network, tmp_path):
    script = tmp_path / "use.py"
    images = torch.randint(
        0, 256, (3, 3, 16, 16), generator=torch.Generator().manual_seed(3), dtype=torch.uint8
    )
    script.write_text(
        "import sys, json, torch\nfolder, images = sys.argv[1], "
        "torch.tensor(json.loads(sys.argv[2]), dtype=torch.uint8)\n"
        "sys.path.insert(0, folder)\nimport model\nanswer = model.predict(model.load(), images)\n"
        "program = torch.export.load(folder + '/model.pt2').module()\nother = program(images)\n"
        "print(json.dumps([model.LABELS, answer.tolist(), other.tolist()]))\n"
    )
    run = isolated(f"{TORCH},model", script, shipped[0], json.dumps(images.tolist()), cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    labels, answer, other = json.loads(run.stdout)
    with torch.no_grad():
        right = Deployed(network, Deployment(MEAN, STD)).eval()(images)
    assert labels == CLASSES
    assert (torch.tensor(answer) - right).abs().max() < 1e-4 and (
        torch.tensor(other) - right
    ).abs().max() < 1e-4


def test_predict_decodes_as_the_data_loader_does(pictures, shipped):
    names: dict = {"__name__": "predict", "__file__": "/nowhere/predict.py"}
    text = (shipped[0] / "predict.py").read_text("utf-8")
    assert "archsmith" not in text
    exec(compile(text, "predict.py", "exec"), names)
    for picture in pictures:
        for channels in (1, 3):
            assert np.array_equal(
                names["decode"](picture, channels, 16), decode(picture, channels, 16)
            )


def test_what_cannot_be_traced_ships_without_those_files(tmp_path, capfd):
    payload = ship(tmp_path / "best", Moody(), shape=(3, 8, 8), task=GOAL, mean=MEAN, std=STD)
    assert {e["name"] for e in payload["skipped"]} == {
        "model.pt2",
        "model.onnx",
        "picture.onnx",
        "predict.py",
        "model.py",
    }
    assert any("Moody" in e["why"] for e in payload["skipped"])
    assert {e["name"] for e in payload["files"]} == {
        "model.safetensors",
        "preprocess.json",
        "labels.json",
        "card.md",
    }
    assert (
        payload["latency_ms"] is None
        and payload["layers"] == []
        and payload["max_difference"] == {}
    )
    assert "Not shipped" in (tmp_path / "best" / "card.md").read_text()
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_layers_that_the_writer_does_not_know_go_through_torch(tmp_path, capfd):
    payload = ship(
        tmp_path / "best", perturbed(Tokens()), shape=(3, 16, 16), task=GOAL, mean=MEAN, std=STD
    )
    assert payload["skipped"] == [] and max(payload["max_difference"].values()) < 1e-4
    assert str(Path.cwd()).encode() not in (tmp_path / "best" / "model.onnx").read_bytes()
    assert sum(e["params"] for e in payload["layers"]) > 0
    assert capfd.readouterr() == ("", "")


def test_a_file_that_disagrees_is_not_shipped(network, shipped, tmp_path):
    other = perturbed(chain(), seed=5)
    with pytest.raises(EvaluationFailed, match=r"onnx in .* differs from PyTorch by"):
        verify(shipped[0], other, shape=(3, 16, 16), deployment=Deployment(MEAN, STD))


def test_a_network_that_magnifies_rounding_may_differ_by_it(network, tmp_path):
    wild = copy.deepcopy(network)
    with torch.no_grad():
        for parameter in list(wild.parameters())[-2:]:
            # numbers of a size where single precision has but a few digits behind the point
            parameter *= 1e5
    outputs = list(wild.parameters())[-1].numel()
    task = Regression(tuple(f"t{i}" for i in range(outputs)), (0.0,) * outputs, (1.0,) * outputs)
    found = ship(tmp_path / "wild", wild, shape=(3, 16, 16), task=task, mean=MEAN, std=STD)[
        "max_difference"
    ]
    assert max(found.values()) > 1e-4
    with torch.no_grad():
        list(wild.parameters())[-1].add_(1.0)
    with pytest.raises(EvaluationFailed, match=r"differs from PyTorch by"):
        verify(
            tmp_path / "wild", wild, shape=(3, 16, 16), deployment=deployment_of(task, MEAN, STD)
        )


def test_an_earlier_folder_stays_until_the_new_one_is_whole(network, tmp_path, monkeypatch):
    folder = tmp_path / "best"
    folder.mkdir()
    (folder / "mine").write_text("old")
    settings = {"shape": (3, 16, 16), "task": GOAL, "mean": MEAN, "std": STD}
    real = package._put

    def full(path: Path, data: bytes) -> None:
        if path.name == "labels.json":
            raise OSError(errno.ENOSPC, "No space left on device")
        real(path, data)

    monkeypatch.setattr(package, "_put", full)
    monkeypatch.setattr(package, "exported", lambda *a: exported(nn.Flatten(), (3, 16, 16), None))
    with pytest.raises(UserError, match="No space left on device"):
        ship(folder, network, **settings)
    assert [p.name for p in folder.iterdir()] == ["mine"] and [
        p.name for p in tmp_path.iterdir()
    ] == ["best"]
    monkeypatch.setattr(package, "_put", real)
    monkeypatch.setattr(package, "verify", lambda *a, **k: {})
    ship(folder, network, **settings)
    assert not (folder / "mine").exists() and [p.name for p in tmp_path.iterdir()] == ["best"]
    folder.rename(tmp_path / "best.old")  # the moment between the two moves
    package.recover(folder)
    assert (folder / "model.py").exists()


def test_a_changed_architecture_is_noticed(shipped, tmp_path):
    path = tmp_path / "architecture.json"
    path.write_text((shipped[0] / "architecture.json").read_text().replace("8", "16", 1))
    with pytest.raises(Damaged, match="was changed"):
        read_architecture(path)
    path.write_text("[")
    with pytest.raises(Damaged, match="is not a shipped architecture"):
        read_architecture(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shape": (2, 8, 8)}, "shape"),
        ({"mean": (0.5,)}, "entries"),
        ({"std": (0, 1, 1)}, "zero"),
        ({"task": Classification(())}, "classes"),
    ],
)
def test_bad_requests_are_explained(network, tmp_path, change, message):
    with pytest.raises(UserError, match=message):
        ship(
            tmp_path / "best",
            network,
            **{"shape": (3, 16, 16), "task": GOAL, "mean": MEAN, "std": STD} | change,
        )


def test_single_files(network, tmp_path):
    settings = {"shape": (3, 16, 16), "deployment": Deployment(MEAN, STD)}
    path = export_file(
        network, tmp_path / "deep" / "m.onnx", "onnx", **settings, metadata={"labels": CLASSES}
    )
    export_file(network, tmp_path / "deep" / "m.safetensors", "safetensors", shape=(3, 16, 16))
    assert path.exists()
    with pytest.raises(UserError, match=r"'onxx' is not one of .*; did you mean 'onnx'\?"):
        export_file(network, path, "onxx", shape=(3, 16, 16))
    with pytest.raises(UserError, match="cannot export as onnx: .*Moody"):
        export_file(Moody(), path, "onnx", **settings)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        export_file(network, tmp_path / "file" / "x", "safetensors", shape=(3, 16, 16))


def test_the_mode_of_the_network_is_left_alone(tmp_path):
    network = chain()
    network[0].eval()
    before = [m.training for m in network.modules()]
    export_file(
        network, tmp_path / "m.pt2", "pt2", shape=(3, 16, 16), deployment=Deployment(MEAN, STD)
    )
    assert [m.training for m in network.modules()] == before
    assert Deployment(MEAN, STD) == Deployment(MEAN, STD)


def test_a_network_that_looks_twice_is_shipped_as_that(tmp_path: Path) -> None:
    with torch.device("meta"):
        model = convnet(5, 3, 16, mirrors=True)
    arch = search_space(model).complete(
        {"views": 2, "stage1.depth": 1, "stage1.block": "conv"}, Random(1)
    )
    twice = extract(model, arch, "fresh", torch.Generator().manual_seed(0))
    payload = ship(
        tmp_path / "best",
        twice,
        shape=(3, 16, 16),
        task=GOAL,
        mean=MEAN,
        std=STD,
        architecture=arch,
        facts={},
        threads=1,
        images=torch.randint(
            0, 256, (4, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
        ),
    )
    assert payload["skipped"] == [] and max(payload["max_difference"].values()) < 1e-5
    assert "its mirror image" in (tmp_path / "best" / "card.md").read_text("utf-8")
    assert sum(entry["macs"] for entry in payload["layers"]) == macs(twice, (3, 16, 16))
    texts = [entry["text"] for entry in payload["layers"]]
    assert (texts[0], texts[-1]) == ("the image and its mirror image", "the mean of both")


def test_a_network_that_looks_once_says_nothing_of_it(shipped) -> None:
    assert "mirror" not in (shipped[0] / "card.md").read_text("utf-8")


# -- networks that resize their images first -----------------------------------------------------


@pytest.fixture(scope="module", params=SIDED)
def resized(request, tmp_path_factory) -> tuple[Path, dict, nn.Module]:
    """A network at 8 pixels of images of 17, in best/."""
    torch.manual_seed(0)
    model = randomized(SIDED[request.param](None))
    arch = search_space(model).complete({"pixels": 8}, Random(0))
    arch = (
        search_space(model).complete({**arch, "views": 2}, Random(0)) if "views" in arch else arch
    )
    folder, network = tmp_path_factory.mktemp("run") / "best", extract(model, arch).eval()
    images = torch.randint(0, 256, (4, 3, 17, 17), dtype=torch.uint8)
    payload = ship(
        folder,
        network,
        shape=(3, 17, 17),
        task=GOAL,
        mean=MEAN,
        std=STD,
        architecture=arch,
        images=images,
    )
    return folder, payload, network


def test_every_file_takes_images_of_the_side_that_was_decided(resized):
    import onnxruntime

    folder, payload, network = resized
    assert payload["skipped"] == []
    assert set(payload["max_difference"]) == {"onnx", "picture.onnx", "pt2", "model.py"}
    assert payload["layers"][0]["in"] == [3, 8, 8]
    said = json.loads((folder / "preprocess.json").read_text("utf-8"))
    assert said["input"]["shape"] == ["batch", 3, 8, 8] and "resized to 8 x 8" in said["steps"]
    text = (folder / "model.py").read_text("utf-8")
    assert "interpolate" not in text and "(N, 3, 8, 8)" in text
    card = (folder / "card.md").read_text("utf-8")
    assert "torch.zeros(1, 3, 8, 8," in card
    assert "read at 17 x 17 and then resized to 8 x 8" in card
    images = torch.randint(0, 256, (5, 3, 8, 8), dtype=torch.uint8)
    with torch.no_grad():  # the network itself, which resizes them to what they are
        wanted = Deployed(network, Deployment(MEAN, STD)).eval()(images).numpy()
    for name, entry in (("model.onnx", "images"), ("picture.onnx", "pictures")):
        session = onnxruntime.InferenceSession(
            str(folder / name), providers=["CPUExecutionProvider"]
        )
        assert session.get_inputs()[0].shape[2:] == (
            [8, 8] if entry == "images" else ["height", "width"]
        )
        found = session.run(None, {entry: images.numpy()})[0]
        np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_pictures_are_read_at_that_side_at_once(resized, pictures):
    """By predict.py and by picture.onnx; what training saw is nearly the same."""
    import onnxruntime

    folder, _, network = resized
    ran = isolated(
        "onnxruntime,numpy,PIL",
        folder / "predict.py",
        "--json",
        "--top",
        "5",
        *pictures,
        cwd=folder,
    )
    rows = json.loads(ran.stdout)
    whole = onnxruntime.InferenceSession(
        str(folder / "picture.onnx"), providers=["CPUExecutionProvider"]
    )
    for path, row in zip(pictures, rows, strict=True):
        pixels = decode(path, 3, 8)
        with torch.no_grad():
            wanted = Deployed(network, Deployment(MEAN, STD)).eval()(
                torch.from_numpy(pixels[None].copy())
            )[0]
        found = {entry["label"]: entry["probability"] for entry in row["top"]}
        assert [found[label] for label in CLASSES] == pytest.approx(wanted.tolist(), abs=1e-5)
    wide = np.asarray(Image.open(next(p for p in pictures if p.name == "wide.webp")).convert("RGB"))
    found = whole.run(None, {"pictures": wide.transpose(2, 0, 1)[None]})[0]
    with torch.no_grad():
        pixels = torch.from_numpy(decode(Image.fromarray(wide), 3, 8)[None].copy())
        wanted = Deployed(network, Deployment(MEAN, STD)).eval()(pixels).numpy()
    np.testing.assert_allclose(found, wanted, atol=0.02)  # bytes may round otherwise


@pytest.mark.parametrize("format", ["onnx", "pt2"])
def test_one_file_alone_takes_that_side_too(resized, tmp_path, format):
    _, _, network = resized
    path = tmp_path / f"model.{format}"
    around = deployment_of(GOAL, MEAN, STD)
    export_file(network, path, format, shape=(3, 17, 17), deployment=around)
    assert verify(tmp_path, network, shape=(3, 8, 8), deployment=around).keys() == {format}


class Beside(nn.Module):
    """Sees its images in another size as well."""

    def __init__(self) -> None:
        super().__init__()
        self.resize, self.conv = Resize(8), nn.Conv2d(3, 5, 3)

    def forward(self, x):
        return (self.conv(self.resize(x)).mean((2, 3)) + self.conv(x).mean((2, 3))) / 2


def test_a_network_that_is_another_without_its_resize_is_not_shipped(tmp_path):
    torch.manual_seed(0)
    with pytest.raises(EvaluationFailed, match="put the Resize first"):
        ship(tmp_path / "best", Beside(), shape=(3, 17, 17), task=GOAL, mean=MEAN, std=STD)
    assert list(tmp_path.iterdir()) == []
