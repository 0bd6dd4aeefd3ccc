"""One place in several spellings is one place: for the output inside the source, and for which run this is."""

from __future__ import annotations

import shutil

import pytest

from featherface.batch.places import resolved
from featherface.batch.sources import list_files
from featherface.errors import ConfigError, DataError

COUNT = 24


@pytest.fixture
def album(tmp_path, monkeypatch):
    """A folder `photos` with a picture and an output of ours inside, seen from beside it."""
    for name in ("photos/a.jpg", "photos/out/part-000000.parquet", "photos/outside.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "link").symlink_to("photos")
    monkeypatch.chdir(tmp_path)
    return tmp_path


SPELLINGS = [
    pytest.param("photos", "photos/out", id="as it is"),
    pytest.param("photos", "./photos/out", id="a dot in the output"),
    pytest.param("./photos", "photos/out/", id="a dot in the source, a slash at the end"),
    pytest.param("photos", "{here}/photos/out", id="an absolute output"),
    pytest.param("{here}/photos", "photos/out", id="an absolute source"),
    pytest.param("photos", "photos/../photos//out", id="a way round, two slashes"),
    pytest.param("photos", "link/out", id="the output through a link"),
    pytest.param("link", "photos/out", id="the source through a link"),
    pytest.param("photos/*/*", "./photos/out", id="a glob that finds the output"),
    pytest.param("photos", "file://{here}/photos/out", id="the output as a URL of this machine"),
    pytest.param("file://{here}/photos", "photos/out", id="the source as such a URL"),
    pytest.param("names.txt", "photos/out", id="a list that names the output's files"),
]


@pytest.mark.parametrize(("source", "output"), SPELLINGS)
def test_the_output_is_never_read_as_source(album, source, output):
    (album / "names.txt").write_text("./photos/out/part-000000.parquet\nphotos/a.jpg\n")
    source, output = (place.format(here=album) for place in (source, output))
    found = list(list_files(source, str(album), output))
    assert not [name for name in found if "part-" in name]
    assert bool(found) is ("*" not in source), "the pictures beside it are there"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        pytest.param("s3://album/out", "s3://album//out/", True, id="slashes"),
        pytest.param("s3://album/out", "s3a://album/out", True, id="S3's other name"),
        pytest.param("gs://album/out", "gcs://album/./out", True, id="Google's other name, a dot"),
        pytest.param("memory://out", "memory:///out", True, id="a third slash"),
        pytest.param("s3://album/out", "s3://album/out2", False, id="a longer name"),
        pytest.param("s3://album/out", "gs://album/out", False, id="another store"),
    ],
)
def test_urls_are_compared_without_what_means_nothing(one, other, same):
    assert (resolved(one) == resolved(other)) is same


def test_a_bucket_with_the_output_in_it_is_read_without_it(batch, photos, tmp_path):
    import fsspec

    system = fsspec.filesystem("memory")
    for path in photos.rglob("0*.jpg"):
        system.pipe_file(f"/{tmp_path.name}/{path.name}", path.read_bytes())
    for _ in range(2):
        summary = batch(f"memory://{tmp_path.name}", f"memory:///{tmp_path.name}//out")
        assert (summary.counts.rows, summary.counts.errors) == (10, 0)


@pytest.mark.parametrize("place", ["", " "])
@pytest.mark.parametrize("which", ["SOURCE", "--output"])
def test_an_empty_name_is_no_place(batch, photos, tmp_path, monkeypatch, place, which):
    """It was the root of the disk, and all of it was walked."""
    monkeypatch.chdir(tmp_path)
    given = {"SOURCE": (place, "out"), "--output": (photos, place)}[which]
    with pytest.raises(ConfigError, match=f"{which}: an empty"):
        batch(*given)
    assert not list(tmp_path.iterdir())


def test_other_words_for_the_source_are_the_same_run(batch, rows, some_photos, tmp_path, monkeypatch):
    """From other folders too; pictures that come late are named as those of the first run are."""
    (tmp_path / "elsewhere").mkdir()
    late = some_photos / "a" / "00.jpg"
    late.rename(tmp_path / "late.jpg")
    monkeypatch.chdir(tmp_path)
    batch("photos", "out")
    before = rows(tmp_path / "out")
    for folder, source in ((".", "./photos"), (".", str(some_photos)), ("elsewhere", "../photos/")):
        monkeypatch.chdir(tmp_path / folder)
        summary = batch(source, tmp_path / "out")
        assert summary.done_before == summary.shards, source
        assert rows(tmp_path / "out") == before
    shutil.copy(tmp_path / "late.jpg", late)
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert batch("../photos", tmp_path / "out").counts.errors == 0
    found = [row["path"] for row in rows(tmp_path / "out")]
    assert found == sorted(f"photos/{'ab'[i // 12]}/{i:02d}.jpg" for i in range(COUNT))


def test_the_same_words_from_another_folder_are_another_run(batch, rows, some_photos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    batch("photos", tmp_path / "out")
    before = rows(tmp_path / "out")
    (tmp_path / "elsewhere").mkdir()
    shutil.copytree(some_photos, tmp_path / "elsewhere" / "photos")
    monkeypatch.chdir(tmp_path / "elsewhere")
    with pytest.raises(DataError, match=r"another run \(source"):
        batch("photos", tmp_path / "out")
    assert rows(tmp_path / "out") == before
