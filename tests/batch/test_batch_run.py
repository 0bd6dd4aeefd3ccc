"""What a run writes, what a second run does, and what both refuse."""

from __future__ import annotations

import json
import re
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featherface import Detector, list_models
from featherface.errors import ConfigError, DataError, ModelError

COUNT = 24


def test_a_row_says_what_the_detector_says(batch, rows, photos, tmp_path):
    batch(photos, tmp_path / "out", crops=True)
    detector = Detector(threads=1)
    found = rows(tmp_path / "out")
    assert [row["path"] for row in found] == sorted(str(p) for p in photos.rglob("*.jpg"))
    for row in found:
        expected = detector.detect(row["path"])
        assert (row["width"], row["height"]) == (expected.width, expected.height)
        np.testing.assert_allclose(np.array(row["boxes"]).reshape(-1, 4), expected.boxes, atol=1e-3)
        np.testing.assert_allclose(
            np.array(row["landmarks"]).reshape(-1, 5, 2), expected.landmarks, atol=1e-3
        )
        assert row["error"] is None
        assert row["model_sha256"] == list_models_sha256()
        assert [crop[:4] for crop in row["crops"]] == [b"\x89PNG"] * len(expected)
    assert sum(len(row["boxes"]) for row in found) >= COUNT // 2


def list_models_sha256():
    return next(card for card in list_models() if card.name == "v2").files["v2.onnx"]


def test_a_second_run_does_nothing(batch, photos, tmp_path):
    batch(photos, tmp_path / "out")
    before = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "out").glob("part-*")}
    summary = batch(photos, tmp_path / "out")
    assert {p.name: p.stat().st_mtime_ns for p in (tmp_path / "out").glob("part-*")} == before
    assert summary.done_before == summary.shards == len(before)
    assert summary.counts.rows == COUNT


def test_a_missing_part_is_done_again_alone(batch, rows, photos, tmp_path):
    batch(photos, tmp_path / "out")
    whole = rows(tmp_path / "out")
    (tmp_path / "out" / "part-000001.parquet").unlink()
    assert batch(photos, tmp_path / "out").done_before == 4
    assert rows(tmp_path / "out") == whole


def test_pictures_that_came_later_are_added_in_parts_of_their_own(batch, rows, some_photos, tmp_path):
    late = some_photos / "a" / "00.jpg"
    late.rename(tmp_path / "late.jpg")
    batch(some_photos, tmp_path / "out")
    early = rows(tmp_path / "out")
    shutil.copy(tmp_path / "late.jpg", late)
    summary = batch(some_photos, tmp_path / "out")
    assert summary.counts.rows == COUNT
    now = rows(tmp_path / "out")
    assert [row for row in now if row["path"] != str(late)] == early
    assert [row["path"] for row in now].count(str(late)) == 1


def test_the_output_may_lie_inside_the_source(batch, rows, some_photos):
    batch(some_photos, some_photos / "out")
    batch(some_photos, some_photos / "out")
    assert len(rows(some_photos / "out")) == COUNT


@pytest.mark.parametrize(
    ("content", "error"),
    [
        pytest.param(b"", "empty, 0 bytes", id="an empty file"),
        pytest.param(b"not a picture", "not a picture", id="text"),
        pytest.param(None, "no such file", id="a name without a file, from a list"),
    ],
)
def test_a_picture_that_cannot_be_read_is_a_row(batch, rows, some_photos, tmp_path, content, error):
    bad = some_photos / "a" / "bad.jpg"
    if content is not None:
        bad.write_bytes(content)
    names = [str(p) for p in sorted(some_photos.rglob("*.jpg"))]
    listing = tmp_path / "list.txt"
    listing.write_text("\n".join(sorted({*names, str(bad)})))
    summary = batch(listing, tmp_path / "out")
    assert (summary.counts.rows, summary.counts.errors) == (COUNT + 1, 1)
    (row,) = [row for row in rows(tmp_path / "out") if row["error"]]
    assert row["path"] == str(bad)
    assert error in row["error"] and "\n" not in row["error"]
    assert row["width"] is row["boxes"] is row["scores"] is row["landmarks"] is None


