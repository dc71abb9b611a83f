"""A run folder: what was asked, decided and spent; made to survive kill -9, a full disk and a second process."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import platform
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from archsmith import __version__
from archsmith.archive import SqliteArchive
from archsmith.budget import parse
from archsmith.errors import Damaged, UserError
from archsmith.files import write_text
from archsmith.machine import cpu_name, physical_cores

if TYPE_CHECKING:
    from torch import nn

STAGES = ("look", "profile", "screen", "train", "search", "finish", "ship")
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
    val_share: float = Field(default=0.15, gt=0, lt=1)
    test_share: float | None = Field(default=None, gt=0, lt=1)
    group: str | None = None
    reference: bool = True
    task: Literal["classification", "regression", "reconstruction"] = "classification"
    fit: Literal["auto", "crop", "pad", "squeeze"] = "auto"
    flip: Literal["auto", "yes", "no"] = "auto"
    settings: dict[str, int | float | str | bool] = Field(default_factory=dict)  # the method's own


def request_from(**values: Any) -> Request:
    """A checked request; UserError naming the setting, its value and what is allowed."""
    try:
        request = Request(**values)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise UserError(f"{name}={first.get('input')!r}: {first['msg']}") from error
    parse(request.budget)
    if request.time_s is None and request.steps is None:
        raise UserError("give either a time or a number of training steps")
    if request.val_share + (request.test_share or 0.0) >= 1:
        raise UserError(f"val_share={request.val_share} and test_share={request.test_share} leave nothing to train on")
    return request


class Run:
    """One run folder. Reading needs no lock; writing happens inside `with run.locked():`."""

    def __init__(self, folder: Path, record: dict[str, Any], request: Request) -> None:
        self.folder, self.request = folder, request
        self._record = record
        self._ticked = 0.0

    # -- making and finding -------------------------------------------------------------------------------------------

    @staticmethod
    def create(folder: str | Path, request: Request) -> Run:
        """A new run; refuses a folder that holds anything, so that nothing is ever overwritten."""
        folder = Path(folder)
        if (folder / "run.json").exists():
            raise UserError(f"{folder} already holds a run; go on with `archsmith resume {folder}`, or choose another --out")
        if folder.exists() and (not folder.is_dir() or any(p.name != ".lock" for p in folder.iterdir())):
            raise UserError(f"--out {folder} exists and is not an empty folder; choose another --out")
        try:
            (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"cannot make the run folder {folder}: {error.strerror}; choose another --out") from error
        record = {
            "format": 1,
            "archsmith": __version__,
            "created": _now(),
            "status": "running",
            "request": request.model_dump(),
            "versions": _versions(),
            "machine": _machine(),
        }
        run = Run(folder, record, request)
        run._database().close()
        run._save()
        return run

    @staticmethod
    def open(folder: str | Path) -> Run:
        """An existing run; UserError where there is none, Damaged where run.json was changed into something unreadable."""
        folder = Path(folder)
        path = folder / "run.json"
        if not path.is_file():
            raise UserError(f"{folder} holds no run (no run.json); give the folder that `archsmith search --out` made")
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            request = Request.model_validate(record["request"])
        except (ValueError, KeyError, TypeError, ValidationError) as error:
            raise Damaged(f"{path} cannot be read ({_first_line(error)}); restore it or start a new run") from error
        if record.get("format") != 1:
            raise UserError(f"{path} has format {record.get('format')!r}; this archsmith {__version__} reads format 1")
        return Run(folder, record, request)

    def another(self, folder: str | Path, request: Request, stages: Sequence[str]) -> Run:
        """A new run that takes over these finished stages: what they decided, their trials and checkpoints, not their time."""
        new = Run.create(folder, request)
        new.update(after=str(self.folder.absolute()))
        with contextlib.closing(new._database()) as connection:
            for name in stages:
                payload = self.stage(name)
                if payload is not None:
                    connection.execute("INSERT INTO stages VALUES (?, 0, ?)", (name, json.dumps(payload)))
            for name, payload in self._query("SELECT name, payload FROM decisions"):
                if name.partition("/")[0] in (*stages, "sharing"):
                    connection.execute("INSERT INTO decisions VALUES (?, ?)", (name, payload))
        if taken := [trial for name in stages for trial in self.archive.stage(name)]:
            new.archive.extend(taken)
        for path in (self.folder / "checkpoints").glob("shared-*") if "train" in stages else ():
            shutil.copy2(path, new.folder / "checkpoints" / path.name)
        return new

    @contextlib.contextmanager
    def locked(self) -> Iterator[Run]:
        """Exclusive use; a second process gets a UserError. The system frees the lock of a killed process."""
        import fcntl

        try:
            handle = (self.folder / ".lock").open("a+")
        except OSError as error:
            raise UserError(f"cannot write in {self.folder}: {error.strerror}; check its permissions") from error
        with handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                handle.seek(0)
                owner = handle.read().strip() or "unknown"
                raise UserError(
                    f"another process (pid {owner}) is working on {self.folder}; wait for it, or choose another --out"
                ) from error
            handle.truncate(0)
            handle.write(str(os.getpid()))
            handle.flush()
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
        write_text(self.folder / "run.json", json.dumps(self._record, indent=1) + "\n")

    # -- stages and decisions -----------------------------------------------------------------------------------------

    def _database(self) -> sqlite3.Connection:
        path = self.folder / "trials.sqlite"
        try:
            connection = sqlite3.connect(path, timeout=60, isolation_level=None)
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute(
                "CREATE TABLE IF NOT EXISTS stages (name TEXT PRIMARY KEY, seconds REAL NOT NULL, payload TEXT NOT NULL)"
            )
            connection.execute("CREATE TABLE IF NOT EXISTS decisions (name TEXT PRIMARY KEY, payload TEXT NOT NULL)")
            connection.execute("CREATE TABLE IF NOT EXISTS clock (stage TEXT PRIMARY KEY, seconds REAL NOT NULL)")
        except sqlite3.DatabaseError as error:
            raise _storage_error(path, error) from error
        return connection

    def _query(self, sql: str, values: tuple = ()) -> list[tuple]:
        with contextlib.closing(self._database()) as connection:
            try:
                return connection.execute(sql, values).fetchall()
            except sqlite3.DatabaseError as error:
                raise _storage_error(self.folder / "trials.sqlite", error) from error

    def stage(self, name: str) -> dict[str, Any] | None:
        """What a finished stage decided; None where it is not finished."""
        rows = self._query("SELECT payload FROM stages WHERE name = ?", (name,))
        return json.loads(rows[0][0]) if rows else None

    def finish_stage(self, name: str, payload: Mapping[str, Any]) -> None:
        """Commits a stage: after this it is never done again. Its seconds are those the clock has for it."""
        text = json.dumps(payload, allow_nan=True)
        self._query(
            "INSERT INTO stages VALUES (?, COALESCE((SELECT seconds FROM clock WHERE stage = ?), 0), ?)", (name, name, text)
        )

    def decide(self, name: str, make: Callable[[], Any]) -> Any:
        """A decision inside a stage: made once, then read back, also by a resumed run."""
        rows = self._query("SELECT payload FROM decisions WHERE name = ?", (name,))
        if rows:
            return json.loads(rows[0][0])
        value = make()
        self._query("INSERT INTO decisions VALUES (?, ?)", (name, json.dumps(value)))
        return json.loads(json.dumps(value))

    def decided(self, name: str) -> Any:
        """A decision that was made before, None where it was not."""
        rows = self._query("SELECT payload FROM decisions WHERE name = ?", (name,))
        return json.loads(rows[0][0]) if rows else None

    def clock(self, stage: str, seconds: float) -> None:
        """Records the seconds spent so far in a stage, over all the processes that worked on it."""
        self._query("INSERT OR REPLACE INTO clock VALUES (?, ?)", (stage, seconds))

    def seconds(self) -> dict[str, float]:
        """Seconds by stage, the unfinished one included."""
        return dict(self._query("SELECT stage, seconds FROM clock"))

    @functools.cached_property
    def archive(self) -> SqliteArchive:
        """Every trial of the run."""
        return SqliteArchive(self.folder / "trials.sqlite")

    def event(self, kind: str, **fields: Any) -> None:
        """Appends one line to events.jsonl."""
        line = json.dumps({"time": _now(), "event": kind, **fields})
        with (self.folder / "events.jsonl").open("a", encoding="utf-8") as handle:
            handle.write(line + "\n")

    # -- for Python users ---------------------------------------------------------------------------------------------

    def front(self) -> list[dict[str, Any]]:
        """The feasible trade-off front as the rows of front.csv."""
        from archsmith.report.front import rows

        return rows(self.folder)

    def best(self) -> nn.Module:
        """The chosen network, trained, as a plain torch module in eval mode (normalised float input, logits out)."""
        from archsmith.pipeline import best

        return best(self)

    def export(self, path: str | Path, format: Literal["onnx", "pt2", "safetensors"] | None = None) -> Path:
        """Writes the chosen network to `path`; the format follows from the name where it is not given."""
        from archsmith.pipeline import export

        return export(self, Path(path), format)

    def summary(self) -> dict[str, Any]:
        """What `--json` prints: stable keys, None where the run has not come so far."""
        ship, look = self.stage("ship") or {}, self.stage("look") or {}
        test, reference = ship.get("test") or {}, ship.get("reference_test") or {}
        return {
            "run": str(self.folder),
            "status": self._record["status"],
            "classes": look.get("classes"),
            "architecture": (ship.get("architecture") or {}).get("options"),
            "test_accuracy": test.get("accuracy"),
            "test_balanced_accuracy": test.get("balanced_accuracy"),
            "reference_test_accuracy": reference.get("accuracy"),
            "verdict": ship.get("verdict"),
            "budget": ship.get("budget"),
            "files": [str(self.folder / "best" / f["name"]) for f in ship.get("files", [])],
            "report": str(self.folder / "report.html"),
            "seconds": round(sum(self.seconds().values()), 2),
        }


def _storage_error(path: Path, error: sqlite3.DatabaseError) -> UserError:
    if isinstance(error, sqlite3.OperationalError):  # full disk, no permission, locked: the file itself is sound
        return UserError(f"cannot use {path}: {error}; free space or check permissions, then resume")
    return Damaged(f"{path} cannot be read ({error}); restore it from a copy, or start a new run")


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
    """Counts a stage's seconds over all the processes that worked on it, saving them now and then."""

    def __init__(self, run: Run, stage: str, now: Callable[[], float] = time.monotonic) -> None:
        self._run, self.stage, self._now = run, stage, now
        self._before = run.seconds().get(stage, 0.0)
        self._start = self._saved = now()

    @property
    def seconds(self) -> float:
        """Spent in this stage so far."""
        return self._before + self._now() - self._start

    def save(self, every: float = 0.0) -> None:
        """Writes the count, at most once in `every` seconds."""
        if self._now() - self._saved >= every:
            self._saved = self._now()
            self._run.clock(self.stage, self.seconds)
