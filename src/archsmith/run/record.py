"""run.json: what it holds, written with a checksum and read back as it was written."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from archsmith._version import __version__
from archsmith.errors import Damaged, UserError, first_line, printable

if TYPE_CHECKING:
    pass


FORMAT = 2  # of the run folder


class _OwnFile(BaseModel):
    """The file of a space or a method, as this user signed it."""

    path: str
    sha256: str
    signature: str | None = None


class RunFile(BaseModel):
    """run.json, beside what only people read: whatever wrote it, what is read later is of these
    kinds."""

    model_config = ConfigDict(strict=True, frozen=True)

    id: str = Field(min_length=1)
    archsmith: str
    created: str
    status: Literal["running", "stopped", "failed", "done"]
    request: dict[str, Any]
    versions: dict[str, str]
    machine: dict[str, Any]
    space: str | None = None
    space_file: _OwnFile | None = None
    method_file: _OwnFile | None = None
    error: str | None = None
    device: str | None = None
    threads: int | None = Field(default=None, ge=1, le=1024)
    notes: list[str] = Field(default_factory=list)
    predicted_s: dict[str, float] = Field(default_factory=dict)
    after: str | None = None
    origin: str | None = None


def digest(record: Mapping[str, Any]) -> str:
    """SHA-256 of all the other entries."""
    rest = {name: entry for name, entry in record.items() if name != "sha256"}
    return hashlib.sha256(
        json.dumps(rest, sort_keys=True, separators=(",", ":")).encode()
    ).hexdigest()


def read_record(path: Path) -> dict[str, Any]:
    """run.json as it was written; Damaged where it is not."""
    restore = "put back a copy of it, or start a new run"
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(
            f"cannot read {path}: {error.strerror or error}; check its permissions"
        ) from error
    except (ValueError, RecursionError) as error:
        raise Damaged(f"{path} cannot be read ({first_line(error)}); {restore}") from error
    if not isinstance(record, dict) or not isinstance(record.get("format"), int):
        raise Damaged(f"{path} is not the record of a run; {restore}")
    if "sha256" not in record and record["format"] != FORMAT:
        raise UserError(
            f"{path} has format {record['format']!r} of another version; this archsmith "
            f"{__version__} reads format {FORMAT}: "
            "go on with the version that made it, or start a new run"
        )
    if record.get("sha256") != digest(record):
        raise Damaged(f"{path} was changed from outside (its checksum differs); {restore}")
    if record["format"] != FORMAT:
        raise Damaged(f"{path} is of another version, or is not the record of a run; {restore}")
    try:
        RunFile.model_validate(record)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        raise Damaged(
            f"{path}: {printable(name, 60)} is not as a run writes it ({first['msg']}); {restore}"
        ) from error
    return record
