"""What each peer is asked to do, one process per measurement: `python peers.py NAME ARGUMENT...`.

Written as each project's own documentation recommends for this task, with two threads and zstd level 1.
Knows nothing of Towpath.
"""

import sys

ZSTD = "FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1"


def duckdb_connection():
    import duckdb

    connection = duckdb.connect()
    connection.execute("SET threads = 2")
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def duckdb_csv_inferred(source, target):
    duckdb_connection().execute(f"COPY (SELECT * FROM read_csv('{source}')) TO '{target}' ({ZSTD})")


def duckdb_csv_declared(source, target):
    import data

    columns = ", ".join(f"'{name}': '{kind}'" for name, kind in data.TYPES.items())
    read = f"read_csv('{source}', header = true, auto_detect = false, columns = {{{columns}}})"
    duckdb_connection().execute(f"COPY (SELECT * FROM {read}) TO '{target}' ({ZSTD})")


def connectorx_postgres(url, target):
    import connectorx
    import pyarrow.parquet

    table = connectorx.read_sql(
        url,
        "SELECT * FROM public.mixed",
        return_type="arrow",
        partition_on="id",
        partition_num=2,
    )
    pyarrow.parquet.write_table(table, target, compression="zstd", compression_level=1)


def adbc_postgres(url, target):
    import adbc_driver_postgresql.dbapi
    import pyarrow.parquet

    with adbc_driver_postgresql.dbapi.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT * FROM public.mixed")
        reader = cursor.fetch_record_batch()
        options = {"compression": "zstd", "compression_level": 1}
        with pyarrow.parquet.ParquetWriter(target, reader.schema, **options) as writer:
            for batch in reader:
                writer.write_batch(batch)


def duckdb_nycflights(folder, target):
    import nycflights

    nycflights.run(duckdb_connection(), folder, target)


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
