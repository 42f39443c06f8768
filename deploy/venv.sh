#!/bin/sh
# Make .venv hold what a lock file pins; do nothing, and use no network, when it already does.
#
#     deploy/venv.sh requirements.txt        the product
#     deploy/venv.sh requirements-dev.txt    the product and the tools to work on it
#
# With uv where it is on the path, otherwise with venv and pip. What goes wrong is said in one sentence.
set -eu
cd "$(dirname "$0")/.."

lock=$1
stamp=.venv/installed # the checksums of the lock files whose packages .venv holds

if [ "$(id -u)" = 0 ]; then
    sudo=""
    to_write="git clone $PWD ~/webhooks && cd ~/webhooks" # only a read-only file system stops root
else
    sudo="sudo "
    to_write="sudo chown -R $(id -un) $PWD"
fi

fail() {
    echo "$1" >&2
    exit 1
}

have_uv() {
    command -v uv >/dev/null
}

fits() {
    "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null
}

choose_python() {
    for python in python3 python3.13 python3.12 python3.11; do
        if fits "$python"; then return; fi
    done
    found=$(python3 --version 2>/dev/null) || found="no python3"
    fail "Python 3.11, 3.12 or 3.13 is needed and there is $found: run '${sudo}apt-get install python3 python3-venv' or install uv, then try again."
}

make_venv() {
    rm -rf .venv
    if have_uv; then
        uv venv --quiet --python '>=3.11,<3.14' .venv ||
            fail "uv could not make .venv, and says why above: run 'uv python install 3.13', then try again."
    else
        choose_python
        "$python" -c 'import ensurepip, venv' 2>/dev/null ||
            fail "$python has no venv module: run '${sudo}apt-get install $python-venv' or install uv, then try again."
        "$python" -m venv .venv
    fi
}

# Whether .venv can be installed into as it is. Its Python may have been upgraded away; or uv, which makes
# environments without pip, made it and is gone.
usable() {
    fits .venv/bin/python && { have_uv || .venv/bin/python -m pip --version >/dev/null 2>&1; }
}

install() {
    if have_uv; then
        uv pip install --quiet --python .venv/bin/python --require-hashes -r "$lock"
    else
        .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-input --require-hashes -r "$lock"
    fi
}

if fits .venv/bin/python && grep -qxF "$(cksum "$lock")" "$stamp" 2>/dev/null; then exit; fi

for folder in "$PWD" "$PWD/.venv"; do
    if [ -e "$folder" ] && [ ! -w "$folder" ]; then
        fail "$(id -un) may not write to $folder: run '$to_write' and try again."
    fi
done
usable || make_venv
rm -f "$stamp"
echo "Installing $lock into .venv (about 20 s) ..."
install || fail "Installing failed, and the lines above say why. If it was the network, run the same command again."

# requirements-dev.txt holds all of requirements.txt: whoever has the one need not install the other.
case $lock in
requirements-dev.txt) cksum requirements.txt requirements-dev.txt >"$stamp" ;;
*) cksum "$lock" >"$stamp" ;;
esac
