"""What a pod runs for a task: its shim, as the first process of its container. Standard library only.

    python -I -m suanmesh_agent.engines.kubernetes.in_pod <shim's folder>

Kubernetes may make two pods for one task: the shim's lock, and what it keeps beside it, let the task run once.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from suanmesh_agent.engines.process import seccomp, shim
from suanmesh_agent.engines.process.confinement import Mounts


def main() -> int:
    """Run the task to its end, unless it has run or is not wanted any more."""
    folder = Path(sys.argv[1])
    os.umask(0o022)
    os.chdir("/")
    seccomp.program()
    shim.run(folder, os.dup(2), Mounts(), shim.Host(os.getpid(), None, alone=os.getpid() == 1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
