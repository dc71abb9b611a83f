"""What can be asked for: a new run, another budget, further training, images at another place."""

from __future__ import annotations

import contextlib
import glob
import inspect
import itertools
import math
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import nn

from archsmith._internal.files import replace_file
from archsmith._internal.progress import Watch
from archsmith.data.loaders import gather
from archsmith.data.parquet import pieces
from archsmith.errors import ArchsmithError, UserError, first_line, shown
from archsmith.export.files import safetensors_bytes
from archsmith.run.decisions import BEGUN_WITH, BegunWith
from archsmith.run.records import Finished, Shipped
from archsmith.run.records.finish import Finalist, TrainedNetwork
from archsmith.run.request import Request, request_from
from archsmith.run.store import STAGES, Run
from archsmith.spaces import described, meant
from archsmith.stages import further, look, teacher
from archsmith.stages.answers import regenerating, taken_over
from archsmith.stages.chosen import method_of
from archsmith.stages.networks import best, named
from archsmith.stages.pipeline import carry_on, open_work
from archsmith.training import losses
from archsmith.training.device import pick_device
from archsmith.training.recipe import default_recipe

# beside a run, where these were handed over in Python
_WEIGHTS, _DATA = "-weights.safetensors", "-data.npz"


def shrinking(
    network: str, data: str, weights: str | Path | None, *, budget: str, **asked: Any
) -> Request:
    """What `archsmith shrink` asks for: the network as the space, its weights to begin with, a
    budget. `asked`: the other fields of a request. UserError where one of the three is missing."""
    if not budget.strip():
        raise UserError(
            'how small it is to be is not said; give --budget "macs<=50%", or limits such as '
            '"params<=1M, latency<=5ms"'
        )
    published = described(network).pretrained is not None
    if weights is None and not published:
        raise UserError(
            f"shrink makes a trained network smaller; give the weights of {shown(network)} as "
            "--weights FILE (a state_dict as .pt or .safetensors)"
        )
    return request_from(
        data=data,
        space=network,
        method="shrink",
        budget=budget,
        init=None if weights is None else str(weights),
        pretrained=True if weights is None else None,
        **asked,
    )


@contextlib.contextmanager
def files_beside(out: Path) -> Iterator[None]:
    """Within it a new run is made of what `named_network` and `named_data` write beside it; where
    it is refused, they go as its folder goes. A file that was there before stays."""
    beside = [out.with_name(f"{out.name}{ending}") for ending in (_WEIGHTS, _DATA)]
    new = [path for path in beside if not path.exists()]
    try:
        yield
    except UserError:
        if not out.exists():
            for path in new:
                path.unlink(missing_ok=True)
        raise


def named_network(network: Any, out: Path) -> tuple[str, Path | None]:
    """A network as a run names it, "FILE.py:NAME", and the file of its weights, where it is a
    module that has them: beside the run, which may be resumed by another process.

    UserError for what stands in no file, and for a module that cannot be made again.
    """
    if isinstance(network, str):
        return network, None
    module = isinstance(network, nn.Module)
    kind = type(network) if module else network
    place = _in_file(kind, "my_model.py:Net")
    if not module:
        return place, None
    name = kind.__qualname__
    try:
        again = {key: tensor.shape for key, tensor in kind().state_dict().items()}
    except Exception as error:
        raise UserError(
            f"{name} cannot be made without arguments ({first_line(error)}); give a function that "
            "makes it, and its weights as a file"
        ) from error
    own = network.state_dict()
    if again != {key: tensor.shape for key, tensor in own.items()}:
        raise UserError(
            f"{name}() makes a network of other shapes than this one; give a function that makes "
            "it, and its weights as a file"
        )
    weights = out.with_name(f"{out.name}{_WEIGHTS}")
    if not out.exists():  # else it is refused, and a run's weights must not change
        weights.parent.mkdir(parents=True, exist_ok=True)
        replace_file(weights, safetensors_bytes(network))
    return place, weights


def _in_file(thing: Any, example: str) -> str:
    """A class or function as "FILE.py:NAME"; UserError for what stands in no file."""
    name = getattr(thing, "__qualname__", "")
    try:
        file = inspect.getsourcefile(thing)
    except TypeError:
        file = None
    if file is None or not Path(file).is_file() or not name.isidentifier():
        raise UserError(
            f"{name or type(thing).__name__} does not stand in a file of its own that another "
            f'process could read; write it into one and give "{example}"'
        )
    return f"{file}:{name}"


def named_loss(loss: Any) -> str | None:
    """A loss as a run names it, "FILE.py:NAME". UserError for what stands in no file."""
    return loss if loss is None or isinstance(loss, str) else _in_file(loss, "my_losses.py:focal")


def named_data(data: Any, out: Path, task: str) -> str:
    """Data as a run names it: a path, or, of loaders, the file beside the run into which they are
    read. UserError for what cannot be read so."""
    if isinstance(data, str | os.PathLike):
        return os.fspath(data)
    path = out.with_name(f"{out.name}{_DATA}")
    if not out.exists():  # else it is refused, and a run's images must not change
        gather(data, path, task=task)
    return str(path)


