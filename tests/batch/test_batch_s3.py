"""Object stores: a local S3 (moto's server) as source and output, and buckets that refuse."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

pytest.importorskip("s3fs", reason="s3fs is not installed")

from featherface.errors import DataError

pytestmark = pytest.mark.long

COUNT = 24


@pytest.fixture
def credentials(monkeypatch):
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_MAX_ATTEMPTS": "1",
    }.items():
        monkeypatch.setenv(name, value)
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    yield
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture
def bucket(credentials, monkeypatch, photos):
    """The photos in a bucket."""
    moto = pytest.importorskip("moto.server", reason="moto is not installed")
    import s3fs

    server = moto.ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    system = s3fs.S3FileSystem()
    system.mkdir("album")
    for path in photos.rglob("*.jpg"):
        system.put_file(str(path), f"album/photos/{path.parent.name}/{path.name}")
    yield system
    system.rm("album", recursive=True)
    server.stop()


def test_from_bucket_to_bucket_equals_from_disk_to_disk(batch, rows, bucket, photos, tmp_path):
    output = "s3://album/out"
    summary = batch("s3://album/photos", output)
    assert (summary.counts.rows, summary.counts.errors) == (COUNT, 0)
    assert batch("s3://album/photos", output).done_before == summary.shards
    names = bucket.find("album/out")
    assert not [name for name in names if "_temporary" in name or "_started" in name]
    bucket.get("album/out", str(tmp_path / "out"), recursive=True)
    batch(photos, tmp_path / "expected")
    found, expected = rows(tmp_path / "out"), rows(tmp_path / "expected")
    assert [row["path"] for row in found] == [
        row["path"].replace(str(photos), "s3://album/photos") for row in expected
    ]
    for row, other in zip(found, expected, strict=True):
        assert row | {"path": ""} == other | {"path": ""}


@pytest.fixture
def asked(monkeypatch):
    """Every request to the store: its method and the key or prefix that it is about."""
    import s3fs

    asked = []
    whole = s3fs.S3FileSystem._call_s3

    async def counted(self, method, *arguments, **options):
        asked.append(
            (str(getattr(method, "__name__", method)), options.get("Key", options.get("Prefix", "")))
        )
        return await whole(self, method, *arguments, **options)

    monkeypatch.setattr(s3fs.S3FileSystem, "_call_s3", counted)
    return asked


def test_a_picture_is_one_request_and_a_shard_at_most_sixteen(batch, bucket, asked):
    """As docs/scale.md counts them, because each is paid for."""
    counts, plans = {}, []
    for size in (4, 8):
        asked.clear()
        shards = batch("s3://album/photos", f"s3://album/out-{size}", shard_size=size).shards
        pictures = [name for name, key in asked if key.endswith(".jpg")]
        assert pictures == ["get_object"] * COUNT
        counts[shards] = len(asked)
        plans.append([name for name, key in asked if "out-" in key and "/_plan-" in key and "get" in name])
    (few, least), (many, most) = sorted(counts.items())
    assert 0 < (most - least) / (many - few) <= 16
    assert plans[0] == plans[1] and 0 < len(plans[0]) <= 3, "a plan is fetched once, not for each shard"


@pytest.mark.parametrize(
    ("source", "count"),
    [
        pytest.param("s3://album/photos/a/*.jpg", COUNT // 2, id="a glob"),
        pytest.param("s3://album/photos/*/*.jpg", COUNT, id="a glob over folders"),
        pytest.param("s3://album/photos", COUNT, id="a folder of two"),
    ],
)
def test_listing_asks_for_folders_not_for_pictures(batch, bucket, asked, tmp_path, source, count):
    assert batch(source, tmp_path / "out").counts.rows == count
    listings = [key for name, key in asked if name.startswith("list_objects")]
    assert 0 < len(listings) <= 8, listings


def test_what_died_in_a_bucket_is_swept_and_done(batch, bucket):
    output = "s3://album/out"
    batch("s3://album/photos", output)
    bucket.rm_file("album/out/part-000002.parquet")
    bucket.pipe_file("album/out/_started/000002", b"")
    bucket.pipe_file("album/out/_temporary/x-part-000002.parquet", b"half")
    summary = batch("s3://album/photos", output)
    assert (summary.counts.rows, summary.done_before) == (COUNT, summary.shards - 1)
    assert not [name for name in bucket.find("album/out") if "/_started" in name or "/_temporary" in name]


@pytest.mark.parametrize(
    "source",
    [
        pytest.param("s3://nobodys/photos", id="no such bucket"),
        pytest.param("s3://album/nothing", id="no such folder"),
    ],
)
def test_what_is_not_there_is_named(batch, bucket, tmp_path, source):
    with pytest.raises(DataError, match=f"{source}: no such") as caught:
        batch(source, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


class Refusing(BaseHTTPRequestHandler):
    """An S3 that grants nobody anything."""

    def refuse(self):
        body = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
        self.send_response(403)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_PUT = do_POST = refuse  # noqa: N815

    def log_message(self, *_):
        """Silence."""


@pytest.fixture
def closed_bucket(credentials, monkeypatch):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    yield
    server.shutdown()


def test_a_bucket_without_permission_is_one_line(batch, closed_bucket, tmp_path):
    with pytest.raises(DataError, match=r"s3://private/photos: permission denied$"):
        batch("s3://private/photos", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_output_without_permission_is_one_line(batch, closed_bucket, photos):
    with pytest.raises(DataError, match=r"s3://private/out\S*: permission denied$"):
        batch(photos, "s3://private/out")


def test_a_store_that_does_not_answer_is_one_line(batch, credentials, monkeypatch, tmp_path):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(DataError, match="s3://album/photos: ") as caught:
        batch("s3://album/photos", tmp_path / "out")
    assert "\n" not in str(caught.value)
