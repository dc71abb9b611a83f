"""What this machine is: the processor's name and its physical cores."""

from __future__ import annotations

import contextlib
import ctypes
import platform
import sys
from pathlib import Path


def cpu_name() -> str:
    """The processor as the system names it."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def physical_cores() -> int:
    """Physical cores this process may use; hyper-threads and cores outside its CPU set do not
    count."""
    import psutil

    cores = psutil.cpu_count(logical=False) or psutil.cpu_count() or 1
    try:
        allowed = len(psutil.Process().cpu_affinity())
    except (AttributeError, psutil.Error):  # macOS has no affinity
        allowed = cores
    return max(1, min(cores, allowed))


def machine_name() -> str:
    """The processor as the system names it, and how many cores this process may use."""
    return f"{cpu_name()}, {physical_cores()} cores"


def emulates_bf16() -> bool:
    """Whether the processor has no instructions for bf16, as far as torch makes use of them: on x86
    they came after AVX-512."""
    import torch

    x86 = platform.machine().lower() in ("x86_64", "amd64")
    return x86 and not torch.backends.cpu.get_cpu_capability().startswith("AVX512")


def age_s() -> float:
    """Seconds since this process began."""
    import time

    import psutil

    return max(0.0, time.time() - psutil.Process().create_time())


def waited_s() -> float | None:
    """Seconds that this process's first thread was ready to work and had no core to do so; None
    where the system does not say.

    What others' work on the same machine costs this process (Linux, /proc/self/schedstat).
    """
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int(Path("/proc/self/schedstat").read_text(encoding="utf-8").split()[1]) / 1e9
    return None


_TRIM, _MAPPED = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of <malloc.h>


def keep_memory() -> bool:
    """Has this process keep freed memory for what it allocates next, up to its own peak; whether
    the system could be told.

    By default glibc hands each tensor of some megabytes back to the kernel, which has to clear its
    pages again for the next one: up to a quarter of a training step on a CPU (result kept-memory).
    Elsewhere than on glibc nothing is changed.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # musl has none
        return False
    return bool(mallopt(_MAPPED, 1 << 30)) and bool(mallopt(_TRIM, 2**31 - 1))


def return_memory() -> bool:
    """Hands freed memory back to the system now; whether it could be asked."""
    if not sys.platform.startswith("linux"):
        return False
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
        return True
    return False
