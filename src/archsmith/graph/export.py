"""A network as an ONNX file or a torch.export program: written directly where that is known, else
by torch's own exporters."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from archsmith.errors import first_line
from archsmith.graph.fold import fold_model, fold_network
from archsmith.graph.trace import Untraceable, evaluation
from archsmith.graph.writer import BATCH, OPSET, Deployment, Unwritten, write


class Deployed(nn.Module):
    """What users of the files call: uint8 images (N, C, H, W) -> class probabilities (N, classes),
    or values or pixels."""

    mean: Tensor
    std: Tensor
    scale: Tensor
    shift: Tensor

    def __init__(self, network: nn.Module, deployment: Deployment) -> None:
        super().__init__()
        self.network, self.answer = network, deployment.answer
        for name, values in (("mean", deployment.mean), ("std", deployment.std)):
            self.register_buffer(name, torch.tensor([float(v) for v in values]).view(1, -1, 1, 1))
        if self.answer != "probabilities":
            for name, tensor in zip(("scale", "shift"), deployment.units, strict=True):
                self.register_buffer(name, tensor)

    def forward(self, images: Tensor) -> Tensor:
        """Normalises, computes; then softmax, or back to units."""
        outputs = self.network((images.float() / 255 - self.mean) / self.std)
        if self.answer == "probabilities":
            return outputs.softmax(dim=-1)
        outputs = outputs * self.scale + self.shift
        return outputs if self.answer == "values" else outputs.clamp(0, 1)


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """torch's exporters print, warn and log about matters of their own; within this nothing of it
    reaches the terminal."""
    noisy = [
        logging.getLogger(name)
        for name in ("torch", "torch.onnx", "torch.export", "onnxscript", "onnx_ir")
    ]
    levels = [logger.level for logger in noisy]
    try:
        for logger in noisy:
            logger.setLevel(logging.CRITICAL)
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(noisy, levels, strict=True):
            logger.setLevel(level)


def exported(network: nn.Module, shape: Sequence[int], deployment: Deployment | None) -> Any:
    """The torch.export program, any batch size, batch normalisation folded. Raises Untraceable with
    torch's first line."""
    whole = network
    with contextlib.suppress(Untraceable):  # torch.export may take what torch.fx does not
        network = fold_network(network, shape)
    device = next((p.device for p in network.parameters()), torch.device("cpu"))
    if deployment:
        module: nn.Module = Deployed(network, deployment).to(device)
        example = torch.zeros(2, *shape, dtype=torch.uint8, device=device)
    else:
        module, example = network, torch.zeros(2, *shape, device=device)
    with evaluation(module), silence(), torch.no_grad():
        try:
            return torch.export.export(
                module, (example,), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},)
            )
        except Exception as error:
            raise Untraceable(
                f"torch.export cannot trace {type(whole).__name__}: {first_line(error)}"
            ) from error


def pt2_bytes(program: Any) -> bytes:
    """The program as a .pt2 file."""
    buffer = io.BytesIO()
    for module in program.graph_module.modules():
        for node in module.graph.nodes if hasattr(module, "graph") else ():
            node.meta.pop("stack_trace", None)  # paths of this machine's files
    with silence():
        torch.export.save(program, buffer)
    return buffer.getvalue()


def onnx_bytes(
    network: nn.Module, shape: Sequence[int], deployment: Deployment | None, program: Any = None
) -> bytes:
    """The ONNX file: written directly where every layer is known, else by torch.onnx from the
    exported program.

    Raises Untraceable where neither can.
    """
    try:
        return write(network, shape, deployment=deployment)
    except (Unwritten, Untraceable):
        program = program or exported(network, shape, deployment)
    output = deployment.answer if deployment else "output"
    with silence(), torch.no_grad():
        try:
            result = torch.onnx.export(
                program,
                dynamo=True,
                verbose=False,
                opset_version=OPSET,
                external_data=False,
                input_names=["images"],
                output_names=[output],
            )
        except Exception as error:
            raise Untraceable(
                f"torch.onnx cannot write {type(network).__name__}: {first_line(error)}"
            ) from error
    assert result is not None
    return _cleaned(result.model_proto)


def _cleaned(model: Any) -> bytes:
    """Without torch's notes on every node (they hold file paths), the free dimension called
    `batch`."""
    del model.metadata_props[:]
    fold_model(model)
    parts = [
        model.graph,
        *model.functions,
        *model.graph.input,
        *model.graph.output,
        *model.graph.value_info,
        *model.graph.initializer,
    ]
    for part in [
        *parts,
        *model.graph.node,
        *(node for function in model.functions for node in function.node),
    ]:
        del part.metadata_props[:]
    del model.graph.value_info[:]
    for value in (*model.graph.input, *model.graph.output):
        dimension = value.type.tensor_type.shape.dim[0]
        dimension.Clear()
        dimension.dim_param = BATCH
    return model.SerializeToString()
