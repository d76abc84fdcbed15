-- Asked of PostgreSQL and of Towpath by main.rs; an empty line ends a statement.
-- `-- refused: CODE` before one: Towpath says that it cannot. `-- differs: WHY`: it answers otherwise.

-- Joins.

select c.id, o.id as o from raw.customers c left join raw.orders o on o.customer_id = c.id

select c.id, o.id as o from raw.customers c right join raw.orders o on o.customer_id = c.id

select c.id, o.id as o from raw.customers c full join raw.orders o on o.customer_id = c.id

select k, x, y from (values (1, 'a'), (2, 'b')) l(k, x) join (values (2, 'c'), (3, 'd')) r(k, y) using (k)

select k, x, y from (values (1, 'a'), (2, 'b')) l(k, x) left join (values (2, 'c'), (3, 'd')) r(k, y) using (k)

select k, x, y from (values (1, 'a'), (2, 'b')) l(k, x) right join (values (2, 'c'), (3, 'd')) r(k, y) using (k)

select k, x, y from (values (1, 'a'), (2, 'b')) l(k, x) full join (values (2, 'c'), (3, 'd')) r(k, y) using (k)

select * from (values (1, 'a'), (2, 'b')) l(k, x) full join (values (2, 'c'), (3, 'd')) r(k, y) using (k)

select k, count(*) as n from (values (1, 'a'), (2, 'b')) l(k, x) full join (values (2, 'c'), (3, 'd')) r(k, y) using (k) group by k

select * from (values (1, 'a')) l(k, x) natural join (values (1, 'c'), (3, 'd')) r(k, y)

select * from (values (1, 'a')) l(k, x) natural right join (values (1, 'c'), (3, 'd')) r(k, y)

select a.id, b.id as other from raw.customers a cross join raw.customers b where a.id < b.id

select a.id, b.id as other from raw.customers a join raw.customers b on a.country = b.country and a.id <= b.id

with o as (select a.k as k1 from (values (1)) a(k)) select k, (select max(k1) from o) as m from (values (1), (2)) a(k) full join (values (2), (3)) b(k) using (k)

select a.k from (values (1)) a(k) union all select k from (values (1), (2)) a(k) full join (values (2), (3)) b(k) using (k)

select k, n from (values (1), (2)) a(k) full join (select a.k, count(*) as n from (values (2), (3)) a(k) group by a.k) b using (k)

select k from (values (1), (2)) a(k) full join (values (2), (3)) b(k) using (k) where exists (select 1 from (values (2)) a(k) where a.k > 1)

-- refused: R0509
select k from (values (1), (2)) a(k) full join (values (2), (3)) b(k) using (k) order by a.k

-- refused: R0509
select k from (values (1), (2)) a(k) full join (values (2), (3)) b(k) using (k) where exists (select 1 from (values (2)) c(k) where c.k = a.k)

select c.id, l.n from raw.customers c cross join lateral (select count(*) as n from raw.orders o where o.customer_id = c.id) l

-- NULL and three truths.

select null = null as e, null is not distinct from null as d, 1 is distinct from null as x, not null as n

select true and null as a, false and null as b, true or null as c, false or null as d

select k, i in (7, null) as a, i not in (7, null) as b from raw.numbers

select k, nullif(i, 7) as a, coalesce(i, -1) as b, greatest(i, 1) as g, least(i, 1) as l from raw.numbers

select id from raw.customers where id not in (select customer_id from raw.orders)

select id from raw.customers where id not in (select customer_id from raw.orders where customer_id is not null)

select id from raw.customers where id not in (select customer_id from raw.orders) or name = 'Cy'

select id from raw.customers where id in (select customer_id from raw.orders)

select id from raw.customers c where not exists (select 1 from raw.orders o where o.customer_id = c.id)

select id, case when country = 'GB' then 1 when country is null then 2 else 3 end as c from raw.customers

select id, case country when null then 'none' when 'SE' then 'north' end as c from raw.customers

select id from raw.customers where (country = 'GB') is not true

