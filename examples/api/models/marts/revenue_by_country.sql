{{ config(materialized='table') }}
-- What the orders of each country are worth. A returned order brings nothing.
select
    countries.name as country,
    count(distinct customers.id) as customers,
    count(*) as orders,
    sum(case when orders.status = 'returned' then 0 else orders.amount end) as revenue
from {{ source('raw', 'orders') }} as orders
join {{ source('raw', 'customers') }} as customers on customers.id = orders.customer_id
join {{ source('raw', 'countries') }} as countries on countries.code = customers.country
group by countries.name
