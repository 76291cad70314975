"""Compile the contracts, and the clients of examples/, as others do: C++, Go, Java and TypeScript.

A name that is fine in Python may collide with what another language generates: a field `descriptor` did not compile in
C++. The clients are built from the packs of `make sdk`, below build/elsewhere, where tests/mesh runs them. A language
whose tools are not installed is left out and named.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import generate
import make_sdk

OUT = generate.BUILD / "elsewhere"
EXAMPLES = generate.ROOT / "examples"
JARS = ("geronimo-annotation-1.3-spec", "grpc-api", "grpc-core", "grpc-protobuf", "grpc-stub", "guava", "protobuf")
CLIENT_AREAS = ("accounting", "scheduler", "type")
ABSEIL = "-labsl_synchronization"  # which Debian's grpc++.pc forgets


def main(languages: list[str]) -> int:
    ways: dict[str, Callable[[], None]] = {
        "cpp": compile_cpp,
        "go": compile_go,
        "java": compile_java,
        "typescript": compile_typescript,
    }
    for language in languages or ways:
        if lacking := make_sdk.missing(language):
            print(f"{language}: left out, it needs of Debian {' '.join(lacking)}")
            continue
        ways[language]()
        print(f"{language}: {len(make_sdk.contracts())} contracts compile", flush=True)
    return 0


def compile_cpp() -> None:
    """Check every header, build the client's areas, link it. Raises CalledProcessError where one does not compile."""
    sdk = unpacked(make_sdk.tarball("cpp", "Makefile"), make_sdk.fresh(OUT / "cpp"))
    every = OUT / "cpp" / "every.cc"
    every.write_text("".join(f'#include "{path.relative_to(sdk)}"\n' for path in sorted(sdk.rglob("*.h"))))
    subprocess.run(["g++", "-std=c++17", "-fsyntax-only", f"-I{sdk}", str(every)], check=True)
    quickly = [f"-j{os.cpu_count()}", "CXXFLAGS=-O0", f"AREAS={' '.join(CLIENT_AREAS)}"]
    subprocess.run(["make", "--silent", "-C", str(sdk), *quickly], check=True)
    flags = subprocess.run(["pkg-config", "--cflags", "--libs", "grpc++", "protobuf"], capture_output=True, check=True)
    linked = [f"-L{sdk}", "-lsuanmesh", *flags.stdout.decode().split(), ABSEIL]
    compiler = ["g++", "-std=c++17", "-Wall", "-Werror", f"-I{sdk}", "-o", str(OUT / "cpp" / "first_job")]
    subprocess.run([*compiler, str(EXAMPLES / "cpp" / "first_job.cc"), *linked], check=True)


def compile_go() -> None:
    """Vet all packages and build the client. Raises CalledProcessError likewise."""
    root = make_sdk.fresh(OUT / "go")
    (root / "src").mkdir()
    unpacked(make_sdk.tarball("go", "go.mod"), root / "src").rename(root / "src" / "suanmesh")
    environment = make_sdk.go_environment(root)
    subprocess.run(["go", "build", "suanmesh/..."], check=True, env=environment)
    client = str(EXAMPLES / "go" / "first_job.go")
    subprocess.run(["go", "vet", client], check=True, env=environment)
    subprocess.run(["go", "build", "-o", str(root / "first_job"), client], check=True, env=environment)


def compile_java() -> None:
    """Compile every class. Raises CalledProcessError likewise."""
    sources = make_sdk.write("java", make_sdk.fresh(OUT / "java") / "sources")
    files = sorted(str(path) for path in sources.rglob("*.java"))
    on_path = os.pathsep.join(f"/usr/share/java/{jar}.jar" for jar in JARS)
    compiler = ["javac", "-nowarn", "-d", str(OUT / "java" / "classes"), "-cp", on_path]
    subprocess.run([*compiler, *files], check=True)


def compile_typescript() -> None:
    """Install the package and let TypeScript check it all and build the client. Raises CalledProcessError likewise."""
    packed = make_sdk.npm_package()
    project = OUT / "typescript"
    project.mkdir(parents=True, exist_ok=True)
    for path in (EXAMPLES / "typescript").iterdir():
        shutil.copy(path, project)
    wanted = json.loads((project / "package.json").read_text())["dependencies"]["suanmesh"]
    assert (EXAMPLES / "typescript" / wanted.removeprefix("file:")).resolve() == packed.resolve(), wanted
    npm = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--silent", "--no-package-lock"]
    subprocess.run([*npm, str(packed)], check=True, cwd=project)
    subprocess.run(["npm", "run", "--silent", "build"], check=True, cwd=project)


def unpacked(packed: Path, folder: Path) -> Path:
    """What is packed, below the folder."""
    with tarfile.open(packed) as archive:
        archive.extractall(folder, filter="data")
    return folder / packed.name.removesuffix(".tar.gz")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
