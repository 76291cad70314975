"""Data in and out: a folder goes to a site, a job reads it there, and what it made comes back.

python examples/data_in_and_out.py FOLDER
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from suanmesh_client.sync import Input, Job, Output, connect

COUNT = """
import collections, json, pathlib
words = collections.Counter()
for path in pathlib.Path("in").rglob("*"):
    if path.is_file():
        words.update(path.read_text(errors="replace").split())
pathlib.Path("out").mkdir(exist_ok=True)
pathlib.Path("out/words.json").write_text(json.dumps(words.most_common(5)))
"""


def main(folder: Path) -> int:
    """Count the words of all files of the folder, where the data lies."""
    with connect() as mesh:
        brought = mesh.data.put(folder, "example-words")
        print(f"{brought.dataset}: {brought.manifest.size_bytes} bytes at {brought.site}")
        job = mesh.jobs.submit(
            Job(
                command=["python3", "-c", COUNT],
                cores=0.25,
                memory_bytes=64 << 20,
                inputs=[Input(brought.dataset, "in")],
                outputs=[Output("words", "out")],
            )
        ).wait(check=True)
        with TemporaryDirectory() as here:
            fetched = job.fetch("words", Path(here))
            for word, count in json.loads((fetched / "words.json").read_text()):
                print(count, word)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1])))
