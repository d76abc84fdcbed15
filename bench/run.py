"""`make bench`: runs the cases, compares what contenders made, then measures them in turns.

Each case: every contender once untimed, checksums of all columns of all rows compared; only then the
rounds, each in another order, so that a slow minute of the machine hits everybody. Medians count. Writes
`bench/RESULTS.md`; exits 1 when a contender failed, results differ or a limit is broken.
"""

import argparse
import contextlib
import os
import pathlib
import platform
import shutil
import statistics
import sys
import tempfile

import alone
import cases
import data
import loads
import measure
import servers
import report

HERE = pathlib.Path(__file__).resolve().parent
NAMES = [
    "version",
    "check",
    "demo",
    "csv_parquet_declared",
    "csv_parquet_inferred",
    "postgres_parquet",
    "postgres_postgres",
    "csv_postgres",
    "jsonl_parquet",
    "mariadb_delta",
    "rest_delta",
    "checks",
    "merge",
    "history",
    "csv_delta_256mb",
    "postgres_parquet_256mb",
]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=pathlib.Path, required=True, help="folder for inputs and outputs")
    parser.add_argument("--towpath", help="the binary; default: target/release/towpath")
    parser.add_argument("--peers-only", action="store_true", help="measure without Towpath")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--csv-mb", type=int, default=1000)
    parser.add_argument("--big-mb", type=int, default=10000, help="for the memory budget; 0 leaves it out")
    parser.add_argument("--postgres-rows", type=int, default=5_000_000)
    parser.add_argument("--dlt-rows", type=int, default=500_000, help="rows of cases beside dlt")
    parser.add_argument("--merge-rows", type=int, default=10_000_000)
    parser.add_argument("--only", action="append", help="a case's name; may be given several times")
    parser.add_argument("--results", type=pathlib.Path, default=HERE / "RESULTS.md")
    options = parser.parse_args()
    unknown = set(options.only or []) - set(NAMES)
    if unknown:
        parser.error(f"no case is named {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    return options


def default_binary() -> str:
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", HERE.parent / "target"))
    return str(target / "release/towpath")


def all_cases(options, towpath):
    """Gives the wanted cases one after the other; an input is made when its case is next."""
    wanted = lambda name: not options.only or name in options.only
    inputs = options.cache / "inputs"
    if towpath and wanted("version"):
        yield alone.version(towpath)
    if towpath and wanted("check"):
        yield alone.check(towpath)
    if wanted("demo"):
        yield cases.demo(towpath)
    rows = data.rows_for(options.csv_mb)
    if wanted("csv_parquet_declared"):
        yield cases.csv_declared(towpath, data.csv(inputs, rows), rows)
    if wanted("csv_parquet_inferred"):
        yield cases.csv_inferred(towpath, data.csv(inputs, rows), rows)
    rows = options.postgres_rows
    if wanted("postgres_parquet"):
        with servers.postgres() as url:
            data.fill_postgres(url, data.csv(inputs, rows))
            yield cases.postgres_parquet(towpath, url, rows)
    if wanted("postgres_postgres"):
        with servers.postgres() as url:
            data.fill_postgres(url, data.csv(inputs, rows))
            yield loads.postgres_postgres(towpath, url, rows)
    if wanted("csv_postgres"):
        with servers.postgres() as url:
            yield loads.csv_postgres(towpath, url, data.csv(inputs, rows), rows)
    rows = options.dlt_rows
    if wanted("jsonl_parquet"):
        yield loads.jsonl_parquet(towpath, data.jsonl(inputs, rows), rows)
    if wanted("mariadb_delta"):
        with servers.mariadb() as url:
            data.fill_mariadb(url, inputs, rows)
            yield loads.mariadb_delta(towpath, url, rows)
    if wanted("rest_delta"):
        rows, pages = 100_000, 1_000
        with servers.api(data.jsonl(inputs, rows), rows // pages) as url:
            yield loads.rest_delta(towpath, url, rows, pages)
    rows = options.postgres_rows
    if towpath and wanted("checks"):
        yield alone.checks(towpath, data.csv(inputs, rows), rows)
    if towpath and (wanted("merge") or wanted("history")):
        rows = options.merge_rows
        base = data.csv(inputs, rows)
        changes = data.csv(inputs, rows // 100, rows - rows // 200, changed_by=1)
        if wanted("merge"):
            yield alone.merge(towpath, base, changes, rows, options.cache)
        if wanted("history"):
            yield alone.history(towpath, base, changes, rows, options.cache)
    rows = data.rows_for(options.big_mb)
    if towpath and rows and wanted("csv_delta_256mb"):
        yield alone.csv_delta(towpath, data.csv(inputs, rows), rows)
    if towpath and rows and wanted("postgres_parquet_256mb"):
        with servers.postgres() as url:
            data.fill_postgres(url, data.csv(inputs, rows))
            yield alone.postgres_budget(towpath, url, rows)


def once(contender, outputs, keep=None):
    """One run in a fresh folder; `keep` looks at what was made before it is thrown away."""
    out = pathlib.Path(tempfile.mkdtemp(dir=outputs))
    try:
        folder = contender.folder(out) if contender.folder else out
        measured = measure.run(contender.argv(out), folder, contender.status)
        output = sum(file.stat().st_size for file in out.rglob("*.parquet")) / 1e6
        return {
            "seconds": measured.seconds,
            "peak_mb": measured.peak_mb,
            "anonymous_mb": measured.anonymous_mb,
            "output_mb": output,
        }, keep(out) if keep else None
    finally:
        shutil.rmtree(out)


def run_case(case, rounds, outputs):
    """The medians by contender, and what went wrong."""
    problems = []
    fit = []
    reference = None
    for contender in case.contenders:
        look = None
        if case.compare and contender.made:
            look = lambda out, made=contender.made: data.checksums(made(out))
        try:
            _, sums = once(contender, outputs, look)
        except measure.Failed as failure:
            problems.append(f"{contender.name} could not do it: {failure}")
            continue
        if sums:
            if case.rows is not None and sums["rows"] != str(case.rows):
                problems.append(f"{contender.name} made {sums['rows']} rows of {case.rows}")
            if reference is None:
                reference = (contender.name, sums)
            differing = [name for name, value in sums.items() if reference[1][name] != value]
            if differing:
                problems.append(f"{contender.name} and {reference[0]} differ in {', '.join(differing)}")
        fit.append(contender)
    taken = {contender.name: [] for contender in fit}
    for turn in range(rounds):
        for index in range(len(fit)):
            contender = fit[(turn + index) % len(fit)]
            try:
                values, _ = once(contender, outputs)
            except measure.Failed as failure:
                problems.append(f"{contender.name} failed in round {turn + 1}: {failure}")
                continue
            taken[contender.name].append(values)
            print(f"  {contender.name}: {values['seconds']:.3f} s, {values['peak_mb']:.0f} MB", flush=True)
    medians = {
        name: {key: statistics.median(one[key] for one in runs) for key in runs[0]}
        for name, runs in taken.items()
        if runs
    }
    return medians, problems


def main():
    options = arguments()
    towpath = None
    if not options.peers_only:
        binary = options.towpath or default_binary()
        if not os.access(binary, os.X_OK):
            raise SystemExit(f"bench: there is no binary at {binary}; `make bench` builds it")
        towpath = cases.Towpath(str(pathlib.Path(binary).resolve()))
    outputs = options.cache / "outputs"
    outputs.mkdir(parents=True, exist_ok=True)
    for made in ("merge-base", "history-base"):
        shutil.rmtree(options.cache / made, ignore_errors=True)
    finished = []
    # What was measured before stays until it is measured again.
    before = options.results.read_text() if options.results.exists() else ""
    with contextlib.closing(all_cases(options, towpath)) as wanted:
        for case in wanted:
            print(f"{case.name}: {case.what}", flush=True)
            medians, problems = run_case(case, options.rounds, outputs)
            problems += report.broken_limits(case, medians)
            for problem in problems:
                print(f"  PROBLEM {problem}", flush=True)
            finished.append((case, medians, problems))
            page = report.page(finished, options, platform.machine(), os.cpu_count(), before)
            options.results.write_text(page)
    print(f"wrote {options.results}")
    return 1 if any(problems for _, _, problems in finished) else 0


if __name__ == "__main__":
    sys.exit(main())