def test_retry_errors_does_the_parts_with_errors_again(batch, rows, some_photos, tmp_path):
    bad = some_photos / "a" / "bad.jpg"
    bad.write_bytes(b"")
    batch(some_photos, tmp_path / "out")
    shutil.copy(some_photos / "a" / "00.jpg", bad)
    assert batch(some_photos, tmp_path / "out").counts.errors == 1, "without the option errors stay"
    summary = batch(some_photos, tmp_path / "out", retry_errors=True)
    assert (summary.counts.rows, summary.counts.errors, summary.done_before) == (COUNT + 1, 0, 4)
    assert not any(row["error"] for row in rows(tmp_path / "out"))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        pytest.param({"model": "copy"}, "model", id="another model"),
        pytest.param({"look": {"scales": (1.0, 2.0)}}, "scales", id="other scales"),
        pytest.param({"crops": True}, "crops", id="with crops"),
        pytest.param({"source": "a"}, "source", id="another source"),
    ],
)
def test_an_output_of_another_run_is_refused_and_kept(batch, rows, photos, tmp_path, change, says):
    batch(photos, tmp_path / "out", look={"scales": (1.0,)})
    before = rows(tmp_path / "out")
    options = {"look": {"scales": (1.0,)}, **change}
    if options.get("model"):
        options["model"] = another_model(tmp_path)
    source = photos / options.pop("source", "")
    with pytest.raises(DataError, match=says) as caught:
        batch(source, tmp_path / "out", **options)
    assert str(tmp_path / "out") in str(caught.value) and "\n" not in str(caught.value)
    assert rows(tmp_path / "out") == before


def another_model(folder):
    """The shipped network under another name, hence another sha256."""
    import onnx

    from featherface.zoo import find_model

    network = onnx.load(find_model("v2"))
    network.producer_name = "somebody else"
    onnx.save(network, folder / "other.onnx")
    return str(folder / "other.onnx")


