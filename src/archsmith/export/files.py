"""The model as files: ONNX and torch.export with the preprocessing inside, safetensors; the check that all of them agree."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from archsmith.errors import EvaluationFailed, UserError, did_you_mean
from archsmith.onnx_graph import OPSET, Classifier, Unwritten, annotate, write
from archsmith.tracing import Untraceable, evaluation

TOLERANCE = 1e-4  # of a probability, between any two forms of one model
FORMATS = ("onnx", "pt2", "safetensors")
_BATCH = "batch"


class Deployed(nn.Module):
    """What users of the files call: uint8 images (N, C, H, W) -> class probabilities (N, classes)."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.network = network
        for name, values in (("mean", mean), ("std", std)):
            self.register_buffer(name, torch.tensor([float(v) for v in values]).view(1, -1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Normalises, computes, softmax."""
        return self.network((images.float() / 255 - self.mean) / self.std).softmax(dim=-1)


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """torch's exporters print, warn and log about matters of their own; within this nothing of it reaches the terminal."""
    noisy = [logging.getLogger(name) for name in ("torch", "torch.onnx", "torch.export", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in noisy]
    try:
        for logger in noisy:
            logger.setLevel(logging.CRITICAL)
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(noisy, levels, strict=True):
            logger.setLevel(level)


def exported(network: nn.Module, shape: Sequence[int], classifier: Classifier | None) -> Any:
    """The torch.export program, any batch size. Raises Untraceable with torch's first line."""
    device = next((p.device for p in network.parameters()), torch.device("cpu"))
    if classifier:
        module: nn.Module = Deployed(network, classifier.mean, classifier.std).to(device)
        example = torch.zeros(2, *shape, dtype=torch.uint8, device=device)
    else:
        module, example = network, torch.zeros(2, *shape, device=device)
    with evaluation(module), silence(), torch.no_grad():
        try:
            return torch.export.export(module, (example,), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},))
        except Exception as error:
            line = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise Untraceable(f"torch.export cannot trace {type(network).__name__}: {line}") from error


def pt2_bytes(program: Any) -> bytes:
    """The program as a .pt2 file."""
    buffer = io.BytesIO()
    for module in program.graph_module.modules():
        for node in module.graph.nodes if hasattr(module, "graph") else ():
            node.meta.pop("stack_trace", None)  # paths of this machine's files
    with silence():
        torch.export.save(program, buffer)
    return buffer.getvalue()


def onnx_bytes(network: nn.Module, shape: Sequence[int], classifier: Classifier | None, program: Any = None) -> bytes:
    """The ONNX file: written directly where every layer is known, else by torch.onnx from the exported program.

    Raises Untraceable where neither can.
    """
    try:
        return write(network, shape, classifier=classifier)
    except (Unwritten, Untraceable):
        program = program or exported(network, shape, classifier)
    output = "probabilities" if classifier else "output"
    with silence(), torch.no_grad():
        try:
            result = torch.onnx.export(
                program, dynamo=True, verbose=False, opset_version=OPSET, external_data=False,
                input_names=["images"], output_names=[output],
            )  # fmt: skip
        except Exception as error:
            line = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise Untraceable(f"torch.onnx cannot write {type(network).__name__}: {line}") from error
    assert result is not None
    return _cleaned(result.model_proto)


def _cleaned(model: Any) -> bytes:
    """Without torch's notes on every node (they hold file paths), the free dimension called `batch`."""
    del model.metadata_props[:]
    parts = [
        model.graph,
        *model.functions,
        *model.graph.input,
        *model.graph.output,
        *model.graph.value_info,
        *model.graph.initializer,
    ]
    for part in [*parts, *model.graph.node, *(node for function in model.functions for node in function.node)]:
        del part.metadata_props[:]
    del model.graph.value_info[:]
    for value in (*model.graph.input, *model.graph.output):
        dimension = value.type.tensor_type.shape.dim[0]
        dimension.Clear()
        dimension.dim_param = _BATCH
    return model.SerializeToString()


def safetensors_bytes(network: nn.Module) -> bytes:
    """The network's state_dict; tied tensors are written once for each name."""
    from safetensors.torch import save

    return save({name: tensor.detach().cpu().contiguous().clone() for name, tensor in network.state_dict().items()})


def export_file(
    network: nn.Module,
    path: str | Path,
    format: str,
    *,
    shape: Sequence[int],
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> Path:
    """One file of a network. With mean and std the preprocessing is inside (onnx, pt2); metadata goes into the ONNX file."""
    if format not in FORMATS:
        raise UserError(f"format '{format}' is not one of {', '.join(FORMATS)}{did_you_mean(format, FORMATS)}")
    classifier = Classifier(tuple(mean), tuple(std)) if mean is not None and std is not None else None
    try:
        if format == "onnx":
            data = annotate(onnx_bytes(network, shape, classifier), dict(metadata or {}))
        elif format == "pt2":
            data = pt2_bytes(exported(network, shape, classifier))
        else:
            data = safetensors_bytes(network)
    except Untraceable as error:
        raise UserError(f"cannot export as {format}: {error}; 'safetensors' needs no tracing") from error
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error
    return path


# -- do they agree? -------------------------------------------------------------------------------------------------------


def verify(
    folder: str | Path,
    network: nn.Module,
    *,
    shape: Sequence[int],
    mean: Sequence[float],
    std: Sequence[float],
    images: Tensor | None = None,
    tolerance: float = TOLERANCE,
) -> dict[str, float]:
    """Largest |difference| of a probability between the network in PyTorch and each of onnx, pt2, model.py that the folder has.

    Measured on noise, black, white, single images and a batch, and on `images` (uint8, (N, C, H, W)) where given. Raises
    EvaluationFailed above `tolerance`, naming the file.
    """
    folder = Path(folder)
    generator = torch.Generator().manual_seed(0)
    noise = torch.randint(0, 256, (5, *shape), generator=generator, dtype=torch.uint8)
    smooth = torch.nn.functional.interpolate(noise[:, :, :2, :2].float(), tuple(shape[1:]), mode="bilinear").to(torch.uint8)
    pieces = [noise[:1], torch.cat([torch.zeros_like(noise[:1]), torch.full_like(noise[:1], 255), noise[1:], smooth])]
    if images is not None and len(images):
        pieces.append(images.cpu())
    device = next((p.device for p in network.parameters()), torch.device("cpu"))
    differences: dict[str, float] = {}
    with evaluation(network), torch.no_grad():
        deployed = Deployed(network, mean, std).to(device).eval()
        expected = [deployed(piece.to(device)).cpu() for piece in pieces]
        for name, compute in _readers(folder).items():
            worst = max(float((compute(piece) - right).abs().max()) for piece, right in zip(pieces, expected, strict=True))
            if not worst <= tolerance:
                raise EvaluationFailed(
                    f"{name} in {folder} differs from PyTorch by {worst:.2g} in a probability, more than {tolerance:g}"
                )
            differences[name] = worst
    return differences


def _readers(folder: Path) -> dict[str, Any]:
    """How each file that is there computes probabilities from uint8 images."""
    readers: dict[str, Any] = {}
    if (folder / "model.onnx").exists():
        from archsmith.metrics.latency import open_session

        session = open_session(folder / "model.onnx", 1)
        readers["onnx"] = lambda images: torch.from_numpy(session.run(None, {"images": images.numpy()})[0])
    if (folder / "model.pt2").exists():
        with silence():
            program = torch.export.load(folder / "model.pt2").module()
        readers["pt2"] = lambda images: program(images)
    if (folder / "model.py").exists():
        spec = importlib.util.spec_from_file_location("shipped_model", folder / "model.py")
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        loaded = module.load()
        readers["model.py"] = lambda images: module.predict(loaded, images)
    return readers
