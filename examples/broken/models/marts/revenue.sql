select
    o.customer,
    sum(o.totl) as revenue
from {{ source('raw', 'orders') }} as o
group by o.customer
