"""The demo's reads, joins and writes as a DuckDB script: the peer of `examples/nycflights`.

Reads the five files, keeps them as Parquet, builds and keeps the two marts, writes one as CSV, one as Parquet. It
checks nothing, sets nothing aside and commits nothing; Towpath does that on top within the same limit.
"""

import pathlib

RAW = ["airlines.csv", "airports.csv", "flights.csv.gz", "planes.csv", "weather.csv"]

# The SQL of the example's models, with the table names of this script.
STG_FLIGHTS = """
    SELECT f.time_hour, f.year, f.month, f.origin, f.dest, f.carrier, a.name AS airline,
           f.dep_delay, f.arr_delay, f.dep_time IS NULL AS cancelled
    FROM raw_flights f LEFT JOIN raw_airlines a ON a.carrier = f.carrier
"""

DELAY_BY_CARRIER_MONTH = """
    SELECT carrier, airline, month, count(*) AS flights,
           count(*) FILTER (WHERE cancelled) AS cancelled,
           round(avg(dep_delay), 2) AS mean_dep_delay,
           round(avg(arr_delay), 2) AS mean_arr_delay
    FROM stg_flights GROUP BY carrier, airline, month
"""

WEATHER_DELAY = """
    WITH weather AS (
        SELECT origin, time_hour,
               CASE WHEN precip >= 0.1 THEN 'heavy rain' WHEN precip > 0 THEN 'light rain'
                    WHEN wind_speed >= 20 THEN 'strong wind' ELSE 'fair' END AS weather
        FROM raw_weather
    )
    SELECT f.origin, w.weather, count(*) AS flights,
           count(*) FILTER (WHERE f.cancelled) AS cancelled,
           round(avg(f.dep_delay), 2) AS mean_dep_delay
    FROM stg_flights f JOIN weather w ON w.origin = f.origin AND w.time_hour = f.time_hour
    GROUP BY f.origin, w.weather
"""


def run(connection, folder, target):
    target = pathlib.Path(target)
    target.mkdir(parents=True, exist_ok=True)
    for name in RAW:
        table = "raw_" + name.split(".")[0]
        source = pathlib.Path(folder) / name
        connection.execute(f"CREATE TABLE {table} AS SELECT * FROM read_csv('{source}', nullstr = 'NA')")
        connection.execute(f"COPY {table} TO '{target / table}.parquet' (FORMAT parquet, COMPRESSION zstd)")
    connection.execute(f"CREATE VIEW stg_flights AS {STG_FLIGHTS}")
    for name, sql, form in [
        ("delay_by_carrier_month", DELAY_BY_CARRIER_MONTH, "csv"),
        ("weather_delay", WEATHER_DELAY, "parquet"),
    ]:
        connection.execute(f"CREATE TABLE {name} AS {sql}")
        connection.execute(f"COPY {name} TO '{target / ('mart_' + name)}.parquet' (FORMAT parquet, COMPRESSION zstd)")
        connection.execute(f"COPY {name} TO '{target / name}.{form}' (FORMAT {form})")
