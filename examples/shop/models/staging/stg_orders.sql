-- One row per order. A returned order brings no revenue.
select
    order_id,
    customer_id,
    status,
    case when status = 'returned' then 0 else total end as revenue,
    ordered_at,
    updated_at
from {{ source('raw', 'orders') }}
