//! The project that `init` creates without existing data: two small files, one pipeline, one model.
//!
//! Promise: it runs at once, and one row of its data breaks a rule, so the first run shows a rejected row.
//! It contacts no system. Read next: `start.rs`.

use super::start::Draft;

const CUSTOMERS: &str = "\
customer_id,name,email,country
1,Ada,ADA@example.org,GB
2,Grace,grace@example.org,US
3,Edsger,edsger@example.org,NL
4,Barbara,barbara@example.org,US
5,Konrad,konrad@example.org,DE
";

const ORDERS: &str = "\
order_id,customer_id,ordered_on,quantity,price
1001,1,2026-01-05,2,19.90
1002,2,2026-01-05,1,249.00
1003,3,2026-01-06,5,4.50
1004,2,2026-01-09,1,19.90
1005,5,2026-01-12,3,12.00
1006,4,2026-01-12,1,249.00
1007,1,2026-01-15,-1,19.90
1008,3,2026-01-20,10,4.50
1009,5,2026-01-21,2,19.90
1010,4,2026-02-02,1,12.00
1011,1,2026-02-03,4,4.50
1012,2,2026-02-04,2,12.00
";

const PIPELINE: &str = "\
# yaml-language-server: $schema=../.towpath/schemas/pipeline.json
# Files -> lakehouse -> model. The order follows from what each step reads and writes.
steps:
  extract:
    load: data
    into: raw
    tables:                                # the key is the name of the target table
      customers:
        from: customers.csv
        key: customer_id
        columns:
          email: { set: lower(email), required: true }
      orders:
        from: orders.csv
        key: order_id
        columns:
          quantity: { min: 1 }             # a rule: a row that breaks it is rejected
          price: decimal(10,2)             # declared; other types are read from the data
        checks:                            # a check: it decides about the whole commit
          - relationships: { customer_id: raw.customers.customer_id }
  build:
    models: all
";

const MODEL: &str = "\
{{ config(materialized='table') }}
select
    c.country,
    count(*) as orders,
    sum(o.quantity * o.price) as revenue
from {{ source('raw', 'orders') }} as o
join {{ source('raw', 'customers') }} as c on c.customer_id = o.customer_id
group by c.country
order by revenue desc
";

/// The files of the example project.
pub(super) fn draft(name: &str, id: &str) -> Draft {
    let root = format!(
        "\
# yaml-language-server: $schema=.towpath/schemas/towpath.json
towpath: 1
name: {name}
id: {id}      # part of every commit; never change it
lakehouse: ./lake

connections:
  data: {{ type: files, path: data }}
"
    );
    let file = |path: &str, text: &str| (path.to_owned(), text.to_owned());
    Draft {
        files: vec![
            ("towpath.yml".to_owned(), root),
            (format!("pipelines/{name}.yml"), PIPELINE.to_owned()),
            file("models/marts/revenue_by_country.sql", MODEL),
            file("data/customers.csv", CUSTOMERS),
            file("data/orders.csv", ORDERS),
        ],
        ..Draft::default()
    }
}
