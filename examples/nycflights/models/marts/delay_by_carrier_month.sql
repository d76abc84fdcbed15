{{ config(materialized='table') }}

select
    carrier,
    airline,
    month,
    count(*) as flights,
    count(*) filter (where cancelled) as cancelled,
    round(avg(dep_delay), 2) as mean_dep_delay,
    round(avg(arr_delay), 2) as mean_arr_delay
from {{ ref('stg_flights') }}
group by carrier, airline, month
