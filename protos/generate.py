"""Generate libs/wire from protos/: typed messages, stubs for grpc.aio, and py.typed markers.

buf compiles (it finds the imports and reports errors well), grpc_tools.protoc writes the Python, because buf cannot
drive the gRPC plugin for Python. Google's own protos are laid out from the installed googleapis-common-protos package;
with the argument `google` that is all that is done, for buf to lint with.

Only files that are other than before are replaced, each at once: a process that starts meanwhile imports whole ones.
"""

from __future__ import annotations

import importlib.resources
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "protos"
WIRE = ROOT / "libs" / "wire"
BUILD = ROOT / "build"
DRAFT = BUILD / "wire"
GOOGLE = ["google/rpc/status.proto"]


def main(only_google: bool = False) -> int:
    lay_out_google_protos()
    if only_google:
        return 0
    image = BUILD / "protos.binpb"
    run(["buf", "build", "--as-file-descriptor-set", "-o", f"{image}#format=binpb"])
    shutil.rmtree(DRAFT, ignore_errors=True)
    DRAFT.mkdir(parents=True)
    everything = sorted(str(p.relative_to(PROTOS)) for p in PROTOS.rglob("*.proto"))
    services = [p for p in everything if p.endswith("_service.proto")]
    protoc = [sys.executable, "-m", "grpc_tools.protoc", f"--descriptor_set_in={image}"]
    run([*protoc, f"--python_out={DRAFT}", f"--mypy_out=readable_stubs,quiet:{DRAFT}", *everything])
    run([*protoc, f"--grpc_python_out={DRAFT}", f"--mypy_grpc_out=readable_stubs,only_async,quiet:{DRAFT}", *services])
    (DRAFT / "suanmesh" / "py.typed").touch()
    replace_by(DRAFT / "suanmesh", WIRE / "suanmesh")
    return 0


def replace_by(draft: Path, target: Path) -> None:
    """Make the files of `target` those of `draft`, both on one disk; what Python compiled of them may stay."""
    made = {path.relative_to(draft) for path in draft.rglob("*") if path.is_file()}
    for name in made:
        old, new = target / name, draft / name
        if not old.is_file() or old.read_bytes() != new.read_bytes():
            old.parent.mkdir(parents=True, exist_ok=True)
            new.replace(old)
    for old in [path for path in target.rglob("*") if path.is_file() and "__pycache__" not in path.parts]:
        if old.relative_to(target) not in made:
            old.unlink()


def lay_out_google_protos() -> None:
    source = importlib.resources.files("google.rpc").joinpath("..")
    for name in GOOGLE:
        target = BUILD / "googleapis" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(Path(str(source)).joinpath("..", name).read_bytes())


def run(command: list[str]) -> None:
    environment = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "HOME": str(BUILD)}
    subprocess.run(command, cwd=ROOT, env=environment, check=True)


if __name__ == "__main__":
    sys.exit(main(only_google=sys.argv[1:] == ["google"]))
