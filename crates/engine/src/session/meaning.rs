//! Tests of statements with the rows that PostgreSQL returns for them.
//!
//! Each statement once gave other rows. For statements that are refused, `refusals` tests the message.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

use super::fixture::{Fixture, batch, ints, texts};

async fn shop() -> Fixture {
    let fixture = Fixture::new();
    let orders = batch(vec![
        (
            "id",
            ints(vec![Some(1), Some(2), Some(3), Some(4), Some(5)]),
        ),
        (
            "customer",
            ints(vec![Some(1), Some(1), Some(2), Some(3), None]),
        ),
    ]);
    fixture.put("raw.orders", orders).await;
    let customers = batch(vec![
        ("id", ints(vec![Some(1), Some(2), Some(4)])),
        ("name", texts(vec![Some("Anna"), Some("Bob"), None])),
    ]);
    fixture.put("raw.customers", customers).await;
    fixture
}

/// Rows in the order they come, values joined by `,`, NULL as nothing.
async fn gives<S: AsRef<str>>(fixture: &Fixture, cases: &[(S, Vec<&str>)]) {
    let mut wrong = Vec::new();
    for (sql, wanted) in cases {
        let sql = sql.as_ref();
        match fixture.rows(sql).await {
            Ok(rows) => {
                let found: Vec<String> = rows.iter().map(|row| plain(row)).collect();
                if found != *wanted {
                    wrong.push(format!("{sql}\n  wanted {wanted:?}\n  found {found:?}"));
                }
            }
            Err(failure) => wrong.push(format!("{sql}\n  {failure}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn plain(row: &str) -> String {
    let cells = row
        .split('|')
        .map(|cell| if cell == "-" { "" } else { cell });
    cells.collect::<Vec<_>>().join(",")
}

#[tokio::test]
async fn merged_keys_are_what_either_side_has() {
    let fixture = shop().await;
    let ab = "with a(k, x) as (values (1, 'l')), b(k, y) as (values (2, 'r')) ";
    let all = [
        (
            "select * from a full join b using (k) order by k",
            vec!["1,l,", "2,,r"],
        ),
        (
            "select * from b full join a using (k) order by k",
            vec![",1,l", "r,2,"],
        ),
        ("select k, x, y from a right join b using (k)", vec!["2,,r"]),
        (
            "select k, count(*) as n from a full join b using (k) group by k order by k",
            vec!["1,1", "2,1"],
        ),
        ("select k from a natural right join b", vec!["2"]),
        (
            "select k from (select * from a natural full join b) j where k > 1",
            vec!["2"],
        ),
        (
            "select k, a.x, b.y from a full join b using (k) order by 1",
            vec!["1,l,", "2,,r"],
        ),
        (
            "select * from a full join b using (k) full join (values (3)) c(k) using (k) order by 1",
            vec!["1,l,", "2,,r", "3,,"],
        ),
        (
            "select k + 1 as n from (select * from a full join b using (k)) order by n",
            vec!["2", "3"],
        ),
        ("select * from a left join b using (k)", vec!["1,l,"]),
        (
            "select a.k, b.k as o from a full join b on a.k = b.k order by 1",
            vec!["1,", ",2"],
        ),
    ];
    let all: Vec<(String, Vec<&str>)> = all
        .into_iter()
        .map(|(sql, wanted)| (format!("{ab}{sql}"), wanted))
        .collect();
    gives(&fixture, &all).await;
    let mixed = "select id, customer, name from (select id, customer from raw.orders where id > 3) o \
                 full join (select cast(id as smallint) as id, name from raw.customers) c using (id) order by id";
    gives(
        &fixture,
        &[(mixed, vec!["1,,Anna", "2,,Bob", "4,3,", "5,,"])],
    )
    .await;
}

#[tokio::test]
async fn nothing_is_not_in_what_holds_a_null() {
    let fixture = shop().await;
    let with_null = "(select customer from raw.orders)";
    let without = "(select customer from raw.orders where customer is not null)";
    let empty = "(select customer from raw.orders where id > 9)";
    let cases: Vec<(String, Vec<&str>)> = vec![
        (format!("select id from raw.customers where id not in {with_null}"), vec![]),
        (format!("select id from raw.customers where id not in {without}"), vec!["4"]),
        (format!("select id from raw.customers where id not in {empty} order by id"), vec!["1", "2", "4"]),
        (format!("select id from raw.customers where 99 not in {with_null}"), vec![]),
        (format!("select id from raw.customers where 99 not in {without} order by id"), vec!["1", "2", "4"]),
        (format!("select 1 as one where 3 not in {with_null}"), vec![]),
        (format!("select 1 as one where 7 not in {without}"), vec!["1"]),
        (format!("select id from raw.customers where id not in {with_null} or name = 'Bob'"), vec!["2"]),
        (format!("select id from raw.customers where id not in {without} or name = 'Bob' order by id"), vec!["2", "4"]),
        (format!("select id from raw.customers where not (id in {with_null})"), vec![]),
        (format!("select id from raw.customers where not (id not in {without}) order by id"), vec!["1", "2"]),
        (format!("select id from raw.customers where not (id in {without} and name is null) order by id"), vec!["1", "2", "4"]),
        ("select id from raw.orders where customer not in (select id from raw.customers) order by id".to_owned(), vec!["4"]),
        (format!("select id from raw.orders where customer not in {empty} order by id"), vec!["1", "2", "3", "4", "5"]),
        (
            "select c.id from raw.customers c where c.id not in (select o.customer from raw.orders o where o.customer = c.id)".to_owned(),
            vec!["4"],
        ),
        (
            "select o.id from raw.orders o where o.customer not in (select c.id from raw.customers c where c.id <> o.id) order by 1".to_owned(),
            vec!["1", "4"],
        ),
        (
            "select c.id from raw.customers c where c.id not in (select o.customer from raw.orders o where o.id < c.id + 3) order by 1".to_owned(),
            vec![],
        ),
        (
            "select c.id from raw.customers c where c.id not in (select o.customer from raw.orders o where o.id < c.id + 1) or c.id = 1 order by 1".to_owned(),
            vec!["1", "2", "4"],
        ),
        (
            "select id, count(*) as n from raw.orders group by id having id not in (select customer from raw.orders where customer < 3) order by id".to_owned(),
            vec!["3,1", "4,1", "5,1"],
        ),
    ];
    gives(&fixture, &cases).await;
}

#[tokio::test]
async fn operators_and_casts_mean_what_they_mean_elsewhere() {
    let fixture = shop().await;
    let cases = [
        (
            "select 2^3 as a, 2 + 2^3 * 2 as b, 2 ^ 0.5 > 1.41 as c",
            vec!["8.0,18.0,true"],
        ),
        (
            "select 2^3^2 as a, -2^2 as b, 2 * 3 ^ 2 + 1 as c, (1 + 1) ^ (2 + 1) as d, 10 - 2 ^ 2 - 1 as e",
            vec!["64.0,4.0,19.0,8.0,5.0"],
        ),
        (
            "select 2.7::int as a, (-2.7)::int as b, 2.4::int as c",
            vec!["3,-3,2"],
        ),
        (
            "select cast(2.5::double as int) as a, cast(3.5::double as bigint) as b",
            vec!["2,4"],
        ),
        (
            "select 9.99::decimal(3,2)::int as a, (-0.5)::decimal(2,1)::int as b, try_cast(1.5::decimal(2,1) as bigint) as c",
            vec!["10,-1,2"],
        ),
        (
            "select sum(x::int) as s from (values (1.6::decimal(2,1)), (2.6::decimal(2,1))) v(x)",
            vec!["5"],
        ),
    ];
    gives(&fixture, &cases).await;
}

#[tokio::test]
async fn instants_have_a_zone_and_time_zones_go_both_ways() {
    let fixture = shop().await;
    let cases = [
        (
            "select arrow_typeof(now()) like 'Timestamp(%UTC%' as a, arrow_typeof('2024-01-01 10:00:00+02'::timestamptz) as b",
            vec!["true,Timestamp(µs, \"UTC\")"],
        ),
        (
            "select '2024-01-01 10:00:00+02'::timestamptz as a",
            vec!["2024-01-01T08:00:00Z"],
        ),
        (
            "select timestamptz '2024-01-01 10:00:00+02' at time zone 'Europe/Berlin' as a",
            vec!["2024-01-01T09:00:00"],
        ),
        (
            "select timestamp '2024-07-01 10:00:00' at time zone 'Europe/Berlin' as a",
            vec!["2024-07-01T08:00:00Z"],
        ),
        (
            "select ('2024-06-30 22:30:00Z'::timestamptz at time zone 'Europe/Berlin')::date as d",
            vec!["2024-07-01"],
        ),
        (
            "select (timestamp '2024-10-27 02:30:00' at time zone 'europe/BERLIN') as d",
            vec!["2024-10-27T01:30:00Z"],
        ),
        (
            "select (timestamp '2024-03-31 02:30:00' at time zone 'Europe/Berlin') as d",
            vec!["2024-03-31T01:30:00Z"],
        ),
        (
            "select timestamp '2024-07-01 10:00:00' at time zone 'UTC' at time zone 'America/New_York' as a",
            vec!["2024-07-01T06:00:00"],
        ),
    ];
    gives(&fixture, &cases).await;
    for name in ["Berlin", "+0530", "-0530", "+05:3x", "+"] {
        let sql = format!("select now() at time zone '{name}' as a");
        let none = fixture.rows(&sql).await.unwrap_err();
        let right = format!("`{name}` is not a time zone");
        assert!(none.message.contains(&right), "{none}");
    }
}

#[tokio::test]
async fn timestamps_reach_as_far_as_microseconds_do() {
    let fixture = shop().await;
    let cases = [
        (
            "select timestamp '9999-12-31 00:00:00' as a, timestamp '0001-01-01 00:00:00' as b",
            vec!["9999-12-31T00:00:00,0001-01-01T00:00:00"],
        ),
        (
            "select date '9999-12-31'::timestamp as a, '1500-01-01'::timestamp as b",
            vec!["9999-12-31T00:00:00,1500-01-01T00:00:00"],
        ),
        (
            "select coalesce(null, timestamp '9999-12-31 00:00:00') as a",
            vec!["9999-12-31T00:00:00"],
        ),
        (
            "select count(*) as n from (values (timestamp '2024-01-01 00:00:00')) v(at) where at < '9999-12-31' and at < timestamp '9999-12-31 00:00:00'",
            vec!["1"],
        ),
        (
            "select count(*) as n from (values (date '9999-12-30'), (date '1500-01-01')) v(d) where d > timestamp '2024-01-01 00:00:00'",
            vec!["1"],
        ),
        (
            "select count(*) as n from (values (date '3000-01-01')) v(d) where d between date '1000-01-01' and '2024-01-01 00:00:00'::timestamp",
            vec!["0"],
        ),
        (
            "select datediff(day, timestamp '9999-12-30 00:00:00', timestamp '9999-12-31 00:00:00') as n",
            vec!["1"],
        ),
    ];
    gives(&fixture, &cases).await;
}

#[tokio::test]
async fn what_would_be_wrong_is_refused_with_a_way_out() {
    let fixture = shop().await;
    let a = "(values (1), (1), (2)) a(x)";
    for (sql, said, out) in [
        (format!("select * from {a} except all select 1"), "EXCEPT ALL", "row_number()"),
        (format!("select * from {a} intersect all select 1"), "INTERSECT ALL", "row_number()"),
        (
            "select o.id from raw.orders o full join raw.customers c using (id)".to_owned(),
            "`o.id`",
            "coalesce(a.k, b.k) as k",
        ),
        (
            "select c.* from raw.orders o right join raw.customers c using (id)".to_owned(),
            "`c.*`",
            "`on a.k = b.k`",
        ),
        (
            "select to_char(now(), 'YYYY-MM') as m".to_owned(),
            "`YYYY-MM` is not a valid format",
            "did you mean `%Y-%m`?",
        ),
        (
            "select to_date('31/01/2024', 'DD/MM/YYYY') as m".to_owned(),
            "`DD/MM/YYYY` is not a valid format",
            "did you mean `%d/%m/%Y`?",
        ),
        (
            "select id, case when id in (select id from raw.customers) then 1 else 0 end as k from raw.orders".to_owned(),
            "`IN (SELECT …)` is in a place where it does not filter rows",
            "join the query",
        ),
        (
            "select id, exists (select 1 from raw.customers c where c.id = o.id) as k from raw.orders o".to_owned(),
            "`EXISTS (SELECT …)` is in a place where it does not filter rows",
            "join the query",
        ),
        (
            "select id from raw.orders where coalesce(id not in (select id from raw.customers), true)".to_owned(),
            "inside another expression",
            "condition of its own",
        ),
    ] {
        let failure = fixture.rows(&sql).await.unwrap_err();
        assert!(failure.message.contains(said), "{sql}\n{failure}");
        assert!(failure.help.iter().any(|line| line.contains(out)), "{sql}\n{failure:?}");
        assert_eq!(failure.code, "R0509", "{sql}");
    }
}

#[tokio::test]
async fn fractions_beside_decimals_are_taken_as_they_are_written() {
    let fixture = shop().await;
    let d = "(values ('12345678901234567.89'::decimal(20,2))) v(d)";
    let exact = |sql: &str, wanted: &'static str| (sql.replace("{d}", d), vec![wanted]);
    let cases = [
        exact(
            "select d + 0.01 as a, d * 2 as b, d * 1.5 as c from {d}",
            "12345678901234567.90,24691357802469135.78,18518518351851851.835",
        ),
        exact(
            "select d - 0.5 + 0.25 as a, 0.11 + d as b, d * (1 + 0.5) as c, d * -0.1 as e from {d}",
            "12345678901234567.64,12345678901234568.00,18518518351851851.835,-1234567890123456.789",
        ),
        exact(
            "select 12345678901234567.89::decimal(20,2) as a, 1.005::decimal(4,2) as b, (-1.005)::decimal(4,2) as c",
            "12345678901234567.89,1.01,-1.01",
        ),
        exact(
            "select count(*) as n from {d} where d > 12345678901234567.88 and d < 12345678901234567.90 and d = 12345678901234567.89",
            "1",
        ),
        exact(
            "select '0.30'::decimal(5,2) = 0.3 as a, '0.1'::decimal(5,2) + '0.2'::decimal(5,2) = 0.3 as b, 0.1::decimal(3,1) * 3 = 0.3 as c",
            "true,true,true",
        ),
        exact(
            "select coalesce(d, 0.0) as a, case when d > 0.5 then d else 0.0 end as b, greatest(d, 0.5) as c from {d}",
            "12345678901234567.89,12345678901234567.89,12345678901234567.89",
        ),
        exact(
            "select d between 0.5 and 12345678901234567.89 as a, d in (0.5, 12345678901234567.89) as b from {d}",
            "true,true",
        ),
        exact(
            "select '1.10'::decimal(10,2) * 3 as a, '100'::decimal(5,2) * 1.19 = 119.00 as b",
            "3.30,true",
        ),
        exact(
            "select sum(x * 0.1) as s from (values ('0.3'::decimal(3,1)), ('0.4'::decimal(3,1))) v(x)",
            "0.07",
        ),
        exact(
            "select arrow_typeof(0.5) as a, arrow_typeof(1 * 0.5) as b, 1.0 / 3 as c, 18446744073709551616 as e, 123456789012345678.5 as f",
            "Float64,Float64,0.3333333333333333,18446744073709551616,123456789012345678.5",
        ),
        exact(
            "select x + 0.5 as a from (select d + 0.01 as x from {d}) t",
            "12345678901234568.40",
        ),
    ];
    gives(&fixture, &cases).await;
    let view = "select id, (id::decimal(20,2) + 0.01) as d from raw.orders";
    towpath_ports::ModelEngine::create_view(
        &fixture.engine,
        &super::fixture::name("marts.v"),
        view,
    )
    .await
    .unwrap();
    gives(
        &fixture,
        &[(
            "select d * 0.5 as h from marts.v where id = 1",
            vec!["0.505"],
        )],
    )
    .await;
}
