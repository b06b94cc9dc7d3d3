"""What the system says of running processes: children, CPU seconds, memory. Linux only (`/proc`)."""

from __future__ import annotations

import os
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def children(pid: int) -> list[int]:
    """Return the processes below one, at any depth."""
    parents = {int(p.name): _stat(int(p.name)) for p in Path("/proc").iterdir() if p.name.isdigit()}
    found, level = [], [pid]
    while level:
        level = [child for child, stat in parents.items() if stat and int(stat[1]) in level]
        found += level
    return found


def command_of(pid: int) -> list[str]:
    """Return the command line of a process; nothing if it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except OSError:
        return []


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process and everything below it that runs now, in seconds."""
    stats = [_stat(each) for each in (pid, *children(pid))]
    return sum(int(stat[11]) + int(stat[12]) for stat in stats if stat) / _TICKS


def memory_mb(pid: int) -> float:
    """Return the resident memory of one process, in megabytes of 10^6 bytes; 0 if it is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    kilobytes = next((line.split()[1] for line in lines if line.startswith("VmRSS:")), "0")
    return int(kilobytes) * 1024 / 1e6


def _stat(pid: int) -> list[str]:
    """Return the fields of a process's `stat` after its name; nothing if it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