def start(
    request: Request,
    out: str | Path,
    watch: Watch | None = None,
    *,
    ahead_s: float = 0.0,
    notes: Sequence[str] = (),
) -> Run:
    """A new run in the folder `out`, carried through to the end. One that is refused, for its data,
    space or budget, leaves no folder, so that the corrected command is taken.

    `ahead_s`: seconds that this has taken already; `notes`: how what was asked for was read, for
    the record.
    """
    method_of(request)  # refuses what it cannot do, before anything is read
    pick_device(request.device)
    _begun_with(request)
    teacher.check(request)
    _lost(request)
    _outside(request.data, Path(out))
    run = Run.create(out, absolute(request))
    return _unless_refused(
        run,
        watch,
        lambda disk: (run.looked if disk else run.profiled) is not None,
        ahead_s,
        notes=notes,
    )


def _outside(data: str, out: Path) -> None:
    """UserError for a run in the folder of its own images: its files would be read as theirs."""
    folder, inside = Path(data), False
    # what is wrong with it is said when it is read
    with contextlib.suppress(OSError, RuntimeError, ValueError):
        inside = folder.is_dir() and folder.resolve() in (out.resolve(), *out.resolve().parents)
    if inside:
        raise UserError(
            f"--out {out} lies in the folder of the images, {data}; choose a place outside it"
        )


def _unless_refused(
    run: Run,
    watch: Watch | None,
    accepted: Callable[[bool], bool],
    ahead_s: float,
    notes: Sequence[str],
) -> Run:
    """A run that was just made, carried on to its end; where it is refused before it is `accepted`,
    it is taken back.

    `accepted`: whether what was asked for can be done, as far as the run has come; it is told
    whether it is the disk that refuses.
    """
    try:
        return carry_on(run, watch, ahead_s=ahead_s, notes=notes)
    except UserError as error:
        try:
            keep = accepted(isinstance(error.__cause__, OSError | sqlite3.Error))
        except ArchsmithError:  # that cannot be told
            keep = True
        if not keep:
            run.discard()
        raise


def _begun_with(request: Request) -> None:
    """UserError, before anything is read, for weights that fit no network of the space, whatever
    the images are."""
    if request.init is None:
        return
    from archsmith.stages import init

    name = meant(request.space)
    sizes = (32, 224, 64, 128, 16, 8) if request.size is None else (request.size,)

    def tried() -> Iterator[nn.Module]:
        """The space's network for images of one form or another; a user's own may take only one."""
        own = ":" in name  # its file may change
        made = _form if own else _kept_form
        for size, channels in itertools.product(sizes, (3, 1)):
            with contextlib.suppress(UserError) if own else contextlib.nullcontext():
                yield made(name, channels, size)

    init.check(Path(request.init), tried(), space=name, option=request.weights_option)


def _form(space: str, channels: int, size: int) -> nn.Module:
    """A space's network on `meta`, to be looked at only."""
    from archsmith.spaces import build

    return build(space, 10, channels, size)


_kept_form = lru_cache(maxsize=16)(_form)


def _lost(request: Request) -> None:
    """UserError, before anything is read, for a loss of the user's own that cannot be trained
    with."""
    if request.loss is None:
        return
    shape = {"classification": (4, 3), "regression": (4, 1), "reconstruction": (4, 1, 8, 8)}
    own = shape[request.task]
    labels = torch.tensor([0, 1, 2, 0]) if request.task == "classification" else torch.ones(own)
    losses.check(request.loss, own, labels)


def again(
    run: Run,
    budget: str,
    out: str | Path,
    watch: Watch | None = None,
    settings: Mapping[str, Any] | None = None,
    *,
    ahead_s: float = 0.0,
    notes: Sequence[str] = (),
    **changes: Any,
) -> Run:
    """The same job under another budget: the images are split as before, weights that networks
    share are not trained again.

    `changes`: of the request, e.g. `time_s`, or `data` where the images lie at another place now;
    `settings`: of the method, those of generating; `notes`: as of `start`. Raises UserError where
    the run has not got that far, and leaves no folder where images or budget are refused.
    """
    taken = taken_over(run)
    changes["settings"] = regenerating(run, settings or {})
    request = _changed(run, **changes, budget=budget)
    new = run.another(out, request, taken)
    return _unless_refused(new, watch, lambda disk: new.profiled is not None, ahead_s, notes=notes)


def _changed(run: Run, **changes: Any) -> Request:
    """What was asked of a run, with these changes; UserError where its images are gone."""
    request = absolute(request_from(**{**run.request.model_dump(), **changes}))
    in_place(request.data)
    return request


def in_place(data: str) -> None:
    """UserError, with how to go on, where the images of a run are gone."""
    if (
        Path(data).is_absolute()
        and "," not in data
        and not glob.has_magic(data)
        and not Path(data).exists()
    ):
        raise UserError(
            f"the images are not at {shown(data)}; put them back, or say where they "
            f"are now: --data NEW"
        )


