"""`bench rollup` measures what it says: all that it stored is rolled up, in counted time."""

from metering.bench.rollup import measure_rollup
from metering.bench.workload import SAMPLES_PER_BATCH


def test_every_stored_sample_is_rolled_up_and_timed(db: None) -> None:
    figures = measure_rollup(3, lambda line: None)
    # Ten windows a batch, 30 a bucket: three batches of the same 100 instances lie in two buckets.
    assert (figures.samples, figures.rollups) == (3 * SAMPLES_PER_BATCH, 200)
    assert figures.samples_per_second > 0
    assert figures.backend_cpu_us_per_sample is not None
