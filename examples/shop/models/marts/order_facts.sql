{{ config(materialized='incremental', unique_key='order_id') }}

-- Built once, then only orders that changed lately are merged in. Three days of overlap take in
-- orders that were changed earlier but became visible later.
select
    o.order_id,
    o.customer_id,
    c.region,
    o.status,
    o.revenue,
    o.ordered_at,
    o.updated_at
from {{ ref('stg_orders') }} as o
inner join {{ ref('stg_customers') }} as c on c.customer_id = o.customer_id
{% if is_incremental() %}
where o.updated_at >= (select max(updated_at) from {{ this }}) - interval '3 days'
{% endif %}
