"""Whose code a run may execute: `--space` or `--method FILE.py:Name` runs that file, so a run that
names one is signed.

The signature is an HMAC of the file's path and content, and of the run's name, by a key that only
this user on this machine has (`~/.config/archsmith/key`). A run folder from elsewhere, or a file
that is another by now, does not verify.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from pathlib import Path

from archsmith.errors import UserError

_LENGTH = 32


def file_of(name: str) -> Path | None:
    """The file that a space or a method names; None for one of a table."""
    if ".py" not in name and ":" not in name:
        return None
    return Path(name.rpartition(":")[0] or name).expanduser()


def content_hash(file: Path) -> str | None:
    """SHA-256 of what it holds; None where it cannot be read."""
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError:
        return None


def signature(run: str, file: Path, content: str) -> str | None:
    """This user's signature under a run and its file; None where there is no place for a key."""
    key = _key()
    return None if key is None else _signed(key, run, file, content)


def signed(run: str, file: Path, content: str, given: str | None) -> bool:
    """Whether this user signed it on this machine."""
    key = _key(make=False)
    return (
        key is not None
        and given is not None
        and hmac.compare_digest(_signed(key, run, file, content), given)
    )


def refuse(folder: Path, kind: str, name: str, *, changed: bool) -> UserError:
    """What is said instead of running the file. `kind`: space or method."""
    why = (
        "is not the file that the run began with"
        if changed
        else ("would be run, and this run was not begun here by you")
    )
    return UserError(
        f"{folder} has the {kind} {name}: that file {why}. Read the file and what it imports; if "
        f"you trust it, give --trust "
        "(in Python open_run(folder, trust=True))"
    )


def _signed(key: bytes, run: str, file: Path, content: str) -> str:
    text = "\n".join((run, content, os.fsdecode(file.absolute()))).encode(
        "utf-8", "surrogateescape"
    )
    return hmac.new(key, text, hashlib.sha256).hexdigest()


def _key(*, make: bool = True) -> bytes | None:
    """The user's key, made once."""
    try:
        folder = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "archsmith"
        path = folder / "key"
        if make and not path.exists():
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            own = folder / f"key.{os.getpid()}-{os.urandom(4).hex()}.partial"
            with open(os.open(own, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(os.urandom(_LENGTH))
                file.flush()
                os.fsync(file.fileno())
            try:
                # unlike a rename, it leaves the key of a process that was quicker
                os.link(own, path)
            except FileExistsError:
                pass
            finally:
                own.unlink()
        key = path.read_bytes()
    except (OSError, RuntimeError):
        return None
    return key if len(key) == _LENGTH else None
