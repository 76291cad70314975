"""What asks Ray, as a program of its own: Ray's client waits, has threads, and ends its process when its node dies.

    python -I client.py <address> <namespace>

One JSON object a line. It says first how it came to Ray, and then answers each request: `{"answer": ...}`, or
`{"failure": code, "said": words}`. It ends with its standard input. Standard library and Ray only: its Python is that
of Ray's nodes.

Ray ends what nobody owns any more. So what it runs is owned by an actor that outlives this program, and lies on the
head, without which there is no Ray either.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import socket
import sys
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

Say = Callable[[dict[str, Any]], None]
Needs = tuple[float, int, int, str]
"""What a task asks of a node: processors, bytes of memory, cards, and their type; empty for any."""
REACH_S = 5.0
ANSWER_S = 10.0
KEEPER = "keeper-2"
"""With the number of what it is asked: another one's tasks are found by their folders."""
_DENIAL = "InvalidAuthToken"
_HEAD = {"node:__internal_head__": 0.001}
"""A resource that only the head has."""
_TOLD = ("PATH", "LANG", "LD_LIBRARY_PATH")
"""What a task's shim is told of its worker's environment, where Ray's token is too."""


def main() -> int:
    """Answer until nobody asks any more, or Ray fails: a client may be one of a cluster that has gone, and not know."""
    address, namespace = sys.argv[1:3]
    say = speaker()
    lines: SimpleQueue[str] = SimpleQueue()
    threading.Thread(target=_read, args=(lines,), daemon=True).start()
    threading.Thread(target=_watch_for_denial, args=(_own_warnings(), say), daemon=True).start()
    try:
        site = _connected(address, namespace)
        say({"answer": ""})
        while True:
            say({"answer": site.answer(json.loads(lines.get()))})
    except Failure as failure:
        say({"failure": failure.code, "said": failure.said})
    return 1


class Failure(Exception):
    """Ray cannot be asked."""

    def __init__(self, code: str, said: str) -> None:
        super().__init__(said)
        self.code, self.said = code, said


def _read(lines: SimpleQueue[str]) -> None:
    """Whoever asks may be killed while Ray is waited for."""
    for line in sys.stdin:
        lines.put(line)
    os._exit(0)


def speaker() -> Say:
    """What answers: nothing else is written to what was standard output, where Ray prints what befalls it."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def say(words: dict[str, Any]) -> None:
        answers.write(json.dumps(words) + "\n")
        answers.flush()

    return say


def _own_warnings() -> int:
    """Where what this process writes to its standard error and output is read from now on."""
    reader, writer = os.pipe()
    for each in (1, 2):
        os.dup2(writer, each)
    os.close(writer)
    return reader


def _watch_for_denial(warnings: int, say: Say) -> None:
    """A cluster that wants another token is asked for it 20 times, and only these warnings tell it from a dead one."""
    with os.fdopen(warnings, errors="replace") as lines:
        for line in lines:
            if _DENIAL in line:
                say({"failure": "RAY_DENIED", "said": line.rpartition(_DENIAL)[2].strip(": \n")})
                os._exit(1)


def _short(fault: BaseException) -> str:
    return f"{type(fault).__name__}: {' '.join(str(fault).split())}"[:500]


def _connected(address: str, namespace: str) -> Site:
    """Raises Failure, with a code that says what is to be mended."""
    if importlib.util.find_spec("ray") is None:
        raise Failure("RAY_ABSENT", sys.executable)
    _reach(address)
    import ray

    try:
        ray.init(address=address, namespace=namespace, logging_level="ERROR", log_to_driver=False)
    except (ray.exceptions.RayError, RuntimeError, ValueError, OSError) as fault:
        raise Failure(*told(str(fault), type(fault).__name__)) from fault
    return Site(ray, namespace)


def _reach(address: str) -> None:
    """Ray itself goes on trying for minutes, and ends its process then."""
    host, _, port = address.rpartition(":")
    if address == "auto":
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), REACH_S).close()
    except (OSError, ValueError, OverflowError) as fault:
        raise Failure("RAY_UNREACHABLE", f"{address}: {fault}") from fault


def told(said: str, kind: str) -> tuple[str, str]:
    """What Ray's words mean, and what of them to pass on."""
    rays, pythons = (re.findall(rf"{name}: (\S+)", said) for name in ("Ray", "Python"))
    if "Version mismatch" in said and len(rays) == len(pythons) == 2:
        if rays[0] != rays[1]:
            return "RAY_VERSION_DIFFERS", f"{rays[0]}, {rays[1]}"
        return "RAY_PYTHON_DIFFERS", f"{pythons[0]}, {pythons[1]}"
    if kind == "AuthenticationError":
        return "RAY_DENIED", " ".join(said.split())[:500]
    return "RAY_UNREACHABLE", " ".join(said.split())[:500]


