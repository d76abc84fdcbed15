{{ config(materialized='table') }}

-- Weather is measured per airport and hour. The hour is joined in UTC (`time_hour`), where it occurs
-- once; in local time the hour of the clock change occurs twice.
with weather as (
    select
        origin,
        time_hour,
        case
            when precip >= 0.1 then 'heavy rain'
            when precip > 0 then 'light rain'
            when wind_speed >= 20 then 'strong wind'
            else 'fair'
        end as weather
    from {{ source('raw', 'weather') }}
)

select
    f.origin,
    w.weather,
    count(*) as flights,
    count(*) filter (where f.cancelled) as cancelled,
    round(avg(f.dep_delay), 2) as mean_dep_delay
from {{ ref('stg_flights') }} as f
inner join weather as w on w.origin = f.origin and w.time_hour = f.time_hour
group by f.origin, w.weather
