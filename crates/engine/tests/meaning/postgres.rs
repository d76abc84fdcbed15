//! The real PostgreSQL of the suite: tables with typed edge values, and one function that runs every case.
//!
//! Promise: a case that fails for one row runs again row by row, so each row has a result: a value, NULL,
//! or the SQLSTATE of the failure. A case that PostgreSQL does not accept at all (class 42) has one result.
//! It does not know the results of Towpath.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use towpath_testkit::postgres::PostgresServer;

use crate::cases::{Case, Statement};
use crate::values::{TYPES, literal};

/// What PostgreSQL says of one row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Theirs {
    /// A value as text; `None` is NULL.
    Value(Option<String>),
    /// It fails with this SQLSTATE.
    Fails(String),
}

/// What PostgreSQL says of a case.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// It is not accepted.
    Refused,
    /// One answer for each row.
    Rows(Vec<Theirs>),
}

/// A server with the values in it.
pub(crate) struct Postgres {
    server: Arc<PostgresServer>,
    database: String,
}

const FUNCTIONS: &str = r"
create function ask(expr text, kinds text[], ia int[], ib int[], ic int[])
returns table(n int, kind text, value text) language plpgsql as $$
declare
  asked text; k int;
begin
  asked := format('select u.n::int, ''v'', (%s)::text from unnest($1, $2, $3) with ordinality u(ia, ib, ic, n)
    left join (select i, x as a from v_%s) va on va.i = u.ia
    left join (select i, x as b from v_%s) vb on vb.i = u.ib
    left join (select i, x as c from v_%s) vc on vc.i = u.ic', expr, kinds[1], kinds[2], kinds[3]);
  begin
    return query execute asked using ia, ib, ic;
    return;
  exception when others then
    if sqlstate like '42%' then
      return query select 0, 'x', sqlstate::text; return;
    end if;
  end;
  for k in 1..array_length(ia, 1) loop
    begin
      return query execute replace(asked, 'u.n::int', k::text) using ia[k:k], ib[k:k], ic[k:k];
    exception when others then
      n := k; kind := 'e'; value := sqlstate; return next;
    end;
  end loop;
end $$;
create function ask_all(statement text) returns jsonb language plpgsql as $$
declare
  answer jsonb; names text;
begin
  execute format('create temp view asked as %s', statement);
  select string_agg(format('%I::text', attname), ',' order by attnum) into names
    from pg_attribute where attrelid = 'asked'::regclass and attnum > 0;
  execute format('select jsonb_build_array(''v'', coalesce(jsonb_agg(cells), ''[]'')) from (select array[%s] as cells from asked) r', names) into answer;
  drop view asked;
  return answer;
exception when others then
  return jsonb_build_array('x', sqlstate);
end $$;
create table cases (id int, expr text, kinds text[], ia int[], ib int[], ic int[]);
create table statements (id int, statement text);
";

/// So many statements are asked in one transaction.
const STATEMENTS: usize = 500;

const SETTINGS: &str = "set timezone to 'UTC'; set jit to off; set standard_conforming_strings to on; set client_min_messages to error;\n";

impl Postgres {
    pub(crate) fn start() -> Self {
        let server = PostgresServer::shared().unwrap();
        let database = server.new_database().unwrap();
        let mut sql = String::from(SETTINGS);
        for kind in TYPES {
            let _ = writeln!(
                sql,
                "create table v_{} (i int, x {});",
                kind.name, kind.postgres
            );
            for (at, value) in kind.values.iter().enumerate() {
                let _ = writeln!(
                    sql,
                    "insert into v_{} values ({at}, {}::{});",
                    kind.name,
                    literal(value),
                    kind.postgres
                );
            }
        }
        sql.push_str(FUNCTIONS);
        server.psql(&database, &sql).unwrap();
        Self { server, database }
    }

    /// Runs statements that give no rows.
    pub(crate) fn run(&self, sql: &str) {
        self.server
            .psql(&self.database, &format!("{SETTINGS}{sql}"))
            .unwrap();
    }

    /// The answers to all cases, in their order.
    pub(crate) fn ask(&self, cases: &[Case]) -> Vec<Answer> {
        let mut sql = String::from(SETTINGS);
        for (id, case) in cases.iter().enumerate() {
            let indexes = |position: usize| {
                let all: Vec<String> = case
                    .rows
                    .iter()
                    .map(|row| {
                        row.get(position)
                            .map_or("null".to_owned(), ToString::to_string)
                    })
                    .collect();
                format!("array[{}]::int[]", all.join(","))
            };
            let kind = |position: usize| case.kinds.get(position).map_or("bool", |kind| kind.name);
            let _ = writeln!(
                sql,
                "insert into cases values ({id}, {}, array['{}','{}','{}'], {}, {}, {});",
                quoted(&case.theirs),
                kind(0),
                kind(1),
                kind(2),
                indexes(0),
                indexes(1),
                indexes(2)
            );
        }
        self.server.psql(&self.database, &sql).unwrap();
        let asked = format!(
            "{SETTINGS}select json_build_array(c.id, (select json_agg(json_build_array(n, kind, value) order by n) from ask(c.expr, c.kinds, c.ia, c.ib, c.ic))) from cases c;"
        );
        let mut found: BTreeMap<usize, Answer> = BTreeMap::new();
        for line in self.server.psql(&self.database, &asked).unwrap().lines() {
            let (id, rows): (usize, Vec<(usize, String, Option<String>)>) =
                serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            // Rows before the one a case failed at are answered twice.
            let mut rows = rows;
            rows.dedup_by_key(|(n, _, _)| *n);
            let answer = match rows.first() {
                Some((0, ..)) => Answer::Refused,
                _ => Answer::Rows(
                    rows.into_iter()
                        .map(|(_, kind, value)| match kind.as_str() {
                            "v" => Theirs::Value(value),
                            _ => Theirs::Fails(value.unwrap_or_default()),
                        })
                        .collect(),
                ),
            };
            found.insert(id, answer);
        }
        (0..cases.len())
            .map(|id| found.remove(&id).unwrap())
            .collect()
    }

    /// For each statement its rows, cells as text, or the SQLSTATE.
    pub(crate) fn ask_statements(
        &self,
        statements: &[Statement],
    ) -> Vec<Result<Vec<Vec<Option<String>>>, String>> {
        let mut sql = format!("{SETTINGS}truncate statements;\n");
        for (id, statement) in statements.iter().enumerate() {
            let _ = writeln!(
                sql,
                "insert into statements values ({id}, {});",
                quoted(&statement.theirs)
            );
        }
        self.server.psql(&self.database, &sql).unwrap();
        // Each view of a statement holds locks until the end of the transaction.
        let parts: Vec<String> = (0..statements.len())
            .step_by(STATEMENTS)
            .map(|from| {
                let to = from + STATEMENTS;
                let asked = format!(
                    "{SETTINGS}select jsonb_build_array(id, ask_all(statement)) from statements where id >= {from} and id < {to} order by id;"
                );
                self.server.psql(&self.database, &asked).unwrap()
            })
            .collect();
        let answers = parts.join("\n");
        answers
            .lines()
            .filter(|line| !line.is_empty())
            .map(|line| {
                let (_, (kind, value)): (usize, (String, serde_json::Value)) =
                    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
                match kind.as_str() {
                    "v" => Ok(serde_json::from_value(value).unwrap()),
                    _ => Err(value.as_str().unwrap_or_default().to_owned()),
                }
            })
            .collect()
    }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
