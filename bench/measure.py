"""One measured process: wall time, peak resident memory, peak anonymous memory.

Knows Linux: /proc. What is run is the caller's.
"""

import os
import pathlib
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass


class Failed(Exception):
    """A contender could not do it; the text is the end of what it said."""


@dataclass
class Measurement:
    seconds: float
    peak_mb: float
    anonymous_mb: float


def run(argv: list[str], folder: pathlib.Path | None = None, status: int = 0) -> Measurement:
    """Runs one process to its end; another exit status than the expected one is a failure."""
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    with tempfile.TemporaryFile() as stderr:
        started = time.perf_counter()
        process = subprocess.Popen(
            argv, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stderr, env=environment
        )
        watch = Watch(process.pid)
        ended = process.wait()
        seconds = time.perf_counter() - started
        watch.stop()
        if ended != status:
            stderr.seek(0)
            lines = stderr.read().decode(errors="replace").strip().splitlines() or ["(silent)"]
            told = next((line for line in lines if line.startswith("error")), lines[-1])
            raise Failed(f"exit {ended}: {told[:300]}")
    return Measurement(seconds, watch.peaks["VmHWM"] / 1000, watch.peaks["RssAnon"] / 1000)


class Watch:
    """Looks at a process every 5 ms, in kilobytes. `VmHWM` is the kernel's own peak and only misses the
    very end; a peak of `RssAnon` shorter than that may be missed."""

    def __init__(self, pid: int):
        self.status = pathlib.Path(f"/proc/{pid}/status")
        self.peaks = {"VmHWM": 0, "RssAnon": 0}
        self.done = threading.Event()
        self.thread = threading.Thread(target=self.look, daemon=True)
        self.thread.start()

    def look(self):
        while not self.done.wait(0.005):
            try:
                text = self.status.read_text()
            except OSError:
                return
            for line in text.splitlines():
                name, _, value = line.partition(":")
                if name in self.peaks:
                    self.peaks[name] = max(self.peaks[name], int(value.split()[0]))

    def stop(self):
        self.done.set()
        self.thread.join()
