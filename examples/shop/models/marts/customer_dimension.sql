{{ config(materialized='table') }}

-- Every version of a customer, with the region of its country then. Facts are joined by the time they happened:
-- `on f.customer_id = d.customer_id and f.ordered_at >= d.valid_from and (f.ordered_at < d.valid_to or d.valid_to is null)`.
select
    h.customer_id,
    h.email,
    h.country,
    r.name as country_name,
    r.region,
    h.closed_at,
    h._valid_from as valid_from,
    h._valid_to as valid_to,
    h._is_current as is_current
from {{ source('history', 'customers') }} as h
inner join {{ source('raw', 'ref_countries') }} as r on r.code = h.country
