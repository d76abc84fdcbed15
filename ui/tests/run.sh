#!/usr/bin/env bash
# The tests of the web UI in a real browser, against a real server.
#   TOWPATH=target/debug/towpath ui/tests/run.sh [vitest arguments]
#   TOWPATH_UI_DIST=ui/dist: the pages from this folder instead of those in the binary, to work on them
# It fails with the line that installs what is missing; nothing is skipped.
set -euo pipefail

say() {
    echo "ui/tests: $1" >&2
    exit 1
}

[ -n "${TOWPATH:-}" ] || say "set TOWPATH to the binary: cargo build --package towpath && TOWPATH=target/debug/towpath ui/tests/run.sh"
[ -x "$TOWPATH" ] || say "there is no program $TOWPATH: cargo build --package towpath"
TOWPATH=$(realpath "$TOWPATH")
export TOWPATH
command -v node >/dev/null || say "there is no node: install Node.js 20.19 or newer (https://nodejs.org)"
node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)' \
    || say "node $(node --version) is too old: install Node.js 20.19 or newer (https://nodejs.org)"
CHROMIUM=${CHROMIUM:-$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)}
[ -n "$CHROMIUM" ] || say "there is no Chromium: apt-get install -y chromium (or set CHROMIUM to the program)"
export CHROMIUM

[ -z "${TOWPATH_UI_DIST:-}" ] || TOWPATH_UI_DIST=$(realpath "$TOWPATH_UI_DIST")
export TOWPATH_UI_DIST

cd "$(dirname "$0")/.."
[ -d node_modules ] || npm ci --no-audit --no-fund
npm run --silent check
npm test --silent
exec npx vitest run --config vitest.browser.config.ts "$@"
