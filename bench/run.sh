#!/usr/bin/env bash
# Peers in a venv under the user's cache, Towpath in release, then bench/run.py with the arguments given here.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
cache="${XDG_CACHE_HOME:-$HOME/.cache}/towpath"
venv="$cache/bench-venv"
if ! cmp -s bench/requirements.txt "$venv/requirements.txt"; then
    echo "bench: installing peers into $venv"
    python3 -m venv --clear "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check -r bench/requirements.txt
    cp bench/requirements.txt "$venv/requirements.txt"
fi
case " $* " in
*" --peers-only "* | *" --towpath "*) ;;
*)
    echo "bench: building towpath in release"
    cargo build --locked --release --package towpath
    ;;
esac
exec "$venv/bin/python" bench/run.py --cache "$cache/bench" "$@"
