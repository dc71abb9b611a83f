"""Reading an image from a disk, a network drive or a memory that may fail: it is tried again, then
the run stops.

An image that cannot be decoded is the image's fault, and is set aside. One that the system could
not deliver is not: to leave it out, or to let another one stand in, would change the data without a
word.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from typing import TypeVar

from archsmith.errors import UserError

PAUSES_S = (0.05, 0.2, 1.0)  # before the second, third and last attempt
_NAMES = (
    "EIO",
    "EINTR",
    "EAGAIN",
    "EBUSY",
    "EMFILE",
    "ENFILE",
    "ENOMEM",
    "ESTALE",
    "ETIMEDOUT",
    "ENOTCONN",
    "ECONNRESET",
    "ECONNABORTED",
    "ECONNREFUSED",
    "EHOSTDOWN",
    "EHOSTUNREACH",
    "ENETDOWN",
    "ENETUNREACH",
    "ENETRESET",
    "EREMOTEIO",
    "ENODEV",
    "ENXIO",
    "ENOLCK",
    "EPIPE",
    "EREMCHG",
    "ENOLINK",
    "ECOMM",
    "EPROTO",
    "EUCLEAN",
    "ESHUTDOWN",
    "EDEADLK",
    "ENOBUFS",
)
# the fault of no single file
SYSTEM = frozenset(getattr(errno, name) for name in _NAMES if hasattr(errno, name))
GONE = frozenset((errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM))
Result = TypeVar("Result")


def attempted(read: Callable[[], Result], name: str, *, known: bool = False) -> Result:
    """read(), up to four times where the system fails. known: the image was there before, so that a
    file which is gone or closed to us is a failure of the system too.

    Raises UserError, naming the image, where the system goes on failing or memory ends; else
    whatever `read` raises.
    """
    for pause in (*PAUSES_S, None):
        try:
            return read()
        except MemoryError as error:
            raise UserError(
                f"memory ran out while reading {name}; close other programs, give the run fewer "
                f"--threads or a smaller --size"
            ) from error
        except OSError as error:
            # pillow's own errors about damaged files are OSErrors too, without a number or with
            # EINVAL
            if error.errno is None or error.errno not in (SYSTEM | GONE if known else SYSTEM):
                raise
            if pause is None:
                raise UserError(
                    f"{name} cannot be read: {error.strerror or error} "
                    f"({errno.errorcode.get(error.errno, error.errno)}), "
                    f"after {len(PAUSES_S) + 1} attempts; check the disk or the network drive, "
                    f"then go on"
                ) from error
        time.sleep(pause)
    raise AssertionError("the last attempt returns or raises")
