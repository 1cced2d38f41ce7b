#!/bin/sh
# Makes .venv with the pinned packages; with "test" also what the tests need.
set -eu
cd "$(dirname "$0")/.."

say() { printf '%s\n' "$*"; }

python=""
for candidate in python3.11 python3.12 python3.13 python3; do
    if command -v "$candidate" >/dev/null 2>&1 &&
        "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))'; then
        python=$candidate
        break
    fi
done
[ -n "$python" ] || { say "Python 3.11, 3.12 or 3.13 is needed; install python3.11"; exit 1; }

if [ ! -x .venv/bin/python ] || ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    if ! "$python" -m venv .venv >/dev/null 2>&1; then
        # Debian and Ubuntu keep venv in a package of its own.
        rm -rf .venv
        version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
            say "installing python$version-venv …"
            apt-get update -qq
            DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "python$version-venv" >/dev/null
            "$python" -m venv .venv
        else
            say "python$version-venv is missing: sudo apt install python$version-venv"
            exit 1
        fi
    fi
fi

if [ "${1:-}" = test ]; then
    say "setting up the tests …"
    .venv/bin/python -m pip install -q --require-hashes -r requirements-test.lock
    sh tools/peers.sh
    touch .venv/tests-ready
else
    say "setting up EncryptoTel …"
    .venv/bin/python -m pip install -q --require-hashes -r requirements.lock
    .venv/bin/python -m pip install -q --no-deps --no-build-isolation -e . 2>/dev/null ||
        .venv/bin/python -m pip install -q --no-deps -e .
    # Where Python is told to write nothing beside its sources, each start would compile them: 1 s.
    .venv/bin/python -m compileall -q bot encryptotel nlp pbx scheduler store web
    touch .venv/ready
fi