def train(
    run: Run,
    out: str | Path,
    watch: Watch | None = None,
    *,
    which: str | None = None,
    epochs: float | None = None,
    ahead_s: float = 0.0,
    notes: Sequence[str] = (),
    **changes: Any,
) -> Run:
    """A network of a finished run trained further, shipped in a new run.

    `which`: as in `best`, the shipped one by default. `changes`: of the request: `time_s`, `steps`
    (`epochs`: so many passes instead), `training` (lr, batch, augment). Where its accuracy on the
    validation images does not grow, it ships as it was.
    """
    request = _changed(run, **changes, reference=False, refit=False)
    network = best(run, which)
    shipped, looked, finished = run.shipped, run.looked, run.finished
    assert shipped is not None and looked is not None and finished is not None
    if epochs is not None:
        images = sum(looked.counts.train)
        batch = (
            request.training.get("batch")
            or default_recipe(images, device=pick_device(request.device)).batch_size
        )
        request = request_from(
            **{
                **request.model_dump(),
                "steps": max(1, math.ceil(epochs * images / int(batch))),
                "time_s": None,
            }
        )
    begun = _begun(shipped, finished, named(run, shipped, which))

    def also(new: Run) -> None:
        replace_file(further.weights_path(new.folder), safetensors_bytes(network))
        new.decide(BEGUN_WITH, lambda: begun)

    taken = tuple(stage for stage in STAGES if stage not in ("finish", "ship"))
    new = run.another(out, request, taken, also)
    trained = new.folder / "checkpoints"
    return _unless_refused(
        new, watch, lambda disk: any(trained.glob(f"{further.ARM}-*")), ahead_s, notes=notes
    )


def _begun(
    shipped: Shipped, finished: Finished, chosen: tuple[str, str, Mapping[str, Any]]
) -> BegunWith:
    """What a run that trains a network further begins with; `chosen`: its arm, name and options."""
    arm, name, options = chosen
    reference = finished.reference
    networks: dict[str, TrainedNetwork] = {
        **(reference.networks if reference is not None else {}),
        **finished.networks,
    }
    network, test = networks[name], None
    if name == shipped.key:
        test = shipped.test
    elif shipped.search is not None and name == shipped.search.key:
        test = shipped.search.test
    elif reference is not None and name == reference.chosen:
        test = shipped.reference_test
    return BegunWith(
        key=name,
        arm=arm,
        options=dict(options),
        val_measure=network.val_measure,
        above=network.above,
        origin=network.origin if isinstance(network, Finalist) else "hand-made",
        costs={n: network.costs[n] for n in ("params", "macs") if n in network.costs},
        test=None if test is None else test.accuracy,
    )


def absolute(request: Request) -> Request:
    """Paths made absolute, so that a run can be resumed from anywhere."""
    changes: dict[str, Any] = {}
    changes["data"] = _absolute_data(request.data)
    for name in ("init", "teacher"):
        if path := getattr(request, name):
            changes[name] = str(Path(path).absolute())
    for kind in ("space", "method", "loss"):
        file, colon, name = (getattr(request, kind) or "").rpartition(":")
        if colon and Path(file).exists():
            changes[kind] = f"{Path(file).absolute()}:{name}"
    return request.model_copy(update=changes)


def _absolute_data(text: str) -> str:
    """A path, or a list of paths and patterns, made absolute; a name that is no path is left as it
    is."""
    try:
        if Path(text).expanduser().exists():
            return str(Path(text).expanduser().absolute())
        if "," not in text and not glob.has_magic(text):
            return text
        return ",".join(_rooted(piece) for piece in pieces(text))
    except (OSError, RuntimeError, ValueError):  # what is wrong with it is said when it is read
        return text


def _rooted(piece: str) -> str:
    """A path or pattern from the root on; brackets and stars in the name of the current folder are
    no pattern."""
    path = Path(piece).expanduser()
    if path.is_absolute() or path.exists() or not glob.has_magic(piece):
        return str(path.absolute())
    return str(Path(glob.escape(str(Path.cwd()))) / piece)


def relocated(run: Run, data: str) -> Run:
    """The run with its images at another place; that they are the same is checked, and the place
    kept, in `look`."""
    return run.asking(_changed(run, data=data))


def moved(run: Run, data: str) -> Run:
    """A run with nothing left to do, whose images are found to be the same at another place, which
    it keeps."""
    run = relocated(run, data)
    with run.locked():
        looked = run.looked
        assert looked is not None
        look.restore(open_work(run), looked)
    return run


def continued(
    run: Run, data: str | None, watch: Watch | None = None, *, ahead_s: float = 0.0
) -> Run:
    """A run that is not finished carried on to its end, with its images at another place where
    `data` says so."""
    if data is not None:
        run = relocated(run, data)
    in_place(run.request.data)
    return carry_on(run, watch, ahead_s=ahead_s)