select id from raw.customers where id not in (select customer_id from raw.orders where id < 12 union select 3)

select id from raw.customers where id not in (select customer_id from raw.orders union all select 3)

select id from raw.customers where id not in (select max(customer_id) from raw.orders)

select id from raw.customers where id not in (select max(customer_id) from raw.orders where false)

select id from raw.customers where id not in (select id from raw.orders where false union select id from raw.orders where false)

select id from raw.customers where id not in (values (1), (3))

select id from raw.customers where id not in (values (1), (null))

select id from raw.customers where id in (select 1 union select customer_id from raw.orders) or name = 'Cy'

select id from raw.customers where id in (select max(customer_id) from raw.orders group by amount > 0) or name = 'Cy'

select id from raw.customers where id not in (select customer_id + 1 from raw.orders where customer_id is not null)

select id from raw.customers where not (id in (select customer_id from raw.orders union select 1))

select id from raw.orders where customer_id not in (select id from raw.customers where id > 9)

select id from raw.orders where customer_id not in (select min(id) from raw.customers group by country)

select id from raw.orders where customer_id not in (select id from raw.customers where id not in (select k from raw.numbers where k not in (2, 4)))

select id from raw.customers where id not in (select k from raw.numbers where i not in (select k from raw.numbers where i is not null) union select 4)

select k from raw.numbers where k not in (select k from raw.numbers where k not in (select k from raw.numbers where k not in (select k from raw.numbers where k not in (select k from raw.numbers where k not in (select i from raw.numbers where i > 1)))))

-- refused: R0509
select k from raw.numbers where k not in (select k from raw.numbers where k not in (select k from raw.numbers where k not in (select k from raw.numbers where k not in (select k from raw.numbers where k not in (select k from raw.numbers where k not in (select i from raw.numbers where i > 1))))))

-- refused: R0509
select k from raw.numbers where not (k in (select k from raw.numbers where not (k in (select k from raw.numbers where not (k in (select k from raw.numbers where not (k in (select k from raw.numbers where not (k in (select k from raw.numbers where not (k in (select k from raw.numbers where not (k in (select k from raw.numbers where not (k in (select k from raw.numbers where not (k in (select k from raw.numbers where i = 2) and k > 0)) and k > 0)) and k > 0)) and k > 0)) and k > 0)) and k > 0)) and k > 0)) and k > 0)) and k > 0)

select k from raw.numbers where not (k in (select k from raw.numbers where not (k not in (select i from raw.numbers where k > 1) or k = 5)) and k > 0)

-- refused: R0509
select id from raw.customers c where id not in (select max(customer_id) from raw.orders o where o.customer_id = c.id)

-- refused: R0509
select id from raw.customers c where id in (select customer_id from raw.orders o where o.customer_id = c.id union select 5)

select id from raw.customers where id in (values (1, 2))

select id from raw.customers where id in (select customer_id, 1 from raw.orders union select 1, 2)

select id from raw.customers where id not in (select * from (values (1, 2)) a union select * from (values (1, 2)) b)

select id from raw.customers where id not in (select * from (values (1)) a union select * from (values (2)) b)

select id from raw.customers where id in (select * from (values (1)) a(x) union select * from (values (2)) b)

-- Sets.

select customer_id from raw.orders union select id from raw.customers

select customer_id from raw.orders union all select id from raw.customers

select customer_id from raw.orders intersect select id from raw.customers

select id from raw.customers except select customer_id from raw.orders

select * from (values (1), (1), (2)) a(x) except select * from (values (1)) b(x)

-- refused: R0509
select * from (values (1), (1), (2)) a(x) except all select * from (values (1)) b(x)

-- refused: R0509
select * from (values (1), (1), (1)) a(x) intersect all select * from (values (1)) b(x)

select null::int as x union select null union all select null

select distinct customer_id from raw.orders

select distinct on (customer_id) customer_id, id from raw.orders order by customer_id, id desc

-- Groups.

