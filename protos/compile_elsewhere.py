"""Compile the contracts as others do: C++ with Debian's protoc and headers, TypeScript with protobuf-es.

A name that is fine in Python may collide with what another language generates: a field `descriptor` did not compile in
C++. Needs g++, node, npm and the package registries; nothing is installed but below build/.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import generate

from suanmesh_local.tools import unpack_debian

DEBIAN = ("protobuf-compiler", "libprotoc32", "libprotobuf32", "libprotobuf-dev")
NPM = ("@bufbuild/protobuf@2.17.0", "@bufbuild/protoc-gen-es@2.17.0", "typescript@5.9.3")
IMAGE = generate.BUILD / "protos.binpb"
OUT = generate.BUILD / "elsewhere"
TSC = ("--noEmit", "--strict", "--target", "es2022", "--module", "nodenext", "--moduleResolution", "nodenext")


def main() -> int:
    generate.lay_out_google_protos()
    generate.run(["buf", "build", "--as-file-descriptor-set", "-o", f"{IMAGE}#format=binpb"])
    contracts = sorted(str(path.relative_to(generate.PROTOS)) for path in generate.PROTOS.rglob("*.proto"))
    for language, compile_them in (("C++", compile_cpp), ("TypeScript", compile_typescript)):
        compile_them([*contracts, *generate.GOOGLE])
        print(f"{len(contracts)} contracts compile in {language}")
    return 0


def compile_cpp(contracts: list[str]) -> None:
    """Generate C++ and let g++ check every header. Raises CalledProcessError where one does not compile."""
    usr = [unpack_debian(package, OUT / "debian") / "usr" for package in DEBIAN]
    libraries = os.pathsep.join(str(found) for each in usr for found in each.glob("lib/*-linux-gnu"))
    target = fresh(OUT / "cpp")
    protoc = [str(usr[0] / "bin/protoc"), f"--descriptor_set_in={IMAGE}", f"--cpp_out={target}"]
    subprocess.run([*protoc, *contracts], check=True, env={"LD_LIBRARY_PATH": libraries})
    every = target / "every.cc"
    every.write_text("".join(f'#include "{name.removesuffix(".proto")}.pb.h"\n' for name in contracts))
    headers = usr[DEBIAN.index("libprotobuf-dev")] / "include"
    subprocess.run(["g++", "-std=c++17", "-fsyntax-only", f"-I{target}", f"-I{headers}", str(every)], check=True)


def compile_typescript(contracts: list[str]) -> None:
    """Generate TypeScript and let its compiler check every module. Raises CalledProcessError likewise."""
    project = OUT / "typescript"
    project.mkdir(parents=True, exist_ok=True)
    (project / "package.json").write_text('{"private": true, "type": "module"}\n')
    install = ["npm", "install", "--no-audit", "--no-fund", "--no-save", "--ignore-scripts", "--silent", *NPM]
    subprocess.run(install, check=True, cwd=project)
    target = fresh(project / "src")
    tools = project / "node_modules/.bin"
    protoc = [sys.executable, "-m", "grpc_tools.protoc", f"--descriptor_set_in={IMAGE}"]
    plugin = [f"--plugin=protoc-gen-es={tools}/protoc-gen-es", "--es_opt=target=ts,import_extension=js"]
    subprocess.run([*protoc, *plugin, f"--es_out={target}", *contracts], check=True)
    modules = sorted(str(path) for path in target.rglob("*.ts"))
    subprocess.run([str(tools / "tsc"), *TSC, *modules], check=True, cwd=project)


def fresh(folder: Path) -> Path:
    """The folder, empty."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


if __name__ == "__main__":
    sys.exit(main())
