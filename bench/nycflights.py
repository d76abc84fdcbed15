"""The demo's reads, joins and writes as a DuckDB script: the peer of `examples/nycflights`.

Reads the five files, keeps them as Parquet, builds the two marts and writes them as CSV and Parquet. It
checks nothing, sets nothing aside and commits nothing; Towpath does that on top within the same limit.
"""

import pathlib

RAW = ["airlines.csv", "airports.csv", "flights.csv.gz", "planes.csv", "weather.csv"]

DELAY_BY_CARRIER_MONTH = """
    SELECT f.carrier, a.name AS airline, f.year, f.month,
           count(*) AS flights,
           count(*) FILTER (f.dep_time IS NULL) AS cancelled,
           round(avg(f.dep_delay), 2) AS avg_dep_delay,
           round(avg(f.arr_delay), 2) AS avg_arr_delay
    FROM raw_flights f LEFT JOIN raw_airlines a USING (carrier)
    GROUP BY ALL ORDER BY ALL
"""

WEATHER_DELAY = """
    WITH weather AS (
        SELECT origin, year, month, day, hour, max(precip) AS precip
        FROM raw_weather GROUP BY ALL
    )
    SELECT f.origin,
           CASE WHEN w.precip IS NULL THEN 'unknown' WHEN w.precip = 0 THEN 'dry'
                WHEN w.precip < 0.1 THEN 'light' ELSE 'heavy' END AS rain,
           count(*) AS flights, round(avg(f.dep_delay), 2) AS avg_dep_delay
    FROM raw_flights f LEFT JOIN weather w USING (origin, year, month, day, hour)
    GROUP BY ALL ORDER BY ALL
"""


def run(connection, folder, target):
    target = pathlib.Path(target)
    target.mkdir(parents=True, exist_ok=True)
    for name in RAW:
        table = "raw_" + name.split(".")[0]
        source = pathlib.Path(folder) / name
        connection.execute(f"CREATE TABLE {table} AS SELECT * FROM read_csv('{source}', nullstr = 'NA')")
        connection.execute(f"COPY {table} TO '{target / table}.parquet' (FORMAT parquet, COMPRESSION zstd)")
    for name, sql in [("delay_by_carrier_month", DELAY_BY_CARRIER_MONTH), ("weather_delay", WEATHER_DELAY)]:
        connection.execute(f"CREATE TABLE {name} AS {sql}")
        connection.execute(f"COPY {name} TO '{target / name}.parquet' (FORMAT parquet, COMPRESSION zstd)")
        connection.execute(f"COPY {name} TO '{target / name}.csv' (FORMAT csv, HEADER)")
