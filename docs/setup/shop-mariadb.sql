-- The MariaDB database that docs/how-to/load-mysql.md speaks of.
CREATE TABLE customers (
    customer_id bigint unsigned PRIMARY KEY,
    email varchar(100),
    country enum('DE', 'FR', 'NL') NOT NULL,
    updated_at timestamp NOT NULL DEFAULT current_timestamp,
    KEY (updated_at)
);
CREATE TABLE orders (
    order_id bigint PRIMARY KEY,
    customer_id bigint unsigned NOT NULL,
    total decimal(10, 2) NOT NULL,
    shipped date,
    updated_at timestamp NOT NULL DEFAULT current_timestamp,
    KEY (updated_at)
);
INSERT INTO customers
SELECT seq, concat('Customer', seq, '@Example.org'), elt(1 + seq % 3, 'DE', 'FR', 'NL'), timestamp '2026-01-01 00:00:00' + INTERVAL seq HOUR
FROM seq_1_to_100;
INSERT INTO orders
SELECT seq, 1 + seq % 100, seq * 1.5, '2026-02-01', timestamp '2026-01-02 00:00:00' + INTERVAL seq MINUTE
FROM seq_1_to_500;
