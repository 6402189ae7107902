#!/bin/sh
# Make .venv hold exactly what the lock says: `sh scripts/install.sh core|dev`. Does nothing when it does already.
#
# torch is not in the lock: on Linux the registry's wheel needs its CUDA libraries, and a CPU-only wheel, which a
# user's own pip configuration may offer, does not. Its version is pinned in pyproject.toml; pip resolves what it needs.
set -eu
cd "$(dirname "$0")/.."
group=${1:?give core or dev}
venv=$PWD/.venv
lock=requirements.lock
[ "$group" = core ] || lock=requirements-dev.lock

# The stamp is written last, so an interrupted installation is done again. A moved .venv is made anew (its scripts
# name their interpreter by its path); a changed lock is installed over the old one.
wanted="$venv $(cat pyproject.toml requirements.lock requirements-dev.lock | { sha256sum 2>/dev/null || shasum -a 256; })"
stamped() { [ "$(cat "$venv/.s2gr-$1" 2>/dev/null)" = "$wanted" ]; }
# What `dev` installs holds all of `core`.
is_done() { [ -x "$venv/bin/python" ] && { stamped "$group" || stamped dev; }; }
is_done && exit 0

# Two at once: the second waits, and finds the work done.
mkdir -p .s2gr
if [ -z "${S2GR_INSTALL_LOCKED:-}" ] && command -v flock >/dev/null; then
    S2GR_INSTALL_LOCKED=1 exec flock .s2gr/install.lock sh scripts/install.sh "$group"
fi

supported='import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))'
make_venv() {
    # An interpreter inside .venv can't make it anew.
    PATH=$(printf '%s' "$PATH" | tr ':' '\n' | grep -vxF "$venv/bin" | paste -s -d : -)
    for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
        if command -v "$candidate" >/dev/null && "$candidate" -c "$supported"; then
            "$candidate" -m venv --clear "$venv"
            return
        fi
    done
    found=$("${PYTHON:-python3}" --version 2>&1 || true)
    echo "error: Python 3.11, 3.12 or 3.13 is needed, found: $found; install one, or name it: make PYTHON=/path/to/python3.12" >&2
    exit 1
}

home=$(cat "$venv/.s2gr-home" 2>/dev/null || true)
if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1 || { [ -n "$home" ] && [ "$home" != "$venv" ]; }; then
    echo "Making .venv"
    make_venv
fi
"$venv/bin/python" -c "$supported" || make_venv
rm -f "$venv/.s2gr-core" "$venv/.s2gr-dev"
echo "$venv" >"$venv/.s2gr-home"

torch=$(sed -n 's/^ *"\(torch==[^"]*\)".*/\1/p' pyproject.toml)
echo "Installing $lock, $torch and the project into .venv: some minutes the first time"
export PIP_DISABLE_PIP_VERSION_CHECK=1
"$venv/bin/python" -m pip install -qq --no-deps -r "$lock"
"$venv/bin/python" -m pip install -qq "$torch"
"$venv/bin/python" -m pip install -qq --no-deps -e .

echo "$wanted" >"$venv/.s2gr-$group"
