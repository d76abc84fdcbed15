"""Cases that load into databases, and from systems that are slow to read: PostgreSQL as a destination,
MariaDB, JSON lines, an API, and histories.

Who writes into a database writes a table of its own there, which is dropped before each run. Read next:
`cases.py` (files and reads of PostgreSQL), `peers.py`.
"""

import pathlib

import data
from cases import HERE, Case, Contender, Limit, Towpath, delta, parquet, peer


def table_of(url: str, name: str):
    """What a contender made in the table `name`, as a relation DuckDB can read: written out as text."""

    def made(out: pathlib.Path) -> str:
        path = out / "made.csv"
        data.psql(url, f"\\copy public.{name} TO '{path}' (FORMAT csv, HEADER, FORCE_QUOTE *)")
        columns = ", ".join(f"'{column}': '{kind}'" for column, kind in data.TYPES.items())
        return f"read_csv('{path}', header = true, auto_detect = false, allow_quoted_nulls = false, columns = {{{columns}}})"

    return made


def empty_table(url: str, name: str, create: bool):
    """Drops the table before a run; makes it where the contender needs it."""

    def prepare(out: pathlib.Path):
        drop = f"DROP TABLE IF EXISTS public.{name}"
        data.psql(url, "SET client_min_messages = error", drop, *([columns_of(name)] if create else []), "CHECKPOINT")
        return out

    return prepare


def columns_of(name: str) -> str:
    return f"CREATE TABLE public.{name} ({data.postgres_columns()})"


def csv_postgres(towpath: Towpath | None, url: str, path: pathlib.Path, rows: int) -> Case:
    copy = ["psql", "-q", url, "-c", f"\\copy public.by_psql FROM '{path}' (FORMAT csv, HEADER)"]
    contenders = [
        Contender(
            "psql \\copy", lambda out: copy, empty_table(url, "by_psql", True), table_of(url, "by_psql")
        ),
    ]
    if towpath:
        types = [word for name, kind in data.TYPES.items() for word in ("--type", f"{name}={kind.lower()}")]
        argv = ["copy", str(path), url, "--into", "public.by_towpath", *types]
        contenders.append(
            towpath.contender(
                lambda out: argv, table_of(url, "by_towpath"), empty_table(url, "by_towpath", False)
            )
        )
    return Case(
        "csv_postgres",
        f"CSV -> PostgreSQL, a new table, {path.stat().st_size / 1e6:,.0f} MB, types declared",
        contenders,
        [Limit("seconds", 1 / 1.3, "psql \\copy")],
        rows,
    )


def postgres_postgres(towpath: Towpath | None, url: str, rows: int) -> Case:
    out_of = f"psql -q {url} -c 'COPY public.mixed TO STDOUT (FORMAT binary)'"
    into = f"psql -q {url} -c 'COPY public.by_pipe FROM STDIN (FORMAT binary)'"
    pipe = ["bash", "-o", "pipefail", "-c", f"{out_of} | {into}"]
    contenders = [
        Contender("COPY pipe", lambda out: pipe, empty_table(url, "by_pipe", True), table_of(url, "by_pipe")),
    ]
    if towpath:
        argv = ["copy", url, "--table", "public.mixed", url, "--into", "public.by_towpath"]
        contenders.append(
            towpath.contender(
                lambda out: argv, table_of(url, "by_towpath"), empty_table(url, "by_towpath", False)
            )
        )
    return Case(
        "postgres_postgres",
        f"PostgreSQL -> PostgreSQL, {rows:,} rows, beside COPY (FORMAT binary) through a pipe",
        contenders,
        [Limit("seconds", 1 / 0.8, "COPY pipe")],
        rows,
    )


def jsonl_parquet(towpath: Towpath | None, path: pathlib.Path, rows: int) -> Case:
    contenders = [
        peer("duckdb", "duckdb_jsonl", str(path)),
        peer("dlt", "dlt_jsonl", str(path), made=dlt_parquet),
    ]
    if towpath:
        contenders.append(towpath.contender(lambda out: ["copy", str(path), "out.parquet"], parquet))
    return Case(
        "jsonl_parquet",
        f"JSON lines -> Parquet, {path.stat().st_size / 1e6:,.0f} MB, types inferred",
        contenders,
        [Limit("seconds", 0.2, "dlt")],
        rows,
    )


def dlt_parquet(out: pathlib.Path) -> str:
    return f"read_parquet('{out}/lake/raw/mixed/*.parquet')"


def mariadb_delta(towpath: Towpath | None, url: str, rows: int) -> Case:
    contenders = [peer("dlt", "dlt_mariadb", url, made=delta("raw/mixed"))]
    if towpath:
        pipeline = {"steps": {"extract": {"load": "source", "into": "raw", "tables": {"mixed": {}}}}}
        connections = {"source": {"type": "mysql", "url": url}}
        contenders.append(project(towpath, pipeline, connections))
    return Case(
        "mariadb_delta",
        f"MariaDB -> Delta, {rows:,} rows x {len(data.COLUMNS)} columns",
        contenders,
        [Limit("seconds", 0.2, "dlt")],
        rows,
    )


def rest_delta(towpath: Towpath | None, url: str, rows: int, pages: int) -> Case:
    contenders = [peer("dlt", "dlt_rest", url, made=delta("raw/mixed"))]
    if towpath:
        pipeline = {"steps": {"extract": {"load": "source", "into": "raw", "tables": {"mixed": {}}}}}
        endpoint = {"path": "rows", "records": "rows", "paginate": {"type": "page", "pages": "pages"}}
        connections = {"source": {"type": "rest", "url": url, "tables": {"mixed": endpoint}}}
        contenders.append(project(towpath, pipeline, connections))
    return Case(
        "rest_delta",
        f"an API on this machine -> Delta, {pages:,} pages of {rows // pages:,} records",
        contenders,
        [Limit("seconds", 0.2, "dlt")],
        rows,
    )


def project(towpath: Towpath, pipeline: dict, connections: dict) -> Contender:
    return towpath.contender(
        lambda out: ["run"],
        delta("raw/mixed"),
        lambda out: Towpath.project(out, pipeline, connections),
    )
