"""What this machine is: the processor's name and its physical cores."""

from __future__ import annotations

import contextlib
import platform
from pathlib import Path


def cpu_name() -> str:
    """The processor as the system names it."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def physical_cores() -> int:
    """Physical cores this process may use; hyper-threads and cores outside its CPU set do not count."""
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
