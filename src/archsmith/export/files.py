"""The model as files: ONNX and torch.export with the preprocessing inside, safetensors; the check
that all of them agree."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from archsmith._internal.files import replace_file
from archsmith.elastic.resize import without_resize
from archsmith.errors import EvaluationFailed, UserError, did_you_mean
from archsmith.export.fit import PICTURES
from archsmith.graph.export import Deployed, exported, onnx_bytes, pt2_bytes, silence
from archsmith.graph.trace import Untraceable, evaluation
from archsmith.graph.writer import Deployment, annotate
from archsmith.tasks import Reconstruction, Regression, Task

WHAT = {"probabilities": "a probability", "values": "a value over its scale", "pixels": "a pixel"}
TOLERANCE = 1e-4  # of those, between any two forms of one model
_SLACK = 4.0  # two runtimes may round in other orders
FORMATS = ("onnx", "pt2", "safetensors")


def deployment_of(task: Task, mean: Sequence[float], std: Sequence[float]) -> Deployment:
    """What a network for this task is shipped with; mean and std are those of the images."""
    around = tuple(float(v) for v in mean), tuple(float(v) for v in std)
    if isinstance(task, Regression):
        return Deployment(*around, "values", task.std, task.mean)
    if isinstance(task, Reconstruction):
        return Deployment(*around, "pixels", task.std, task.mean)
    return Deployment(*around)


def safetensors_bytes(network: nn.Module) -> bytes:
    """The network's state_dict; tied tensors are written once for each name."""
    from safetensors.torch import save

    return save(
        {
            name: tensor.detach().cpu().contiguous().clone()
            for name, tensor in network.state_dict().items()
        }
    )


def export_file(
    network: nn.Module,
    path: str | Path,
    format: str,
    *,
    shape: Sequence[int],
    deployment: Deployment | None = None,
    metadata: Mapping[str, Any] | None = None,
    over: bool = True,
) -> Path:
    """One file of a network, with what `deployment` says around it (onnx, pt2); metadata goes into
    the ONNX file. One that resizes its images (C, H, W) first takes them at that size, as in
    `ship`.

    `over`: a file that is there already may be replaced.
    """
    if format not in FORMATS:
        raise UserError(
            f"format '{format}' is not one of {', '.join(FORMATS)}{did_you_mean(format, FORMATS)}"
        )
    network, shape = without_resize(network, tuple(shape))
    try:
        if format == "onnx":
            data = annotate(onnx_bytes(network, shape, deployment), dict(metadata or {}))
        elif format == "pt2":
            data = pt2_bytes(exported(network, shape, deployment))
        else:
            data = safetensors_bytes(network)
    except Untraceable as error:
        raise UserError(
            f"cannot export as {format}: {error}; 'safetensors' needs no tracing"
        ) from error
    return put(Path(path), data, over=over)


def put(path: Path, data: bytes, *, over: bool = True) -> Path:
    """Writes the file, whole or not at all; without `over` UserError where another is there
    already."""
    try:
        another = not over and path.exists() and path.read_bytes() != data
    except OSError:
        another = True
    if another:
        raise UserError(
            f"{path} is there already; name it with --out to replace it, or give another name"
        )
    replace_file(path, data)
    return path


# -- do they agree? ------------------------------------------------------------------------------


def verify(
    folder: str | Path,
    network: nn.Module,
    *,
    shape: Sequence[int],
    deployment: Deployment,
    images: Tensor | None = None,
    tolerance: float = TOLERANCE,
) -> dict[str, float]:
    """Largest |difference| of a probability (a pixel; a value, over its scale) between the network
    in PyTorch and each of onnx, picture.onnx, pt2, model.py that the folder has.

    Measured on noise, black, white, single images and a batch, and on `images` (uint8, (N, C, H,
    W)) where given. Raises EvaluationFailed above `tolerance`, naming the file. A network that
    magnifies rounding (a deep one that was hardly trained) may differ by as much as PyTorch itself
    does from the same sums in double precision, times four.
    """
    folder = Path(folder)
    generator = torch.Generator().manual_seed(0)
    noise = torch.randint(0, 256, (5, *shape), generator=generator, dtype=torch.uint8)
    smooth = torch.nn.functional.interpolate(
        noise[:, :, :2, :2].float(), tuple(shape[1:]), mode="bilinear"
    ).to(torch.uint8)
    pieces = [
        noise[:1],
        torch.cat(
            [torch.zeros_like(noise[:1]), torch.full_like(noise[:1], 255), noise[1:], smooth]
        ),
    ]
    if images is not None and len(images):
        pieces.append(images.cpu())
    device = next((p.device for p in network.parameters()), torch.device("cpu"))
    differences: dict[str, float] = {}
    unit = deployment.units[0] if deployment.answer == "values" else 1.0
    with evaluation(network), torch.no_grad():
        deployed = Deployed(network, deployment).to(device).eval()
        expected = [deployed(piece.to(device)).cpu() for piece in pieces]
        for name, compute in _readers(folder).items():
            pairs = zip(pieces, expected, strict=True)
            worst = max(
                float(((compute(piece) - right) / unit).abs().max()) for piece, right in pairs
            )
            if not worst <= tolerance:
                tolerance = max(tolerance, _SLACK * _rounding(deployed, pieces, expected, unit))
            if not worst <= tolerance:
                what = WHAT[deployment.answer]
                raise EvaluationFailed(
                    f"{name} in {folder} differs from PyTorch by {worst:.2g} in {what}, more than "
                    f"{tolerance:g}"
                )
            differences[name] = worst
    return differences


def _rounding(
    deployed: nn.Module, pieces: Sequence[Tensor], expected: Sequence[Tensor], unit: Any
) -> float:
    """Largest |difference| between what was computed in single precision and the same in double
    precision, on the CPU."""
    exact = copy.deepcopy(deployed).cpu().double()
    try:
        pairs = zip(pieces, expected, strict=True)
        return max(
            float(((exact(piece) - right.double()) / unit).abs().max()) for piece, right in pairs
        )
    except RuntimeError:  # some layers know single precision only
        return 0.0


def _by_onnx(session: Any, entry: str, images: Tensor) -> Tensor:
    return torch.from_numpy(session.run(None, {entry: images.numpy()})[0])


def _readers(folder: Path) -> dict[str, Any]:
    """How each file that is there computes probabilities from uint8 images."""
    from archsmith.metrics.timing import open_session

    readers: dict[str, Any] = {}
    for name, entry in (("onnx", "images"), ("picture.onnx", PICTURES)):
        path = folder / ("model.onnx" if name == "onnx" else name)
        if path.exists():
            readers[name] = partial(_by_onnx, open_session(path, 1), entry)
    if (folder / "model.pt2").exists():
        with silence():
            program = torch.export.load(folder / "model.pt2").module()
        readers["pt2"] = lambda images: program(images)
    if (folder / "model.py").exists():
        path = folder / "model.py"
        module: dict[str, Any] = {"__name__": "shipped_model", "__file__": str(path)}
        # not imported: that leaves a __pycache__
        exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), module)
        loaded = module["load"]()
        readers["model.py"] = lambda images: module["predict"](loaded, images)
    return readers
