//! What each code of project files means and what to do: the text of `towpath check --explain CODE`.
//!
//! Promise: every code that the sources here raise is in this table and nowhere else, and every entry is
//! used; `cargo xtask tidy` checks it. A new code is one entry here and its use
//! in the file that raises it. Read next: `vocab/src/code.rs` (what an entry is).

use towpath_vocab::CodeEntry;

/// The codes, sorted.
pub const CODES: &[CodeEntry] = &[
    CodeEntry::check(
        "C0501",
        "The `type` of a connection does not name a connector.",
        "  connections: { shop: { type: postgress } }\n\n`towpath connection types` lists the types.",
    ),
    CodeEntry::check(
        "C0502",
        "A step, or a file in `schemas/`, names a connection that the project does not have.",
        "Declare it under `connections` in towpath.yml, or in connections/NAME.yml.",
    ),
    CodeEntry::check(
        "C0503",
        "A required option of a connection is missing.",
        "  connections: { data: { type: files } }      # has no `path`",
    ),
    CodeEntry::check(
        "C0504",
        "The connector supports only reading, or only writing.",
        "",
    ),
    CodeEntry::check(
        "C0505",
        "The external system does not support this write mode.",
        "A folder of files, for instance, can be replaced but not merged into.\n\nChoose a different `write`, or remove the `key` of a publish to send everything.",
    ),
    CodeEntry::check(
        "C0506",
        "External systems are read-only unless the connection has `writable: true`.",
        "The plan shows the publish or the SQL, and a run skips it.\n\nSet it where Towpath is to write, usually in one environment only:\n\n  environments: { prod: { connections: { shop_db: { writable: true } } } }",
    ),
    CodeEntry::check(
        "C0507",
        "The connector cannot read in this way. Files, for instance, have no cursor: Towpath finds new files automatically.",
        "Leave out `mode` and `cursor` to read everything; set `mode: incremental` to read only new files.",
    ),
    CodeEntry::check(
        "C0508",
        "A secret option takes its value from an environment variable that is not set where the check runs.",
        "The check continues; connecting would fail.",
    ),
    CodeEntry::check(
        "C0509",
        "A password or token is written in a file that others can read.",
        "  url: ${secret:SHOP_DB_URL}\n\nand set that variable where Towpath runs.",
    ),
    CodeEntry::check(
        "C0510",
        "A load names a table that `schemas/CONNECTION.yml` does not have, but one with nearly the same name.",
        "The load is planned as written.",
    ),
    CodeEntry::check(
        "C0511",
        "`check --connect`: a table that is loaded, or is in `schemas/`, does not exist or cannot be read.",
        "Correct its name (`from:`), or the permissions of the user that connects. If the table was removed:\n\n  towpath connection discover NAME --write",
    ),
    CodeEntry::check(
        "C0512",
        "`check --connect`: a column in `schemas/CONNECTION.yml` (or in the last run) no longer exists.",
        "Models and rules that use it would fail.\n\nIf the change is intended, write the new columns and then check again:\n\n  towpath connection discover NAME --write",
    ),
    CodeEntry::check(
        "C0513",
        "`check --connect`: a column has a different type than in `schemas/CONNECTION.yml` (or in the last run).",
        "Values that do not fit the known type would be rejected.\n\nIf the change is intended: towpath connection discover NAME --write",
    ),
    CodeEntry::check(
        "C0514",
        "`check --connect`: the external table has a new column.",
        "The next load reads it, unless the table has `keep` or a `schema_change` that leaves it out.\n\nTo use it in models now: towpath connection discover NAME --write",
    ),
    CodeEntry::check(
        "C0515",
        "`check --connect`: the primary key of an external table changed.",
        "Merges use the key that the pipeline names. Check whether it is still right.\n\nThen: towpath connection discover NAME --write",
    ),
    CodeEntry::check(
        "C0516",
        "`check --connect`: a system cannot be reached or refuses the login.",
        "This system was not compared.\n\nTo test only this connection: towpath connection test NAME",
    ),
    CodeEntry::check(
        "C0517",
        "The types in `schemas/CONNECTION.yml` were discovered with options that differ from those of the load.",
        "They stay as they are: a column that was text because of `NA` stays text after `null_values: [NA]`.\n\nDiscover the table again, with the options of its load:\n\n  towpath connection discover NAME --write",
    ),
    CodeEntry::check(
        "C0518",
        "A setting that is shown in plans and logs is the URL of a database, or contains a password.",
        "Secrets belong in secret options, as placeholders:\n\n  url: ${secret:SHOP_DB_URL}\n\nA database is named by a URL, `postgres://USER:PASSWORD@HOST:PORT/DATABASE`; the form `host=… password=…` is not read.",
    ),
    CodeEntry::check(
        "C0519",
        "An option of a connector has no effect where it is written.",
        "Some options are only about reading tables, some only about writing them, and some belong to tables, not to connections.\n\n  load: shop_db\n  tables: { orders: { replace: truncate } }   # nothing is replaced in `shop_db`",
    ),
    CodeEntry::check(
        "C0520",
        "A connection that is named in `alerts` takes no alerts.",
        "Alerts are sent to connections of type `webhook`, `slack`, `teams`, `pagerduty` or `opsgenie`:\n\n  connections:\n    data_slack: { type: slack, url: \"${secret:SLACK_URL}\" }\n\n  alerts: { failed: data_slack }",
    ),
    CodeEntry::check(
        "C0521",
        "A published table has checks, and its destination may hold rows twice.",
        "Nobody can look at what such a destination holds, and a row may be there twice. Put the checks on the table of the lakehouse that is published; that a key is unique among the rows that are sent is looked at all the same.",
    ),
    CodeEntry::check(
        "C0522",
        "A connection of this type runs no SQL.",
        "Steps with `sql` run in databases (`postgres`, `mysql`, `sqlite`). SQL about tables of the lakehouse is a model.",
    ),
    CodeEntry::check(
        "C0523",
        "A value cannot be put into a statement in which texts may begin and end elsewhere.",
        "A `sql` step runs in databases that read SQL differently: backslashes, `$$` bodies, comments and quotes in names. A statement with one of them takes no `${…}`. Write it without, or make two statements of it.",
    ),
    CodeEntry::check(
        "C0524",
        "A value cannot be put where it is named.",
        "A backslash means itself in some databases and not in others, and a param with `${` in it would be filled in again when the step runs. Give another value.",
    ),
    CodeEntry::check(
        "K0601",
        "An entry of `checks` has no check.",
        "  checks:\n    - not_null: customer_id\n    - row_count: { min: 1 }\n    - relationships: { country: raw.countries.code }",
    ),
    CodeEntry::check(
        "K0602",
        "A regular expression cannot be read.",
        "Write patterns in single quotes, which have no escapes:\n\n  pattern: '^[^@\\s]+@[^@\\s]+$'",
    ),
    CodeEntry::check(
        "K0603",
        "A relationship check, or a publish, names a column that the other table does not have.",
        "",
    ),
    CodeEntry::check(
        "K0604",
        "The same check is set twice on one table; the second one is left out.",
        "",
    ),
    CodeEntry::check(
        "K0605",
        "A `sql` check has a `where` that cannot filter the rows of its query.",
        "In the query, `{table}` stands for the rows that match `where`.\n\n  checks:\n    - sql: select * from {table} as t where t.total < 0\n      where: status = 'paid'",
    ),
    CodeEntry::check(
        "M0330",
        "Models refer to each other in a cycle, so none can be built first.",
        "The help line lists the models of the cycle.",
    ),
    CodeEntry::check(
        "M0331",
        "Two models or seeds have the same name, so `ref` cannot tell them apart.",
        "Rename one of the files.",
    ),
    CodeEntry::check(
        "M0332",
        "The file of a model or a seed, its folder, or its `schema` or `alias` is a name that no table can have.",
        "models/marts/orders.sql becomes marts.orders, and models/orders.sql becomes models.orders. Names of files and folders are letters, digits and `_`, starting with a letter.\n\nTo keep the name of a folder, set the schema in the config: {{ config(schema='marts') }}. The file of a model has to be renamed, because `ref` names it; `alias` gives its table any other name. A seed's file keeps its name if its config has an `alias`.\n\nA `schema` in a config may be any text without a dot but `_towpath`, `_quarantine` and `information_schema`.",
    ),
    CodeEntry::check(
        "M0333",
        "A YAML file describes a model, a seed or a source's table that does not exist, or `dbt_project.yml` has configs for a folder that contains no file.",
        "",
    ),
    CodeEntry::check(
        "M0334",
        "A YAML file describes or tests a column that the model does not have.",
        "",
    ),
    CodeEntry::check(
        "M0335",
        "This dbt test is not run in this version: only not_null, unique, accepted_values, relationships and a few of dbt_utils and dbt_expectations are.",
        "Data that it would stop is not stopped.\n\nWrite it as a test that is supported, such as dbt_utils.expression_is_true, or remove it.",
    ),
    CodeEntry::check(
        "M0336",
        "The model has a materialization that this version does not support.",
        "",
    ),
    CodeEntry::check(
        "M0337",
        "A word of a `models` step selects no model.",
        "Use `all`, the name of a model or a seed, a schema, or a path under models/ or seeds/.",
    ),
    CodeEntry::check(
        "M0338",
        "An incremental model without `unique_key` only adds rows: a row that changes later appears twice.",
        "",
    ),
    CodeEntry::check(
        "M0339",
        "An ephemeral model is inlined where it is used: there is no table to run its tests on.",
        "Make it a view, or test the models that read it.",
    ),
    CodeEntry::check(
        "M0340",
        "A value in dbt's YAML is a template.",
        "Jinja is rendered in models and macros, not in YAML.\n\nWrite the value itself, or move the setting into the model: {{ config(enabled = target.name == 'prod') }}",
    ),
    CodeEntry::check(
        "M0341",
        "The project has models or seeds that no step of a pipeline builds: no run creates their tables.",
        "  steps:\n    build: { models: all }\n\nTo leave one out on purpose, exclude it: build: { models: all, exclude: [stg_old] }",
    ),
    CodeEntry::check(
        "M0342",
        "A computed column of a model has no name.",
        "Its name is then, in most cases, the text of the expression, such as `count(*)`: it can only be written in quotes, and some programs cannot read a table with such a column.\n\nGive it one: select count(*) as orders",
    ),
    CodeEntry::check(
        "P0101",
        "A project file is not valid YAML at the marked place.",
        "The rest of that file is not read until the mistake is corrected.",
    ),
    CodeEntry::check(
        "P0102",
        "A key that has no meaning here; often it is misspelt.",
        "  orders: { curser: updated_at }      # cursor\n\nUnknown keys are errors, because a setting that is silently ignored is worse.",
    ),
    CodeEntry::check(
        "P0103",
        "A key appears twice in one map; only one of them could be used.",
        "",
    ),
    CodeEntry::check(
        "P0104",
        "A value has the wrong form: for instance, a list where a map is expected.",
        "",
    ),
    CodeEntry::check(
        "P0105",
        "The indentation is wrong.",
        "YAML indents with spaces, and the keys of a map must start in the same column.",
    ),
    CodeEntry::check("P0106", "A required key is missing.", ""),
    CodeEntry::check(
        "P0107",
        "Inside braces a comma separates entries, so a type with a comma must be quoted.",
        "  { type: \"decimal(18,2)\" }",
    ),
    CodeEntry::check(
        "P0108",
        "Inside braces `${` starts a map, so a substitution must be quoted.",
        "  { url: \"${env:SHOP_URL}\" }",
    ),
    CodeEntry::check(
        "P0109",
        "YAML 1.2 has two booleans, `true` and `false`.",
        "yes, no, on and off are text.",
    ),
    CodeEntry::check(
        "P0110",
        "`@`, `%`, `` ` `` and `*` have a special meaning at the start of a YAML value. Quote the value.",
        "",
    ),
    CodeEntry::check(
        "P0111",
        "The value is not one of the words that the key accepts.",
        "",
    ),
    CodeEntry::check(
        "P0112",
        "A step must have exactly one action (`load`, `models`, `command` or `publish`), and a check exactly one kind.",
        "Write a separate entry for each.",
    ),
    CodeEntry::check(
        "P0113",
        "There is no `towpath.yml` in the project folder, or it is empty.",
        "",
    ),
    CodeEntry::check(
        "P0114",
        "A YAML file is too large once its aliases are copied, or an alias contains itself.",
        "",
    ),
    CodeEntry::check(
        "P0115",
        "The setting is known, but this version does not support it.",
        "Where rows or guarantees would differ without it, it is an error, because a setting that is silently ignored is worse; elsewhere it is a warning.\n\nRemove it, or do what the help line suggests.",
    ),
    CodeEntry::check(
        "P0116",
        "The project was written for a different version of Towpath.",
        "",
    ),
    CodeEntry::check(
        "P0117",
        "Two steps write the same table.",
        "A table has one source, so that its rows have one history.",
    ),
    CodeEntry::check(
        "P0118",
        "Tasks, or steps with `after`, wait for each other in a cycle.",
        "",
    ),
    CodeEntry::check(
        "P0119",
        "`after` names a step that this pipeline does not have.",
        "",
    ),
    CodeEntry::check(
        "P0120",
        "A step has nothing to do: it names no tables, no program, or no statement.",
        "",
    ),
    CodeEntry::check(
        "P0121",
        "A pattern matches no known table.",
        "Patterns of a load are expanded from `schemas/` and from the last run, never by contacting a system during a check. Patterns of a publish stand for the tables of the lakehouse that steps write.",
    ),
    CodeEntry::check(
        "P0122",
        "Two source columns get the same name in the table, usually because `names: snake` makes them equal.",
        "Rename one of them.",
    ),
    CodeEntry::check(
        "P0123",
        "A connection and a schema of the lakehouse have the same name, so that `shop.orders` could mean either.",
        "",
    ),
    CodeEntry::check(
        "P0124",
        "This write mode, or a `surrogate_key`, needs a `key`: the columns that identify a row.",
        "",
    ),
    CodeEntry::check(
        "P0125",
        "An incremental load without a key appends.",
        "A row that changes after it was loaded is loaded again, as a second row.",
    ),
    CodeEntry::check(
        "P0126",
        "`mask: hash` is a keyed hash: without a key anyone could find a value by guessing.",
        "Set `mask_key: ${secret:…}` in towpath.yml.",
    ),
    CodeEntry::check(
        "P0127",
        "The text is not a value that the key takes: a number, a duration (30s, 10m, 24h), a size (512MB) or a limit (1%).",
        "",
    ),
    CodeEntry::check(
        "P0128",
        "The file is in a place where no project file is read.",
        "",
    ),
    CodeEntry::check(
        "P0129",
        "A connection is declared in towpath.yml and in a file of its own.",
        "Keep one.",
    ),
    CodeEntry::check(
        "P0130",
        "An incremental read needs a `cursor`: the column that shows which rows are new.",
        "",
    ),
    CodeEntry::check(
        "P0131",
        "A name has the wrong form.",
        "Tables of the lakehouse are `schema.table`; both parts are letters, digits and `_`, and no schema starts with `_`. Pipelines, steps and connections may have `-` too.",
    ),
    CodeEntry::check(
        "P0132",
        "A table comes either from an object (`from`) or from a `query`.",
        "",
    ),
    CodeEntry::check(
        "P0133",
        "A step reads, publishes or checks against a table that no step writes.",
        "",
    ),
    CodeEntry::check(
        "P0134",
        "The key belongs to a different kind of step.",
        "It would have no effect here, so it is an error.",
    ),
    CodeEntry::check(
        "P0135",
        "Two environments have the same lakehouse.",
        "Their tables have the same names, so each environment overwrites the tables of the other. Give one a folder of its own:\n\n  environments: { prod: { lakehouse: ./prod } }",
    ),
    CodeEntry::check(
        "P0136",
        "`valid_from` and `track` describe a history: they have a meaning only with `write: scd2`. `deletes` also has one with `write: merge`.",
        "  tables: { customers: { key: customer_id, write: merge, deletes: soft } }\n  tables: { customer_history: { from: customers, key: customer_id, write: scd2, deletes: close } }",
    ),
    CodeEntry::check(
        "P0137",
        "Rows that are gone can be closed, deleted or marked only when everything is read.",
        "  customer_history: { from: customers, key: customer_id, write: scd2, mode: full }\n\nAn incremental read shows only rows that changed: `deletes: ignore` is its default.",
    ),
    CodeEntry::check(
        "P0138",
        "The source has a column that the write adds itself: `_valid_from`, `_valid_to` and `_is_current` with `scd2`, `_snapshot_at` with `snapshot`, `_previous_COLUMN` with `scd3`.",
        "Leave it out with `drop`, or rename it: columns: { source_valid_from: { from: _valid_from } }",
    ),
    CodeEntry::check(
        "P0139",
        "The `where` of a publish gives other rows at another time, and its write mode cannot send the difference.",
        "With `write: replace` any `where` is allowed, and all rows are sent in each run. A publish with a `key`, without `write`, may ask the clock (`now()`, `current_date`): each run sends the rows that come into the window and deletes those that leave it. `append`, `insert_only` and `delete+insert` delete no row that left the window. Rows that are chosen by chance (`random()`) belong into a model.",
    ),
    CodeEntry::check(
        "P0140",
        "A column with `mask: empty` in a project without `mask_key`.",
        "Rejected records of the table contain the value to hide, so their text is not stored: the quarantine shows their places and reasons, and they cannot be replayed.\n\nWith a key they are stored encrypted:\n\n  mask_key: ${secret:MASK_KEY}",
    ),
    CodeEntry::check(
        "P0141",
        "`schema_change: quarantine_row` keeps records in the quarantine, and `bad_rows` says that they are not kept.",
        "Remove `bad_rows`, or choose another word for `schema_change`.",
    ),
    CodeEntry::check(
        "P0142",
        "`discard_value` cannot be obeyed for the types of a text source.",
        "The types of CSV, JSON, XML, Excel, logs and APIs are found by reading their text: once a column has a type, a value that does not fit rejects its record.\n\n  schema_change: { columns: discard_value, types: quarantine_row }",
    ),
    CodeEntry::check(
        "P0143",
        "The source has a column with the name of an audit column that the load adds.",
        "Rename the column of the source, leave it out, or leave the audit column out:\n\n  columns: { source_run: { from: _run } }",
    ),
    CodeEntry::check(
        "P0144",
        "`schema_change: freeze` has no meaning for a file that is replaced.",
        "Each publish writes the file anew, with the columns of the rows. Databases keep their tables, and files that are appended to keep their columns.",
    ),
    CodeEntry::check(
        "P0145",
        "`dedup` names a column that the load adds itself.",
        "All rows of a load have one `_loaded_at` and one `_run`. Name a column of the source: dedup: { by: updated_at }",
    ),
    CodeEntry::check(
        "P0146",
        "`delete_above` is set on a table that keeps rows whose key is gone.",
        "It limits how many rows `deletes: hard`, `deletes: soft` and `write: scd2` may delete, mark or close in one load. Remove it, or set one of them:\n\n  tables: { customers: { key: customer_id, write: merge, deletes: hard, delete_above: 20% } }",
    ),
    CodeEntry::check(
        "P0147",
        "`expect` of a request has something that is not a status of HTTP.",
        "Statuses are numbers from 100 to 599, or ranges of them:\n\n  http: { url: \"https://…\", expect: [200-299, 404] }",
    ),
    CodeEntry::check(
        "P0148",
        "A request has two bodies.",
        "`json` is sent as JSON, `body` as it is written. Remove one of them.",
    ),
    CodeEntry::check(
        "P0149",
        "`write: snapshot` adds every read whole, so everything must be read.",
        "Set `mode: full`, or add only what is new with `write: append`.",
    ),
    CodeEntry::check(
        "P0150",
        "The cron expression of a schedule cannot be read.",
        "It has five fields: minute, hour, day of the month, month, day of the week.\n\n  schedule: { cron: 0 2 * * * }            # 02:00 on every day\n  schedule: { cron: \"*/15 8-18 * * 1-5\" }  # every 15 minutes, 8 to 18 o'clock, Monday to Friday\n\nA field is `*`, a number, a range `1-5`, a list `1,3,5`, each with a step `/2`; months and days of the week also have names. If both days are restricted, one of them is enough. `@hourly`, `@daily`, `@weekly`, `@monthly` and `@yearly` are read. Seconds, years and L, W, # are not.",
    ),
    CodeEntry::check(
        "P0151",
        "There is no time zone of this name.",
        "Names are those of the IANA database, which is part of Towpath: Europe/Berlin, America/New_York, UTC.",
    ),
    CodeEntry::check(
        "P0152",
        "The settings of a schedule do not fit together.",
        "A schedule has either `cron` or `every`. `end` is after `start`, with at least one interval between them. `catchup: all` runs every interval, so it needs `overlap: queue`. `dst_gap` and `dst_overlap` are for a cron expression with listed hours.",
    ),
    CodeEntry::check(
        "P0153",
        "A key has no value.",
        "`where:`, or null, sets nothing. Give the key a value, or remove it. Null has a meaning in three places: at a table, in a step and in an environment it takes away what a default, or the base, sets; a map or a list without entries is empty; and a key that takes the word `null`, such as `missing_columns: null`, takes it.",
    ),
    CodeEntry::check(
        "P0154",
        "A setting says nothing at all: a key of no columns, no task at once, no time.",
        "`parallel: 0` and `limits: { connections: 0 }` could run nothing, `timeout: 0s` would stop everything at once, `key: []` identifies no row. Write 1 or more, a time, a column; or remove the key.",
    ),
    CodeEntry::check(
        "P0155",
        "The default environment is not declared.",
        "A misspelt name would run in an environment of its own, with its own state and the lakehouse of the base. Declare it, also without settings:\n\n  default_environment: prod\n  environments: { prod: {}, test: { lakehouse: ./test } }",
    ),
    CodeEntry::check(
        "P0156",
        "An entry of `except` leaves out no table.",
        "No known table of the connection has this name, so a table that was meant is loaded all the same. Names are those of the external system, with or without their folder or schema; `*` and `?` match any text. `towpath connection discover NAME --write` lists them.",
    ),
    CodeEntry::check(
        "P0157",
        "A table is replaced by each read, and only new rows are read.",
        "The rows of earlier reads would be gone. Read everything (`mode: full`, without `cursor`), or keep them: `write: append`, or `write: merge` with a `key`.",
    ),
    CodeEntry::check(
        "P0160",
        "A setting has no effect here.",
        "Towpath obeys a setting or refuses it. `lookback` needs a `cursor`; `tolerance` counts rows that break a check, which a check of one number (`row_count`, `freshness`, `distinct_count`) does not have; `from` and `set` cannot both say where the values of a column come from. Remove the setting, or write what it needs.",
    ),
    CodeEntry::check(
        "P0161",
        "Two entries of `columns` are the same column.",
        "A column may be written by its name in the source or in the table, so both entries mean one column. Write all its settings in one entry.",
    ),
    CodeEntry::check(
        "P0162",
        "Two columns come from one source column and have different types.",
        "A source column is read with one type. Give both columns the same `type`, or compute one of them from the other:\n\n  columns: { id: { type: text }, number: { set: \"cast(id as bigint)\" } }",
    ),
    CodeEntry::check(
        "P0163",
        "A masked column and another one come from one source column.",
        "The other column shows the values that the mask hides. Mask both, or remove one of them.",
    ),
    CodeEntry::check(
        "P0201",
        "A setting takes its value from an environment variable that is not set.",
        "Set it, or give a default: ${env:DATA_DIR:-data}",
    ),
    CodeEntry::check(
        "P0202",
        "`${param:x}` is not a parameter of this pipeline, or is used outside a pipeline.",
        "",
    ),
    CodeEntry::check(
        "P0203",
        "A substitution is incomplete, or names something that does not exist.",
        "",
    ),
    CodeEntry::check(
        "P0204",
        "A secret is where it would end up in plans and logs.",
        "Secrets belong only in options that a connector marks secret, in `state`, in `mask_key` and in a command's `env`.",
    ),
    CodeEntry::check(
        "P0205",
        "The requested environment is not declared under `environments`.",
        "",
    ),
    CodeEntry::check(
        "P0206",
        "A parameter has no value, or a value that is not of its type, or no pipeline declares it.",
        "",
    ),
    CodeEntry::check(
        "P0207",
        "An environment may change a connection's options but not its type: pipelines are checked against the type.",
        "",
    ),
    CodeEntry::check(
        "P0208",
        "`${run:…}`, `${step:…}` and `${item:…}` get their values during a run, and in this version only in commands.",
        "",
    ),
    CodeEntry::check(
        "T0401",
        "The type does not exist.",
        "Types are text, bool, int, bigint, double, decimal(P,S), date, timestamp, timestamptz, binary, list(TYPE) and struct(NAME TYPE, …).",
    ),
    CodeEntry::check(
        "T0402",
        "A setting names a column that the table does not have.",
        "The known columns come from `schemas/` or from the last run; a mismatch with the last run is only a warning, because the source may have changed since.",
    ),
    CodeEntry::check(
        "T0403",
        "A bound or value of a rule cannot be read as the column's type.",
        "",
    ),
    CodeEntry::check("T0404", "`min` is above `max`: no value could pass.", ""),
    CodeEntry::check(
        "T0405",
        "A condition must be true or false, and this expression has a different type.",
        "",
    ),
    CodeEntry::check(
        "T0406",
        "A rule or check needs values of a type that the column does not have.",
        "`pattern` and `length` need text; `freshness` needs a date or a timestamp. Give the column such a `type`, or remove the rule.",
    ),
    CodeEntry::check(
        "T0407",
        "A rule or check is about the value of a column that is masked.",
        "A mask replaces the value before rules and checks see it: a pattern would be compared with the hash. Only `required`, `unique` and `relationships` mean the same for a hash.\n\nCompute what you want to know from the source column, before it is masked:\n\n  columns:\n    email: { mask: hash }\n    email_is_good: { set: \"email like '%@%'\", in: [true] }",
    ),
];