select count(*) as n, count(amount) as a, sum(amount) as s, min(amount) as l, max(amount) as h from raw.orders

select count(*) as n, sum(amount) as s, avg(amount) as a, max(note) as m from raw.orders where false

select customer_id, count(*) as n, sum(amount) as s from raw.orders group by customer_id

select country, count(*) filter (where since >= '2021-01-01') as n from raw.customers group by 1 having count(*) > 0

select count(distinct customer_id) as n, sum(distinct amount) as s from raw.orders

select bool_and(amount > 0) as a, bool_or(amount < 0) as o from raw.orders

select string_agg(name, ',' order by id desc) as s from raw.customers

select customer_id, note, count(*) as n from raw.orders group by rollup (customer_id, note)

select customer_id, count(*) as n from raw.orders group by grouping sets ((customer_id), ())

select amount::int as a, count(*) as n from raw.orders group by rollup (amount::int)

select d::int as a, count(*) as n from raw.numbers where k < 5 group by rollup (d::int)

select d::int as a, k % 2 as o, count(*) as n from raw.numbers where k < 5 group by cube (d::int, k % 2)

select amount + 0.01 as a, note, count(*) as n from raw.orders group by cube (amount + 0.01, note)

select amount * 1.5 as a, sum(amount * 1.5) as s from raw.orders group by grouping sets ((amount * 1.5), ())

select amount + 0.5 as a, customer_id + 1 as c, count(*) as n from raw.orders group by grouping sets ((amount + 0.5, customer_id + 1), (customer_id + 1), ())

select amount + 0.5 as a, grouping(amount + 0.5) as g, count(*) as n from raw.orders group by rollup (amount + 0.5) having grouping(amount + 0.5) = 1 or amount + 0.5 > 5.5

select customer_id, amount > 0.01 as b, count(*) as n from raw.orders group by customer_id, rollup (amount > 0.01)

select amount + 0.5 as a, count(*) as n from raw.orders group by amount + 0.5

select (amount + 0.5) * 2 as a, count(*) as n from raw.orders group by rollup (amount + 0.5)

select upper(note) as u, date_trunc('month', at) as m, count(*) as n from raw.orders group by cube (upper(note), date_trunc('month', at))

select d::int as i, (select count(*) from raw.customers) as c from raw.numbers where k < 5 group by rollup (d::int)

select sum(i) as i, sum(b::numeric) as b, avg(i) as a from raw.numbers

select round(avg(n), 4) as a from raw.numbers where k <> 1

select round(stddev_samp(i)::numeric, 6) as s, round(var_pop(i)::numeric, 6) as v from raw.numbers where k in (1, 2, 3)

select max(day) as d, min(at) as t, max(zoned) as z from raw.times

-- Windows.

select id, row_number() over (order by id) as r, rank() over (order by customer_id) as k, dense_rank() over (order by customer_id) as d from raw.orders

select id, sum(amount) over (partition by customer_id order by id) as s from raw.orders

select id, sum(amount) over (order by id rows between 1 preceding and 1 following) as s from raw.orders

select id, lag(id) over (order by id) as a, lead(id, 2, 0) over (order by id) as b from raw.orders

select id, first_value(note) over (order by id) as f, last_value(note) over (order by id) as l from raw.orders

select id, last_value(id) over (partition by customer_id order by id rows between unbounded preceding and unbounded following) as l from raw.orders

select id, ntile(2) over (order by id) as n, count(*) over () as c from raw.orders

select id, sum(id) over (order by customer_id) as s from raw.orders

select id, row_number() over (order by country, id) as asc_last, row_number() over (order by country desc, id) as desc_first from raw.customers

-- Numbers.

select 7 / 2 as a, -7 / 2 as b, 7 % 3 as c, -7 % 3 as d, 7.0 / 2 as e

select 2 ^ 3 as p, 2 ^ 0.5 > 1.41 as q

select 2.7::int as a, 2.5::bigint as b, 99.99::int as c, (-2.5)::int as d

select k, d::int as a from raw.numbers where k in (1, 2, 3, 6)

