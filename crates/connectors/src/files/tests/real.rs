//! The flights of the example project, as they came.

use super::*;

fn read(selection: &str) -> Outcome {
    let mut project = Project::new().with("null_values", json!(["NA"]));
    let path = nycflights().join("data");
    project.options.insert(
        "path".to_owned(),
        OptionValue::Plain(json!(path.to_string_lossy())),
    );
    project.memory = Arc::new(Ample::default());
    project.read(selection)
}

fn types_of(outcome: &Outcome) -> BTreeMap<String, String> {
    outcome
        .columns
        .iter()
        .map(|column| column.split_once(' ').unwrap())
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .collect()
}

#[test]
fn flights() {
    let outcome = read("flights");
    assert_eq!((outcome.rows.len(), outcome.rejects.len()), (336_776, 0));
    let types = types_of(&outcome);
    for (column, word) in [
        ("year", "bigint"),
        ("dep_time", "bigint"),
        ("arr_delay", "bigint"),
        ("tailnum", "text"),
        ("carrier", "text"),
        ("time_hour", "timestamptz"),
    ] {
        assert_eq!(types[column], word, "{column}");
    }
    assert_eq!(
        outcome.rows[0],
        "2013|1|1|517|515|2|830|819|11|UA|1545|N14228|EWR|IAH|227|1400|5|15|2013-01-01T10:00:00Z"
    );
    let without_departure = outcome
        .rows
        .iter()
        .filter(|row| row.split('|').nth(3) == Some("∅"))
        .count();
    assert_eq!(without_departure, 8255);
    assert_eq!(outcome.place(336_775).line, Some(336_777));
}

#[test]
fn weather() {
    let outcome = read("weather");
    assert_eq!((outcome.rows.len(), outcome.rejects.len()), (26_115, 0));
    let types = types_of(&outcome);
    assert_eq!(
        (
            types["wind_speed"].as_str(),
            types["time_hour"].as_str(),
            types["hour"].as_str()
        ),
        ("double", "timestamptz", "bigint")
    );
    let storm = outcome
        .rows
        .iter()
        .position(|row| row.contains("1048.36058"))
        .unwrap();
    assert!(
        outcome
            .place(storm)
            .to_string()
            .ends_with("weather.csv:1011"),
        "{}",
        outcome.place(storm)
    );
    assert!(text(&outcome.raw(storm)).starts_with("EWR,2013,2,12,3,"));
}

#[test]
fn the_small_tables() {
    for (name, rows) in [("planes", 3_322), ("airports", 1_458), ("airlines", 16)] {
        let outcome = read(name);
        assert_eq!(
            (outcome.rows.len(), outcome.rejects.len()),
            (rows, 0),
            "{name}"
        );
    }
}
