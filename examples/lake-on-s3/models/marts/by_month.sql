{{ config(materialized='table') }}
-- Orders and their sum for each month.
select
    date_trunc('month', ordered_on) as month,
    count(*) as orders,
    sum(amount) as amount
from {{ source('raw', 'orders') }}
group by date_trunc('month', ordered_on)
