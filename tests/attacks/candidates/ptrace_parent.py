"""Attaches itself as a debugger to the process that supervises it.

needs: system
"""

import ctypes
import json
import os
from pathlib import Path

import numpy as np
from prepare import CITIES

WITNESS = Path(os.environ["ATTACK_WITNESS"])


def ancestors():
    """The processes of the run from this one's parent to the pytest that it is a run of, and nothing above that."""
    pid, found = os.getppid(), []
    while pid > 1:
        found.append(pid)
        if b"--autoresearch-confirm" in Path(f"/proc/{pid}/cmdline").read_bytes():
            return found
        pid = int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b") ")[2].split()[1])
    raise SystemExit("this is no run of the loop")


tour = list(range(CITIES))
np.random.default_rng(0).shuffle(tour)
Path("tour.json").write_text(json.dumps({"tour": tour}))

PTRACE_ATTACH, PTRACE_DETACH = 16, 17
libc = ctypes.CDLL(None, use_errno=True)
supervisor = ancestors()[-2]
if libc.ptrace(PTRACE_ATTACH, supervisor, None, None) == 0:
    os.waitpid(supervisor, 0)
    libc.ptrace(PTRACE_DETACH, supervisor, None, None)
    WITNESS.write_text("attached to the supervisor and let it go")
else:
    WITNESS.write_text(f"impossible: {os.strerror(ctypes.get_errno())}")
