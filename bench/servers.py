"""Servers of their own for the benchmark: PostgreSQL, MariaDB and an API. Temporary folder, free port,
stopped at the end.

Knows where Debian keeps the servers' programs. Settings are the defaults but for what makes loading
quick; reading is not tuned.
"""

import contextlib
import glob
import os
import pathlib
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import time


HERE = pathlib.Path(__file__).resolve().parent


def program(name: str) -> str:
    sbin = f"/usr/sbin/{name}" if os.path.exists(f"/usr/sbin/{name}") else None
    found = shutil.which(name) or sbin or max(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"), default=None)
    if not found:
        raise SystemExit(f"bench: there is no `{name}`; run `make setup`")
    return found


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextlib.contextmanager
def postgres():
    """Gives the URL of a running, empty PostgreSQL server."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="towpath-bench-pg-", dir="/var/tmp"))
    as_other = []
    if os.geteuid() == 0:
        # PostgreSQL refuses to run as root.
        user = pwd.getpwnam("postgres")
        os.chown(folder, user.pw_uid, user.pw_gid)
        as_other = ["runuser", "-u", "postgres", "--"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.STDOUT, "cwd": folder}
    port = free_port()
    data = folder / "data"
    try:
        initdb = [program("initdb"), "-D", str(data), "-U", "bench", "--auth=trust", "-E", "UTF8"]
        subprocess.run([*as_other, *initdb, "--locale=C.UTF-8"], check=True, **quiet)
        settings = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off -c max_wal_size=4GB"
        control = [program("pg_ctl"), "-D", str(data), "-w", "-l", str(folder / "log")]
        subprocess.run([*as_other, *control, "-o", settings, "start"], check=True, **quiet)
        try:
            yield f"postgresql://bench@127.0.0.1:{port}/postgres"
        finally:
            subprocess.run([*as_other, *control, "-m", "fast", "stop"], check=True, **quiet)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def mariadb():
    """Gives the URL of a database of a running MariaDB server that is otherwise empty."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="towpath-bench-maria-", dir="/var/tmp"))
    as_user = ["--user=mysql"] if os.geteuid() == 0 else []
    if as_user:
        user = pwd.getpwnam("mysql")
        os.chown(folder, user.pw_uid, user.pw_gid)
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder}
    port, socket_file = free_port(), folder / "s.sock"
    data = [f"--datadir={folder}/data", *as_user]
    try:
        install = [program("mariadb-install-db"), "--no-defaults", "--skip-test-db", *data]
        subprocess.run([*install, "--auth-root-authentication-method=normal"], check=True, **quiet)
        settings = [f"--socket={socket_file}", f"--port={port}", "--bind-address=127.0.0.1", f"--pid-file={folder}/pid"]
        loading = ["--innodb-flush-log-at-trx-commit=0", "--local-infile=1", "--innodb-buffer-pool-size=512M"]
        server = subprocess.Popen([program("mariadbd"), "--no-defaults", *data, *settings, *loading], **quiet)
        try:
            client = [program("mariadb"), "--no-defaults", f"--socket={socket_file}", "-uroot"]
            users = "CREATE DATABASE bench; CREATE USER bench@'127.0.0.1' IDENTIFIED BY 'bench'; GRANT ALL ON *.* TO bench@'127.0.0.1'"
            for _ in range(300):
                if subprocess.run([*client, "-e", "SELECT 1"], **quiet).returncode == 0:
                    break
                time.sleep(0.1)
            subprocess.run([*client, "-e", users], check=True, **quiet)
            yield f"mysql://bench:bench@127.0.0.1:{port}/bench"
        finally:
            server.terminate()
            server.wait()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def api(path: pathlib.Path, page_rows: int):
    """Gives the URL of an API that serves the JSON lines of a file in pages; what it sends is made before it starts."""
    port = free_port()
    argv = [sys.executable, str(HERE / "api.py"), str(path), str(page_rows), str(port)]
    server = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    try:
        server.stdout.readline()
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()
