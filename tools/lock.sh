#!/bin/sh
# Writes the lock files: exact versions with hashes for Python 3.11 to 3.13.
set -eu
cd "$(dirname "$0")/.."
.venv/bin/python -m pip install -q uv
common="--universal --python-version 3.11 --generate-hashes --no-emit-index-url
        --no-emit-find-links --no-annotate --no-header -q -c tools/held_back.txt"
# shellcheck disable=SC2086
.venv/bin/uv pip compile $common pyproject.toml -o requirements.lock
# shellcheck disable=SC2086
.venv/bin/uv pip compile $common --extra test -c requirements.lock pyproject.toml \
    -o requirements-test.lock
