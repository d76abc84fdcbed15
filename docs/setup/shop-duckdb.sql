-- The DuckDB file that docs/how-to/adbc.md speaks of.
CREATE TABLE customers AS
SELECT i::INTEGER AS customer_id, 'customer ' || i AS name, (i * 1.25)::DECIMAL(12, 2) AS credit,
       TIMESTAMP '2024-01-01' + INTERVAL 1 HOUR * i AS updated_at
FROM range(1, 101) r(i);

CREATE TABLE orders AS
SELECT i::BIGINT AS order_id, (i % 100 + 1)::INTEGER AS customer_id, (i * 0.99)::DECIMAL(12, 2) AS amount,
       DATE '2024-01-01' + (i % 30)::INTEGER AS ordered_on
FROM range(1, 501) r(i);
