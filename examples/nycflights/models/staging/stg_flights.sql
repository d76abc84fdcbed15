-- One row per flight, with the airline's name. `dep_time` is null when the flight was cancelled.
select
    f.time_hour,
    f.year,
    f.month,
    f.origin,
    f.dest,
    f.carrier,
    a.name as airline,
    f.dep_delay,
    f.arr_delay,
    f.dep_time is null as cancelled
from {{ source('raw', 'flights') }} as f
left join {{ source('raw', 'airlines') }} as a on a.carrier = f.carrier
