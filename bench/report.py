"""The page `RESULTS.md` from medians: ratios first, then seconds, memory and size.

Knows the shape of a case and nothing of how it was measured.
"""

import importlib.metadata

PEERS = ["duckdb", "connectorx", "adbc-driver-postgresql", "pyarrow", "dlt"]
UNITS = {"seconds": "s", "peak_mb": "MB", "anonymous_mb": "MB", "output_mb": "MB"}


def judged(case, medians):
    """Each limit with its measured value; None when somebody it needs did not run."""
    for limit in case.limits:
        ours = medians.get(limit.who)
        other = medians.get(limit.beside) if limit.beside else None
        if ours is None or (limit.beside and other is None):
            yield limit, None
        else:
            yield limit, ours[limit.value] / other[limit.value] if other else ours[limit.value]


def name(limit) -> str:
    value = limit.value.removesuffix("_mb").replace("seconds", "time")
    if limit.beside:
        return f"{value}, {limit.who} / {limit.beside}"
    return f"{value} of {limit.who}, {UNITS[limit.value]}"


def broken_limits(case, medians) -> list[str]:
    return [
        f"{name(limit)}: {value:.2f}, the limit is {limit.at_most:.2f}"
        for limit, value in judged(case, medians)
        if value is not None and value > limit.at_most
    ]


def section(case, medians, problems, rounds: int) -> list[str]:
    lines = [f"## {case.name}", "", f"{case.what}. Medians of {rounds} rounds.", ""]
    if medians:
        lines += ["| who | s | peak MB | anonymous MB | output MB | rows/s |", "|---|--:|--:|--:|--:|--:|"]
        for who, value in sorted(medians.items(), key=lambda item: item[1]["seconds"]):
            speed = f"{case.rows / value['seconds']:,.0f}" if case.rows else "-"
            output = f"{value['output_mb']:.1f}" if value["output_mb"] else "-"
            lines.append(
                f"| {who} | {value['seconds']:.3f} | {value['peak_mb']:.0f} "
                f"| {value['anonymous_mb']:.0f} | {output} | {speed} |"
            )
        lines.append("")
    if case.limits:
        lines += ["| limit | at most | measured | |", "|---|--:|--:|---|"]
        for limit, value in judged(case, medians):
            measured = "-" if value is None else f"{value:.2f}"
            verdict = "not measured" if value is None else "kept" if value <= limit.at_most else "BROKEN"
            lines.append(f"| {name(limit)} | {limit.at_most:.2f} | {measured} | {verdict} |")
        lines.append("")
    if case.compare and not any("differ" in problem or "made" in problem for problem in problems):
        compared = [c.name for c in case.contenders if c.made and c.name in medians]
        if len(compared) > 1:
            lines += [f"Same rows, by checksums of every column: {', '.join(compared)}.", ""]
    lines += [f"- {problem}" for problem in problems] + ([""] if problems else [])
    return lines


def kept_sections(text: str) -> dict[str, list[str]]:
    """The sections of an earlier page, by case."""
    found = {}
    for part in text.split("\n## ")[1:]:
        name, _, rest = part.partition("\n")
        found[name] = [f"## {name}", *rest.rstrip().splitlines(), ""]
    return found


def page(finished, options, machine, cores, before: str = "") -> str:
    """`before` is the page as it was: sections of cases that were not asked for stay."""
    versions = ", ".join(f"{peer} {importlib.metadata.version(peer)}" for peer in PEERS)
    lines = [
        "# Results",
        "",
        "Written by `make bench`; do not edit. How it is measured: [README](README.md).",
        "",
        f"{machine}, {cores} cores; {versions}. The rounds of a case are interleaved.",
        "",
        f"Repeat: `bench/run.sh --rounds {options.rounds} --csv-mb {options.csv_mb} "
        f"--postgres-rows {options.postgres_rows} --dlt-rows {options.dlt_rows} --big-mb {options.big_mb}"
        + (" --peers-only`" if options.peers_only else "`"),
        "",
    ]
    if options.peers_only:
        lines += ["**Without Towpath:** this run measured the peers alone.", ""]
    sections = kept_sections(before)
    for case, medians, problems in finished:
        sections[case.name] = section(case, medians, problems, options.rounds)
    for text in sections.values():
        lines += text
    return "\n".join(lines).rstrip() + "\n"
