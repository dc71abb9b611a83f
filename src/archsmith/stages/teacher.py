"""--teacher FILE: a network in a file - ONNX, or a torch.export program - whose answers the
networks of a run learn from besides the labels; and who teaches in a run."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from archsmith.errors import UserError, first_line, shown
from archsmith.graph.export import silence
from archsmith.metrics.chance import against_constant
from archsmith.metrics.timing import open_session
from archsmith.run.decisions import TAUGHT, Taught
from archsmith.tasks import Regression
from archsmith.training.distillation import taught
from archsmith.training.step import Backward, whole

if TYPE_CHECKING:
    from archsmith.run.request import Request
    from archsmith.stages.work import Work

# of its errors on validation images, at most, on training images: a network that was trained to the
# end
_FINISHED = 0.4
_LEFT = 0.05  # of the training images: with fewer errors there is little left to learn
_ASKED = 32  # training images, to see whether it can teach
_SURE = 1e-3  # of 1, by which the sum of probabilities may be off
_ALONE = 0.02  # of the largest answer, by which one may depend on the other images of a batch
_EXPORT = (
    "write the network itself: torch.export.save(torch.export.export(network.eval(), (images,)), "
    '"teacher.pt2"), or torch.onnx.export'
)
Run = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Form:
    """What a file says of its network.

    `batch`, `channels`, `height`, `width` of its input, None where they are free; whether that is
    bytes (`pixels`: it normalises them itself); the `mean` and `std` of pixels in 0..1 that it
    wants, and `labels` in the order of its outputs, where it says so.
    """

    kind: Literal["onnx", "pt2"]
    batch: int | None
    channels: int | None
    height: int | None
    width: int | None
    pixels: bool
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    labels: tuple[str, ...] = ()


# -- the file -------------------------------------------------------------------------------------


def form_of(path: Path) -> Form:
    """What the file holds; UserError where it cannot be read, or holds no network."""
    source = f"--teacher {shown(path)}"
    if not path.is_file():
        raise UserError(f"{source}: no such file; give an .onnx or .pt2 file of a trained network")
    kind = _kind(path, source)
    try:
        form = _of_onnx(path) if kind == "onnx" else _of_program(path)
    except UserError as error:
        raise UserError(f"{source}: {error}") from error
    except Exception as error:  # what the two runtimes raise for a torn file has no common class
        raise UserError(
            f"{source} cannot be read as {_NAMES[kind]} ({type(error).__name__}: "
            f"{shown(first_line(error), 120)}); write it again"
        ) from error
    if form.channels not in (None, 1, 3):
        raise UserError(
            f"{source}: its input has {form.channels} channels; it must take batches of images (B, "
            f"1 or 3, H, W)"
        )
    return form


_NAMES = {"onnx": "an ONNX model", "pt2": "a torch.export program"}


def _kind(path: Path, source: str) -> Literal["onnx", "pt2"]:
    """By what is in it; UserError for weights without a network, and for what could run code."""
    if path.suffix.lower() == ".onnx":
        return "onnx"
    try:
        with zipfile.ZipFile(path) as archive:
            inside = {name.partition("/")[2] for name in archive.namelist()}
    except (zipfile.BadZipFile, OSError):
        inside = set()
    if "archive_format" in inside or path.suffix.lower() == ".pt2":
        return "pt2"
    if "constants.pkl" in inside:
        raise UserError(f"{source} is TorchScript, which is not read; {_EXPORT}")
    if "data.pkl" in inside or path.suffix.lower() in (".safetensors", ".pt", ".pth", ".bin"):
        raise UserError(f"{source} holds weights, and no network that could be asked; {_EXPORT}")
    raise UserError(f"{source}: its name says neither .onnx nor .pt2; {_EXPORT}")


def _of_onnx(path: Path) -> Form:
    session = open_session(path, 1)
    inputs, metadata = session.get_inputs(), session.get_modelmeta().custom_metadata_map
    if len(inputs) != 1:
        raise UserError(f"it has {len(inputs)} inputs; a teacher takes a batch of images alone")
    types = {"tensor(uint8)": True, "tensor(float)": False}
    if inputs[0].type not in types:
        raise UserError(f"its input is {inputs[0].type}; it must be float32 or uint8")
    sizes = [size if isinstance(size, int) and size > 0 else None for size in inputs[0].shape]
    mean, std = _normalization(metadata.get("preprocess"))
    return _form("onnx", sizes, types[inputs[0].type], mean=mean, std=std, labels=_labels(metadata))


def _of_program(path: Path) -> Form:
    with silence():
        program = torch.export.load(path)
    names = program.graph_signature.user_inputs
    if len(names) != 1:
        raise UserError(f"it has {len(names)} inputs; a teacher takes a batch of images alone")
    example = next(n for n in program.graph.nodes if n.name == names[0]).meta["val"]
    if example.dtype not in (torch.float32, torch.uint8):
        raise UserError(f"its input is {example.dtype}; it must be float32 or uint8")
    sizes = [size if isinstance(size, int) else None for size in example.shape]
    return _form("pt2", sizes, example.dtype == torch.uint8)


def _form(
    kind: Literal["onnx", "pt2"], sizes: Sequence[int | None], pixels: bool, **details: Any
) -> Form:
    if len(sizes) != 4:
        raise UserError(f"its input has {len(sizes)} dimensions; it must be (B, C, H, W)")
    batch, channels, height, width = sizes
    return Form(kind, batch, channels, height=height, width=width, pixels=pixels, **details)


def _normalization(text: str | None) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation as our files carry them; empty where it does not."""
    try:
        normalization = json.loads(text or "{}")["normalization"]
        mean, std = (tuple(float(v) for v in normalization[name]) for name in ("mean", "std"))
    except (ValueError, KeyError, TypeError):
        return (), ()
    return (mean, std) if len(mean) == len(std) and all(s > 0 for s in std) else ((), ())