select k, n::bigint as a from raw.numbers where k <> 1

select 0.1 + 0.2 = 0.3 as e, 0.1 + 0.2 as s

select k, n + 0.01 as a, n * 2 as m from raw.numbers

select 1234567890123456.5 as a, 1234567890123456.5 * 2 as b, 18446744073709551616 as c

-- differs: products of constants that need more digits than a decimal has are doubles
select 12345678901234567890.5 * 12345678901234567890.5 as a

-- differs: products of constants that need more digits than a decimal has are doubles
select 3.141592653589793238 * 3.141592653589793238 * 3.141592653589793238 as a

select 12345678901234567890123456789012345678 + 0 as a, 12345678901234567890.123456789012345678 * 1 as b

select 1 as one where 12345678901234567890123456789012345678 - 1 = 12345678901234567890123456789012345677

select 12345678901234567890123456789012345678 - 12345678901234567890123456789012345677.5 as a, 0.5 - -99999999999999999999999999999999999999 + -99999999999999999999999999999999999999 as b

select -(99999999999999999999999999999999999999 + 1) + 100000000000000000000000000000000000001 as a, 1.0000000000000000000 * 1.00000000000000000000 as b

select 1234567890.123456 + 1234567890.123456 + 1234567890.123456 + 1234567890.123456 + 1234567890.123456 + 1234567890.123456 + 1234567890.123456 + 1234567890.123456 + 1234567890.123456 + 1234567890.123456 + 1234567890.123456 + 1234567890.123456 + 1234567890.123456 + 1234567890.123456 + 1234567890.123456 + 1234567890.123456 + 1234567890.123456 + 1234567890.123456 + 1234567890.123456 + 1234567890.123456 + 1234567890.123456 + 1234567890.123456 + 1234567890.123456 + 1234567890.123456 + 1234567890.123456 + 1234567890.123456 + 1234567890.123456 + 1234567890.123456 + 1234567890.123456 + 1234567890.123456 as a

-- differs: sums of constants that need more digits than a decimal has are doubles
select 99999999999999999999999999999999999999 + 12345678901234567890 as a

select k, n * 1.234567890123456789 as m from raw.numbers where k in (2, 3)

select k from raw.numbers where n > 12345678901234567.88

select 12345678901234567.89::numeric(20,2) as d

-- differs: literals with a point are doubles among themselves
select coalesce(9007199254740993, 1.5) as a, case when true then 9007199254740993 else 0.5 end as b

select k, b + 1 as n from raw.numbers where k < 5

select b + 1 as n from raw.numbers where k = 5

-- differs: sums of whole numbers have 64 bits
select i + 1 as n from raw.numbers where k = 5

select 1 / 0 as x

select i / (i - i) as x from raw.numbers where k = 1

select round(2.5) as a, round(-2.5) as b, round(3.14159, 2) as c, trunc(-2.7) as d, ceil(1.2) as e, floor(-1.2) as f

select abs(-5) as a, power(2, 10) as p, sqrt(16) as s

select sign(-2.5) as b

select mod(7, -3) as m

select 5 between 1 and 5 as a, 5 not between 6 and 7 as b

select '12'::int as a, ' 12 '::int as b, '1e2'::double precision as c, '12.50'::numeric(6,2) as d

select '12x'::int as a

select '99999999999'::int as a

select 1::boolean as a, true::int as b, 'yes'::boolean as c, true::text as d

select 10 & 6 as a, 10 | 6 as o, 1 << 4 as s

-- Texts.

select 'a' || null as a, concat('a', null, 'b') as b, concat_ws('-', 'a', null, 'b') as c

select upper('abc') as u, lower(name) as l, length(name) as n, octet_length(name) as o from raw.customers

select substring('towpath' from 2 for 3) as a, substr('towpath', 4) as b, left('towpath', 3) as l, right('towpath', 4) as r

select position('pa' in 'towpath') as p, strpos('towpath', 'zz') as q, replace('aXbX', 'X', '') as r, reverse('abc') as v

