select country, count(*) as customers
from {{ source('raw', 'custmers') }}
group by country
