select * from {{ ref('revenues') }} where revenue > {{ var('loyal_above') }}
