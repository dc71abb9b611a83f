"""A run folder: what was asked, decided and spent; made to survive kill -9, a full disk and a second process."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from archsmith import __version__, claim, trust
from archsmith.archive import SqliteArchive, may_write
from archsmith.budget import parse
from archsmith.errors import Damaged, UserError, printable
from archsmith.files import append_line, clear_partials, copy_file, write_text
from archsmith.machine import cpu_name, physical_cores, waited_s
from archsmith.models import meant
from archsmith.store import Store, value

if TYPE_CHECKING:
    from torch import nn

STAGES = ("look", "profile", "screen", "train", "search", "finish", "ship")
FORMAT = 2  # of the run folder
_RECORDED = ("torch", "numpy", "pillow", "onnx", "onnxruntime", "onnxscript", "pymoo", "scikit-learn", "safetensors")


class Request(BaseModel):
    """Everything that `archsmith search` was asked for; saved in run.json and read back on resume."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: str
    budget: str = ""
    method: str = "auto"
    space: str = "auto"
    device: str = "auto"
    time_s: float | None = Field(default=1200.0, gt=0)
    steps: int | None = Field(default=None, gt=0)
    trials: int | None = Field(default=None, ge=8)
    threads: int | None = Field(default=None, gt=0)
    seed: int = Field(default=0, ge=0, lt=2**31)
    init: str | None = None
    size: int | None = Field(default=None, ge=4, le=1024)
    val_share: float | None = Field(default=None, gt=0, lt=1)  # None: by the number of images
    test_share: float | None = Field(default=None, gt=0, lt=1)
    group: str | None = None
    classes_at: int | None = Field(default=None, ge=1)
    reference: bool = True
    task: Literal["classification", "regression", "reconstruction"] = "classification"
    follow: Literal["checked", "always"] = "checked"  # estimates by shared weights: where a check finds them good, or always
    fit: Literal["auto", "crop", "pad", "squeeze"] = "auto"
    flip: Literal["auto", "yes", "no"] = "auto"
    training: dict[Literal["lr", "batch", "augment", "precision"], int | float | str] = Field(
        default_factory=dict
    )  # instead of the recipe's
    settings: dict[str, int | float | str | bool] = Field(default_factory=dict)  # the method's own


class _SpaceFile(BaseModel):
    """The file of a space, as this user signed it."""

    path: str
    sha256: str
    signature: str | None = None


class _Record(BaseModel):
    """run.json, beside what only people read: whatever wrote it, what is read later is of these kinds."""

    model_config = ConfigDict(strict=True)

    id: str = Field(min_length=1)
    archsmith: str
    created: str
    status: Literal["running", "stopped", "failed", "done"]
    request: dict[str, Any]
    versions: dict[str, str]
    machine: dict[str, Any]
    space: str | None = None
    space_file: _SpaceFile | None = None
    error: str | None = None
    device: str | None = None
    threads: int | None = Field(default=None, ge=1, le=1024)
    notes: list[str] = Field(default_factory=list)
    predicted_s: dict[str, float] = Field(default_factory=dict)
    after: str | None = None
    origin: str | None = None


def request_from(**values: Any) -> Request:
    """A checked request; UserError naming the setting, its value and what is allowed."""
    try:
        request = Request(**values)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise UserError(f"{name}={first.get('input')!r}: {_allowed(name) or first['msg']}") from error
    parse(request.budget)
    if request.time_s is None and request.steps is None:
        raise UserError("give either a time or a number of training steps")
    if (request.val_share or 0.0) + (request.test_share or 0.0) >= 1:
        raise UserError(f"val_share={request.val_share} and test_share={request.test_share} leave nothing to train on")
    return request


_BOUNDS = {"gt": "above", "ge": "from", "lt": "below", "le": "to"}


def _allowed(name: str) -> str:
    """What values a numeric setting may have; "" for others."""
    field = Request.model_fields.get(name)
    bounds = [
        f"{word} {value:g}"
        for one in (field.metadata if field else ())
        for sign, word in _BOUNDS.items()
        if isinstance(value := getattr(one, sign, None), int | float)
    ]
    return f"allowed is a number {' and '.join(bounds)}" if bounds else ""


