//! The contents of a plan: environments, secrets, facts, substitution; and no text makes the check panic.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "tests"
)]

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema};
use support::{folder, outline, run, run_with};
use towpath_project::write_schemas;
use towpath_vocab::{
    Action, FactSource, Facts, LoadPlan, OptionValue, Plan, Selection, TableFact, TableName,
};

fn files(parts: &[(&str, &str)]) -> BTreeMap<String, String> {
    parts
        .iter()
        .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()))
        .collect()
}

const ROOT: &str = r#"
towpath: 1
name: shop
id: abc
memory: 512MB
parallel: 2
connections:
  db: { type: postgres, url: "${secret:DEV_URL}", schema: public, limits: { connections: 4 } }
  data: { type: files, path: "${env:WHERE}/in", null_values: NA }
environments:
  prod:
    lakehouse: ./prod
    connections: { db: { url: "${secret:PROD_URL}", writable: true, schema: null } }
"#;

fn loads(plan: &Plan) -> Vec<&LoadPlan> {
    let tasks = plan.pipelines.iter().flat_map(|pipeline| &pipeline.tasks);
    tasks
        .filter_map(|task| {
            if let Action::Load(load) = &task.action {
                Some(load.as_ref())
            } else {
                None
            }
        })
        .collect()
}

fn fact(columns: &[(&str, DataType)], source: FactSource) -> TableFact {
    let fields: Vec<Field> = columns
        .iter()
        .map(|(name, t)| Field::new(*name, t.clone(), true))
        .collect();
    TableFact {
        schema: Arc::new(Schema::new(fields)),
        key: vec![],
        source,
        seen_at: "2026-11-19T08:00:00Z".into(),
    }
}

fn check(
    parts: &[(&str, &str)],
    environment: Option<&str>,
    facts: &Facts,
) -> towpath_project::CheckedProject {
    let variables = BTreeMap::from([("WHERE".to_owned(), "here".to_owned())]);
    run_with(
        &files(parts),
        environment,
        facts,
        &variables,
        &BTreeMap::new(),
    )
}

#[test]
fn environments_lay_over_and_secrets_stay_templates() {
    let root = ROOT.replace("connections:\n", "state: ${secret:STATE}\nconnections:\n");
    let parts = [("towpath.yml", root.as_str())];
    let dev = check(&parts, None, &Facts::default());
    let prod = check(&parts, Some("prod"), &Facts::default());
    let (dev_plan, prod_plan) = (dev.plan.as_ref().unwrap(), prod.plan.as_ref().unwrap());
    assert_eq!(
        (
            dev_plan.environment.as_str(),
            prod_plan.environment.as_str()
        ),
        ("dev", "prod")
    );
    assert_eq!(
        (dev_plan.lakehouse.as_str(), prod_plan.lakehouse.as_str()),
        ("./lake", "./prod")
    );
    let (dev_db, prod_db) = (&dev_plan.connections["db"], &prod_plan.connections["db"]);
    assert_eq!(
        dev_db.secret("url").unwrap().template(),
        "${secret:DEV_URL}"
    );
    assert_eq!(
        prod_db.secret("url").unwrap().template(),
        "${secret:PROD_URL}"
    );
    assert_eq!(
        (dev_db.text("schema"), prod_db.text("schema")),
        (Some("public"), None)
    );
    assert_eq!((dev_db.writable, prod_db.writable), (false, true));
    let data = &dev_plan.connections["data"];
    assert_eq!(data.text("path"), Some("here/in"));
    assert_eq!(data.plain("null_values"), Some(&serde_json::json!(["NA"])));
    assert_eq!(dev.memory_bytes, Some(512_000_000));
    assert!(
        matches!(&dev.state, Some(OptionValue::Secret(state)) if state.template() == "${secret:STATE}")
    );
    assert!(
        format!("{dev:?}").contains("SecretTemplate(${secret:DEV_URL})"),
        "a secret is shown as its placeholders only"
    );
}

#[test]
fn facts_that_were_only_observed_warn_and_discovered_ones_stop() {
    let pipeline = "steps: { a: { load: db, into: raw, tables: { t: { cursor: updated_att } } } }";
    let with = |source| {
        let table = fact(
            &[("id", DataType::Int64), ("updated_at", DataType::Date32)],
            source,
        );
        let tables = BTreeMap::from([("t".to_owned(), table)]);
        Facts {
            outside: BTreeMap::from([("db".to_owned(), tables)]),
            ..Facts::default()
        }
    };
    let parts = [("towpath.yml", ROOT), ("pipelines/p.yml", pipeline)];
    let observed = check(&parts, None, &with(FactSource::Observed));
    assert_eq!(observed.summary.warnings, 1);
    assert_eq!(loads(observed.plan.as_ref().unwrap())[0].known, None);
    let declared = check(&parts, None, &with(FactSource::Declared));
    assert_eq!(
        (declared.summary.errors, declared.plan.is_none()),
        (1, true)
    );
    let text = write_schemas(
        "db",
        &[(
            "t".to_owned(),
            fact(&[("updated_att", DataType::Date32)], FactSource::Discovered),
            BTreeMap::new(),
        )],
    );
    let parts = [parts[0], parts[1], ("schemas/db.yml", text.as_str())];
    let discovered = check(&parts, None, &with(FactSource::Observed));
    assert_eq!(
        discovered
            .diagnostics
            .iter()
            .filter(|d| d.code == "T0402")
            .count(),
        0,
        "discovered beats observed"
    );
    let plan = discovered.plan.unwrap();
    let known = loads(&plan)[0].known.as_ref().unwrap();
    assert_eq!(
        (known.source, known.schema.field(0).name().as_str()),
        (FactSource::Discovered, "updated_att")
    );
}

