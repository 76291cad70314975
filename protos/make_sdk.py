"""Pack the contracts for a language: `make sdk LANG=cpp`, `go`, `typescript` or `python` writes it below build/sdk.

| language | what is made | what it is used with |
|---|---|---|
| cpp | sources of messages and stubs with a Makefile, `.tar.gz` | protobuf's and grpc++'s headers, as Debian has them |
| go | the module `suanmesh`, `.tar.gz` | google.golang.org/grpc and google.golang.org/protobuf |
| typescript | the package `suanmesh`, `.tgz` as npm takes it | @bufbuild/protobuf and a transport of @connectrpc |
| python | the wheel `suanmesh`, which has the command line and the client too | pip |

Contracts for Java are written as well, but not packed. Needs what `NEEDED` names of Debian, and npm.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
from collections.abc import Callable
from pathlib import Path

import generate

SDK = generate.BUILD / "sdk"
TOOLS = generate.BUILD / "elsewhere" / "tools"
IMAGE = generate.BUILD / "protos.binpb"
TEMPLATES = generate.PROTOS / "sdk"
GO_SOURCES = "/usr/share/gocode"
ES = ("@bufbuild/protoc-gen-es@2.13.0", "@bufbuild/protobuf@2.13.0")
NEEDED = {
    "cpp": {
        "g++": "/usr/bin/g++",
        "libgrpc++-dev": "/usr/include/grpcpp/grpcpp.h",
        "libtomlplusplus-dev": "/usr/include/toml++/toml.h",
        "protobuf-compiler": "/usr/bin/protoc",
        "protobuf-compiler-grpc": "/usr/bin/grpc_cpp_plugin",
    },
    "go": {
        "golang-github-burntsushi-toml-dev": f"{GO_SOURCES}/src/github.com/BurntSushi/toml",
        "golang-go": "/usr/bin/go",
        "golang-google-grpc-dev": f"{GO_SOURCES}/src/google.golang.org/grpc",
        "protobuf-compiler": "/usr/bin/protoc",
    },
    "java": {
        "default-jdk-headless": "/usr/bin/javac",
        "libgeronimo-annotation-1.3-spec-java": "/usr/share/java/geronimo-annotation-1.3-spec.jar",
        "libgrpc-java": "/usr/share/java/grpc-stub.jar",
        "libprotobuf-java": "/usr/share/java/protobuf.jar",
        "protobuf-compiler": "/usr/bin/protoc",
        "protobuf-compiler-grpc-java-plugin": "/usr/bin/grpc_java_plugin",
    },
    "typescript": {"npm": "/usr/bin/npm"},
    "python": {},
}
"""Of each language the packages of Debian that it needs, and what tells that they are there."""


def main(language: str) -> int:
    packs: dict[str, Callable[[], Path]] = {
        "cpp": lambda: tarball("cpp", "Makefile"),
        "go": lambda: tarball("go", "go.mod"),
        "typescript": npm_package,
        "python": wheel,
    }
    if language not in packs:
        sys.exit(f"LANG is one of {', '.join(packs)}")
    if lacking := missing(language):
        sys.exit(f"{language} needs of Debian: {' '.join(lacking)}")
    print(packs[language]().relative_to(generate.ROOT))
    return 0


def missing(language: str) -> list[str]:
    """What of Debian is not installed that the language needs."""
    return [package for package, path in NEEDED[language].items() if not Path(path).exists()]


def contracts() -> list[str]:
    """The contracts that are for others, as paths below protos/; etcd's own is not."""
    found = sorted(str(path.relative_to(generate.PROTOS)) for path in generate.PROTOS.rglob("*.proto"))
    return [name for name in found if "/etcdwire/" not in name]


def compile_image() -> None:
    """Compile all contracts into one image, which every language is written from."""
    generate.lay_out_google_protos()
    generate.run(["buf", "build", "--as-file-descriptor-set", "-o", f"{IMAGE}#format=binpb"])


def tarball(language: str, template: str) -> Path:
    """The sources of a language, with what builds them."""
    name = f"suanmesh-{language}-{version()}"
    folder = write(language, fresh(SDK / language) / name)
    root = folder / "suanmesh" if language == "go" else folder
    shutil.copy(TEMPLATES / template, root)
    shutil.copy(generate.ROOT / "LICENSE", root)
    packed = SDK / f"{name}.tar.gz"
    with tarfile.open(packed, "w:gz") as archive:
        archive.add(root, arcname=name)
    return packed


