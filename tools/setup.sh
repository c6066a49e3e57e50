#!/bin/sh
# Makes $VENV (default .venv) ready: a virtual environment, the locked dependencies, etlctl itself as an editable
# install. Says nothing and is done at once when all that is there already.
#
#   PY    the Python to use; without it python3, python3.13, python3.12, python3.11: the first that will do
#   ALSO  a second lock file, installed over the first
#
# What was installed is written to $VENV/.ok at the very end: an environment without it was interrupted half-way and
# is made anew. $VENV/.made-by-setup is there from the beginning: an environment with neither is somebody else's, and is
# left alone. uv does the work where it is on the PATH, else python -m venv and pip.
set -eu
cd "$(dirname "$0")/.."
VENV=${VENV:-.venv}
PY=${PY:-}
ALSO=${ALSO:-}
LOCK=requirements-dev.lock

say() { echo "etlctl setup: $*" >&2; }
fail() { say "$*"; exit 1; }

# "3 11 pip", or "3 11 -" where the standard library lacks what python -m venv needs; nothing if it does not run
PROBE='
import sys
try:
    import ensurepip, venv
    has = "pip"
except ImportError:
    has = "-"
print("%d %d %s" % (sys.version_info[0], sys.version_info[1], has))
'
probe() { "$1" -c "$PROBE" 2>/dev/null </dev/null || true; }

is_new_enough() { # MAJOR MINOR
    [ "${1:-0}" -gt 3 ] || { [ "${1:-0}" -eq 3 ] && [ "${2:-0}" -ge 11 ]; }
}

# Sets FOUND to the first Python that will do; else TOO_OLD and NO_VENV say why those seen will not.
find_python() {
    FOUND= TOO_OLD= NO_VENV=
    for name in ${PY:+"$PY"} ${PY:-python3 python3.13 python3.12 python3.11}; do
        # shellcheck disable=SC2046  # three words
        set -- $(probe "$name")
        [ $# -eq 3 ] || continue
        if ! is_new_enough "$1" "$2"; then
            TOO_OLD=${TOO_OLD:-"$name is Python $1.$2"}
        elif [ "$3" != pip ] && [ -z "$UV" ]; then
            NO_VENV=${NO_VENV:-$name}
        else
            FOUND=$name
            return
        fi
    done
}

choose_python() {
    find_python
    [ -z "$FOUND" ] || return 0
    if [ -n "$NO_VENV" ]; then
        fail "$NO_VENV cannot make virtual environments; on Debian and Ubuntu: apt install python3-venv"
    elif [ -n "$TOO_OLD" ]; then
        fail "etlctl needs Python 3.11 or newer and $TOO_OLD; name a newer one, for example: make PY=python3.12 test"
    elif [ -n "$PY" ]; then
        fail "PY=$PY is no Python that runs; name one of version 3.11 or newer, for example: make PY=python3.12 test"
    fi
    fail "no python3 found; install Python 3.11 or newer (on Debian and Ubuntu: apt install python3 python3-venv)," \
        "or name one: make PY=/path/to/python3 test"
}

is_kept() { # is the environment one that an earlier setup finished, here, with the Python asked for?
    [ "$(sed -n 1p "$VENV/.ok" 2>/dev/null)" = "$PWD" ] || return 1
    # shellcheck disable=SC2046  # three words
    set -- $(probe "$VENV/bin/python")
    is_new_enough "$@" || return 1
    [ -n "$PY" ] || return 0
    inside="${1:-} ${2:-}"
    # shellcheck disable=SC2046
    set -- $(probe "$PY")
    [ "$inside" = "${1:-} ${2:-}" ]
}

is_current() { # has all that is wanted been installed?
    [ "$(sed 1d "$VENV/.ok")" = "$locked
$project" ]
}

can_install() { # an environment made by uv has no pip, and uv may be gone
    [ -n "$UV" ] || ls -d "$VENV"/lib/python*/site-packages/pip >/dev/null 2>&1
}

make_environment() {
    choose_python
    if [ -n "$(ls -A "$VENV" 2>/dev/null)" ] && [ ! -e "$VENV/.made-by-setup" ] && [ ! -e "$VENV/.ok" ]; then
        fail "$VENV exists and this setup has not made it; remove it or name another place:" \
            "make VENV=.venv-etlctl test"
    fi
    say "making $VENV with $FOUND"
    rm -rf "$VENV"
    if [ -n "$UV" ]; then
        "$UV" venv --quiet --python "$FOUND" "$VENV"
        : >"$VENV/.made-by-setup"
    else
        mkdir -p "$VENV"
        : >"$VENV/.made-by-setup" # before the seconds that pip takes to get there
        "$FOUND" -m venv "$VENV"
    fi
}

install() { # the arguments of `pip install`
    if [ -n "$UV" ]; then
        "$UV" pip install --quiet --compile-bytecode --python "$VENV/bin/python" "$@"
    else
        "$VENV/bin/python" -m pip install -qq --disable-pip-version-check "$@"
    fi
}

UV=$(command -v uv 2>/dev/null || true)
# One setup at a time: the others wait here (flock is a Linux command; elsewhere nobody waits).
if command -v flock >/dev/null 2>&1; then
    exec 9<tools/setup.sh
    flock 9 || true
fi

locked=$(cat "$LOCK" ${ALSO:+"$ALSO"} | cksum)
project=$(cksum <pyproject.toml)
{ is_kept && { is_current || can_install; }; } || make_environment
if [ "$(sed -n 2p "$VENV/.ok" 2>/dev/null)" != "$locked" ]; then
    rm -f "$VENV/.ok"
    say "installing $LOCK${ALSO:+ and $ALSO} (about a minute with an empty cache)"
    install --require-hashes --only-binary :all: -r "$LOCK"
    [ -z "$ALSO" ] || install --require-hashes --only-binary :all: -r "$ALSO"
fi
if [ "$(sed -n 3p "$VENV/.ok" 2>/dev/null)" != "$project" ]; then
    rm -f "$VENV/.ok"
    install --no-deps --no-build-isolation -e . # the build backend is in the lock: nothing unlocked is fetched
    printf '%s\n' "$PWD" "$locked" "$project" >"$VENV/.ok"
fi
# pip and uv have compiled what they installed; this is for etlctl's own files, where Python is told not to write any
"$VENV/bin/python" -m compileall -q etlctl
