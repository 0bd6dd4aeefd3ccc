"""Every kind of source holds the same pictures, and says so when it is damaged."""

from __future__ import annotations

import io
import os
import tarfile
import tracemalloc

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featherface.batch.parquet import parquet_pictures
from featherface.batch.units import Unit
from featherface.errors import DataError

COUNT = 24


def contents(photos):
    return [path.read_bytes() for path in sorted(photos.rglob("*.jpg"))]


def glob_of(photos, folder):
    return f"{photos}/*/*.jpg"


def list_of(photos, folder):
    (folder / "list.txt").write_text("".join(f"{p}\n\n" for p in sorted(photos.rglob("*.jpg"))))
    return folder / "list.txt"


def list_with_doubles(photos, folder):
    names = [str(p) for p in sorted(photos.rglob("*.jpg"))]
    (folder / "list.txt").write_text("\ufeff" + "\r\n".join(names + names[:5]))
    return folder / "list.txt"


def parquet_of_bytes(photos, folder):
    pq.write_table(pa.table({"bytes": contents(photos)}), folder / "p.parquet", row_group_size=7)
    return folder / "p.parquet"


def parquet_of_paths(photos, folder):
    pq.write_table(pa.table({"path": [str(p) for p in sorted(photos.rglob("*.jpg"))]}), folder / "p.parquet")
    return folder / "p.parquet"


def parquet_of_structs(photos, folder):
    images = [{"bytes": data, "path": f"{i}.jpg"} for i, data in enumerate(contents(photos))]
    pq.write_table(pa.table({"label": [0] * COUNT, "image": images}), folder / "p.parquet")
    return folder / "p.parquet"


def folder_of_tars(photos, folder):
    for number in range(2):
        with tarfile.open(folder / f"{number}.tar", "w") as tar:
            for i, data in enumerate(contents(photos)[number::2]):
                for name, content in ((f"{i:03d}.jpg", data), (f"{i:03d}.json", b"{}")):
                    add(tar, name, content)
    return folder


def packed_tar(photos, folder):
    with tarfile.open(folder / "p.tar.gz", "w:gz") as tar:
        for i, data in enumerate(contents(photos)):
            # Long names take an extra header, which belongs to the member that follows.
            add(tar, f"{'n' * 120}/{i:03d}.jpg", data)
    return folder / "p.tar.gz"


def tar_with_long_names(photos, folder):
    with tarfile.open(folder / "p.tar", "w", format=tarfile.GNU_FORMAT) as tar:
        for i, data in enumerate(contents(photos)):
            add(tar, f"{'n' * 120}/{i:03d}.jpg", data)
    return folder / "p.tar"


def memory_url(photos, folder):
    import fsspec

    system = fsspec.filesystem("memory")
    for path in photos.rglob("*.jpg"):
        system.pipe_file(f"/{folder.name}/{path.parent.name}/{path.name}", path.read_bytes())
    return f"memory://{folder.name}"


def add(tar, name, content):
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


@pytest.mark.parametrize(
    "make",
    [
        glob_of,
        list_of,
        list_with_doubles,
        parquet_of_bytes,
        parquet_of_paths,
        parquet_of_structs,
        folder_of_tars,
        packed_tar,
        tar_with_long_names,
        memory_url,
    ],
)
def test_every_source_gives_the_faces_of_the_folder(batch, rows, photos, tmp_path, make):
    batch(photos, tmp_path / "expected")
    (tmp_path / "source").mkdir()
    summary = batch(make(photos, tmp_path / "source"), tmp_path / "out")
    found = rows(tmp_path / "out")
    assert summary.counts.errors == 0
    assert len({row["path"] for row in found}) == COUNT
    assert sorted(map(faces, found)) == sorted(map(faces, rows(tmp_path / "expected")))


def faces(row):
    return row["height"], row["scores"], row["boxes"], row["landmarks"]


def test_a_large_tar_is_cut_into_parts(batch, photos, tmp_path, monkeypatch):
    monkeypatch.setattr("featherface.batch.plan._SHARD_SIZE", 7)
    source = tar_with_long_names(photos, tmp_path)
    summary = batch(source, tmp_path / "out")
    assert (summary.shards, summary.counts.rows) == (4, COUNT)


def test_large_row_groups_are_cut_into_parts(batch, photos, tmp_path, monkeypatch):
    monkeypatch.setattr("featherface.batch.plan._SHARD_SIZE", 7)
    summary = batch(parquet_of_structs(photos, tmp_path), tmp_path / "out")
    assert (summary.shards, summary.counts.rows) == (4, COUNT)


def test_rows_without_a_name_are_named_by_their_number(batch, rows, photos, tmp_path):
    source = parquet_of_bytes(photos, tmp_path)
    batch(source, tmp_path / "out")
    assert {row["path"] for row in rows(tmp_path / "out")} == {f"{source}#{i}" for i in range(COUNT)}


def test_a_column_can_be_named(batch, photos, tmp_path):
    pq.write_table(pa.table({"jpeg": contents(photos)}), tmp_path / "p.parquet")
    with pytest.raises(DataError, match="has jpeg"):
        batch(tmp_path / "p.parquet", tmp_path / "out")
    assert batch(tmp_path / "p.parquet", tmp_path / "out", column="jpeg").counts.rows == COUNT


