-- A small shop: 500 customers, about 4,300 orders. The same rows each time: no random numbers, no clock.
-- psql "$SHOP_DB_URL" -f seed.sql
begin;

create type order_status as enum ('new', 'paid', 'shipped', 'returned');

create table ref_countries (
    code text primary key,
    name text not null,
    region text not null
);
insert into ref_countries values
    ('AT', 'Austria', 'DACH'),
    ('CH', 'Switzerland', 'DACH'),
    ('DE', 'Germany', 'DACH'),
    ('FR', 'France', 'West'),
    ('IT', 'Italy', 'South'),
    ('NL', 'Netherlands', 'West'),
    ('PL', 'Poland', 'East');

create table ref_segments (
    segment text primary key,
    min_revenue numeric(12, 2) not null,
    min_orders integer not null,
    discount_percent smallint not null
);
insert into ref_segments values
    ('vip', 1500, 10, 10),
    ('regular', 400, 4, 5),
    ('occasional', 0, 1, 2),
    ('prospect', 0, 0, 0);

-- Left over from an import: `except: ["ref_tmp_*"]` leaves it where it is.
create table ref_tmp_import (line text);
insert into ref_tmp_import values ('garbage'), (null);

create table customers (
    customer_id bigint primary key,
    account uuid not null unique,
    name text not null,
    email text,
    phone text,
    tax_id text,
    country text not null,
    created_at timestamptz not null,
    closed_at timestamptz,                     -- a customer who left; rows are never deleted
    updated_at timestamptz not null
);
insert into customers
select
    n,
    md5('account ' || n)::uuid,
    (array['Ada', 'Bo', 'Chloé', 'Daan', 'Elif', 'Fynn', 'Grażyna', 'Hugo'])[1 + n % 8]
        || ' ' || (array['Müller', 'Rossi', 'Dubois', 'de Vries', 'Nowak', 'Huber', 'Meier'])[1 + n % 7],
    case
        when n % 167 = 0 then null                                   -- no address at all: rejected
        when n % 211 = 0 then 'customer' || n || ' at example.com'   -- not a valid address: loaded, with a warning
        when n % 10 = 0 then '  Customer' || n || '@Example.COM '    -- dirty: cleaned
        else 'customer' || n || '@example.com'
    end,
    case
        when n % 25 = 0 then null
        when n % 97 = 0 then 'n/a'                                   -- no number: loaded, with a warning
        when n % 4 = 0 then '+49 (0)30 / ' || (1000000 + n * 37)
        when n % 4 = 1 then '0043-1-' || (500000 + n * 11)
        else '+33' || (100000000 + n * 7919)
    end,
    case when n % 3 = 0 then 'TAX-' || (700000 + n * 13) end,
    (array['AT', 'CH', 'DE', 'FR', 'IT', 'NL', 'PL'])[1 + n % 7],
    timestamptz '2026-01-01 00:00:00Z' + n * interval '7 hours',
    case when n % 71 = 0 then timestamptz '2026-08-01 00:00:00Z' end,
    timestamptz '2026-01-01 00:00:00Z' + n * interval '7 hours' + (n % 90) * interval '1 day'
from generate_series(1, 500) as n;

create table orders (
    order_id bigint primary key,
    customer_id bigint not null,               -- the shop never had a foreign key
    status order_status not null,
    total numeric(12, 2) not null,
    ordered_at timestamptz not null,
    updated_at timestamptz not null
);
insert into orders
select
    n,
    customer_id,
    (array['paid', 'shipped', 'shipped', 'shipped', 'new', 'paid', 'shipped', 'returned'])[1 + n % 8]::order_status,
    round(((n * 7919) % 20000) / 100.0 + 5, 2),
    timestamptz '2026-06-01 00:00:00Z' + n * interval '53 minutes',
    timestamptz '2026-06-01 00:00:00Z' + n * interval '53 minutes' + (n % 5) * interval '1 day'
from (
    -- Few buy often, most now and then; those without an e-mail (167, 334) and every tenth never do.
    select n, 1 + (500 * chance * chance >> 32) as customer_id
    from generate_series(1, 4800) as n,
        lateral (select ('x' || left(md5('order ' || n), 4))::bit(16)::int::bigint as chance) as drawn
) as wishes
where customer_id % 167 <> 0 and customer_id % 10 <> 3;

commit;
