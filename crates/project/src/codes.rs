//! What each code means, with an example and the way out: the text of `check --explain CODE`.
//!
//! Promise: every code that this crate can say stands here; a test reads the sources to prove it.
//! Codes that SQL and templates raise are explained here too, because people meet them in `check`.

/// Codes and their explanations, sorted.
pub const EXPLANATIONS: &[(&str, &str)] = &[
    (
        "C0501",
        "The `type` of a connection names no connector.\n\n  connections: { shop: { type: postgress } }\n\nSee `towpath connection types` for what there is.",
    ),
    (
        "C0502",
        "A step, or a file in `schemas/`, names a connection that the project does not have.\n\nDeclare it under `connections` in towpath.yml, or in connections/NAME.yml.",
    ),
    (
        "C0503",
        "A connection lacks an option that its connector cannot do without.\n\n  connections: { data: { type: files } }      # has no `path`",
    ),
    (
        "C0504",
        "The connector has only one side: it can be read but not written, or the other way round.",
    ),
    (
        "C0505",
        "The outside system cannot be written in this way. A folder of files, for instance, can be replaced but not merged into.\n\nChoose another `write`, or remove the `key` of a publish to send everything.",
    ),
    (
        "C0506",
        "Outside systems are read-only unless the connection says `writable: true`. The publish is planned and shown, and skipped when run.\n\nSet it where writing is meant, usually in one environment only:\n\n  environments: { prod: { connections: { shop_db: { writable: true } } } }",
    ),
    (
        "C0507",
        "The connector cannot read in this way: files have no cursor, for instance, they tell by themselves which of them are new.\n\nLeave out `mode` and `cursor` to read everything; say `mode: incremental` for new files alone.",
    ),
    (
        "C0508",
        "A secret option takes its value from an environment variable that is not set where the check runs. The check goes on; connecting would fail.",
    ),
    (
        "C0509",
        "A password or token is written in a file that others can read.\n\n  url: ${secret:SHOP_DB_URL}\n\nand set that variable where Towpath runs.",
    ),
    (
        "C0510",
        "A load names a table that `schemas/CONNECTION.yml` does not have, but one with nearly the same name. The load is planned as written.",
    ),
    (
        "C0511",
        "`check --connect`: a table that is loaded, or stands in `schemas/`, is not there, or may not be looked at.\n\nCorrect its name (`from:`), or the rights of the user that connects. If it is gone for good:\n\n  towpath connection discover NAME --write",
    ),
    (
        "C0512",
        "`check --connect`: a column that `schemas/CONNECTION.yml` (or the last run) knows is not there any more. Models and rules that use it would fail.\n\nIf that is right, write the new state down and see what `check` says then:\n\n  towpath connection discover NAME --write",
    ),
    (
        "C0513",
        "`check --connect`: a column has another type than `schemas/CONNECTION.yml` (or the last run) says. Values that do not fit the known type would be set aside.\n\nIf that is right: towpath connection discover NAME --write",
    ),
    (
        "C0514",
        "`check --connect`: the outside table has a column that is not known yet. The next load brings it in, unless the table says `keep` or `schema_change: ignore`.\n\nTo know it in models now: towpath connection discover NAME --write",
    ),
    (
        "C0515",
        "`check --connect`: the primary key of an outside table changed. Merges go by the key that the pipeline names, so look whether it still holds.\n\nThen: towpath connection discover NAME --write",
    ),
    (
        "C0516",
        "`check --connect`: a system cannot be reached or does not let us in. Nothing was compared with it.\n\nTry it alone: towpath connection test NAME",
    ),
    (
        "C0517",
        "The types in `schemas/CONNECTION.yml` were found with other reading options than the load has now. They stay as they are: a column that was text because of `NA` stays text after `null_values: [NA]`.\n\nSee the table anew, with the options of its load:\n\n  towpath connection discover NAME --write",
    ),
    (
        "K0601",
        "An entry of `checks` does not say what it checks.\n\n  checks:\n    - not_null: customer_id\n    - row_count: { min: 1 }\n    - relationships: { country: raw.countries.code }",
    ),
    (
        "K0602",
        "A regular expression cannot be read. Quote patterns with single quotes, where nothing is escaped:\n\n  pattern: '^[^@\\s]+@[^@\\s]+$'",
    ),
    (
        "K0603",
        "A relationship check, or a publish, names a column that the other table does not have.",
    ),
    (
        "K0604",
        "The same check stands twice at one table; the second one is left out.",
    ),
    (
        "K0605",
        "A `sql` check has a `where` that cannot narrow what its query asks. The rows that a `where` keeps stand for the table where the query says `{table}`.\n\n  checks:\n    - sql: select * from {table} as t where t.total < 0\n      where: status = 'paid'",
    ),
    (
        "M0301",
        "A query names a column that its table does not have. The columns are those of `schemas/`, of the last run, or of the models before.",
    ),
    (
        "M0302",
        "A query names a table that nothing makes: no load, no model, no command's `writes`.",
    ),
    (
        "M0303",
        "A table needs two parts (`raw.orders`), or an alias is used that the query does not give.",
    ),
    ("M0304", "The engine has no function of this name."),
    ("M0305", "The SQL cannot be read at the marked place."),
    (
        "M0306",
        "A model is exactly one query. Remove a second statement, and anything that changes data.",
    ),
    (
        "M0307",
        "Two tables of the query have a column of this name. Say which: `orders.id`.",
    ),
    (
        "M0308",
        "Types do not fit: text is compared with a number, say. Cast one side: `cast(x as bigint)`.",
    ),
    (
        "M0309",
        "Two columns of the result have the same name. Rename one with `as`.",
    ),
    (
        "M0310",
        "The query breaks a rule of SQL; the message says which.",
    ),
    (
        "M0311",
        "The engine does not support this construct of SQL.",
    ),
    (
        "M0312",
        "A function of this name exists but is not offered, because it does not mean what PostgreSQL means. The message says what to write instead.",
    ),
    (
        "M0320",
        "The template cannot be read: a `{{` or `{%` is not closed, say.",
    ),
    (
        "M0321",
        "The template uses a name, function, macro or filter that does not exist.",
    ),
    (
        "M0322",
        "`ref` names no model, or `source` no table.\n\nA `ref` names a model by its file, without folder and `.sql`. A `source` has two parts: the lakehouse schema of a load (or a name under `sources:`) and the table.",
    ),
    (
        "M0323",
        "A function or macro is called with arguments that it does not take.",
    ),
    (
        "M0324",
        "`var` has neither a value nor a default.\n\nSet it in towpath.yml (vars: { NAME: … }), or write var('NAME', default).",
    ),
    (
        "M0325",
        "`env_var` names a variable that is not set and gives no default.",
    ),
    (
        "M0326",
        "A macro cannot be used: its file is broken, or two have the same name.",
    ),
    (
        "M0327",
        "The template itself raised this error, with `exceptions.raise_compiler_error`.",
    ),
    (
        "M0328",
        "The template could not be rendered; the message says why.",
    ),
    (
        "M0330",
        "Models refer to each other in a circle, so none can be built first. The help line names the way round.",
    ),
    (
        "M0331",
        "Two models or seeds have the same name, so `ref` cannot tell them apart. Rename one of the files.",
    ),
    (
        "M0332",
        "A model stands directly under `models/`, where the first folder is the schema: models/marts/orders.sql becomes marts.orders. Or a model's or seed's file has a name that no table can have.",
    ),
    (
        "M0333",
        "A YAML file describes a model, a seed or a source's table that does not exist, or `dbt_project.yml` has configs for a folder that no file is in.",
    ),
    (
        "M0334",
        "A YAML file describes or tests a column that the model does not have.",
    ),
    (
        "M0335",
        "This dbt test is not run in this version: only not_null, unique, accepted_values, relationships and a few of dbt_utils are. What it would have stopped is not stopped.\n\nWrite it as a test that is run, such as dbt_utils.expression_is_true, or remove it.",
    ),
    (
        "M0336",
        "The model asks for a materialization that this version does not have.",
    ),
    (
        "M0337",
        "A `models` step selects nothing by this word. Use `all`, the name of a model or a seed, a schema, or a path under models/ or seeds/.",
    ),
    (
        "M0338",
        "An incremental model without `unique_key` only adds rows: what changes late stands there twice.",
    ),
    (
        "M0339",
        "An ephemeral model is inlined where it is used: there is no table its tests could be asked of. Make it a view, or test the models that read it.",
    ),
    (
        "M0340",
        "A value in dbt's YAML is a template. Jinja is rendered in models and macros, not in YAML.\n\nWrite the value itself, or move the setting into the model: {{ config(enabled = target.name == 'prod') }}",
    ),
    (
        "M0341",
        "Models or seeds are in the project, and no step of any pipeline builds them: no run makes their tables.\n\n  steps:\n    build: { models: all }\n\nTo leave one out on purpose, name it: build: { models: all, exclude: [stg_old] }",
    ),
    (
        "P0101",
        "A project file is not YAML at the marked place. What follows in that file is not read until it is mended.",
    ),
    (
        "P0102",
        "A key that means nothing here, often a slip of the finger.\n\n  orders: { curser: updated_at }      # cursor\n\nUnknown keys are errors, because a setting that is silently ignored is worse.",
    ),
    (
        "P0103",
        "A key stands twice in one map; only one of them could hold.",
    ),
    (
        "P0104",
        "A value has the wrong form: a list where a map is expected, say.",
    ),
    (
        "P0105",
        "Indentation is broken. YAML indents with spaces, and keys of one map start in the same column.",
    ),
    ("P0106", "A key that cannot be left out is missing."),
    (
        "P0107",
        "Inside braces a comma separates entries, so a type with a comma must be quoted.\n\n  { type: \"decimal(18,2)\" }",
    ),
    (
        "P0108",
        "Inside braces `${` starts a map, so a substitution must be quoted.\n\n  { url: \"${env:SHOP_URL}\" }",
    ),
    (
        "P0109",
        "YAML 1.2 has two booleans, `true` and `false`. yes, no, on and off are text.",
    ),
    (
        "P0110",
        "`@`, `%`, `` ` `` and `*` mean something at the start of a YAML value. Quote the value.",
    ),
    (
        "P0111",
        "The key takes one of a few words, and this is none of them.",
    ),
    (
        "P0112",
        "A step has exactly one verb, and a check exactly one kind. Two things to do are two entries.",
    ),
    (
        "P0113",
        "There is no `towpath.yml` in the project folder, or it is empty.",
    ),
    (
        "P0114",
        "A YAML file is too large once its aliases are copied, or an alias contains itself.",
    ),
    (
        "P0115",
        "The setting is known, and this version does not do what it asks for. Where rows or guarantees would differ without it, it is an error, because a setting that is silently ignored is worse; elsewhere it is a warning.\n\nRemove it, or do what the help line says instead.",
    ),
    (
        "P0116",
        "The project was written for another version of Towpath.",
    ),
    (
        "P0117",
        "Two steps write the same table. A table has one source, so that its rows have one history.",
    ),
    (
        "P0118",
        "Tasks, or steps by `after`, wait for each other in a circle.",
    ),
    (
        "P0119",
        "`after` names a step that this pipeline does not have.",
    ),
    (
        "P0120",
        "A step has nothing to do: it names no tables, or no program.",
    ),
    (
        "P0121",
        "A pattern matches no table that is known. Patterns are expanded from `schemas/` and from the last run, never by contacting a system during a check.",
    ),
    (
        "P0122",
        "Two source columns get the same name in the table, usually because `names: snake` folds them together. Nothing is guessed: rename one.",
    ),
    (
        "P0123",
        "A connection and a schema of the lakehouse have the same name, so that `shop.orders` could mean either.",
    ),
    (
        "P0124",
        "This way of writing needs a `key`: the columns that identify a row.",
    ),
    (
        "P0125",
        "An incremental load without a key appends. A row that changes after it was loaded is loaded again, as a second row.",
    ),
    (
        "P0126",
        "`mask: hash` is a keyed hash: without a key anyone could find a value by trying. Set `mask_key: ${secret:…}` in towpath.yml.",
    ),
    (
        "P0127",
        "The text does not read as what the key takes: a number, a duration (30s, 10m, 24h), a size (512MB) or a limit (1%).",
    ),
    (
        "P0128",
        "The file stands where no file of the project is read from.",
    ),
    (
        "P0129",
        "A connection is declared in towpath.yml and in a file of its own. Keep one.",
    ),
    (
        "P0130",
        "An incremental read needs a `cursor`: the column that tells what is new.",
    ),
    (
        "P0131",
        "A name has the wrong form. Tables of the lakehouse are `schema.table`; both parts are letters, digits and `_`, and no schema starts with `_`. Pipelines, steps and connections may have `-` too.",
    ),
    (
        "P0132",
        "A table comes either from an object (`from`) or from a `query`.",
    ),
    (
        "P0133",
        "A step reads, publishes or checks against a table that nothing makes.",
    ),
    (
        "P0134",
        "The key belongs to steps with another verb. It would have no effect here, so it is an error.",
    ),
    (
        "P0135",
        "Two environments have the same lakehouse. Their tables have the same names, so that what one wrote is replaced by the other, and each builds anew what the other changed. Give one a folder of its own:\n\n  environments: { prod: { lakehouse: ./prod } }",
    ),
    (
        "P0201",
        "A setting takes its value from an environment variable that is not set.\n\nSet it, or give a default: ${env:DATA_DIR:-data}",
    ),
    (
        "P0202",
        "`${param:x}` names no param of this pipeline, or stands outside of a pipeline.",
    ),
    (
        "P0203",
        "A substitution is incomplete, or names something that does not exist.",
    ),
    (
        "P0204",
        "A secret stands where it would end up in plans and logs. Secrets stand only in options that a connector marks secret, in `state`, in `mask_key` and in a command's `env`.",
    ),
    (
        "P0205",
        "The environment asked for is not declared under `environments`.",
    ),
    (
        "P0206",
        "A param has no value, or a value that is not of its type, or no pipeline declares it.",
    ),
    (
        "P0207",
        "An environment may change a connection's options but not its type: pipelines are checked against the type.",
    ),
    (
        "P0208",
        "`${run:…}`, `${step:…}` and `${item:…}` are filled in while a run goes on, and in this version only in commands.",
    ),
    (
        "T0401",
        "No type has this name. Types are text, bool, int, bigint, double, decimal(P,S), date, timestamp, timestamptz, binary and list(TYPE).",
    ),
    (
        "T0402",
        "A setting names a column that the table does not have. What is known comes from `schemas/` or from the last run; a mismatch with the last run only warns, because the source may have changed since.",
    ),
    (
        "T0403",
        "A bound or value of a rule does not read as the column's type.",
    ),
    ("T0404", "`min` is above `max`: no value could pass."),
    (
        "T0405",
        "A condition must be true or false, and this expression is something else.",
    ),
    ("T0406", "A pattern is about text, and the column is not."),
    (
        "T0410",
        "A template takes more steps than a template needs: loops within loops, or a loop that writes much text. Loop over fewer items, or let SQL make the rows (`generate_series`, `cross join`).",
    ),
    (
        "T0411",
        "A template makes a text of more than 16 MB or a list of more than a million items, for example by adding a value to itself in a loop. Build less at a time.",
    ),
];

