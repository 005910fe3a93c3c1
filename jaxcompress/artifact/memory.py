"""The default limit of memory for reading a file."""

import os
from pathlib import Path

_MOST = 8 << 30


def default_max_bytes() -> int:
    """Return half of the memory that is free, at most 8 GiB."""
    return min(free_bytes() // 2, _MOST)


def limit_of(max_bytes: int | None) -> int:
    """Return a limit that was given, or the default one."""
    return default_max_bytes() if max_bytes is None else max_bytes


def free_bytes() -> int:
    """Return the free memory of the machine, or of the control group if that has less."""
    return min(_machine_bytes(), _group_bytes())


def _machine_bytes() -> int:
    try:
        fields = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        return int(fields["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (AttributeError, OSError, ValueError):
        return 2 * _MOST


def _group_bytes() -> int:
    folder = Path("/sys/fs/cgroup")
    try:
        most = int((folder / "memory.max").read_text())
        return max(most - int((folder / "memory.current").read_text()), 0)
    except (OSError, ValueError):
        return 2 * _MOST
