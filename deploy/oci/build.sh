#!/usr/bin/env bash
# Builds the image of Suanmesh without a registry and without Docker: Debian's Python, the wheel, and the locked packages.
#
#   deploy/oci/build.sh [IMAGE]     IMAGE is the tag, localhost/suanmesh:VERSION if not given; prints it at the end
#
# Needs root, buildah, mmdebstrap and a Python with pip. One image holds every program: the command says which.
set -euo pipefail
cd "$(dirname "$0")/../.."

python=${PYTHON:-.venv/bin/python}
version=$("$python" -c 'import tomllib; print(tomllib.load(open("pyproject.toml", "rb"))["project"]["version"])')
image=${1:-localhost/suanmesh:$version}
work=build/oci
mkdir -p "$work"

# The system, of Debian's packages alone; kept, since it changes with Debian and not with Suanmesh.
if [ ! -s "$work/system.tar" ]; then
  mmdebstrap --quiet --format=tar --variant=apt --include=python3-venv,ca-certificates \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' --aptopt='APT::Sandbox::User "root"' bookworm "$work/system.tar.new"
  mv "$work/system.tar.new" "$work/system.tar"
fi

# The packages as they are locked, for the Python that Debian has, and the wheel of this checkout.
rm -rf "$work/wheels"
"$python" -m pip download --quiet --disable-pip-version-check --require-hashes --only-binary=:all: --python-version 3.11 \
  --no-deps --dest "$work/wheels" -r requirements.lock
"$python" -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir "$work/wheels" .

made=$(buildah from scratch)
trap 'buildah rm "$made" >/dev/null' EXIT
buildah add --quiet "$made" "$work/system.tar" / >/dev/null
inside() { buildah run --isolation chroot --volume "$PWD/$work/wheels:/wheels:ro" "$made" -- "$@"; }
inside python3 -m venv /opt/suanmesh
inside /opt/suanmesh/bin/pip install --quiet --no-cache-dir --no-index --find-links /wheels "suanmesh[server]"
inside useradd --uid 10001 --home-dir /var/lib/suanmesh --create-home --shell /usr/sbin/nologin suanmesh
buildah config --user 10001:10001 --workingdir /var/lib/suanmesh --env PATH=/opt/suanmesh/bin:/usr/bin:/bin \
  --env SUANMESH_DATA_DIR=/var/lib/suanmesh --env LANG=C.UTF-8 --stop-signal SIGTERM --cmd suan \
  --label org.opencontainers.image.title=suanmesh --label "org.opencontainers.image.version=$version" \
  --label org.opencontainers.image.licenses=Apache-2.0 "$made"
buildah commit --quiet "$made" "$image" >/dev/null
echo "$image"
