"""`python -m kubernetes_stand_in server FOLDER PORT`, or `node SERVER NAME CAPACITY FOLDER`."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from pathlib import Path

from aiohttp import web

from .kubelet import Kubelet
from .server import Server


def main() -> None:
    """Run until it is ended."""
    kind, *words = sys.argv[1:]
    if kind == "server":
        folder, port = words
        logging.basicConfig(level=logging.WARNING)
        made = Server(Path(folder)).application()
        web.run_app(made, host="127.0.0.1", port=int(port), print=None, access_log=None, shutdown_timeout=0.1)
    else:
        server, name, capacity, folder = words
        asyncio.run(Kubelet(server, name, json.loads(capacity), Path(folder)).run())


main()
