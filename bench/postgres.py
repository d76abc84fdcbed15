"""A PostgreSQL server of its own for the benchmark: temporary folder, free port, stopped at the end.

Knows where Debian keeps the server's programs. Settings are the defaults but for what makes loading
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
import tempfile


def program(name: str) -> str:
    found = shutil.which(name) or max(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"), default=None)
    if not found:
        raise SystemExit(f"bench: there is no `{name}`; run `make setup`")
    return found


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextlib.contextmanager
def server():
    """Gives the URL of a running, empty server."""
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
