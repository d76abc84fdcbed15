create schema raw;
create table raw.customers (id bigint primary key, name text, country text, since date);
insert into raw.customers values
  (1, 'Ada', 'GB', '2020-02-29'), (2, 'Bo', 'SE', '2021-12-31'), (3, 'Cy', null, null), (4, 'Dé', 'FR', '2023-01-01');
create table raw.orders (id bigint primary key, customer_id bigint, amount numeric(12,2), at timestamptz, note text);
insert into raw.orders values
  (10, 1, 19.99, '2024-01-31 23:30:00+00', 'first'), (11, 1, 0.01, '2024-02-29 10:15:30.123456+00', null),
  (12, 2, 100.00, '2024-03-31 01:30:00+00', 'x,y'), (13, null, 5.50, '2024-10-27 00:30:00+00', ''),
  (14, 9, -7.25, '2024-12-31 22:45:00+00', 'lost'), (15, 2, null, null, '  pad ');
create table raw.numbers (k int, i int, b bigint, d double precision, n numeric(20,2), t text);
insert into raw.numbers values
  (1, 7, 9007199254740993, 2.5, 12345678901234567.89, '7'), (2, -7, -1, -2.5, 0.10, 'abc'),
  (3, 2, 0, 0.5, -0.01, ''), (4, null, null, null, null, null), (5, 2147483647, 9223372036854775807, 1e300, 1.00, 'Abc'),
  (6, 0, 3, 3.5, 2.00, 'a_c');
create table raw.times (k int, day date, at timestamp, zoned timestamptz);
insert into raw.times values
  (1, '2024-02-29', '2024-02-29 12:34:56.789', '2024-06-30 22:30:00+00'),
  (2, '2023-12-31', '2023-12-31 23:59:59', '2024-03-31 01:00:00+00'), (3, null, null, null),
  (4, '2025-01-05', '2025-01-05 00:00:00', '2024-12-31 23:00:00+00');
