"""What the setup of a placement is: its command, what another with the same content is known by, and how it failed."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from suanmesh_agent.domain.endings import FENCED, Ending, reason_of
from suanmesh_agent.domain.tasks import SETUP_INDEX, SETUP_PYTHON, Artefact, TaskLook, TaskState
from suanmesh_kernel.reasons import StateReason

WHEELS_MOUNT = ".suanmesh-wheels"
"""Folder that a setup finds the wheels in that came from the site's mirror."""
PIP_MOUNT = ".suanmesh-pip"
"""Folder that it has pip in, for a Python that has none of its own."""
FETCHED = ".suanmesh-fetched"
"""File in which it finds what there is to say about bringing them, which begins its log."""
NO_MIRROR = "suan: no network here, and this site has no mirror: packages come from the wheels of the setup alone\n"
MIRROR = "suan: no network here; wheels of the packages of `python` were looked for at the site's mirror:\n"
TAIL_BYTES = 150
"""What the reason of a failure has of the log's end: more has no room in a job."""
_BEGIN = f"""set -e
export PIP_CONFIG_FILE=/dev/null PIP_NO_INDEX=1 PIP_NO_INPUT=1 PIP_NO_CACHE_DIR=1
export PIP_PROGRESS_BAR=off PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
export PIP_TARGET="$SUANMESH_SETUP/{SETUP_PYTHON}" PIP_FIND_LINKS
mkdir -p "$SUANMESH_SETUP/bin" "$PIP_TARGET"
python3 -m pip --version >/dev/null 2>&1 || export PYTHONPATH="$PWD/{PIP_MOUNT}:$PYTHONPATH"
cat {FETCHED}
if [ "$#" -gt 0 ]; then
  python3 -m pip install -- "$@"
fi
"""
_OF_THE_RUN = frozenset({"CANCELLED", FENCED})


@dataclass(frozen=True, slots=True)
class Setup:
    """What is to be made ready before tasks run."""

    python: tuple[str, ...]
    run: tuple[str, ...]
    wheels: str
    """Mount of the input that has wheels; empty for none."""

    def wanted(self, *, fetched: bool) -> tuple[str, ...]:
        """The command line; `fetched` where wheels of the site's mirror lie at `WHEELS_MOUNT`."""
        mounts = [mount for mount in (self.wheels, WHEELS_MOUNT if fetched else "") if mount]
        links = "PIP_FIND_LINKS=" + '" "'.join(f'"$PWD/"{shlex.quote(mount)}' for mount in mounts)
        return ("/bin/sh", "-c", "\n".join((links, _BEGIN, *self.run)), "sh", *self.python)

    def key(
        self,
        party: str,
        host: Iterable[str],
        inputs: Sequence[tuple[str, str]],
        artefacts: Sequence[Artefact],
        variables: Iterable[tuple[str, str]],
    ) -> str:
        """What an equal setup is known by, of the same party on a host with the same interpreters.

        Packages alone come of their names and the wheels; lines may read all that the job brings.
        """
        brought = [each for each in inputs if self.run or each[1] == self.wheels]
        files = [(each.path, each.content.hex(), each.executable) for each in artefacts if self.run]
        told = sorted(variables) if self.run else []
        content = [party, list(host), self.python, self.run, self.wheels, brought, files, told]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def failed(look: TaskLook, tail: str) -> Ending | None:
    """How a placement ends whose setup stands so; None where that is for the tasks to say.

    What the job did not do is no failure of its setup.
    """
    if look.state is TaskState.LOST or look.failure == FENCED:
        return Ending(reason_of(0, look), lost=look.failure == FENCED)
    if look.state is not TaskState.ENDED or look.succeeded or look.failure in _OF_THE_RUN:
        return None
    facts = {"exit_status": str(look.exit_status), "log": tail}
    cause = StateReason(look.failure, {"task": str(SETUP_INDEX)}) if look.failure else None
    return Ending(StateReason("SETUP_FAILED", facts, cause))


def tail_of(log: bytes) -> str:
    """As many of the last lines of a log as there is room for, in one, for people."""
    text = "".join(each if each.isprintable() or each == "\n" else " " for each in log.decode(errors="replace"))
    found = ""
    for line in reversed([line.strip() for line in text.splitlines() if line.strip()]):
        more = f"{line} | {found}" if found else line
        if found and len(more.encode()) > TAIL_BYTES:
            break
        found = more
    return found.encode()[:TAIL_BYTES].decode(errors="ignore")