class Run:
    """One run folder. Reading needs no lock; writing happens inside `with run.locked():`."""

    def __init__(self, folder: Path, record: dict[str, Any], request: Request, *, trusted: bool = False) -> None:
        self.folder, self.request = folder, request
        self._record, self._trusted = record, trusted
        self._made: tuple[Path, ...] = ()
        self._store = Store(folder / claim.STORE, record["id"])

    def asking(self, request: Request) -> Run:
        """The same folder under another request, which is kept once it is found right."""
        return Run(self.folder, dict(self._record), request, trusted=self._trusted)

    # -- making and finding -------------------------------------------------------------------------------------------

    @staticmethod
    def create(folder: str | Path, request: Request, fill: Callable[[Run], None] = lambda run: None, **fields: Any) -> Run:
        """A new run; refuses a folder that holds anything else, so that nothing is ever overwritten.

        run.json is written last, after what `fill` puts there: until then there is no run, and the next one clears what a
        process left that died before. `fields`: more for run.json.
        """
        folder = Path(folder)
        with claim.claimed(folder) as made:
            (folder / "checkpoints").mkdir(exist_ok=True)
            run = Run(folder, _new_record(request, fields), request, trusted=True)
            run._made = made
            run.sign()
            run._store.create()
            fill(run)
            run._save()
        return run

    @staticmethod
    def open(folder: str | Path, *, trust: bool = False) -> Run:
        """An existing run; UserError where there is none, Damaged where run.json is not as it was written.

        `trust`: a space of the user's own in a file may be run, whoever began the run (see archsmith.trust).
        """
        folder = Path(folder)
        path = folder / claim.RECORD
        if not path.is_file():
            if claim.beginning(folder):
                raise UserError(f"the run in {folder} had not begun when it was stopped; give the command again that made it")
            raise UserError(f"{folder} holds no run (no run.json); give the folder that `archsmith search --out` made")
        record = _read_record(path)
        try:
            request = Request.model_validate(record["request"])
        except ValidationError as error:
            raise Damaged(f"{path} cannot be read ({_first_line(error)}); restore it or start a new run") from error
        return Run(folder, record, request, trusted=trust)

    def another(
        self, folder: str | Path, request: Request, stages: Sequence[str], also: Callable[[Run], None] = lambda new: None
    ) -> Run:
        """A new run that takes over these finished stages: what they decided, their trials and checkpoints, not their time.

        It is there with all of them or not at all, and with what `also` puts into it.
        """

        self.space  # noqa: B018  refuses a file that this user has not named

        def fill(new: Run) -> None:
            taken = {name: payload for name, _, payload in self._store.rows("stages")}
            new._store.insert("stages", [(name, 0.0, taken[name]) for name in stages if name in taken])
            rows = self._store.rows("decisions")
            new._store.insert("decisions", [row for row in rows if row[0].partition("/")[0] in (*stages, "sharing")])
            new.archive.extend(trial for name in stages for trial in self.archive.stage(name))
            for path in sorted((self.folder / "checkpoints").glob("shared-*.safetensors")) if "train" in stages else ():
                copy_file(path, new.folder / "checkpoints" / path.name)
            also(new)

        return Run.create(
            folder,
            request,
            fill,
            after=str(self.folder.absolute()),
            origin=self._record.get("origin") or self._record["id"],
            space=self.space,
        )

    def discard(self) -> None:
        """Takes a run back that has decided nothing: its own files, and the folders that were made for it."""
        with self.locked():
            if "archive" in self.__dict__:
                self.__dict__.pop("archive").close()
            claim.unclaimed(self.folder)
        claim.unmake(self._made)

    @contextlib.contextmanager
    def locked(self) -> Iterator[Run]:
        """Exclusive use; a second process gets a UserError. The system frees the lock of a killed process."""
        with claim.locked(self.folder):
            claim.begun(self.folder)
            clear_partials(self.folder)
            clear_partials(self.folder / "checkpoints")
            yield self

    # -- run.json -----------------------------------------------------------------------------------------------------

    @property
    def record(self) -> Mapping[str, Any]:
        """What run.json holds."""
        return self._record

    def update(self, **fields: Any) -> None:
        """Changes run.json, atomically."""
        self._record.update(fields)
        self._save()

    def _save(self) -> None:
        self._record = json.loads(json.dumps(self._record))  # as it will be read back
        self._record["sha256"] = _digest(self._record)
        write_text(self.folder / claim.RECORD, json.dumps(self._record, indent=1) + "\n")

    # -- a space of the user's own ------------------------------------------------------------------------------------

    @property
    def space(self) -> str:
        """The space asked for, 'auto' resolved. UserError where building it would run a file that this user has not named."""
        asked = self.request.space
        space = self._record.get("space") or ("mobilenet" if asked == "auto" else asked)  # runs of before did not say
        file = trust.file_of(space)
        if file is None or self._trusted:
            return space
        content, known = trust.content_hash(file), self._record.get("space_file") or {}
        if content is None:
            raise UserError(f"{self.folder} has the space {space}, and {file} cannot be read; put the file back")
        if content != known.get("sha256") or not trust.signed(self._record["id"], file, content, known.get("signature")):
            raise trust.refuse(self.folder, space, changed=content != known.get("sha256"))
        return space

    def sign(self) -> None:
        """Where this user named the file of the space, or trusts it: as it is now it is the run's from here on."""
        if not self._trusted:
            return
        file = trust.file_of(self.request.space)
        content = trust.content_hash(file) if file is not None else None
        if file is not None and content is not None:
            found = trust.signature(self._record["id"], file, content)
            self._record["space_file"] = {"path": str(file.absolute()), "sha256": content, "signature": found}

    # -- stages and decisions -----------------------------------------------------------------------------------------

    def stage(self, name: str) -> dict[str, Any] | None:
        """What a finished stage decided; None where it is not finished."""
        found = self._store.read("stages", name)
        return None if found is None else value(found, self._store.path)

    def finish_stage(self, name: str, payload: Mapping[str, Any]) -> None:
        """Commits a stage: after this it is never done again. Its seconds are those the clock has for it."""
        self._store.finish(name, json.dumps(payload, allow_nan=True))

    def reopen(self, *stages: str) -> None:
        """Takes back that they are finished, for stages whose files were lost; what was decided inside them stays."""
        self._store.forget("stages", lambda name: name not in stages)

    def decide(self, name: str, make: Callable[[], Any]) -> Any:
        """A decision inside a stage: made once, then read back, also by a resumed run."""
        if (found := self._store.read("decisions", name)) is not None:
            return value(found, self._store.path)
        text = json.dumps(make())
        self._store.insert("decisions", [(name, text)])
        return json.loads(text)

    def decided(self, name: str) -> Any:
        """A decision that was made before, None where it was not."""
        found = self._store.read("decisions", name)
        return None if found is None else value(found, self._store.path)

    def clock(self, stage: str, seconds: float, waited: float = 0.0) -> None:
        """Records the seconds spent so far in a stage, over all the processes that worked on it, and those of them in which
        other work on the machine kept it waiting."""
        self._store.clock(stage, seconds, waited)

    def seconds(self) -> dict[str, float]:
        """Seconds by stage, the unfinished one included."""
        return self._store.seconds()

    def waits(self) -> dict[str, float]:
        """By stage the seconds in which other work on the machine kept the run waiting."""
        return self._store.waits()

    @functools.cached_property
    def archive(self) -> SqliteArchive:
        """Every trial of the run."""
        return SqliteArchive(self._store.path, readonly=not may_write(self._store.path))

    def event(self, kind: str, **fields: Any) -> None:
        """Appends one line to events.jsonl."""
        append_line(self.folder / "events.jsonl", json.dumps({"time": _now(), "event": kind, **fields}))

    # -- for Python users ---------------------------------------------------------------------------------------------

    def front(self) -> list[dict[str, Any]]:
        """The feasible trade-off front as the rows of front.csv."""
        from archsmith.report.front import rows

        return rows(self.folder)

    def best(self, network: str | None = None) -> nn.Module:
        """The shipped network, trained, as a plain torch module in eval mode (normalised float input, logits out).

        `network`: "search", "reference", or the key or name of another that the run trained.
        """
        from archsmith.pipeline import best

        return best(self, network)

    def export(
        self,
        path: str | Path | None = None,
        format: Literal["onnx", "pt2", "safetensors"] | None = None,
        *,
        network: str | None = None,
    ) -> Path:
        """Writes the shipped network, or another (as in `best`), to `path`; the format follows from the name where not given.

        Without a path to NAME.FORMAT beside the run, where no other file is there.
        """
        from archsmith.pipeline import export

        return export(self, None if path is None else Path(path), format, which=network)

    def summary(self) -> dict[str, Any]:
        """What `--json` prints: stable keys, None where the run has not come so far."""
        ship, look = self.stage("ship") or {}, self.stage("look") or {}
        test, reference = ship.get("test") or {}, ship.get("reference_test") or {}
        searched = (ship.get("search") or {}).get("test") or {}
        return {
            "run": str(self.folder),
            "status": self._record["status"],
            "classes": look.get("classes"),
            "architecture": (ship.get("architecture") or {}).get("options"),
            "test_accuracy": test.get("accuracy"),
            "test_balanced_accuracy": test.get("balanced_accuracy"),
            "search_test_accuracy": searched.get("accuracy"),
            "reference_test_accuracy": reference.get("accuracy"),
            "network": ship.get("network"),
            "warning": ship.get("warning"),
            "verdict": ship.get("verdict"),
            "budget": ship.get("budget"),
            "files": [str(self.folder / "best" / f["name"]) for f in ship.get("files", [])],
            "report": str(self.folder / "report.html"),
            "seconds": round(sum(self.seconds().values()), 2),
        }


