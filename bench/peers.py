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


def duckdb_jsonl(source, target):
    duckdb_connection().execute(f"COPY (SELECT * FROM read_json('{source}')) TO '{target}' ({ZSTD})")


def dlt_pipeline(target):
    """A pipeline of dlt that writes to the folder `lake` beside `target`, with two worker threads where it has them."""
    import os
    import pathlib

    folder = pathlib.Path(target).parent
    os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
    os.environ["RUNTIME__LOG_LEVEL"] = "CRITICAL"
    import dlt

    destination = dlt.destinations.filesystem(bucket_url=(folder / "lake").as_uri())
    return dlt.pipeline("bench", pipelines_dir=str(folder / "dlt"), destination=destination, dataset_name="raw")


def dlt_jsonl(source, target):
    import pathlib

    from dlt.sources.filesystem import filesystem, read_jsonl

    pipeline = dlt_pipeline(target)
    path = pathlib.Path(source)
    files = filesystem(bucket_url=path.parent.as_uri(), file_glob=path.name)
    pipeline.run((files | read_jsonl()).with_name("mixed"), loader_file_format="parquet").raise_on_failed_jobs()


def dlt_mariadb(url, target):
    import sqlalchemy
    from dlt.sources.sql_database import sql_table

    def doubles_stay(table):
        # As they are, dlt 1.31 loads doubles of MariaDB as DECIMAL(10, 10), which rounds them.
        for column in table.columns:
            if isinstance(column.type, sqlalchemy.Float):
                column.type = sqlalchemy.Float(53)

    pipeline = dlt_pipeline(target)
    address = url.replace("mysql://", "mysql+pymysql://")
    table = sql_table(address, table="mixed", backend="pyarrow", table_adapter_callback=doubles_stay)
    pipeline.run(table, table_format="delta", loader_file_format="parquet").raise_on_failed_jobs()


def dlt_rest(url, target):
    from dlt.sources.rest_api import rest_api_source

    pipeline = dlt_pipeline(target)
    paginator = {"type": "page_number", "base_page": 1, "total_path": "pages"}
    endpoint = {"path": "rows", "data_selector": "rows", "paginator": paginator}
    source = rest_api_source({"client": {"base_url": url}, "resources": [{"name": "mixed", "endpoint": endpoint}]})
    pipeline.run(source, table_format="delta", loader_file_format="parquet").raise_on_failed_jobs()


def duckdb_nycflights(folder, target):
    import nycflights

    nycflights.run(duckdb_connection(), folder, target)


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