#[test]
fn params_are_bound_as_literals_and_run_values_stay() {
    let pipeline = r#"
params: { since: { type: date, default: 2013-01-01 }, name: "O'Neil" }
steps:
  a:
    load: db
    into: raw
    tables: { t: { where: "at >= ${param:since} and who = ${param:name}" } }
  b:
    command: [run, "--since=${param:since}", "${run:date}"]
    env: { TOKEN: "${secret:TOKEN}" }
    reads: raw.t
    writes: [marts.x]
    retries: 5
    timeout: 90s
    run_if: all_done
"#;
    let parts = [("towpath.yml", ROOT), ("pipelines/p.yml", pipeline)];
    let checked = check(&parts, None, &Facts::default());
    assert_eq!(checked.diagnostics, []);
    let plan = checked.plan.unwrap();
    assert_eq!(
        loads(&plan)[0].table.filter.as_deref(),
        Some("at >= '2013-01-01' and who = 'O''Neil'")
    );
    let task = &plan.pipelines[0].tasks[1];
    let Action::Command(command) = &task.action else {
        panic!("no command")
    };
    assert_eq!(command.argv, ["run", "--since=2013-01-01", "${run:date}"]);
    assert_eq!(command.env["TOKEN"], "${secret:TOKEN}");
    assert_eq!(command.writes[0].target, TableName::new("marts", "x"));
    assert_eq!(
        (task.retry.retries, task.retry.timeout_ms),
        (5, Some(90_000))
    );
    assert_eq!(
        (plan.pipelines[0].parallel, task.after[0].as_str()),
        (2, "a/raw.t")
    );
    let given = BTreeMap::from([("since".to_owned(), "soon".to_owned())]);
    let variables = BTreeMap::from([("WHERE".to_owned(), "here".to_owned())]);
    let wrong = run_with(&files(&parts), None, &Facts::default(), &variables, &given);
    assert_eq!(wrong.diagnostics[0].code, "P0206");
}

#[test]
fn patterns_name_tables_after_their_files() {
    let tables = ["in/ref_a.csv.gz", "in/Ref B.csv", "other.csv"];
    let tables = tables.map(|name| {
        (
            name.to_owned(),
            fact(&[("x", DataType::Int64)], FactSource::Observed),
        )
    });
    let facts = Facts {
        outside: BTreeMap::from([("data".to_owned(), BTreeMap::from(tables))]),
        ..Facts::default()
    };
    let pipeline = r#"steps: { a: { load: data, into: raw, tables: { "in/*": {}, other: { from: other.csv } } } }"#;
    let checked = check(
        &[("towpath.yml", ROOT), ("pipelines/p.yml", pipeline)],
        None,
        &facts,
    );
    let plan = checked.plan.unwrap();
    let found: Vec<(String, &Selection)> = loads(&plan)
        .iter()
        .map(|load| (load.table.target.to_string(), &load.selection))
        .collect();
    let object = |name: &str| Selection::Object(name.to_owned());
    assert_eq!(found.len(), 3);
    assert!(found.contains(&("raw.ref_a".to_owned(), &object("in/ref_a.csv.gz"))));
    assert!(found.contains(&("raw.ref_b".to_owned(), &object("in/Ref B.csv"))));
    assert!(found.contains(&("raw.other".to_owned(), &object("other.csv"))));
}

#[test]
fn a_plan_survives_storage_and_is_the_same_each_time() {
    let files = folder(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/nycflights"));
    let (one, two) = (run(&files, None), run(&files, None));
    assert_eq!(one.plan, two.plan);
    assert_eq!(one.explain, two.explain);
    let plan = one.plan.unwrap();
    let text = serde_json::to_string(&plan).unwrap();
    let back: Plan = serde_json::from_str(&text).unwrap();
    assert_eq!(serde_json::to_string(&back).unwrap(), text);
    assert!(
        one.explain
            .iter()
            .any(|s| s.table == "raw.weather" && s.key == "columns.wind_speed.max" && s.line > 1)
    );
}

/// Every line of the examples dropped, cut in half and doubled: the check must always answer, and
/// every place it names must lie in its file.
#[test]
fn no_change_of_a_line_breaks_the_check() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let mut checks = 0;
    for name in ["broken", "nycflights"] {
        let whole = folder(&examples.join(name));
        for (path, text) in &whole {
            let lines: Vec<&str> = text.lines().collect();
            for (index, line) in lines.iter().enumerate() {
                let half: String = line.chars().take(line.chars().count() / 2).collect();
                for replacement in [None, Some(half)] {
                    let mut changed: Vec<String> =
                        lines.iter().map(|line| (*line).to_owned()).collect();
                    match replacement {
                        None => drop(changed.remove(index)),
                        Some(text) => changed[index] = text,
                    }
                    let mut files = whole.clone();
                    files.insert(path.clone(), changed.join("\n"));
                    let checked = run(&files, None);
                    let _ = support::draw(&checked.diagnostics, &files);
                    assert_eq!(
                        checked.plan.is_none(),
                        checked.summary.errors > 0,
                        "{path}:{}",
                        index + 1
                    );
                    checks += 1;
                }
            }
        }
    }
    assert!(checks > 300, "{checks}");
}

#[test]
fn a_project_of_one_file_is_a_project() {
    let checked = run(&files(&[("towpath.yml", "towpath: 1\nname: x\n")]), None);
    assert_eq!(outline(&checked), "");
    assert!(checked.plan.is_some());
    let none = run(&BTreeMap::new(), None);
    assert_eq!(none.diagnostics[0].code, "P0113");
}
