{{ config(materialized='table') }}
-- How many requests of each hour the server failed to answer, and how slow the slowest was.
select
    date_trunc('hour', at) as hour,
    count(*) as requests,
    sum(case when status >= 500 then 1 else 0 end) as errors,
    round(100.0 * sum(case when status >= 500 then 1 else 0 end) / count(*), 1) as error_percent,
    max(seconds) as slowest
from {{ source('raw', 'requests') }}
group by date_trunc('hour', at)