def npm_package() -> Path:
    """The package for npm: JavaScript with its types."""
    folder = write("typescript", fresh(SDK / "typescript"))
    described = json.loads((TEMPLATES / "package.json").read_text())
    (folder / "package.json").write_text(json.dumps({**described, "version": version()}, indent=2) + "\n")
    shutil.copy(generate.ROOT / "LICENSE", folder)
    subprocess.run(
        ["npm", "pack", "--silent", "--pack-destination", str(SDK)], check=True, cwd=folder, capture_output=True
    )
    return SDK / f"suanmesh-{version()}.tgz"


def wheel() -> Path:
    """The wheel of all of Suanmesh, whose dependencies by themselves are those of a user."""
    SDK.mkdir(parents=True, exist_ok=True)
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--no-deps", "--no-build-isolation", "-w", str(SDK), str(generate.ROOT)], check=True)
    return SDK / f"suanmesh-{version()}-py3-none-any.whl"


def write(language: str, target: Path) -> Path:
    """Write messages and stubs of a language below `target`, which it returns. Raises CalledProcessError."""
    compile_image()
    target.mkdir(parents=True, exist_ok=True)
    {"cpp": write_cpp, "go": write_go, "java": write_java, "typescript": write_typescript}[language](target)
    return target


def write_cpp(target: Path) -> None:
    plugin = ["--plugin=protoc-gen-grpc=/usr/bin/grpc_cpp_plugin", f"--cpp_out={target}", f"--grpc_out={target}"]
    protoc(*plugin, *contracts(), *generate.GOOGLE)


def write_go(target: Path) -> None:
    """The contracts name no Go packages, since where ours lie is for whoever builds them to say."""
    for name in ("google.golang.org/protobuf/cmd/protoc-gen-go", "google.golang.org/grpc/cmd/protoc-gen-go-grpc"):
        TOOLS.mkdir(parents=True, exist_ok=True)
        subprocess.run(["go", "build", "-o", str(TOOLS), name], check=True, env=go_environment())
    packages = {name: Path(name).parent for name in contracts()}
    placed = ",".join(f"M{name}={at};{at.parent.name}{at.name}" for name, at in packages.items())
    plugins = [f"--plugin={TOOLS}/protoc-gen-go", f"--plugin={TOOLS}/protoc-gen-go-grpc"]
    outputs = [f"--go_out={target}", f"--go_opt={placed}", f"--go-grpc_out={target}", f"--go-grpc_opt={placed}"]
    protoc(*plugins, *outputs, *contracts())


def write_java(target: Path) -> None:
    plugin = ["--plugin=protoc-gen-grpc=/usr/bin/grpc_java_plugin", f"--java_out={target}", f"--grpc_out={target}"]
    protoc(*plugin, *contracts(), *generate.GOOGLE)


def write_typescript(target: Path) -> None:
    TOOLS.mkdir(parents=True, exist_ok=True)
    (TOOLS / "package.json").write_text('{"private": true}\n')
    install = ["npm", "install", "--no-audit", "--no-fund", "--no-save", "--ignore-scripts", "--silent", *ES]
    subprocess.run(install, check=True, cwd=TOOLS)
    plugin = f"--plugin=protoc-gen-es={TOOLS}/node_modules/.bin/protoc-gen-es"
    options = [f"--es_out={target}", "--es_opt=target=js+dts,import_extension=js"]
    compiler = [sys.executable, "-m", "grpc_tools.protoc", f"--descriptor_set_in={IMAGE}"]
    subprocess.run([*compiler, plugin, *options, *contracts(), *generate.GOOGLE], check=True)


def protoc(*arguments: str) -> None:
    """Run Debian's protoc, which fits the headers and plugins of Debian."""
    subprocess.run(["/usr/bin/protoc", f"--descriptor_set_in={IMAGE}", *arguments], check=True)


def go_environment(*paths: Path) -> dict[str, str]:
    """Go as Debian means it: sources below GOPATH, no modules fetched."""
    where = os.pathsep.join([*map(str, paths), GO_SOURCES])
    cache = TOOLS.parent / "gocache"
    return {"PATH": "/usr/bin:/bin", "GO111MODULE": "off", "GOPATH": where, "GOCACHE": str(cache), "HOME": str(TOOLS)}


def version() -> str:
    """The release these contracts belong to."""
    return str(tomllib.loads((generate.ROOT / "pyproject.toml").read_text())["project"]["version"])


def fresh(folder: Path) -> Path:
    """The folder, empty."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else ""))
