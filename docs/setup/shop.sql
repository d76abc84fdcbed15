-- The database that the pages of docs/how-to speak of.
CREATE TABLE customers (
    customer_id bigint PRIMARY KEY,
    email text,
    country text NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE INDEX ON customers (updated_at);
CREATE TABLE orders (
    order_id bigint PRIMARY KEY,
    customer_id bigint NOT NULL REFERENCES customers,
    total numeric(10, 2) NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE INDEX ON orders (updated_at);
INSERT INTO customers
SELECT i, 'Customer' || i || '@Example.org', (ARRAY['DE', 'FR', 'NL'])[1 + i % 3], timestamptz '2026-01-01' + i * interval '1 hour'
FROM generate_series(1, 100) AS i;
INSERT INTO orders
SELECT i, 1 + i % 100, i * 1.5, timestamptz '2026-01-02' + i * interval '1 minute'
FROM generate_series(1, 500) AS i;
