"""Small batches of rows made large ones, within bounds."""

from collections.abc import Iterator

import pyarrow as pa

# What a batch that is carried on may take in memory, unless a single small one takes more.
BATCH_BYTES = 4 * 2**20


def gathered(batches: Iterator[pa.RecordBatch], most_rows: int) -> Iterator[pa.RecordBatch]:
    """The same rows in as few batches as `BATCH_BYTES` and ``most_rows`` allow."""
    held: list[pa.RecordBatch] = []
    try:
        for batch in batches:
            rows = batch.num_rows + sum(each.num_rows for each in held)
            size = batch.nbytes + sum(each.nbytes for each in held)
            if held and (rows > most_rows or size > BATCH_BYTES):
                yield pa.concat_batches(held)
                held = []
            held.append(batch)
    except Exception:
        if held:  # the rows before it were good
            yield pa.concat_batches(held)
        raise
    if held:
        yield pa.concat_batches(held)