def altered(folder: Path, ship: Mapping[str, Any]) -> list[Path]:
    """Files of best/ that are there, but not as they were shipped. ship: the payload of that stage, empty before it."""
    shipped = ((folder / "best" / entry["name"], entry["sha256"]) for entry in ship.get("files") or ())
    return [path for path, sha256 in shipped if path.is_file() and trust.content_hash(path) != sha256]


def _new_record(request: Request, fields: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "archsmith": __version__,
        "id": os.urandom(16).hex(),
        "created": _now(),
        "status": "running",
        "request": request.model_dump(),
        "versions": _versions(),
        "machine": _machine(),
        "space": meant(request.space),
        **fields,
    }


def _digest(record: Mapping[str, Any]) -> str:
    """SHA-256 of all the other entries."""
    rest = {name: entry for name, entry in record.items() if name != "sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _read_record(path: Path) -> dict[str, Any]:
    """run.json as it was written; Damaged where it is not."""
    restore = "put back a copy of it, or start a new run"
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}; check its permissions") from error
    except (ValueError, RecursionError) as error:
        raise Damaged(f"{path} cannot be read ({_first_line(error)}); {restore}") from error
    if not isinstance(record, dict) or not isinstance(record.get("format"), int):
        raise Damaged(f"{path} is not the record of a run; {restore}")
    if "sha256" not in record and record["format"] != FORMAT:
        raise UserError(
            f"{path} has format {record['format']!r} of another version; this archsmith {__version__} reads format {FORMAT}: "
            "go on with the version that made it, or start a new run"
        )
    if record.get("sha256") != _digest(record):
        raise Damaged(f"{path} was changed from outside (its checksum differs); {restore}")
    if record["format"] != FORMAT:
        raise Damaged(f"{path} is of another version, or is not the record of a run; {restore}")
    try:
        _Record.model_validate(record)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        raise Damaged(f"{path}: {printable(name, 60)} is not as a run writes it ({first['msg']}); {restore}") from error
    return record


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in _RECORDED:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def _machine() -> dict[str, Any]:
    import psutil

    return {
        "cpu": cpu_name(),
        "cores": physical_cores(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
    }


class Stopwatch:
    """Counts a stage's seconds over all the processes that worked on it, saving them now and then.

    `since`: when this process began with it, by the clock `now`; what lies between two stages belongs to the later one.
    """

    def __init__(self, run: Run, stage: str, now: Callable[[], float] = time.monotonic, *, since: float | None = None) -> None:
        self._run, self.stage, self._now = run, stage, now
        self._before, self._waited_before = run.seconds().get(stage, 0.0), run.waits().get(stage, 0.0)
        self._saved = now()
        self._start = self._saved if since is None else since
        self._waited_then = waited_s() or 0.0

    @property
    def seconds(self) -> float:
        """Spent in this stage so far."""
        return self._before + self._now() - self._start

    @property
    def waited(self) -> float:
        """Of them, those in which other work on the machine kept this process waiting."""
        return self._waited_before + (waited_s() or 0.0) - self._waited_then

    def save(self, every: float = 0.0) -> None:
        """Writes the count, at most once in `every` seconds."""
        if self._now() - self._saved >= every:
            self._saved = self._now()
            self._run.clock(self.stage, self.seconds, self.waited)