@pytest.mark.parametrize(
    ("make", "says"),
    [
        pytest.param(lambda p: p.mkdir(), "holds no pictures", id="an empty folder"),
        pytest.param(lambda p: None, "no such file or directory", id="nothing there"),
        pytest.param(
            lambda p: (p.mkdir(), (p / "a.doc").touch()), "holds no pictures", id="other files only"
        ),
    ],
)
def test_a_source_without_pictures_writes_nothing(batch, tmp_path, make, says):
    make(tmp_path / "source")
    with pytest.raises(DataError, match=says):
        batch(tmp_path / "source", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def empty_tar(path, mode="w"):
    with tarfile.open(path, mode) as tar:
        tar.addfile(tarfile.TarInfo("a.doc"))


@pytest.mark.parametrize(
    ("name", "make"),
    [
        pytest.param("a.txt", lambda p: p.write_text("\n"), id="a list of nothing"),
        pytest.param("*.png", lambda p: None, id="a glob that nothing matches"),
        pytest.param(
            "a.parquet",
            lambda p: pq.write_table(pa.table({"bytes": pa.array([], pa.binary())}), p),
            id="Parquet",
        ),
        pytest.param("a.tar", empty_tar, id="a tar"),
        pytest.param("a.tar.gz", lambda p: empty_tar(p, "w:gz"), id="a packed tar, which only reading tells"),
    ],
)
def test_a_source_of_no_pictures_is_an_error(batch, tmp_path, name, make):
    make(tmp_path / name)
    for _ in range(2):
        with pytest.raises(DataError, match=f"{re.escape(name)}: holds no pictures"):
            batch(tmp_path / name, tmp_path / "out")


def test_a_folder_of_somebody_else_is_refused(batch, photos, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("mine")
    with pytest.raises(DataError, match=r"thesis\.tex"):
        batch(photos, tmp_path / "out")
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda text: "{", id="cut short"),
        pytest.param(lambda text: "[]", id="a list"),
        pytest.param(lambda text: json.dumps(json.loads(text) | {"run": {}}), id="no identity"),
        pytest.param(lambda text: json.dumps(json.loads(text) | {"run": []}), id="identity a list"),
        pytest.param(
            lambda text: text.replace('"scales"', '"scale"').replace('"options": {', '"options": 3, "x": {'),
            id="options a number",
        ),
        pytest.param(lambda text: json.dumps(json.loads(text) | {"done": []}), id="done a list"),
        pytest.param(lambda text: text.replace('"rows"', '"lines"'), id="other counts"),
        pytest.param(lambda text: text.replace('"rows": ', '"rows": "x", "faces": '), id="counts of text"),
    ],
)
def test_a_damaged_manifest_is_named(batch, photos, tmp_path, damage):
    batch(photos, tmp_path / "out")
    manifest = tmp_path / "out" / "_manifest.json"
    manifest.write_text(damage(manifest.read_text()))
    with pytest.raises(DataError, match=r"_manifest\.json: not a manifest of featherface batch") as caught:
        batch(photos, tmp_path / "out")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        pytest.param("part-000001.parquet", "a part", id="rows that somebody wrote anew"),
        pytest.param("_plan-000000.parquet", "a plan", id="a plan of other columns"),
    ],
)
def test_parquet_of_another_schema_in_the_output_is_named_and_kept(batch, photos, tmp_path, name, kind):
    output = tmp_path / "out"
    batch(photos, output)
    manifest = json.loads((output / "_manifest.json").read_text())
    (output / "_manifest.json").write_text(
        json.dumps(manifest | {"done": {}})
    )  # as a killed driver leaves it
    pq.write_table(pa.table({"age": [3]}), output / name)
    with pytest.raises(DataError, match=f"{name}: not {kind}"):
        batch(photos, output)
    assert pq.read_table(output / name).column_names == ["age"]


@pytest.mark.parametrize(
    ("options", "error"),
    [
        pytest.param({"look": {"scales": (0.0,)}}, ConfigError, id="scale 0"),
        pytest.param({"thresholds": {"score_threshold": 2}}, ConfigError, id="threshold 2"),
        pytest.param({"shard_size": 0}, ConfigError, id="no pictures a shard"),
        pytest.param({"model": "nobody"}, ModelError, id="no such model"),
    ],
)
def test_bad_options_write_nothing(batch, photos, tmp_path, options, error):
    with pytest.raises(error):
        batch(photos, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_a_model_of_another_runtime_writes_nothing(batch, photos, tmp_path):
    pytest.importorskip("ai_edge_litert", reason="the extra litert is not installed")
    file = Path(__file__).parents[1] / "export" / "data" / "nano_b-fp16-320x320.tflite"
    with pytest.raises(ConfigError, match=r"320x320\.tflite: batch runs models in ONNX Runtime"):
        batch(photos, tmp_path / "out", model=str(file))
    assert not (tmp_path / "out").exists()


def test_a_small_source_still_makes_many_shards(batch, photos, tmp_path):
    assert batch(photos, tmp_path / "out", shard_size=None).shards == COUNT // 8


def test_the_manifest_tells_what_is_done(batch, photos, tmp_path):
    batch(photos, tmp_path / "out")
    manifest = json.loads((tmp_path / "out" / "_manifest.json").read_text())
    assert manifest["run"]["source"] == str(photos)
    assert sum(part["rows"] for part in manifest["done"].values()) == COUNT


def test_parts_share_one_schema_even_when_no_picture_could_be_read(batch, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "bad.jpg").touch()
    batch(tmp_path / "photos", tmp_path / "out")
    schema = pq.read_schema(tmp_path / "out" / "part-000000.parquet")
    assert schema.field("boxes").type == pa.list_(pa.list_(pa.float32()))
    assert schema.field("landmarks").type == pa.list_(pa.list_(pa.list_(pa.float32())))