/// The explanation of a code.
pub fn explanation(code: &str) -> Option<&'static str> {
    EXPLANATIONS
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(code))
        .map(|(_, text)| *text)
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::disallowed_methods,
        reason = "tests"
    )]
    use super::*;
    use std::path::Path;

    fn sources(folder: &Path, into: &mut String) {
        for entry in std::fs::read_dir(folder).expect("source folder") {
            let path = entry.expect("entry").path();
            if path.is_dir() {
                sources(&path, into);
            } else if path.file_name().is_some_and(|name| name != "codes.rs") {
                into.push_str(&std::fs::read_to_string(&path).expect("source file"));
            }
        }
    }

    #[test]
    fn every_code_that_can_be_said_is_explained_and_none_is_left_over() {
        let crates = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .expect("crates");
        let mut text = String::new();
        for name in ["project", "sql", "template"] {
            sources(&crates.join(name).join("src"), &mut text);
        }
        let pattern = regex::Regex::new(r#""([CKMPT]0[0-9]{3})""#).expect("pattern");
        let said: std::collections::BTreeSet<&str> = pattern
            .captures_iter(&text)
            .filter_map(|found| found.get(1))
            .map(|m| m.as_str())
            .collect();
        let known: Vec<&str> = EXPLANATIONS.iter().map(|(code, _)| *code).collect();
        let missing: Vec<&&str> = said.iter().filter(|code| !known.contains(code)).collect();
        let left: Vec<&&str> = known.iter().filter(|code| !said.contains(**code)).collect();
        assert!(missing.is_empty(), "not explained: {missing:?}");
        assert!(left.is_empty(), "never said: {left:?}");
        assert!(known.is_sorted());
        assert!(explanation("p0102").is_some());
    }
}
