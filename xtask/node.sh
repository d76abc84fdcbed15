#!/usr/bin/env bash
# Runs a command with a Node.js that can build the web UI: the one on the PATH, or the one that `make setup` installed.
#   xtask/node.sh --has        whether there is one
#   xtask/node.sh npm ci       runs npm
set -euo pipefail

installed="${XDG_CACHE_HOME:-$HOME/.cache}/towpath/servers/node/bin"
is_new_enough() {
    "$1" -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)' 2>/dev/null
}

if ! { command -v npm >/dev/null && is_new_enough node; }; then
    if [ -x "$installed/node" ] && is_new_enough "$installed/node"; then
        PATH="$installed:$PATH"
    else
        [ "${1:-}" = --has ] || echo "node.sh: there is no Node.js of at least 20.19; to install one: make setup" >&2
        exit 1
    fi
fi
[ "${1:-}" = --has ] || exec "$@"
