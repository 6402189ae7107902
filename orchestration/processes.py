"""When a process began: that tells it from an earlier one that had the same number."""

from __future__ import annotations

import os
import re
from pathlib import Path

_PROC = Path("/proc")
# The field of /proc/PID/stat that holds the clock ticks between the system's start and the process's: see proc(5).
_STARTTIME = 22


def started(pid: int) -> float:
    """When a process of that id began, in seconds since the epoch; 0 where the system does not tell."""
    try:
        # The command's name, in parentheses, may hold blanks and parentheses; what follows begins with field 3.
        fields = (_PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
        booted = re.search(r"^btime (\d+)$", (_PROC / "stat").read_text(), re.MULTILINE)
    except OSError:
        return 0.0
    return int(booted[1]) + int(fields[_STARTTIME - 3]) / os.sysconf("SC_CLK_TCK") if booted else 0.0
