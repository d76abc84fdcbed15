//! Statements that run on both systems: aggregates, windows, rows of JSON, order and groups.
//!
//! Promise: both get the same text, except for Towpath's own names of functions. Single expressions are in
//! `expressions.rs`.

/// Values that stand in `v(g, i, b, n, f, t, d, ts, iv, ok)`.
pub(crate) const VALUES: &str = "(values \
  (1, 7, 10000000000, 1.25, 0.5::double precision, 'a', date '2024-02-29', timestamp '2024-02-29 12:34:56', interval '2 days 2 hours', true), \
  (1, -7, -5, 2.50, -2.5::double precision, 'B', date '2023-12-31', timestamp '2023-12-31 23:59:59', interval '36 hours', false), \
  (2, 3, 3, -0.75, 1e10::double precision, null, date '1970-01-01', timestamp '1970-01-01 00:00:00', interval '1 day', null), \
  (2, null, null, null, null, 'a', null, null, null, true), \
  (2, 3, 4, 7.00, 3::double precision, 'z', date '2024-02-29', timestamp '2024-02-27 10:00:00', interval '30 days', true), \
  (3, null, null, null, null, null, null, null, null, null)) v(g, i, b, n, f, t, d, ts, iv, ok)";

/// Aggregates over all rows and in groups.
pub(crate) const AGGREGATES: &[&str] = &[
    "count(*)",
    "count(i)",
    "count(distinct i)",
    "sum(i)",
    "sum(b)",
    "sum(n)",
    "sum(f)",
    "sum(iv)",
    "avg(i)",
    "avg(n)",
    "avg(n::numeric(38,10))",
    "avg(distinct n)",
    "avg(n / 3)",
    "avg(n) * 2",
    "avg(n) > 2",
    "round(avg(n), 2)",
    "avg(n) filter (where ok)",
    "sum(n) / count(n)",
    "sum(n) / nullif(count(*), 0)",
    "sum(n / 8)",
    "round(sum(n / 3), 10)",
    "max(n / 3)",
    "avg(f)",
    "avg(iv)",
    "min(i)",
    "max(n)",
    "min(t)",
    "max(t)",
    "min(d)",
    "max(ts)",
    "min(iv)",
    "max(iv)",
    "bool_and(ok)",
    "bool_or(ok)",
    "stddev(i)",
    "stddev_pop(f)",
    "var_samp(n)",
    "var_pop(i)",
    "corr(i, f)",
    "covar_pop(i, f)",
    "covar_samp(i, f)",
    "regr_slope(i, f)",
    "regr_count(i, f)",
    "string_agg(t, ',' order by t)",
    "array_agg(i order by i)",
    "bit_and(i)",
    "bit_or(i)",
    "bit_xor(i)",
    "regr_avgx(i, f)",
    "regr_avgy(i, f)",
    "regr_intercept(i, f)",
    "regr_sxx(i, f)",
    "regr_sxy(i, f)",
    "regr_syy(i, f)",
    "sum(distinct i)",
    "avg(distinct i)",
    "sum(i) filter (where ok)",
    "count(*) filter (where t = 'a')",
    "max(ts) - min(ts)",
    "sum(i) / count(i)",
    "avg(ts - timestamp '2024-01-01')",
    "sum(ts - timestamp '2024-01-01')",
    "max(ts - timestamp '2024-01-01')",
    "min(i + f)",
    "percentile_cont(0.5) within group (order by f)",
];

/// Windows over the groups.
pub(crate) const WINDOWS: &[&str] = &[
    "row_number() over (partition by g order by i nulls first, t)",
    "rank() over (order by i)",
    "dense_rank() over (order by i desc)",
    "percent_rank() over (order by g)",
    "cume_dist() over (order by g)",
    "ntile(2) over (order by g, i, t)",
    "lag(i) over (order by g, i, t)",
    "lead(i, 2, 0) over (order by g, i, t)",
    "first_value(t) over (partition by g order by i, t)",
    "last_value(i) over (order by g, i, t)",
    "nth_value(i, 2) over (order by g, i, t)",
    "sum(i) over (partition by g)",
    "sum(i) over (order by g, i, t)",
    "avg(n) over (order by g rows between 1 preceding and current row)",
    "avg(n) over (partition by g)",
    "n / sum(n) over (partition by g)",
    "n / nullif(sum(n) over (), 0)",
    "sum(iv) over (partition by g)",
    "max(iv) over (partition by g)",
    "rank() over (order by iv)",
    "count(*) over (order by g range unbounded preceding)",
];