select trim(note) as t, ltrim(note) as l, rtrim(note) as r, trim(both 'x' from 'xxaxx') as b from raw.orders where id = 15

select split_part('a,b,c', ',', 2) as a, split_part('a,b,c', ',', 9) as b, split_part('a,b,c', ',', -1) as c

select lpad('7', 3, '0') as a, rpad('abc', 2) as b, repeat('ab', 3) as c, initcap('hello wORLD') as d

select k from raw.numbers where t like 'a_c'

select k from raw.numbers where t like 'a\_c'

select k from raw.numbers where t ilike 'ABC'

select k from raw.numbers where t not like '%b%'

select k from raw.numbers where t ~ '^[A-Z]' or t ~* '^ABC$'

select regexp_replace('a1b22', '[0-9]+', '#') as a, regexp_replace('a1b22', '[0-9]+', '#', 'g') as b

select 'a' < 'B' as x, 'Z' < 'a' as y

select md5('towpath') as m, ascii('A') as a, chr(65) as c

select '' is null as e, '' = '' as s, length('') as n

select translate('12345', '143', 'ax') as t, overlay('Txxxxas' placing 'hom' from 2 for 4) as o

-- Times.

select k, day + 1 as n from raw.times

select k, date_trunc('month', at) as m, date_trunc('week', at) as w, date_trunc('quarter', at) as q from raw.times

select k, extract(year from day)::int as y, extract(month from day)::int as m, extract(day from day)::int as d from raw.times

select k, extract(dow from day)::int as w, extract(isodow from day)::int as i, extract(doy from day)::int as y, extract(week from day)::int as k2 from raw.times

select k, extract(epoch from zoned)::bigint as e, extract(hour from zoned)::int as h from raw.times

select k, day + interval '1 month' as m, at - interval '1 day 2 hours' as t from raw.times

select date '2024-01-31' + interval '1 month' as a, date '2024-03-31' - interval '1 month' as b

select date '2024-03-01' - date '2024-02-01' as days

select k from raw.times where at >= '2024-01-01' and at < '2025-01-01'

select k from raw.times where day between '2024-01-01' and '2024-12-31'

select k from raw.times where at < '9999-12-31'

select date '9999-12-31' as d, timestamp '0001-01-01 00:00:00' as t

select k, zoned at time zone 'Europe/Berlin' as t from raw.times

select k, (zoned at time zone 'Europe/Berlin')::date as d from raw.times

select k, at at time zone 'Europe/Berlin' as t from raw.times

select timestamp '2024-10-27 02:30:00' at time zone 'Europe/Berlin' as t, timestamp '2024-11-03 01:30:00' at time zone 'America/New_York' as u

select timestamp '2024-03-31 02:30:00' at time zone 'Europe/Berlin' as t, timestamp '2024-03-10 02:30:00' at time zone 'America/New_York' as u

select timestamp '2011-12-30 12:00:00' at time zone 'Pacific/Apia' as t, timestamp '2014-10-26 01:30:00' at time zone 'Europe/Moscow' as u

select timestamp '2024-10-06 02:15:00' at time zone 'Australia/Lord_Howe' as t, timestamp '2024-04-07 01:45:00' at time zone 'Australia/Lord_Howe' as u

select timestamp '2024-03-31 01:30:00' at time zone 'Europe/Dublin' as t, timestamp '2024-10-27 01:30:00' at time zone 'Europe/Dublin' as u

select timestamp '2024-07-01 10:00:00' at time zone 'europe/berlin' as a, timestamp '2024-07-01 10:00:00' at time zone 'AMERICA/PORT_OF_SPAIN' as b, timestamp '2024-07-01 10:00:00' at time zone 'utc' as c

select timestamp '2024-07-01 10:00:00' at time zone 'Berlin' as a

select timestamptz '2024-07-01 10:00:00+00' at time zone '+02:00' as a

select timestamptz '2024-01-01 10:00:00+02' as t

