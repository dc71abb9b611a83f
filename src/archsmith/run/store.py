"""The store of one run: run.json, what each stage decided, every trial; survives kill -9, a full
disk, a second process."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, overload

from pydantic import ValidationError

from archsmith._internal.files import append_line, clear_partials, copy_file, write_text
from archsmith._internal.hardware import cpu_name, physical_cores
from archsmith._version import __version__
from archsmith.errors import Damaged, UserError
from archsmith.run import claim, trust
from archsmith.run.database import Store, value
from archsmith.searchers.sqlite import SqliteArchive, may_write
from archsmith.spaces import meant

if TYPE_CHECKING:
    pass
from archsmith.run.decisions import Decision
from archsmith.run.record import FORMAT, digest, first_line, read_record
from archsmith.run.records import (
    Finished,
    Looked,
    Part,
    Profiled,
    Screened,
    Searched,
    Shipped,
    Trained,
    Untrained,
    record_of,
)
from archsmith.run.records.part import plain
from archsmith.run.request import Request

T = TypeVar("T")
STAGES = ("look", "profile", "screen", "train", "search", "finish", "ship")
_RECORDED = (
    "torch",
    "numpy",
    "pillow",
    "onnx",
    "onnxruntime",
    "onnxscript",
    "pymoo",
    "scikit-learn",
    "safetensors",
)


class Run:
    """One run folder. Reading needs no lock; writing happens inside `with run.locked():`."""

    def __init__(
        self, folder: Path, record: dict[str, Any], request: Request, *, trusted: bool = False
    ) -> None:
        self.folder, self.request = folder, request
        self._record, self._trusted = record, trusted
        self._made: tuple[Path, ...] = ()
        self._store = Store(folder / claim.STORE, record["id"])

    def asking(self, request: Request) -> Run:
        """The same folder under another request, which is kept once it is found right."""
        return Run(self.folder, dict(self._record), request, trusted=self._trusted)

    # -- making and finding -----------------------------------------------------------------------

    @staticmethod
    def create(
        folder: str | Path,
        request: Request,
        fill: Callable[[Run], None] = lambda run: None,
        **fields: Any,
    ) -> Run:
        """A new run; refuses a folder that holds anything else, so that nothing is ever
        overwritten.

        run.json is written last, after what `fill` puts there: until then there is no run, and the
        next one clears what a process left that died before. `fields`: more for run.json.
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
        """An existing run; UserError where there is none, Damaged where run.json is not as it was
        written.

        `trust`: a space of the user's own in a file may be run, whoever began the run (see
        archsmith.run.trust).
        """
        folder = Path(folder)
        path = folder / claim.RECORD
        if not path.is_file():
            if claim.beginning(folder):
                raise UserError(
                    f"the run in {folder} had not begun when it was stopped; give the "
                    f"command again that made it"
                )
            raise UserError(
                f"{folder} holds no run (no run.json); give the folder that `archsmith "
                f"search --out` made"
            )
        record = read_record(path)
        try:
            request = Request.model_validate(record["request"])
        except ValidationError as error:
            raise Damaged(
                f"{path} cannot be read ({first_line(error)}); restore it or start a new run"
            ) from error
        return Run(folder, record, request, trusted=trust)

    def another(
        self,
        folder: str | Path,
        request: Request,
        stages: Sequence[str],
        also: Callable[[Run], None] = lambda new: None,
    ) -> Run:
        """A new run that takes over these finished stages: what they decided, their trials and
        checkpoints, not their time.

        It is there with all of them or not at all, and with what `also` puts into it.
        """

        self.trusting()

        def fill(new: Run) -> None:
            taken = {name: payload for name, _, payload in self._store.rows("stages")}
            new._store.insert(
                "stages", [(name, 0.0, taken[name]) for name in stages if name in taken]
            )
            rows = self._store.rows("decisions")
            new._store.insert(
                "decisions",
                [row for row in rows if row[0].partition("/")[0] in (*stages, "sharing")],
            )
            new.archive.extend(trial for name in stages for trial in self.archive.stage(name))
            for path in (
                sorted((self.folder / "checkpoints").glob("shared-*.safetensors"))
                if "train" in stages
                else ()
            ):
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
        """Takes a run back that has decided nothing: its own files, and the folders that were made
        for it."""
        with self.locked():
            if "archive" in self.__dict__:
                self.__dict__.pop("archive").close()
            claim.unclaimed(self.folder)
        claim.unmake(self._made)

    @contextlib.contextmanager
    def locked(self) -> Iterator[Run]:
        """Exclusive use; a second process gets a UserError. The system frees the lock of a killed
        process."""
        with claim.locked(self.folder):
            claim.begun(self.folder)
            clear_partials(self.folder)
            clear_partials(self.folder / "checkpoints")
            yield self

    # -- run.json ---------------------------------------------------------------------------------

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
        self._record["sha256"] = digest(self._record)
        write_text(self.folder / claim.RECORD, json.dumps(self._record, indent=1) + "\n")

    # -- a space of the user's own ----------------------------------------------------------------

    @property
    def space(self) -> str:
        """The space asked for, 'auto' resolved. UserError where building it would run a file that
        this user has not named."""
        asked = self.request.space
        # runs of before did not say
        space = self._record.get("space") or ("mobilenet" if asked == "auto" else asked)
        return self._trusting("space", space)

    @property
    def method(self) -> str:
        """The method asked for. UserError where it would run a file that this user has not
        named."""
        return self._trusting("method", self.request.method)

    def _trusting(self, kind: str, name: str) -> str:
        file = trust.file_of(name)
        if file is None or self._trusted:
            return name
        content, known = trust.content_hash(file), self._record.get(f"{kind}_file") or {}
        if content is None:
            raise UserError(
                f"{self.folder} has the {kind} {name}, and {file} cannot be read; put the file back"
            )
        if content != known.get("sha256") or not trust.signed(
            self._record["id"], file, content, known.get("signature")
        ):
            raise trust.refuse(self.folder, kind, name, changed=content != known.get("sha256"))
        return name

    @property
    def loss(self) -> str:
        """The loss of the user's own that was asked for, "" for none. UserError where it would run
        a file that this user has not named."""
        return self._trusting("loss", self.request.loss or "")

    def trusting(self) -> None:
        """UserError where going on would run a file that this user has not named."""
        self.space, self.method, self.loss  # noqa: B018

    def sign(self) -> None:
        """Where this user named the files of space, method and loss, or trusts them: as they are
        now they are the run's from here."""
        if not self._trusted:
            return
        asked = self.request
        named = {"space": asked.space, "method": asked.method, "loss": asked.loss or ""}
        for kind, name in named.items():
            file = trust.file_of(name)
            content = trust.content_hash(file) if file is not None else None
            if file is not None and content is not None:
                self._record[f"{kind}_file"] = {
                    "path": str(file.absolute()),
                    "sha256": content,
                    "signature": trust.signature(self._record["id"], file, content),
                }

    # -- stages and decisions ---------------------------------------------------------------------

    def stage(self, name: str) -> dict[str, Any] | None:
        """What a finished stage decided; None where it is not finished."""
        text = self._store.read("stages", name)
        return None if text is None else value(text, self._store.path)

    def left(self, name: str) -> Any:
        """The record of a stage by its name; None where it is not finished, Damaged where it is not
        as a run writes it."""
        payload = self.stage(name)
        return None if payload is None else record_of(name, payload, str(self._store.path))

    @property
    def block_times(self) -> Path:
        """Where the latency table of this run lies, or is to."""
        before = self.folder / claim.LATENCY_BEFORE
        return before if before.exists() else self.folder / claim.LATENCY

    @property
    def looked(self) -> Looked | None:
        """What look left; None where it is not finished. Damaged, like those below, where a field
        is missing or wrong."""
        return self.left("look")

    @property
    def profiled(self) -> Profiled | None:
        """What profile left."""
        return self.left("profile")

    @property
    def screened(self) -> Screened | None:
        """What screen left."""
        return self.left("screen")

    @property
    def trained(self) -> Trained | Untrained | None:
        """What train left."""
        return self.left("train")

    @property
    def searched(self) -> Searched | None:
        """What search left."""
        return self.left("search")

    @property
    def finished(self) -> Finished | None:
        """What finish left."""
        return self.left("finish")

    @property
    def shipped(self) -> Shipped | None:
        """What ship left."""
        return self.left("ship")

    def finish_stage(self, name: str, payload: Part | Mapping[str, Any]) -> None:
        """Commits a stage: after this it is never done again. Its seconds are those the clock has
        for it."""
        plain = payload.to_json() if isinstance(payload, Part) else payload
        self._store.finish(name, json.dumps(plain, allow_nan=True))

    def reopen(self, *stages: str) -> None:
        """Takes back that they are finished, for stages whose files were lost; what was decided
        inside them stays."""
        self._store.forget("stages", lambda name: name not in stages)

    @overload
    def decide(self, decision: Decision[T], make: Callable[[], T | Mapping[str, Any]]) -> T: ...

    @overload
    def decide(self, decision: str, make: Callable[[], Any]) -> Any: ...

    def decide(self, decision: Decision[Any] | str, make: Callable[[], Any]) -> Any:
        """A decision inside a stage: made once, then read back, also by a resumed run. Methods have
        names of their own for theirs; Damaged where another is not of its type."""
        name = decision if isinstance(decision, str) else decision.name
        if (text := self._store.read("decisions", name)) is not None:
            return self._as_decided(decision, text)
        text = json.dumps(plain(make()))
        made = self._as_decided(decision, text)
        self._store.insert("decisions", [(name, text)])
        return made

    @overload
    def decided(self, decision: Decision[T]) -> T | None: ...

    @overload
    def decided(self, decision: str) -> Any: ...

    def decided(self, decision: Decision[Any] | str) -> Any:
        """A decision that was made before, None where it was not."""
        text = self._store.read(
            "decisions", decision if isinstance(decision, str) else decision.name
        )
        return None if text is None else self._as_decided(decision, text)

    def _as_decided(self, decision: Decision[Any] | str, text: str) -> Any:
        payload = value(text, self._store.path)
        return (
            payload if isinstance(decision, str) else decision.read(payload, str(self._store.path))
        )

    def clock(self, stage: str, seconds: float, waited: float = 0.0) -> None:
        """Records the seconds spent so far in a stage, over all the processes that worked on it,
        and those of them in which other work on the machine kept it waiting."""
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
        append_line(
            self.folder / "events.jsonl", json.dumps({"time": _now(), "event": kind, **fields})
        )


def lost(folder: Path, shipped: Shipped | None) -> Iterator[Path]:
    """Files of best/ that are not there as they were shipped, one after the other; none before
    that."""
    for entry in shipped.files if shipped is not None else ():
        path = folder / "best" / entry.name
        if trust.content_hash(path) != entry.sha256:
            yield path


def altered(folder: Path, shipped: Shipped | None) -> list[Path]:
    """Of them those that are there, but are others."""
    return [path for path in lost(folder, shipped) if path.is_file()]


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


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for name in _RECORDED:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions


def _machine() -> dict[str, Any]:
    import psutil

    return {
        "cpu": cpu_name(),
        "cores": physical_cores(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
    }