/// Whole statements: Towpath's and PostgreSQL's.
pub(crate) const STATEMENTS: &[(&str, &str)] = &[
    (
        "select x from (values (interval '36 hours'), (interval '1 day'), (interval '1 month'), (interval '2 days')) v(x) order by x limit 1",
        "",
    ),
    (
        "select count(*) as n from (values (interval '36 hours')) a(x) join (values (interval '1 day 12 hours')) b(x) on a.x = b.x",
        "",
    ),
    (
        "select json_array_elements('[1, \"two\", {\"a\": 3}]')::text as e",
        "",
    ),
    (
        "select json_array_elements_text('[1, \"two\", null]') as e",
        "",
    ),
    (
        "select value::text as e from json_array_elements('[1, [2]]')",
        "",
    ),
    (
        "select id, json_array_elements(j) as e from (values (1, '[1,2]'), (2, '[]'), (3, '[3]')) v(id, j)",
        "select id, json_array_elements(j::json) as e from (values (1, '[1,2]'), (2, '[]'), (3, '[3]')) v(id, j)",
    ),
    (
        "select e ->> 'k' as k from (select json_array_elements('[{\"k\": 1}, {\"k\": \"b\"}]') as e) x",
        "",
    ),
    ("select json_object_keys('{\"a\": 1, \"b\": 2}') as k", ""),
    ("select x::varchar(2) as c from (values ('abc')) v(x)", ""),
    ("select x::varchar(2) from (values ('abc')) v(x)", ""),
    (
        "select case when ts - date '2024-01-01' > interval '1 month' then 'late' else 'soon' end as c from (values (timestamp '2024-02-29 10:00')) v(ts)",
        "",
    ),
    ("select extract(day from now() - now()) as d", ""),
    ("select mod(7, 3) as a, mod(-7, 3) as b, 7 % 3 as c", ""),
    (
        "select (array[1, 2, 3])[2] as a, (array['a', 'b'])[1] as b, array_length(array[1, 2], 1) as c, cardinality(array[1, 2]) as d",
        "",
    ),
    (
        "select 2 = any(array[1, 2]) as a, array[1, 2] || array[3] as b, array_append(array[1], 2) as c, array_to_string(array[1, null, 3], '-') as d",
        "",
    ),
    (
        "select array_position(array['a', 'b'], 'b') as a, array_remove(array[1, 2, 1], 1) as b, array_replace(array[1, 2, 2], 2, 5) as c, array_cat(array[1], array[2]) as d",
        "",
    ),
    ("select unnest(array[1, 2]) as x", ""),
    ("select x from generate_series(1, 3) t(x)", ""),
    (
        "select s.a as a, s.l[2] as b from (select named_struct('a', 1, 'l', make_array(4, 5)) as s) x",
        "select 1 as a, 5 as b",
    ),
    (
        "select s -> 'a' as a, s ->> 'l' as b, s -> 'l' ->> 1 as c from (select named_struct('a', 1, 'l', make_array(4, 5)) as s) x",
        "select 1 as a, '[4,5]' as b, '5' as c",
    ),
    (
        "select to_json(named_struct('a', 1, 'b', make_array('x', null))) as j",
        "select '{\"a\":1,\"b\":[\"x\",null]}' as j",
    ),
    ("select 1 as a where 'abc' similar to 'a_c'", ""),
    (
        "select distinct x from (values (interval '1 day'), (interval '24 hours')) v(x)",
        "refused",
    ),
    (
        "select x, count(*) from (values (interval '1 day'), (interval '24 hours')) v(x) group by x",
        "refused",
    ),
    (
        "select count(distinct x) from (values (interval '1 day'), (interval '24 hours')) v(x)",
        "refused",
    ),
    (
        "select row_number() over (partition by x) from (values (interval '1 day')) v(x)",
        "refused",
    ),
    (
        "select x from (values (interval '1 day')) v(x) union select interval '24 hours'",
        "refused",
    ),
    ("select 1.0 / 0 as x", ""),
    (
        "select 0.1234567890123456789 * 0.9876543210987654321 as a, 1.000000000000000001 * 1.000000000000000001 as b",
        "",
    ),
    ("select coalesce(1, 'a') as x", ""),
    ("select case when true then 1 else 'a' end as x", ""),
    ("select coalesce(1, '2') as x", ""),
    ("select greatest(2, '10') as x", ""),
    ("select nullif(1, '1') as x, nullif(2, '1') as y", ""),
    ("select case when false then 1 else '7' end as x", ""),
    (
        "select coalesce(i, t) as x from (values (1, 'a')) v(i, t)",
        "",
    ),
    (
        "select case when true then t else i end as x from (values (1, 'a')) v(i, t)",
        "",
    ),
    (
        "select coalesce(d, '2024-01-01') as x from (values (null::date)) v(d)",
        "refused",
    ),
    (
        "select case when false then d else '2024-01-01' end as x from (values (null::date)) v(d)",
        "",
    ),
    ("select coalesce(null, 'a') as x", ""),
    (
        "select coalesce(n, '1.5') as x from (values (null::numeric(4,2))) v(n)",
        "",
    ),
    (
        "select coalesce(b, 'yes') as x from (values (null::boolean)) v(b)",
        "refused",
    ),
    ("select generate_series(1, 3) as x", ""),
    (
        "select g, generate_series(1, g) as x from (values (1), (2)) v(g)",
        "",
    ),
    ("select random() >= 0 and random() < 1 as x", ""),
    // From PostgreSQL 16 on.
    (
        "select g, any_value(g) as x from (values (1), (1), (2)) v(g) group by g",
        "select g, min(g) as x from (values (1), (1), (2)) v(g) group by g",
    ),
    (
        "select any_value(x) as x from (values (null::int), (5)) v(x)",
        "select 5 as x",
    ),
    (
        "select regr_r2(x, x) as r from (values (1.5), (2)) v(x)",
        "refused",
    ),
    (
        "select g, grouping(g) as x, count(*) as n from (values (1), (1), (2)) v(g) group by rollup (g)",
        "",
    ),
    (
        "select '1.12345678901234'::numeric as a, '0.12345678901'::numeric = '0.12345678902'::numeric as b, '0.00000000001'::numeric as c, -1.12345678901234::numeric as d, numeric '0.12345678901' as e, 5::numeric as f, null::numeric as g, 1.50::numeric as h",
        "",
    ),
    (
        "select cast('12345678901234567890.12345678' as numeric) as a, (0.1::double precision)::numeric as b, (x::numeric)::int as c from (values (2.5::double precision)) v(x)",
        "",
    ),
    (
        "select n / 0 as x from (values (1.5::numeric(10,2))) v(n)",
        "",
    ),
    (
        "select avg(x) as a from (values (1::numeric(10,2)), (2), (2)) v(x)",
        "",
    ),
    (
        "select 200::numeric(10,2) / 3 as a, 0.01::numeric(4,2) / 300000 as b, -200::numeric(10,2) / 3 as c, 1 / 8::numeric(4,2) as d",
        "",
    ),
    (
        "select x / 3 as a from (select n + 0.01 as x from (values (2.5::numeric(10,2))) v(n)) w",
        "",
    ),
    (
        "select n / 3 as x, count(*) as c from (values (1::numeric(4,2)), (1), (2)) v(n) group by n / 3",
        "",
    ),
    (
        "select n / 3 as x from (values (1::numeric(4,2)), (2)) v(n) union all select 1 union all select 2.5::numeric(20,5)",
        "",
    ),
    (
        "with recursive r(n) as (select 2::numeric(10,2) / 3 union all select n / 3 from r where n > 0.05) select n from r where n > 0.5",
        "",
    ),
    ("select 1::double precision / 0 as x", ""),
    (
        "select greatest(1.5, 2::double precision) as x, 1.5 = 1.5::double precision as e",
        "",
    ),
    (
        "select (select y from (values (1)) t(y) where y > 5) as x",
        "",
    ),
    (
        "select coalesce((select y from (values (1)) t(y) where y > 5), 7) as x",
        "",
    ),
    (
        "select (select 1 where false) as x, coalesce((select 2 where false), 3) as y, (select 4) as z",
        "",
    ),
    (
        "select coalesce((select count(*) from (values (1)) t(y) where y > 5), 7) as x",
        "",
    ),
    ("select coalesce((select max(1) where false), 3) as x", ""),
    (
        "select coalesce((select y from (values (1), (2)) t(y) where y > 5 order by y limit 1), 7) as x",
        "",
    ),
    (
        "select a, coalesce((select max(y) from (values (1), (2)) t(y) where y = a), 7) as x from (values (1), (3)) s(a)",
        "",
    ),
    (
        "select a, coalesce((select count(*) from (values (1), (2)) t(y) where y = a), 7) as x from (values (1), (3)) s(a)",
        "",
    ),
    (
        "select a, coalesce((select count(*) from (values (1), (2)) t(y) where y = a group by y), 7) as x from (values (1), (3)) s(a)",
        "",
    ),
    (
        "select a from (values (1), (3)) s(a) where a = (select y from (values (1)) t(y) where y > 5)",
        "",
    ),
    (
        "select a from (values (1), (3)) s(a) where (select y from (values (1)) t(y) where y > 5) is null",
        "",
    ),
    (
        "select coalesce((select y from (values (1)) t(y) where y > 5), (select z from (values (2)) u(z) where z > (select 1)), 7) as x",
        "",
    ),
    (
        "select count(*) as n from (values (array[1, null::int]), (array[1, 2])) v(a) where not (3 = any(a))",
        "",
    ),
    (
        "select count(*) as n from (values (array[1, null::int]), (array[1, 2])) v(a) where 3 <> all(a)",
        "",
    ),
    (
        "select count(*) as n from (values (1, null::int), (1, 2)) v(a, b) where not ((a, b) = (1, 3))",
        "",
    ),
    (
        "select count(*) as n from (values (1, null::int), (1, 2)) v(a, b) where (a, b) <> (1, 3)",
        "",
    ),
    (
        "select count(*) as n from (values (1, null::int), (1, 2)) v(a, b) where (a, b) not in ((1, 3))",
        "",
    ),
    (
        "select v.a from (values (1, null::int), (1, 2)) v(a, b) join (values (1, 2), (1, null::int)) w(c, d) on (a, b) = (c, d)",
        "",
    ),
    ("select 1 as x where (null, null) is null", ""),
    (
        "select null = any(array[]::int[]) as a, null = all(array[]::int[]) as b, 1 = any(null::int[]) as c, 3 = any(array[1, null]) as d, 3 <> any(array[3, null]) as e, (1, 2) < (1, null) as f, (1, 2) < (2, null) as g, row(1, null) is not null as h",
        "",
    ),
    (
        "select (array_agg(x order by x))[2] as a, (array_agg(x order by x))[-1] as b, (array_agg(x order by x))[0] as c from (values (1), (5)) v(x)",
        "",
    ),
    (
        "select (select (array[x])[-1] from (values (5)) v(x)) as x",
        "",
    ),
    (
        "select round(2.5::double precision) as a, round(-2.5::double precision) as b, round(3.5::double precision) as c, round(0.5::double precision) as d, round(4.5::real) as e, round(2.5) as f, round(-2.5) as g, round(0.49999999999999994) as h, round(2.345, 2) as i",
        "",
    ),
    (
        "select 2.5::int as a, -2.5::int as b, 3.5::bigint as c, 0.5::smallint as d, 2.5::double precision::int as e, 2.5::real::int as f, '2.5'::numeric(10,1)::int as g, '2.5'::double precision::bigint as h, (-2.5)::int as i, cast(3.5 as smallint) as j",
        "",
    ),
    (
        "select sum(x::int) as a, sum(round(x)) as b from (values (0.5), (1.5), (2.5)) v(x)",
        "",
    ),
    (
        "select sum(x::int) as a, sum(round(x)) as b from (values (0.5::double precision), (1.5), (2.5)) v(x)",
        "",
    ),
    (
        "select round(avg(x)) as a, avg(x)::int as b from (values (2), (3)) v(x)",
        "",
    ),
    (
        "select round(100.0 * a / b) as a, (100.0 * a / b)::int as b from (values (1, 8), (3, 8)) v(a, b)",
        "",
    ),
    (
        "select round(y) as a, y::int as b from (select avg(x) as y from (values (2), (3)) v(x)) w where y > 0",
        "",
    ),
    (
        "select x::int as a, count(*) as n from (values (0.5), (2.5), (2.6)) v(x) group by x::int",
        "",
    ),
    (
        "select 0.3 = 0.1 + 0.2 as a, 1.10 * 1.10 as b, 1.50::text as c, 1.0 || '' as d, 'x' || 1.50 as e, 100.0 || '' as f, (-1.50)::text as g, .5::text as h, 0.1 + 0.2 - 0.3 as i, 1.1 * 1.1 = 1.21 as j",
        "",
    ),
    (
        "select 0.00::varchar as a, 1.50::varchar(3) as b, 5.::text as c",
        "",
    ),
    (
        "select regexp_replace('a$1', 'a', '$1') as a, regexp_replace('abc', 'b', '\\\\') as b, regexp_replace('abc', '(b)', '[\\0]') as c, regexp_replace('abc', 'b', '\\&\\&') as d",
        "",
    ),
    (
        "select d.x from (values (date '9999-12-31'), (date '2024-02-29'), (null)) d(x) where d.x in (select t.x from (values (timestamp '9999-12-31 00:00'), (timestamp '2024-02-29 10:00'), (null)) t(x))",
        "",
    ),
    (
        "select t.x from (values (timestamp '9999-12-31 00:00'), (timestamp '2024-02-29 10:00'), (null)) t(x) where t.x in (select d.x from (values (date '9999-12-31'), (date '2024-02-29'), (null)) d(x))",
        "",
    ),
    (
        "select d.x from (values (date '9999-12-31'), (date '2024-02-29'), (null)) d(x) where d.x not in (select t.x from (values (timestamp '9999-12-31 00:00'), (timestamp '2024-02-29 10:00'), (null)) t(x) where t.x is not null)",
        "",
    ),
    (
        "select d.x from (values (date '9999-12-31'), (date '2024-02-29'), (null)) d(x) where d.x >= all (select t.x from (values (timestamp '9999-12-31 00:00'), (timestamp '2024-02-29 10:00'), (null)) t(x) where t.x is not null)",
        "",
    ),
    (
        "select d.x, t.x as y from (values (date '9999-12-31'), (date '2024-02-29'), (null)) d(x) join (values (timestamp '9999-12-31 00:00'), (timestamp '2024-02-29 10:00'), (null)) t(x) on d.x = t.x",
        "",
    ),
    (
        "select d.x, t.x as y from (values (date '9999-12-31'), (date '2024-02-29'), (null)) d(x) left join (values (timestamp '9999-12-31 00:00'), (timestamp '2024-02-29 10:00'), (null)) t(x) on d.x < t.x",
        "",
    ),
    (
        "select x from (values (date '9999-12-31'), (date '2024-02-29'), (null)) d(x) join (values (timestamp '9999-12-31 00:00'), (timestamp '2024-02-29 10:00'), (null)) t(x) using (x)",
        "",
    ),
    (
        "select x from (values (date '9999-12-31'), (date '2024-02-29'), (null)) d(x) full join (values (timestamp '9999-12-31 00:00'), (timestamp '2024-02-29 10:00'), (null)) t(x) using (x)",
        "",
    ),
    (
        "select x from (values (date '9999-12-31'), (date '2024-02-29'), (null)) d(x) natural right join (values (timestamp '9999-12-31 00:00'), (timestamp '2024-02-29 10:00'), (null)) t(x)",
        "",
    ),
    (
        "select x from (values (date '9999-12-31'), (date '2024-02-29'), (null)) d(x) union all select x from (values (timestamp '9999-12-31 00:00'), (timestamp '2024-02-29 10:00'), (null)) t(x)",
        "",
    ),
    (
        "select x from (values (date '9999-12-31'), (date '2024-02-29'), (null)) d(x) union select x from (values (timestamp '9999-12-31 00:00'), (timestamp '2024-02-29 10:00'), (null)) t(x) where x > '2025-01-01'",
        "",
    ),
    (
        "select x from (values (timestamp '9999-12-31 00:00'), (timestamp '2024-02-29 10:00'), (null)) t(x) except select x from (values (date '9999-12-31'), (date '2024-02-29'), (null)) d(x)",
        "",
    ),
    (
        "select x from (values (date '9999-12-31'), (date '2024-02-29'), (null)) d(x) intersect select x from (values (timestamp '9999-12-31 00:00'), (timestamp '2024-02-29 10:00'), (null)) t(x)",
        "",
    ),
    (
        "select x from (values (date '9999-12-31'), (timestamp '2024-02-29 10:00'), (null)) v(x)",
        "",
    ),
    (
        "select lag(x, 1, date '9999-12-31') over (order by x) as y from (values (timestamp '2024-02-29 10:00'), (timestamp '9999-12-30 10:00')) v(x)",
        "",
    ),
    (
        "select x from (values (timestamp '9999-12-31 00:00'), (timestamp '2024-02-29 10:00'), (null)) t(x) where x > now()",
        "",
    ),
    (
        "select x from (values (date '9999-12-31'), (date '2024-02-29'), (null)) d(x) where x > now() and x <= timestamp '9999-12-31'",
        "",
    ),
    (
        "select x, y from (values (1), (2)) a(x) full join (values (1.5, 'r'), (2, 's')) b(x, y) using (x)",
        "",
    ),
    (
        "select x, y from (values (1::smallint), (2)) a(x) right join (values (10000000000, 'r'), (2, 's')) b(x, y) using (x)",
        "",
    ),
    (
        "select x from (values (1.5::numeric(4,2))) a(x) union all select 2::double precision",
        "",
    ),
    (
        "select x from (values (1.5::numeric(4,2))) a(x) union all select 0.125",
        "",
    ),
    ("select 'a' as x union all select 1", ""),
    ("select '2' as x union all select 1", ""),
    ("select 1 as x union select '2'", ""),
    ("select null as x union all select 1", ""),
    (
        "select t as x from (values ('2')) v(t) union all select 1",
        "",
    ),
    (
        "select 1 as x union all select t from (values ('2')) v(t)",
        "",
    ),
    (
        "select '2024-02-29' as x union all select date '2024-03-01'",
        "",
    ),
    ("select true as x union all select 'yes'", ""),
    ("select x from (select 'a' as x) s union all select 1", ""),
    (
        "select x from (values (array[1, null::int]), (array[1, 2])) v(x) order by x",
        "refused",
    ),
    (
        "select array_agg(x order by l) as a from (values (1, array[1]), (2, array[2])) v(x, l)",
        "refused",
    ),
    (
        "select row_number() over (order by l) as a from (values (1, array[1]), (2, array[2])) v(x, l)",
        "refused",
    ),
    (
        "with recursive r(n, d) as (select 1, date '9999-12-01' union all select n + 1, d from r where n < 3 and d > timestamp '2024-01-01 10:00') select n from r",
        "",
    ),
    (
        "select nvl2(true, date '2024-01-01', date '2024-01-02') as a, nvl2(null::int, 'x', 'y') as b",
        "select date '2024-01-01' as a, 'y' as b",
    ),
    (
        "select 1 / x as a, x / 7 as b, 1000 * x / 7 as c, sum(x / 7) as s from (values (2.5::numeric(10,2)), (12345678.91)) v(x) group by x",
        "",
    ),
    (
        "select x::numeric as a, round(x::numeric, 8) as b from (values (0.00000123456789::double precision), (1e-9)) v(x)",
        "",
    ),
    (
        "select coalesce(n, '123.45') as x from (values (null::numeric(4,2)), (1.5)) v(n)",
        "",
    ),
    (
        "select x + 1 as x from (values (1), ('2'), (' -3 '), (null)) v(x)",
        "",
    ),
    ("values (1), ('a')", ""),
    ("values (1), ('1.5')", ""),
    ("select x * 2 as x from (values (1.5), ('2')) v(x)", ""),
    ("select x || '!' as x from (values ('1'), ('2')) v(x)", ""),
    (
        "select (1.10 * 1.10)::text as a, (2 * 1.50)::text as b, (3 - 1.50)::varchar as c",
        "",
    ),
    (
        "select (i * 1.10)::text as a, i * 1.50 || '' as b, concat(i * 0.5) as c from (values (1), (2), (3)) v(i)",
        "",
    ),
    (
        "select i * 0.1 = 0.3 as a, i * 0.1 as b, round(i * 1.005, 2) as c, i * 0.1 + 0.2 = 0.3 as d, i / 2.0 = 1.5 as e from (values (1), (2), (3)) v(i)",
        "",
    ),
    (
        "select sum(i * 0.1) = 0.6 as a, sum(i * 0.1) as b, round(sum(i * 0.3375), 3) as c, avg(i * 0.5) = 1 as d, min(i * 0.1) as e, stddev(i * 0.1) as f from (values (1), (2), (3)) v(i)",
        "",
    ),
    (
        "select x from (select i * 0.1 as x from (values (1), (2), (3)) v(i)) w where x = 0.3",
        "",
    ),
    (
        "select x in (0.3, 0.5) as a, x between 0.3 and 0.4 as b, case x when 0.3 then 1 end as c, x * 10 = 3 as d from (select i * 0.1 as x from (values (1), (2), (3)) v(i)) w",
        "",
    ),
    (
        "select f * 0.1 = 0.3 as a, f * 0.1 as b, f > 0.5 as c from (values (3::double precision)) v(f)",
        "",
    ),
    (
        "select (select max(i * 0.1) from (values (1), (2), (3)) v(i)) = 0.3 as a",
        "",
    ),
    (
        "select a.x from (select i * 0.1 as x from (values (1), (2), (3)) v(i)) a where exists (select 1 from (values (1), (2)) b(y) where b.y * 0.1 = a.x)",
        "",
    ),
    (
        "select a.x from (select i * 0.1 as x from (values (1), (2), (3)) v(i)) a where a.x in (select y * 0.1 from (values (3), (4)) b(y))",
        "",
    ),
    (
        "select i * 0.1 as x from (values (1), (2), (3)) v(i) union all select 1 union all select 0.25",
        "",
    ),
    (
        "select max(i::text) as a, max(i) as b, count(i) as c, count(i::text) as d from (values (9), (10), (null)) v(i)",
        "",
    ),
    (
        "select g, max(i::text) as m from (values (1, 9), (1, 10), (2, 8)) v(g, i) group by g having max(i) > 9",
        "",
    ),
    (
        "select i, lag(i::text) over (order by i) as a, lag(i) over (order by i) as b, rank() over (order by i::text) as c, rank() over (order by i) as d from (values (9), (10), (11)) v(i)",
        "",
    ),
    (
        "select ts::date as d, count(*) as n from (values (timestamp '2024-01-02 10:00:00'), (timestamp '2024-01-02 11:00:00')) v(ts) group by ts::date order by min(ts)",
        "",
    ),
    (
        "select count(*) filter (where i::text = '9') as a, count(*) filter (where i = 10) as b, sum(f) as c, sum(f::int) as d, sum(i::numeric) as e, sum(i) as h from (values (9, 1.5::double precision), (10, 2.5)) v(i, f)",
        "",
    ),
    (
        "select ceil(x) as a, floor(x) as b, ceil(-x) as c, floor(-x) as d from (values (0.95::numeric(2,2)), (0.00), (null)) v(x)",
        "",
    ),
    (
        "select floor(x) as a, ceil(x) as b, ceil(x) - 1.5 as c, ceil(x) / 3 as d from (values (-9.5::numeric(2,1)), (9.9)) v(x)",
        "",
    ),
    (
        "select ceil(0.1) - 1.5 as a, floor(x) as b, ceil(x) as c from (values (0.99999999999999999999999999999999999999::numeric(38,38)), (-0.5)) v(x)",
        "",
    ),
    (
        "select i, sum(i) over (w rows 1 preceding) as s, max(i) over w as m from (values (3), (1), (2)) v(i) window w as (order by i desc)",
        "",
    ),
    (
        "select g, sum(i) over (w order by i) as s from (values (1, 3), (1, 1), (2, 2)) v(g, i) window w as (partition by g)",
        "",
    ),
    (
        "select i from (values (3), (1), (2)) v(i) window w as (order by i desc) order by sum(i) over w limit 2",
        "",
    ),
    (
        "select g, sum(i) over (w partition by i) as s from (values (1, 3)) v(g, i) window w as (partition by g)",
        "refused",
    ),
    (
        "select x * 3 = 0.9 as a from (select i * 0.1 as x from (values (1), (2), (3)) v(i) union all select 0.3) u",
        "",
    ),
    (
        "select sum(x) = 0.3 as a, max(x) as b, count(*) as n from (values (0.1), (0.2), (null)) v(x)",
        "",
    ),
    (
        "select i, sum(i * 0.1) over (order by i) as s, sum(i * 0.1) over (order by i) = 0.3 as t, lag(i * 0.1) over (order by i) as l from (values (1), (2), (3)) v(i)",
        "",
    ),
    (
        "select power(i * 0.5, 2) as a, sqrt(i * 0.25) as b, exp(-0.5 * i) as c, ln(1.0 + i) as d, greatest(i, 0.5) + 0.1 = 4.1 as e from (values (4)) v(i)",
        "",
    ),
    (
        "select 0.3 % 0.1 as a, 7.5 % 2 as b, mod(i, 0.3) as c from (values (1)) v(i)",
        "",
    ),
    (
        "select i * 0.1 as x, count(*) as n from (values (1), (2), (3)) v(i) group by i * 0.1 having i * 0.1 > 0.1 order by x",
        "",
    ),
    (
        "select round(avg(case when x <= 135 then 3 else 2 end), 2) as a, avg(x) = 100.5 as b from generate_series(1, 200) t(x)",
        "",
    ),
    (
        "select avg(b) as a, avg(b)::numeric(30,5) as c from (values (9007199254740993), (9007199254740993)) v(b)",
        "",
    ),
    (
        "select i, avg(i) over (order by i) as a, round(avg(i) over (order by i rows between 1 preceding and current row), 1) as b from (values (1), (2), (3)) v(i)",
        "",
    ),
    (
        "select x, y from (select i * 0.5 as x from (values (1), (2), (3)) v(i)) a full join (values (1.5::double precision, 'r')) b(x, y) using (x)",
        "",
    ),
    (
        "select 1e-7 * i as a, 1e3 * i as b, 1e-7 * i = 0.0000003 as c from (values (3)) v(i)",
        "",
    ),
    (
        "select coalesce(sum(i * 0.1) filter (where i > 1), 0.0) as a, case when sum(i) > 5.5 then 0.5 else 1 end as b from (values (1), (2), (3)) v(i)",
        "",
    ),
    (
        "select -0.5 * i as a, abs(-0.5 * i) as b, ceil(i * 0.5) as c, trunc(i * 0.55, 1) as d, sign(-0.5) as e from (values (1), (2), (3)) v(i)",
        "",
    ),
    (
        "select v.i, b.i as j from (values (1), (2), (3)) v(i) join (values (10), (20)) b(i) on v.i * 0.1 = b.i * 0.01",
        "",
    ),
    (
        "select sum(x / 7) between 14285714287477954 and 14285714287477955 as s from (values (99999999999999999.5::numeric(20,2)), (12345678.91)) v(x)",
        "",
    ),
];