select timestamptz '2024-01-01 10:00:00+02' = timestamptz '2024-01-01 08:00:00+00' as e

select k, coalesce(zoned, timestamptz '2000-01-01 00:00:00+00') as t from raw.times

select k, at::date as d, at::text as t from raw.times

-- refused: R0509
select to_char(timestamp '2024-05-06 07:08:09', 'YYYY-MM') as m

-- refused: R0509
select to_char(day, 'YYYY-MM-DD') as m from raw.times where k = 1

select date_part('year', timestamp '2024-05-06 07:08:09')::int as y

select '2024-02-30'::date as d

select make_date(2024, 2, 29) as d

select age(timestamp '2024-03-01', timestamp '2024-02-01') as a

select current_date = now()::date as same, now() > timestamptz '2024-01-01 00:00:00+00' as later

-- Statements.

with recursive t(n) as (select 1 union all select n + 1 from t where n < 5) select n from t

with a as (select id from raw.customers), b as (select id + 1 as id from a) select a.id from a join b using (id)

select id from raw.customers order by country nulls first, id limit 2 offset 1

select id, (select max(amount) from raw.orders o where o.customer_id = c.id) as m from raw.customers c

select id, (select count(*) from raw.orders o where o.customer_id = c.id) as n from raw.customers c

-- refused: R0509
select id, id in (select customer_id from raw.orders where customer_id is not null) as known from raw.customers

-- refused: R0509
select id, exists (select 1 from raw.orders o where o.customer_id = c.id) as known from raw.customers c

select (select count(*) from raw.orders) as n, (select id from raw.customers where false) as x

select x from generate_series(1, 3) as g(x)

select * from (values (1, 'a'), (2, null)) v(n, t)

select sum(n) as s from (select distinct amount as n from raw.orders) q

select o.customer_id as "Customer Id", count(*) as "N" from raw.orders o group by "Customer Id"

select id as name from raw.customers order by name

select 1 as a where null

select count(*) as n from raw.orders having count(*) > 100

-- Intervals, patterns, JSON, text that is read and written.

select k from raw.times where at - timestamp '2024-02-27 10:34:56' > interval '2 days'

select k, zoned - timestamptz '2024-01-01 00:00+00' > interval '180 days' as late, extract(hour from zoned - timestamptz '2024-01-01 00:00+00') as h from raw.times

select interval '36 hours' < interval '1 day' as a, interval '30 days' = interval '1 month' as b

select max(at - timestamp '2024-01-01') > interval '1 month' as m, avg(at - timestamp '2024-01-01') < interval '1 year' as a from raw.times

select k from raw.numbers where t similar to '(a|A)_c'

select k from raw.numbers where t like 'a!_c' escape '!'

select k, at::text as a, d::text as d from raw.times join raw.numbers using (k)

select timestamp '2024-05-06 07:08' as t, '2024-05-06 07:08:09+02'::timestamp as u

select '{"a": {"b": [1, 2.50]}}'::json -> 'a' -> 'b' ->> 1 as x

select id, note::varchar(2) as n from raw.orders

select k, 1 / nullif(d, 0) as r from raw.numbers where k < 4

select k, d / 0 as r from raw.numbers

select * from (select distinct customer_id + 1 from raw.orders order by customer_id + 1) s(x)

select * from (select distinct lower(name), id + 1 as u from raw.customers order by lower(name) desc, ID + 1) s(x, u)

select * from (select distinct on (customer_id % 2) customer_id % 2, id from raw.orders order by customer_id % 2, id) s(x, id)

select * from (select customer_id % 2, count(*), count(*) from raw.orders group by customer_id % 2 having count(*) > 0 order by count(*) desc, customer_id % 2) s(x, y, z)

select customer_id::text, id::text from raw.orders order by customer_id, id

select customer_id::text from raw.orders group by customer_id having customer_id > 1

select * from (select customer_id::bigint, count(*) from raw.orders group by 1) s(customer_id, n) order by customer_id

with x(y) as (select max(id) + 1 from raw.orders) select * from x
