#!/bin/sh
# Writes the lock files anew from pyproject.toml:
#   requirements-dev.lock     what a checkout installs: the newest version of everything, for any Python from 3.11 on
#   requirements-lowest.lock  what users install, in the oldest versions pyproject.toml allows (make test-lowest)
# uv does it; where it is missing it is installed into an environment of its own, build/uv.
set -eu
cd "$(dirname "$0")/.."
UV=$(command -v uv 2>/dev/null || true)
if [ -z "$UV" ]; then
    "${PY:-python3}" -m venv build/uv
    build/uv/bin/python -m pip install -qq --disable-pip-version-check uv
    UV=build/uv/bin/uv
fi
compile() { # FILE, further options
    file=$1
    shift
    "$UV" pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
        --no-emit-find-links --all-extras --custom-compile-command "make lock" "$@" -o "$file" pyproject.toml
}
compile requirements-dev.lock --group dev
compile requirements-lowest.lock --resolution lowest-direct
