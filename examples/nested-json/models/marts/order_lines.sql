{{ config(materialized='table') }}
-- A row for each line of an order. An order without lines has none here.
with lines as (
    select order_id, ordered_at, customer, unnest(lines) as line
    from {{ source('raw', 'orders') }}
)
select
    order_id,
    ordered_at,
    customer['name'] as customer,
    customer['address']['city'] as city,
    line['sku'] as sku,
    line['quantity'] as quantity,
    line['price'] as price,
    array_length(line['tags']) as tags
from lines
