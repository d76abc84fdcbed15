"""Cases without a peer: start-up, checking a project, memory budgets, audited merges, what checks cost.

Projects are made here, in the form `towpath.yml` has. Read next: `cases.py`.
"""

import json
import os
import pathlib
import shutil

import data
import measure
from cases import OURS, Case, Limit, Towpath, delta, parquet


def version(towpath: Towpath) -> Case:
    ours = towpath.contender(lambda out: ["--version"])
    return Case("version", "towpath --version", [ours], [Limit("seconds", 0.03)], compare=False)


def check(towpath: Towpath) -> Case:
    """A project of 200 files: 19 loads, 180 models that read each other, one pipeline that builds them."""

    def prepare(out):
        connections = {"landing": {"type": "files", "path": "landing"}}
        Towpath.project(out, {"steps": {"build": {"models": "all"}}}, connections)
        columns = {name: {"type": kind.lower()} for name, kind in data.TYPES.items()}
        for number in range(19):
            table = {f"t{number}": {"from": f"t{number}.csv", "columns": columns}}
            steps = {"extract": {"load": "landing", "into": f"raw{number}", "tables": table}}
            (out / f"pipelines/load{number}.yml").write_text(json.dumps({"steps": steps}, indent=1))
        (out / "models/marts").mkdir(parents=True)
        for number in range(180):
            source = f"{{{{ source('raw{number % 19}', 't{number % 19}') }}}}"
            before = f"{{{{ ref('m{number - 1}') }}}}" if number % 6 else source
            sql = f"select {', '.join(data.NAMES)} from {before} where quantity > {number}\n"
            (out / f"models/marts/m{number}.sql").write_text(sql)

    ours = towpath.contender(lambda out: ["check"], prepare=prepare)
    return Case("check", "towpath check, 200 files", [ours], [Limit("seconds", 0.3)], compare=False)


def csv_delta(towpath: Towpath, path: pathlib.Path, rows: int) -> Case:
    pipeline = {"steps": {"extract": load(path, {})}}
    ours = towpath.contender(
        lambda out: ["run"],
        delta("raw/mixed"),
        lambda out: Towpath.project(out, pipeline, landing(path), memory="256MB"),
    )
    return Case(
        "csv_delta_256mb",
        f"CSV -> Delta replace, {path.stat().st_size / 1e6:,.0f} MB within `memory: 256MB`",
        [ours],
        [Limit("anonymous_mb", 256 * 1.2)],
        rows,
    )


def postgres_budget(towpath: Towpath, url: str, rows: int) -> Case:
    argv = ["copy", url, "--table", "public.mixed", "out.parquet", "--memory", "256MB"]
    return Case(
        "postgres_parquet_256mb",
        f"PostgreSQL -> Parquet, {rows:,} rows within `--memory 256MB`",
        [towpath.contender(lambda out: argv, parquet)],
        [Limit("anonymous_mb", 256 * 1.2)],
        rows,
    )


class ChangedTable:
    """A project whose table is made once from `base`, and copied for each run, which then reads `changes`."""

    def __init__(self, towpath: Towpath, made: pathlib.Path, base: pathlib.Path, changes: pathlib.Path, write: dict):
        self.towpath, self.made, self.base, self.changes, self.write = towpath, made, base, changes, write

    def pipeline(self, table: dict) -> dict:
        return {"steps": {"extract": load(self.base, {"from": "now.csv", "key": "id", **self.write, **table})}}

    def make(self):
        part = self.made.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        Towpath.project(part, self.pipeline({}), {"landing": {"type": "files", "path": "landing"}})
        (part / "landing").mkdir()
        os.link(self.base, part / "landing/now.csv")
        measure.run([self.towpath.binary, "run"], part)
        part.rename(self.made)

    def contender(self, name: str = OURS, table: dict | None = None, status: int = 0):
        def prepare(out):
            if not self.made.exists():
                self.make()
            shutil.copytree(self.made, out, ignore=shutil.ignore_patterns("landing"), dirs_exist_ok=True)
            # Links that lead out of a connection's folder are not followed: hard links.
            (out / "landing").mkdir()
            os.link(self.changes, out / "landing/now.csv")
            (out / "pipelines/bench.yml").write_text(json.dumps(self.pipeline(table or {}), indent=1))

        return self.towpath.contender(lambda out: ["run"], prepare=prepare, name=name, status=status)


