"""Runs in polars' environment: writes and reads tables with connection.env alone, tells what."""

import json
import os
import sys

import polars as pl


def main():
    json.load(sys.stdin)
    uri = os.environ["USER_S3_PATH"] + "polars/table ü.parquet"
    frame = pl.DataFrame({"n": list(range(5000)), "name": ["field"] * 5000})
    frame.write_parquet(uri)
    lazily = pl.scan_parquet(uri).filter(pl.col("n") > 4990).select(pl.col("n").sum()).collect()
    frame.write_csv(os.environ["USER_S3_SHARED_PATH"] + "polars.csv")
    told = {
        "equal": pl.read_parquet(uri).equals(frame),
        "sum": lazily.item(),
        "found": pl.scan_parquet(uri.rpartition("/")[0] + "/*.parquet").collect().height,
        "rows": pl.scan_csv(os.environ["USER_S3_SHARED_PATH"] + "polars.csv").collect().height,
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
