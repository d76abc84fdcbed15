"""Inputs of the benchmark, the same on every machine: rows are arithmetic on their number, nothing is random.

Knows DuckDB and psql as tools to write with. What is measured is in `cases.py`.
"""

import pathlib
import subprocess
import urllib.parse

import duckdb

# Name, SQL type, how row `i` gets its value. Twelve mixed columns, two of them with nulls.
COLUMNS = [
    ("id", "BIGINT", "i"),
    ("customer_id", "INTEGER", "(i * 7919 + 17) % 1000003"),
    ("quantity", "SMALLINT", "CASE WHEN i % 11 = 0 THEN NULL ELSE (i * 31) % 500 END"),
    ("price", "DECIMAL(18,2)", "((i * 104729 + 7) % 100000000) / 100"),
    ("ratio", "DOUBLE", "((i * 48271 + 11) % 2147483647) / 2147483647"),
    ("active", "BOOLEAN", "(i * 13) % 3 = 0"),
    ("day", "DATE", "DATE '2015-01-01' + CAST((i * 17) % 4000 AS INTEGER)"),
    (
        "updated_at",
        "TIMESTAMP",
        "TIMESTAMP '2020-01-01 00:00:00' + to_microseconds((i * 1000003) % 150000000000000)",
    ),
    ("country", "VARCHAR", "['DE', 'FR', 'PL', 'US', 'JP', 'BR', 'IN'][1 + CAST(i % 7 AS INTEGER)]"),
    ("email", "VARCHAR", "'user' || ((i * 7919 + 17) % 1000003) || '@example' || (i % 97) || '.org'"),
    (
        "note",
        "VARCHAR",
        "CASE WHEN i % 5 = 0 THEN NULL WHEN i % 7 = 0 THEN 'says \"so\", größer als ' || i "
        "ELSE 'order ' || (i % 1000) || ' came by road' END",
    ),
    ("code", "VARCHAR", "'K' || lpad(CAST((i * 92821) % 99999989 AS VARCHAR), 8, '0')"),
]

NAMES = [name for name, _, _ in COLUMNS]
TYPES = {name: kind for name, kind, _ in COLUMNS}

# Bytes of a CSV row on average, to turn a size into a number of rows.
ROW_BYTES = 148


def rows_for(megabytes: int) -> int:
    return megabytes * 1_000_000 // ROW_BYTES


def select(rows: int, first: int = 0, changed_by: int = 0) -> str:
    """Rows `first` and on; `changed_by` moves every column but the key, as an update would."""
    # Every factor times the largest row number stays far below 2^63.
    columns = ", ".join(f"CAST({how} AS {kind}) AS {name}" for name, kind, how in COLUMNS[1:])
    numbers = f"SELECT range AS id, range + {changed_by} AS i FROM range({first}, {first + rows})"
    return f"SELECT CAST(id AS BIGINT) AS id, {columns} FROM ({numbers})"


def csv(folder: pathlib.Path, rows: int, first: int = 0, changed_by: int = 0) -> pathlib.Path:
    """A CSV file with a header; nulls are empty, text is quoted where it must be."""
    path = folder / f"mixed_{rows}_{first}_{changed_by}.csv"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        connection = duckdb.connect()
        connection.execute("SET threads = 2")
        rows_wanted = select(rows, first, changed_by)
        connection.execute(f"COPY ({rows_wanted}) TO '{part}' (FORMAT csv, HEADER)")
        part.rename(path)
    return path


def jsonl(folder: pathlib.Path, rows: int) -> pathlib.Path:
    """The same rows as JSON lines; a null is a member with null."""
    path = folder / f"mixed_{rows}.jsonl"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        connection = duckdb.connect()
        connection.execute("SET threads = 2")
        connection.execute(f"COPY ({select(rows)}) TO '{part}' (FORMAT json)")
        part.rename(path)
    return path


def postgres_columns() -> str:
    kinds = {"DOUBLE": "double precision", "VARCHAR": "text", "DECIMAL(18,2)": "numeric(18,2)"}
    return ", ".join(f"{name} {kinds.get(kind, kind.lower())}" for name, kind in TYPES.items())


def psql(url: str, *statements: str) -> None:
    commands = [word for statement in statements for word in ("-c", statement)]
    subprocess.run(["psql", "-q", "-v", "ON_ERROR_STOP=1", url, *commands], check=True)


def fill_mariadb(url: str, folder: pathlib.Path, rows: int) -> None:
    """The rows as `mixed` of the URL's database."""
    kinds = {"VARCHAR": "varchar(100)", "TIMESTAMP": "datetime(6)", "BOOLEAN": "tinyint(1)"}
    columns = ", ".join(f"{name} {kinds.get(kind, kind.lower())}" for name, kind in TYPES.items())
    path = folder / f"mixed_{rows}.mariadb.csv"
    wanted = f"SELECT * REPLACE (CAST(active AS TINYINT) AS active) FROM ({select(rows)})"
    duckdb.connect().execute(f"COPY ({wanted}) TO '{path}' (FORMAT csv, HEADER false, NULLSTR '\\N')")
    parts = urllib.parse.urlsplit(url)
    client = ["mariadb", "--no-defaults", "--local-infile=1", "--default-character-set=utf8mb4"]
    client += [f"-h{parts.hostname}", f"-P{parts.port}", f"-u{parts.username}", f"-p{parts.password}", parts.path[1:]]
    load = (
        f"CREATE TABLE mixed ({columns}, PRIMARY KEY (id)) CHARACTER SET utf8mb4; SET time_zone = '+00:00'; "
        f"LOAD DATA LOCAL INFILE '{path}' INTO TABLE mixed CHARACTER SET utf8mb4 "
        "FIELDS TERMINATED BY ',' OPTIONALLY ENCLOSED BY '\"' LINES TERMINATED BY '\\n'; ANALYZE TABLE mixed"
    )
    subprocess.run([*client, "-e", load], check=True, stdout=subprocess.DEVNULL)
    path.unlink()


def fill_postgres(url: str, path: pathlib.Path) -> None:
    """The rows of a CSV file as `public.mixed`."""
    psql(
        url,
        f"CREATE TABLE public.mixed ({postgres_columns()}, PRIMARY KEY (id))",
        f"\\copy public.mixed FROM '{path}' (FORMAT csv, HEADER)",
        "VACUUM (ANALYZE, FREEZE) public.mixed",
    )


def checksums(relation: str) -> dict[str, str]:
    """Per column: how many values, and a sum of hashes that does not depend on the order of rows.

    Values are brought to the column's declared type first, so that a peer's wider or text form of the
    same value counts as equal and a changed value does not.
    """
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    parts = []
    for name, kind in TYPES.items():
        value = f'"{name}"'
        if kind == "DOUBLE":
            value = f"CAST({value} AS DOUBLE)"
        else:
            value = f"CAST(CAST({value} AS {kind}) AS VARCHAR)"
        parts.append(f"count({value})")
        parts.append(f"sum(CAST(hash({value}) AS HUGEINT)) FILTER ({value} IS NOT NULL)")
    row = connection.execute(f"SELECT count(*), {', '.join(parts)} FROM {relation}").fetchone()
    result = {"rows": str(row[0])}
    for index, name in enumerate(NAMES):
        result[name] = f"{row[1 + 2 * index]}:{row[2 + 2 * index]}"
    return result
