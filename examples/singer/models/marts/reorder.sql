{{ config(materialized='table') }}
-- Articles on sale of which fewer than twenty pieces are left.
select
    articles.article,
    articles.name,
    articles.price,
    sum(stock.pieces) as pieces
from {{ source('raw', 'articles') }} as articles
join {{ source('raw', 'stock') }} as stock on stock.article = articles.article
where articles.active
group by articles.article, articles.name, articles.price
having sum(stock.pieces) < 20
