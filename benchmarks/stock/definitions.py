"""A Dagster project as its tutorial writes one: an asset that exports 100 rows, and its job."""

import os
import time
from pathlib import Path

import pandas as pd
from dagster import AssetExecutionContext, Definitions, MaterializeResult, asset, define_asset_job
from sqlalchemy import create_engine, text

JOB = "bookings_export"


@asset
def bookings(context: AssetExecutionContext) -> MaterializeResult[None]:
    """The first 100 bookings, in a Parquet file."""
    result = Path(os.environ["STOCK_RESULTS"]) / f"{context.run_id}.parquet"
    result.with_suffix(".began").write_text(
        str(time.time())
    )  # the one line that is the benchmark's
    engine = create_engine(os.environ["STOCK_SOURCE_URL"])
    query = text("SELECT * FROM bookings WHERE id <= 100 ORDER BY id")
    with engine.connect() as connection:
        frame = pd.read_sql(query, connection)
    frame.to_parquet(result)
    return MaterializeResult(metadata={"rows": len(frame)})


defs = Definitions(assets=[bookings], jobs=[define_asset_job(JOB, selection=[bookings])])
