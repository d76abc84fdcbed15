-- The PostgreSQL database of this example.
CREATE TABLE customers (
    customer_id bigint PRIMARY KEY,
    email text,
    country text NOT NULL,
    address jsonb,
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON customers (updated_at);
CREATE TABLE orders (
    order_id bigint PRIMARY KEY,
    customer_id bigint NOT NULL REFERENCES customers,
    total numeric(12, 2) NOT NULL,
    paid_on date,
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON orders (updated_at);
CREATE TABLE ref_countries (code text PRIMARY KEY, name text NOT NULL);
CREATE TABLE ref_currencies (code text PRIMARY KEY, digits smallint NOT NULL);
CREATE TABLE audit_log (id bigint PRIMARY KEY, entry text);

INSERT INTO customers
SELECT i, 'customer' || i || '@example.org', (ARRAY['DE', 'FR', 'NL'])[1 + i % 3],
       jsonb_build_object('city', 'City ' || i % 10, 'zip', lpad(i::text, 5, '0')), timestamptz '2026-01-01' + i * interval '1 hour'
FROM generate_series(1, 200) AS i;
INSERT INTO orders
SELECT i, 1 + i % 200, i * 1.5, date '2026-01-02' + i % 60, timestamptz '2026-01-02' + i * interval '1 minute'
FROM generate_series(1, 3000) AS i;
INSERT INTO ref_countries VALUES ('DE', 'Germany'), ('FR', 'France'), ('NL', 'Netherlands'), ('XX', 'Unknown');
INSERT INTO ref_currencies VALUES ('EUR', 2), ('JPY', 0);
INSERT INTO audit_log VALUES (1, 'not copied');