def _labels(metadata: Mapping[str, str]) -> tuple[str, ...]:
    try:
        labels = json.loads(metadata.get("labels", "[]"))
    except ValueError:
        return ()
    return tuple(map(str, labels)) if isinstance(labels, list) else ()


# -- the network in it ----------------------------------------------------------------------------


class FileNetwork(nn.Module):
    """The network of a file, asked as a network of the run: images (B, C, H, W) normalised by
    `mean` and `std` -> logits (B, classes), or standardized values.

    Images become as large as the file's own are, `side` where it takes any; colour is made of grey.
    Read when it is first asked, and by each process on its own. `answer`: what the file gives;
    `order`: of its outputs, as the run has its classes; `units`: mean and standard deviation of
    values; `exact`: in float32 whatever the step computes in.
    """

    mean: Tensor
    std: Tensor
    own_mean: Tensor
    own_std: Tensor
    middle: Tensor
    unit: Tensor

    def __init__(
        self,
        path: Path,
        form: Form,
        *,
        side: int,
        mean: Sequence[float],
        std: Sequence[float],
        threads: int = 1,
        answer: Literal["logits", "probabilities", "values"] = "logits",
        order: Sequence[int] | None = None,
        units: tuple[Sequence[float], Sequence[float]] = ((), ()),
        exact: bool = False,
    ) -> None:
        super().__init__()
        self.path, self.form, self.side, self.threads = path, form, side, threads
        self.answer, self.order, self.exact = answer, order, exact
        # not kept in a state_dict: they are the run's and the file's
        for name, values in (("mean", mean), ("std", std), ("own_mean", form.mean)):
            self.register_buffer(name, _column(values), persistent=False)
        self.register_buffer("own_std", _column(form.std), persistent=False)
        for name, values in zip(("middle", "unit"), units, strict=True):
            self.register_buffer(name, torch.tensor([float(v) for v in values]), persistent=False)
        self._held: dict[torch.device, Run] = {}
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, outputs)."""
        with torch.autocast(x.device.type, enabled=False) if self.exact else nullcontext():
            outputs = self._asked(self._taken(x))
        if self.order is not None:
            outputs = outputs[:, list(self.order)]
        if self.answer == "probabilities":
            return outputs.float().clamp(min=torch.finfo(torch.float32).tiny).log()
        return (outputs.float() - self.middle) / self.unit if self.answer == "values" else outputs

    def _taken(self, x: Tensor) -> Tensor:
        """The images as the file wants them."""
        form = self.form
        sides = form.height or self.side, form.width or self.side
        if x.shape[-2:] != sides:
            x = F.interpolate(x, sides, mode="bilinear", antialias=True, align_corners=False)
        if form.pixels:
            x = ((x * self.std + self.mean) * 255).round().clamp(0, 255).to(torch.uint8)
        elif form.mean:
            x = (x * self.std + self.mean - self.own_mean) / self.own_std
        return x.expand(-1, form.channels, -1, -1) if form.channels == 3 else x

    def _asked(self, x: Tensor) -> Tensor:
        """What the file's network gives, where it takes batches of one size alone piece by
        piece."""
        if x.device not in self._held:
            self._held[x.device] = self._read(x.device)
        run, count = self._held[x.device], len(x)
        size = self.form.batch or max(2, count)  # free ones are traced for two and more
        if missing := -count % size:
            x = torch.cat([x, x[:1].expand(missing, *x.shape[1:])])
        return torch.cat([run(piece.contiguous()) for piece in x.split(size)])[:count]

    def _read(self, device: torch.device) -> Run:
        if self.form.kind == "onnx":
            session = open_session(self.path, self.threads)
            name, wanted = session.get_inputs()[0].name, [session.get_outputs()[0].name]

            def run(x: Tensor) -> Tensor:
                outputs = np.asarray(session.run(wanted, {name: x.cpu().numpy()})[0])
                return torch.from_numpy(outputs).to(x.device)

            return run
        with silence():
            program = torch.export.load(self.path)
            if device.type != "cpu":
                from torch.export.passes import move_to_device_pass

                program = move_to_device_pass(program, device)
        module = program.module().requires_grad_(False)
        return lambda x: _first(module(x))

    def __getstate__(self) -> dict[str, Any]:
        """Without what was read of it."""
        return {**self.__dict__, "_held": {}}


def _column(values: Sequence[float]) -> Tensor:
    return torch.tensor([float(v) for v in values]).view(1, -1, 1, 1)


def _first(outputs: Any) -> Tensor:
    """The one output that counts: the first."""
    while isinstance(outputs, tuple | list) and outputs:
        outputs = outputs[0]
    if not isinstance(outputs, Tensor):
        raise UserError(f"it gives {type(outputs).__name__}, not a tensor (B, classes)")
    return outputs


# -- who teaches in a run -------------------------------------------------------------------------


def check(request: Request) -> None:
    """UserError, before images are read, for a file that holds no network, and for a task that has
    no use for one."""
    if request.teacher is None:
        return
    if request.task == "reconstruction":
        raise UserError(
            "--teacher: nobody can teach reconstruction, where the image itself is what is wanted; "
            "leave it out"
        )
    form_of(Path(request.teacher))


def by_file(work: Work) -> None:
    """Finds how the file is to be asked, where one was given, and says it; once in a run.

    UserError where it has other outputs than the run has classes, or gives what nobody can learn
    from. It is asked about training images alone.
    """
    if work.run.request.teacher is None:
        return
    path = Path(work.run.request.teacher)

    def teaching() -> dict[str, Any]:
        text = _tried(work, path)
        work.note(text)
        return Taught(by="file", path=str(path), sha256=_hash(path), said=text).to_json()

    work.run.decide(TAUGHT, teaching)


def by_original(work: Work, accuracy: float | None) -> None:
    """The network that was begun with teaches, which reaches `accuracy` on the validation images;
    None: it does not. Where a file does, that alone does.

    Nor does one that knows the training images no better than others: it was not trained to the
    end, and what begins with its weights soon is the better one (results teacher-unfinished,
    shrink-five-50).
    """

    def teaching() -> dict[str, Any]:
        if accuracy is None:
            return Taught().to_json()
        network = work.plain(work.space.extreme(-1)).to(work.device).eval()
        seen = work.evaluated(network, work.training_sample())["accuracy"]
        if 1 - seen > max(_LEFT, _FINISHED * (1 - accuracy)):
            work.note(
                f"the network that was begun with does not teach: it was not trained to the end "
                f"({seen:.2%} on training images, {accuracy:.2%} on the validation images)"
            )
            return Taught().to_json()
        text = f"the network that was begun with teaches ({accuracy:.2%} on the validation images)"
        work.note(text)
        return Taught(by="original", said=text).to_json()

    work.run.decide(TAUGHT, teaching)


def taught_text(work: Work) -> str | None:
    """Who teaches, in words; None where nobody does."""
    decided = work.run.decided(TAUGHT)
    return None if decided is None else decided.said


def step_of(work: Work) -> Backward:
    """What a training step of the run computes: from labels alone, or from a teacher as well."""
    decided = work.run.decided(TAUGHT)
    if decided is None or decided.by is None:
        return whole
    if decided.by == "original":
        return taught(work.plain(work.space.extreme(-1)))
    path = Path(str(decided.path))
    form = form_of(path)
    if _hash(path) != decided.sha256:
        raise UserError(
            f"--teacher {shown(path)} is not the file that this run began with; put it back, or "
            f"start a new run"
        )
    return taught(_teacher(work, path, form)[0])


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _tried(work: Work, path: Path) -> str:
    """Who teaches and how it is asked, in words."""
    network, how = _teacher(work, path, form_of(path))
    x, y = (tensor[:_ASKED] for tensor in work.scoring_batches[0])
    metrics = work.evaluated(network, iter([(x, y)]))
    task = work.images.task
    text = f"{path.name} teaches: {how}; {task.measure} {metrics['accuracy']:.0%} on {len(x)} "
    text += "training images"
    if not against_constant(metrics)["above"]:
        text += (
            ", which the same answer always would reach: are its classes in this order, and its "
            "pixels scaled so?"
        )
    return text


def _teacher(work: Work, path: Path, form: Form) -> tuple[FileNetwork, str]:
    """The network and how it is asked, in words; UserError where it is none for this run."""
    source, images = f"--teacher {shown(path)}", work.images
    if form.channels == 1 and images.channels == 3:
        raise UserError(
            f"{source} takes grey images, and these are in colour; give another teacher"
        )
    network = FileNetwork(
        path,
        form,
        side=images.size,
        mean=images.mean,
        std=images.std,
        threads=work.threads,
    ).to(work.device)
    x = work.scoring_batches[0][0][:_ASKED]
    answers = _answers(network, x, source)
    task = images.task
    if answers.ndim != 2 or answers.shape[1] != task.outputs:
        what = "targets" if isinstance(task, Regression) else "classes"
        raise UserError(
            f"{source} gives {tuple(answers.shape[1:])} for an image, and there are {task.outputs} "
            f"{what}; give a network that was trained on these {what}"
        )
    parts = [_normalised_by(form)]
    if (sides := (form.height or images.size, form.width or images.size)) != (images.size,) * 2:
        parts.append(f"images of {images.size} pixels resized to {sides[0]} x {sides[1]}")
    if isinstance(task, Regression):
        network.answer = "values"
        network.middle, network.unit = (
            torch.tensor([float(v) for v in values], device=work.device)
            for values in (task.mean, task.std)
        )
        parts.append("its values are taken in the units of the labels")
    elif bool((answers >= 0).all()) and bool(((answers.sum(1) - 1).abs() < _SURE).all()):
        network.answer = "probabilities"
        parts.append("it gives probabilities")
    network.order, remark = _order(form.labels, task.names)
    parts += [remark] if remark else []
    network.exact = not _mixes(network, x)
    return network, ", ".join(parts)


def _answers(network: FileNetwork, x: Tensor, source: str) -> Tensor:
    """To some images; UserError where it cannot be asked, or nobody can learn from its answers."""
    try:
        with torch.inference_mode():
            answers, part = network(x), network(x[: len(x) // 2])
    except Exception as error:  # of the runtimes, or of what the network computes
        raise UserError(
            f"{source} cannot be asked about images of shape {tuple(x.shape[1:])}: "
            f"{shown(first_line(error), 160)}; {_EXPORT}, with images of that shape"
        ) from error
    if not bool(answers.isfinite().all()):
        raise UserError(f"{source} gives values that are not finite; give a network that works")
    same = (answers[: len(part)] - part).abs().max() <= _ALONE * answers.abs().max()
    if not bool(same):
        raise UserError(
            f"{source} answers by the other images of a batch, or by chance, as in training; "
            f"export it again after network.eval()"
        )
    return answers.float()


def _mixes(network: FileNetwork, x: Tensor) -> bool:
    """Whether it can be asked in bfloat16, too."""
    try:
        with torch.inference_mode(), torch.autocast(x.device.type, torch.bfloat16):
            return bool(network(x).isfinite().all())
    except Exception:  # it was traced for the one precision
        return False


def _normalised_by(form: Form) -> str:
    if form.pixels:
        return "it is given pixels, which it normalises itself"
    if form.mean:
        return "images are normalised as its file says"
    return "its file does not say how images are normalised, so it is given what the networks are"


def _order(labels: Sequence[str], names: Sequence[str]) -> tuple[list[int] | None, str | None]:
    """The place of each class of the run among its outputs, and what to say of it."""
    if not labels or tuple(labels) == tuple(names):
        return None, None
    if sorted(labels) == sorted(names):
        return [list(labels).index(name) for name in names], "its outputs put in our order"
    some = ", ".join(shown(label, 20) for label in labels[:3])
    return None, f"its classes have other names ({some}, ...) and are taken in their order"