@pytest.mark.parametrize(
    ("table", "says"),
    [
        pytest.param({"name": ["x"], "age": [3]}, "name, age", id="no such column"),
        pytest.param({"image": [1, 2]}, "has image", id="a column of numbers"),
    ],
)
def test_parquet_of_another_schema_is_refused(batch, tmp_path, table, says):
    pq.write_table(pa.table(table), tmp_path / "p.parquet")
    with pytest.raises(DataError, match=says):
        batch(tmp_path / "p.parquet", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_one_foreign_file_among_many_is_a_row(batch, rows, photos, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    parquet_of_bytes(photos, source)
    (source / "q.parquet").write_bytes(b"PAR1 but no more")
    pq.write_table(pa.table({"age": [3]}), source / "r.parquet")
    summary = batch(source, tmp_path / "out")
    assert (summary.counts.rows, summary.counts.errors) == (COUNT + 2, 2)
    errors = {row["path"]: row["error"] for row in rows(tmp_path / "out") if row["error"]}
    assert "not readable Parquet" in errors[str(source / "q.parquet")]
    assert "has age" in errors[str(source / "r.parquet")]


def test_a_row_group_of_pictures_is_read_in_pieces(tmp_path):
    """Not as a whole: one of a few gigabytes is common, and every worker would hold it."""
    size, count, path = 1 << 20, 48, tmp_path / "p.parquet"
    pictures = pa.table({"bytes": [np.random.default_rng(i).bytes(size) for i in range(count)]})
    pq.write_table(pictures, path, use_dictionary=False, write_batch_size=4)
    assert pq.ParquetFile(path).num_row_groups == 1
    del pictures
    before, held = pa.total_allocated_bytes(), []
    tracemalloc.start()  # Arrow's own memory is counted by Arrow, what it reads through Python by Python
    try:
        for _ in parquet_pictures(Unit(str(path), 0, count, count), None):
            held.append(pa.total_allocated_bytes() - before)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(held) == count and max(held) + peak < count * size, (max(held), peak)


def test_an_empty_row_is_a_row_with_an_error(batch, rows, photos, tmp_path):
    pq.write_table(pa.table({"bytes": [contents(photos)[0], None]}), tmp_path / "p.parquet")
    batch(tmp_path / "p.parquet", tmp_path / "out")
    assert [bool(row["error"]) for row in rows(tmp_path / "out")] == [False, True]


@pytest.mark.parametrize(
    "keep",
    [
        pytest.param(0.5, id="half of it"),
        pytest.param(0.0, id="nothing of it"),
        pytest.param(-1, id="all but the end marker"),
    ],
)
def test_a_cut_tar_keeps_what_it_holds_and_says_so(batch, rows, photos, tmp_path, keep):
    source = tar_with_long_names(photos, tmp_path)
    data = source.read_bytes()
    end = data.rstrip(b"\0")
    source.write_bytes(end[: len(end) // 512 * 512 + 512] if keep < 0 else data[: int(keep * len(data))])
    batch(source, tmp_path / "out")
    found = rows(tmp_path / "out")
    (error,) = [row["error"] for row in found if row["error"]]
    assert str(source) in error
    expected = {0.5: range(5, 20), 0.0: [0], -1: [COUNT]}[keep]
    assert len(found) - 1 in expected


def test_a_damaged_header_inside_a_tar_is_not_its_end(batch, rows, photos, tmp_path):
    source = folder_of_tars(photos, tmp_path) / "0.tar"
    data = bytearray(source.read_bytes())
    with tarfile.open(source) as tar:
        middle = tar.getmembers()[10].offset
    data[middle : middle + 512] = b"\xff" * 512
    source.write_bytes(data)
    batch(source, tmp_path / "out")
    (error,) = [row["error"] for row in rows(tmp_path / "out") if row["error"]]
    assert "damaged" in error
    assert len(rows(tmp_path / "out")) == 5 + 1


def test_a_list_that_is_not_text_is_named_with_its_line(batch, tmp_path):
    (tmp_path / "list.txt").write_bytes(b"a.jpg\n\xff\xfe.jpg\n")
    with pytest.raises(DataError, match=r"list\.txt: line 2"):
        batch(tmp_path / "list.txt", tmp_path / "out")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_cannot_be_entered_is_named(batch, some_photos, tmp_path):
    (some_photos / "b").chmod(0)
    try:
        with pytest.raises(DataError, match="permission denied"):
            batch(some_photos, tmp_path / "out")
    finally:
        (some_photos / "b").chmod(0o755)


def test_a_url_without_a_back_end_says_what_to_install(batch, tmp_path):
    with pytest.raises(DataError, match="nosuch://photos"):
        batch("nosuch://photos", tmp_path / "out")


def test_output_may_be_a_url(batch, photos, tmp_path):
    import fsspec

    output = f"memory://{tmp_path.name}-out"
    batch(photos, output)
    summary = batch(photos, output)
    assert (summary.done_before, summary.counts.rows) == (summary.shards, COUNT)
    names = fsspec.filesystem("memory").find(f"/{tmp_path.name}-out")
    assert not [name for name in names if "_temporary" in name or "_started/" in name]