def merge(towpath: Towpath, base: pathlib.Path, changes: pathlib.Path, rows: int, cache: pathlib.Path) -> Case:
    """Half of the changes are new keys."""
    table = ChangedTable(towpath, cache / "merge-base", base, changes, {"write": "merge"})
    holds = {"checks": [{"row_count": {"min": rows}}, {"unique": ["id"]}]}
    breaks = {"checks": [{"row_count": {"max": rows}}, {"unique": ["id"]}]}
    contenders = [table.contender(table=holds), table.contender("towpath, refused", breaks, status=3)]
    limits = [Limit("peak_mb", 512), Limit("peak_mb", 512, who="towpath, refused")]
    what = f"merge of {rows // 100:,} changes into {rows:,} rows, audited, accepted and refused"
    return Case("merge", what, contenders, limits, compare=False)


def history(towpath: Towpath, base: pathlib.Path, changes: pathlib.Path, rows: int, cache: pathlib.Path) -> Case:
    """The same changes into a history and into a table without one."""
    merged = ChangedTable(towpath, cache / "merge-base", base, changes, {"write": "merge"})
    keeps = {"write": "scd2", "deletes": "ignore"}
    versions = ChangedTable(towpath, cache / "history-base", base, changes, keeps)
    what = f"scd2 of {rows // 100:,} changes into {rows:,} rows, beside the merge of them"
    contenders = [versions.contender(), merged.contender("merge")]
    return Case("history", what, contenders, [Limit("seconds", 1.5, "merge")], compare=False)


def checks(towpath: Towpath, path: pathlib.Path, rows: int) -> Case:
    """Fifty checks of all kinds against none, the same rows into Delta; the table they relate to is loaded first."""

    def contender(table, name):
        def prepare(out):
            (out / "facts").mkdir()
            countries = "code\n" + "\n".join(["DE", "FR", "PL", "US", "JP", "BR", "IN"]) + "\n"
            (out / "facts/countries.csv").write_text(countries)
            related = {"load": "facts", "into": "ref", "tables": {"countries": {"from": "countries.csv"}}}
            steps = {"related": related, "extract": {**load(path, table), "after": "related"}}
            connections = {**landing(path), "facts": {"type": "files", "path": "facts"}}
            Towpath.project(out, {"steps": steps}, connections)

        return towpath.contender(lambda out: ["run"], delta("raw/mixed"), prepare, name)

    return Case(
        "checks",
        f"fifty checks on {rows:,} rows x {len(data.COLUMNS)} columns into Delta, beside none",
        [contender({"checks": fifty_checks(rows)}, OURS), contender({}, "without checks")],
        [Limit("seconds", 1.15, "without checks")],
        rows,
    )


def fifty_checks(rows: int) -> list[dict]:
    """20 not_null, 12 range, 8 accepted_values, 3 pattern, 3 unique, 2 relationships, row_count, expression."""
    full = [name for name in data.NAMES if name not in ("quantity", "note")]
    wide = {"min": "-1000000000", "max": "1000000000000"}
    ranges = ["id", "customer_id", "quantity", "price", "ratio"]
    countries = ["DE", "FR", "PL", "US", "JP", "BR", "IN"]
    some = [("always", None), ("active", "active"), ("passive", "not active"), ("recent", "day >= date '2020-01-01'")]
    found = []
    for name, where in some[:2]:
        found += [named({"not_null": [column]}, f"{column} {name}", where) for column in full]
    for name, where in some[:3]:
        found += [named({"range": {column: wide}}, f"{column} range {name}", where) for column in ranges]
    found = found[: 20 + 12]
    for name, where in some:
        found.append(named({"accepted_values": {"country": countries}}, f"country values {name}", where))
        found.append(named({"accepted_values": {"active": ["true", "false"]}}, f"active values {name}", where))
    patterns = {"email": "^user[0-9]+@example[0-9]+[.]org$", "code": "^K[0-9]{8}$", "country": "^[A-Z]{2}$"}
    found += [named({"pattern": {column: text}}, f"{column} pattern") for column, text in patterns.items()]
    found += [
        named({"unique": ["id"]}, "id unique"),
        named({"unique": ["id", "day"]}, "id and day unique", "id < 100000"),
        named({"unique": ["id", "country"]}, "id and country unique", "id < 1000"),
        named({"relationships": {"country": "ref.countries.code"}}, "country known"),
        named({"relationships": {"country": "ref.countries.code"}}, "country of the active known", "active"),
        named({"row_count": {"min": rows, "max": rows}}, "row count"),
        named({"expression": "price >= 0 and ratio <= 1"}, "price and ratio"),
    ]
    return found


def named(check: dict, name: str, where: str | None = None) -> dict:
    return {**check, "name": name, **({"where": where} if where else {})}


def landing(path: pathlib.Path) -> dict:
    return {"landing": {"type": "files", "path": str(path.parent)}}


def load(path: pathlib.Path, table: dict) -> dict:
    return {"load": "landing", "into": "raw", "tables": {"mixed": {"from": path.name, **table}}}
