{{ config(materialized='table') }}

-- One row per customer: what they bought, and the best segment whose demands they meet.
with bought as (
    select
        customer_id,
        count(*) as orders,
        sum(revenue) as revenue,
        max(ordered_at) as last_order_at
    from {{ ref('order_facts') }}
    group by customer_id
),

scored as (
    select
        c.customer_id,
        c.account,
        c.email,
        c.phone,
        c.region,
        coalesce(b.orders, 0) as orders,
        cast(coalesce(b.revenue, 0) as decimal(14, 2)) as revenue,
        b.last_order_at
    from {{ ref('stg_customers') }} as c
    left join bought as b on b.customer_id = c.customer_id
),

ranked as (
    select
        s.*,
        g.segment,
        g.discount_percent,
        row_number() over (
            partition by s.customer_id
            order by g.discount_percent desc
        ) as place
    from scored as s
    inner join {{ source('raw', 'ref_segments') }} as g
        on s.revenue >= g.min_revenue and s.orders >= g.min_orders
)

select
    customer_id,
    account,
    email,
    phone,
    region,
    orders,
    revenue,
    last_order_at,
    segment,
    discount_percent
from ranked
where place = 1
