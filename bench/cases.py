"""What is measured: each case has an input, contenders that do the same, a way to compare what they
made, and the limits Towpath must keep. Cases without a peer are in `alone.py`.

`Towpath` is the only place that knows Towpath's command line and project files. Read next: `run.py`.
"""

import json
import pathlib
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field

import data

HERE = pathlib.Path(__file__).resolve().parent
OURS = "towpath"


@dataclass
class Contender:
    """Someone who does the job. `argv` gets a fresh, empty output folder each time."""

    name: str
    argv: Callable[[pathlib.Path], list[str]]
    # Where to run; gets the same output folder.
    folder: Callable[[pathlib.Path], pathlib.Path] | None = None
    # What it made, as a relation DuckDB can read; None when there is nothing to compare.
    made: Callable[[pathlib.Path], str] | None = None
    # The exit status that means it did its job.
    status: int = 0


@dataclass
class Limit:
    """A promise about `who`: its `value` over the other's, or its value as it is without another."""

    value: str  # seconds | peak_mb | anonymous_mb | output_mb
    at_most: float
    beside: str | None = None
    who: str = OURS


@dataclass
class Case:
    name: str
    what: str
    contenders: list[Contender]
    limits: list[Limit] = field(default_factory=list)
    rows: int | None = None
    # Whether what contenders made is compared, by checksums of all columns.
    compare: bool = True


class Towpath:
    """Towpath's command line and project files, as the cases need them."""

    def __init__(self, binary: str):
        self.binary = binary

    def contender(self, argv, made=None, prepare=None, name=OURS, status=0) -> Contender:
        """`prepare` makes a project in the output folder, where the command is then run."""

        def in_folder(out):
            if prepare:
                prepare(out)
            return out

        return Contender(name, lambda out: [self.binary, *argv(out)], in_folder, made, status)

    @staticmethod
    def project(out: pathlib.Path, pipeline: dict, connections: dict, memory: str | None = None):
        project = {
            "towpath": 1,
            "name": "bench",
            "id": "00000000-0000-4000-8000-000000000001",
            "lakehouse": "./lake",
            "connections": connections,
        }
        if memory:
            project["memory"] = memory
        (out / "pipelines").mkdir()
        # JSON is YAML.
        (out / "towpath.yml").write_text(json.dumps(project, indent=1))
        (out / "pipelines/bench.yml").write_text(json.dumps(pipeline, indent=1))


def parquet(out: pathlib.Path) -> str:
    return f"read_parquet('{out}/out.parquet')"


def peer(name: str, function: str, *arguments: str, made=parquet) -> Contender:
    script = str(HERE / "peers.py")

    def argv(out):
        return [sys.executable, script, function, *arguments, str(out / "out.parquet")]

    return Contender(name, argv, made=made)


def delta(table: str) -> Callable[[pathlib.Path], str]:
    """A Delta table as the files that its log leaves standing."""

    def made(out):
        folder = out / "lake" / table
        files = set()
        for log in sorted((folder / "_delta_log").glob("*.json")):
            for line in log.read_text().splitlines():
                action = json.loads(line)
                if "add" in action:
                    files.add(str(folder / action["add"]["path"]))
                if "remove" in action:
                    files.discard(str(folder / action["remove"]["path"]))
        return f"read_parquet({sorted(files)})"

    return made


def csv_inferred(towpath: Towpath | None, path: pathlib.Path, rows: int) -> Case:
    contenders = [peer("duckdb", "duckdb_csv_inferred", str(path))]
    if towpath:
        contenders.append(towpath.contender(lambda out: ["copy", str(path), "out.parquet"], parquet))
    return Case(
        "csv_parquet_inferred",
        f"CSV -> Parquet (zstd 1), {path.stat().st_size / 1e6:,.0f} MB, types inferred",
        contenders,
        [Limit("seconds", 1.25, "duckdb"), Limit("output_mb", 1.1, "duckdb")],
        rows,
    )


def csv_declared(towpath: Towpath | None, path: pathlib.Path, rows: int) -> Case:
    contenders = [peer("duckdb", "duckdb_csv_declared", str(path))]
    if towpath:
        types = [word for name, kind in data.TYPES.items() for word in ("--type", f"{name}={kind.lower()}")]
        contenders.append(towpath.contender(lambda out: ["copy", str(path), "out.parquet", *types], parquet))
    return Case(
        "csv_parquet_declared",
        f"CSV -> Parquet (zstd 1), {path.stat().st_size / 1e6:,.0f} MB, types declared",
        contenders,
        [Limit("seconds", 1.5, "duckdb"), Limit("output_mb", 1.1, "duckdb")],
        rows,
    )


def postgres_parquet(towpath: Towpath | None, url: str, rows: int) -> Case:
    binary_copy = ["psql", "-q", url, "-c", "COPY public.mixed TO STDOUT (FORMAT binary)"]
    contenders = [
        Contender("copy binary to nowhere", lambda out: binary_copy),
        peer("connectorx", "connectorx_postgres", url),
        peer("adbc", "adbc_postgres", url),
    ]
    if towpath:
        argv = ["copy", url, "--table", "public.mixed", "out.parquet"]
        contenders.append(towpath.contender(lambda out: argv, parquet))
    return Case(
        "postgres_parquet",
        f"PostgreSQL -> Parquet (zstd 1), {rows:,} rows x {len(data.COLUMNS)} columns",
        contenders,
        [
            Limit("seconds", 1 / 0.6, "copy binary to nowhere"),
            Limit("seconds", 1.0, "connectorx"),
            Limit("seconds", 1.0, "adbc"),
        ],
        rows,
    )


def demo(towpath: Towpath | None) -> Case:
    example = HERE.parent / "examples/nycflights"
    script = str(HERE / "peers.py")
    contenders = [
        Contender(
            "duckdb",
            lambda out: [sys.executable, script, "duckdb_nycflights", str(example / "data"), str(out)],
        )
    ]
    if towpath:
        skip = shutil.ignore_patterns(".towpath", "lake", "out")
        contenders.append(
            towpath.contender(
                lambda out: ["run"],
                prepare=lambda out: shutil.copytree(example, out, ignore=skip, dirs_exist_ok=True),
            )
        )
    limits = [Limit("seconds", 1.5, "duckdb"), Limit("seconds", 3.0), Limit("peak_mb", 500)]
    # The example's own tests compare its tables; the script rounds and names its columns differently.
    return Case("demo", "examples/nycflights, all of it", contenders, limits, compare=False)
