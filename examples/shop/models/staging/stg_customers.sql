-- One row per customer who has not left, with the country's region.
select
    c.customer_id,
    c.account,
    c.name,
    c.email,
    c.phone,
    c.country,
    r.region,
    c.created_at
from {{ source('raw', 'customers') }} as c
inner join {{ source('raw', 'ref_countries') }} as r on r.code = c.country
where c.closed_at is null
