"""A bucket of photos through a Ray cluster, and a summary of what was found. Needs the ray extra.

    python examples/cluster_batch.py s3://album/2024 s3://album/faces --address head:6379
    python examples/cluster_batch.py PHOTOS FACES --engine local

Run it again after any interruption; it goes on where it stopped.
"""

from __future__ import annotations

import argparse
import os

import pyarrow.compute as pc
import pyarrow.dataset as ds
from fsspec.core import url_to_fs

from featherface.batch.cluster import run_ray
from featherface.batch.processes import run_local
from featherface.batch.run import Request, run


def main() -> None:
    """Find the faces, then count them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source")
    parser.add_argument("output")
    parser.add_argument("--engine", choices=["ray", "local"], default="ray")
    parser.add_argument("--address", help="of the cluster; Ray on this machine when not given")
    parser.add_argument("--workers", type=int)
    arguments = parser.parse_args()

    def engine(job, shards):  # type: ignore[no-untyped-def]
        if arguments.engine == "local":
            return run_local(job, shards, arguments.workers or os.cpu_count() or 1)
        return run_ray(job, shards, arguments.workers, arguments.address, gpus_per_worker=0)

    run(
        Request(arguments.source, arguments.output),
        engine,
        lambda done, total: print(f"{done} of {total} shards", flush=True),
    )
    summarise(arguments.output)


def summarise(output: str) -> None:
    """Pictures, faces and errors, read column by column; nothing is held in memory but a batch."""
    system, path = url_to_fs(output)
    files = [name for name in system.ls(path, detail=False) if name.endswith(".parquet") and "/part-" in name]
    pictures = faces = errors = 0
    for batch in ds.dataset(files, filesystem=system).to_batches(columns=["scores", "error"]):
        pictures += batch.num_rows
        faces += pc.sum(pc.list_value_length(batch["scores"])).as_py() or 0
        errors += batch.num_rows - batch["error"].null_count
    print(f"{pictures:,} pictures, {faces:,} faces, {errors:,} errors")


if __name__ == "__main__":
    main()