class Site:
    """The part of the cluster that is one site's."""

    def __init__(self, ray: Any, namespace: str) -> None:
        self._ray = ray
        self._namespace = namespace

    def answer(self, request: dict[str, Any]) -> Any:
        """As `do` says: `take`, `held`, `drop` or `nodes`. Raises Failure."""
        try:
            return self._answer(request)
        except (self._ray.exceptions.RayError, RuntimeError, OSError) as fault:
            raise Failure("RAY_SILENT", _short(fault)) from fault

    def _answer(self, request: dict[str, Any]) -> Any:
        do = request["do"]
        if do == "nodes":
            return self._nodes()
        answer = self._asked(lambda keeper: getattr(keeper, do).remote(*request["with"]))
        return {"held": answer, "nodes": self._nodes()} if do == "held" else answer

    def _nodes(self) -> list[dict[str, Any]]:
        told = ("Alive", "NodeName", "NodeManagerHostname", "Resources")
        return [{name: node[name] for name in told} for node in self._ray.nodes()]

    def _asked(self, ask: Callable[[Any], Any]) -> Any:
        """A keeper that has died has left its name, and its tasks are Ray's to end."""
        try:
            return self._ray.get(ask(self._keeper()), timeout=ANSWER_S)
        except self._ray.exceptions.RayActorError:
            return self._ray.get(ask(self._keeper()), timeout=ANSWER_S)

    def _keeper(self) -> Any:
        kind = self._ray.remote(num_cpus=0, resources=_HEAD)(keeper_kind())
        return kind.options(name=KEEPER, namespace=self._namespace, lifetime="detached", get_if_exists=True).remote()


def keeper_kind() -> type:
    """What holds what it has handed to Ray. It and all it needs goes to Ray by value, from the program's own module."""

    class Keeper:
        """Owns tasks, by our keys."""

        def __init__(self) -> None:
            import ray

            self._held: dict[str, tuple[Any, Needs]] = {}
            self._run = ray.remote(max_retries=0)(run_shim)

        def take(self, elements: list[tuple[str, list[str], str]], needs: Needs) -> None:
            """Hand over elements: key, command, and a file for what goes wrong."""
            cpus, memory, gpus, kind = needs
            asked: dict[str, Any] = {"num_cpus": cpus, "memory": memory, "num_gpus": gpus}
            asked |= {"accelerator_type": kind} if kind else {}
            for key, command, out in elements:
                if key not in self._held:
                    self._held[key] = self._run.options(**asked).remote(command, out), needs

        def held(self) -> list[tuple[str, Needs]]:
            """The keys of those that wait or run, and what they need."""
            import ray

            if self._held:
                refs = [ref for ref, _ in self._held.values()]
                over = set(ray.wait(refs, num_returns=len(refs), timeout=0, fetch_local=False)[0])
                self._held = {key: held for key, held in self._held.items() if held[0] not in over}
            return [(key, needs) for key, (_, needs) in self._held.items()]

        def drop(self, keys: list[str]) -> None:
            """Take out of the queue what waits."""
            import ray

            for key in keys:
                if key in self._held:
                    ray.cancel(self._held.pop(key)[0])

    return Keeper


def run_shim(command: list[str], out: str) -> int:
    """What a worker of Ray's runs: a shim, which lives as long as the worker at most."""
    import os
    import subprocess

    import ray

    told = {name: os.environ[name] for name in _TOLD if name in os.environ}  # noqa: TID251 - of Ray's worker
    told["CUDA_VISIBLE_DEVICES"] = ",".join(ray.get_runtime_context().get_accelerator_ids().get("GPU", ()))
    with open(out, "ab") as said:  # noqa: PTH123 - sent to Ray by value
        child = subprocess.Popen(
            [*command, str(os.getpid())],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            env=told,
            start_new_session=True,
        )
    return child.wait()


if __name__ == "__main__":
    sys.exit(main())
