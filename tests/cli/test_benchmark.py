"""`featherface benchmark` from end to end, with few runs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import onnx
import pytest

from featherface.benchmark import worker
from featherface.benchmark.report import table
from featherface.benchmark.run import Measured, Spread, Subject, measure, parse_picture_size, spread
from featherface.cli.benchmark_files import _told_apart
from featherface.errors import FeatherFaceError, ModelError
from featherface.export.check import PHOTO
from featherface.export.fingerprint import fingerprint
from featherface.export.versions import versions
from featherface.runtimes.card import card_path, sha256
from featherface.runtimes.spec import ModelSpec
from featherface.zoo import WEIGHTS


@pytest.fixture
def stranger(tmp_path):
    """Somebody else's ONNX network, which only halves its picture."""
    ends = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 3, "h", "w"]) for name in "xy"
    ]
    half = onnx.helper.make_tensor("half", onnx.TensorProto.FLOAT, [], [0.5])
    node = onnx.helper.make_node("Mul", ["x", "half"], ["y"])
    graph = onnx.helper.make_graph([node], "g", ends[:1], ends[1:], [half])
    opsets = [onnx.helper.make_opsetid("", 20)]
    path = tmp_path / "stranger.onnx"
    onnx.save(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=10), path)
    return path


@pytest.mark.long
def test_every_file_is_measured_and_a_broken_one_stops_nobody(run, stranger, tmp_path):
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"not a network")
    outcome = run(
        "benchmark", "--models", f"v2,{broken},{stranger}", "--sizes", "64x96", "--threads", "1",
        "--repeats", 2, "--warm-up", 0, "--json", tmp_path / "b.json", "--picture", tmp_path / "b.svg",
    )  # fmt: skip
    assert outcome.code == 1
    about = json.loads((tmp_path / "b.json").read_text())
    ours, bad, theirs = about["results"]
    assert about["machine"]["cores"] >= 1
    assert about["versions"]["onnxruntime"] and about["versions"]["featherface"]
    assert (about["repeats"], about["warm_up"]) == (2, 0)
    assert about["photo"] == {"file": "faces.jpg", "sha256": sha256(PHOTO)}
    assert ours["network_ms"]["runs"] == ours["whole_ms"]["runs"] == 2
    assert ours["whole_ms"]["best"] > 0 and ours["faces"] >= 0
    assert ours["cold_start_s"] > 0.05 and ours["peak_mb"] > 30 and 0.1 < ours["file_mb"] < 10
    assert bad["network_ms"] is None and bad["error"]
    assert theirs["network_ms"]["runs"] == 2 and theirs["whole_ms"] is None
    assert "<svg" in (tmp_path / "b.svg").read_text()
    assert [line.split()[0] for line in outcome.out.splitlines()[2:]] == [
        "v2",
        "broken.onnx",
        "stranger.onnx",
    ]


def test_spaces_after_commas_do_not_count(run, monkeypatch):
    seen = []
    monkeypatch.setattr("featherface.benchmark.run.measure", lambda subjects, *_: seen.extend(subjects) or [])
    outcome = run("benchmark", "--models", "v2, nano_b,", "--sizes", "64x96, 320", "--threads", "1, 2")
    assert outcome.code == 0, outcome.err
    assert {subject.title for subject in seen} == {"v2 onnx", "nano_b onnx"} and len(seen) == 8


def test_files_of_one_name_are_told_apart(run, stranger, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr("featherface.benchmark.run.measure", lambda subjects, *_: seen.extend(subjects) or [])
    (tmp_path / "other").mkdir()
    other = tmp_path / "other" / "stranger.onnx"
    other.write_bytes(stranger.read_bytes())
    run("benchmark", "--models", f"v2,{stranger},{other}", "--sizes", "64x96", "--threads", "1")
    assert [subject.title for subject in seen] == ["v2 onnx", str(stranger), str(other)]


def test_files_of_two_sizes_keep_their_title():
    """A runtime of fixed size has a file for each: rows of one model, not two models."""
    subjects = [Subject("v2 litert", Path(f"v2-{side}.tflite"), side, 1) for side in ("320", "640")]
    assert [subject.title for subject in _told_apart(subjects)] == ["v2 litert", "v2 litert"]


def test_a_network_of_one_size_is_not_measured_at_another(tmp_path, monkeypatch):
    spec = ModelSpec("fixed", (8, 16, 32), ((16, 32), (64, 128), (256, 512)), (0.1, 0.2), 32, (64, 64))
    session = SimpleNamespace(spec=spec, run=lambda images: pytest.fail("run"))
    monkeypatch.setattr(worker, "_session", lambda *_: session)
    photo = Path(__file__).resolve().parents[2] / "examples" / "eileen_collins.jpg"
    job = {"file": "a.tflite", "size": [320, 320], "threads": 1, "precision": None, "photo": str(photo)}
    with pytest.raises(ModelError, match="takes 64x64 only"):
        worker._prepare(job)


def test_the_table_is_printed_even_when_the_file_then_fails(run, monkeypatch, tmp_path):
    def full(*_):
        raise FeatherFaceError("disk full")

    monkeypatch.setattr(
        "featherface.benchmark.run.measure", lambda subjects, *_: [Measured(s, error="bad") for s in subjects]
    )
    monkeypatch.setattr("featherface.atomic.write_text", full)
    outcome = run("benchmark", "--json", tmp_path / "x.json")
    assert outcome.code == 1 and "disk full" in outcome.err
    assert any(line.split() == ["v2", "onnx", "640", "1", "bad"] for line in outcome.out.splitlines())


def test_ratios_say_their_base_when_the_first_failed():
    good = Spread(2.0, 1.0, 3.0, 1.0, 5)
    rows = [
        Measured(Subject("first", Path("a"), "640", 1), error="crashed"),
        Measured(Subject("second", Path("b"), "640", 1), good, good, 1, 1.0, 1.0),
        Measured(Subject("first", Path("a"), "320", 1), good, good, 1, 1.0, 1.0),
    ]
    assert table(rows).splitlines()[-1] == "640, 1 threads: first failed, so ratios are to second"
    assert "failed" not in table(rows[2:])


def test_a_process_that_hangs_is_given_up(monkeypatch, tmp_path):
    monkeypatch.setattr("featherface.benchmark.run.TIMEOUT_S", 0.01)
    (result,) = measure([Subject("slow", tmp_path / "x.onnx", "64x64", 1)], tmp_path / "x.jpg", 2, 0)
    assert result.error == "the runtime hung: no answer in 0 s"


def test_only_the_processes_of_one_size_live_at_once(monkeypatch, tmp_path):
    alive, most = set(), []

    class Worker:
        started = 0.0

        def __init__(self, subject, photo):
            self.size = subject.size
            alive.add(self)
            most.append({worker.size for worker in alive})

        def ask(self, command):
            return {"error": "none"}

        def kill(self):
            alive.discard(self)

    monkeypatch.setattr("featherface.benchmark.run._Worker", Worker)
    subjects = [Subject(t, tmp_path, size, 1) for size in ("64x64", "96x96") for t in "ab"]
    measure(subjects, tmp_path, 2, 0)
    assert most == [{"64x64"}, {"64x64"}, {"96x96"}, {"96x96"}]


def test_weights_are_exported_and_a_file_of_others_is_not_reused(run, tmp_path, monkeypatch):
    torch = pytest.importorskip("torch")
    from featherface.model.weights import load_weights, save_weights

    network = load_weights(WEIGHTS / "nano_b.safetensors")
    made = []

    def export(network, name, work, options, report):
        file = work / options.file_name(name)
        file.write_bytes(b"x")
        about = {
            "made_from": fingerprint(network, options), "versions": versions(), "files": {file.name: sha256(file)},
            "with_decode": False, "input": {"size": None}, "format": 1, "name": name, "strides": [8],
            "prior_sizes": [[16]], "variances": [0.1, 0.2], "pad_multiple": 32,
        }  # fmt: skip
        card_path(file).write_text(json.dumps(about))
        made.append(file)

    monkeypatch.setattr("featherface.export.export.export_model", export)
    monkeypatch.setattr(
        "featherface.benchmark.run.measure", lambda subjects, *_: [Measured(s) for s in subjects]
    )
    weights = tmp_path / "mine.safetensors"
    arguments = ["benchmark", "--models", weights, "--formats", "onnx,onnx-fp16", "--work", tmp_path]
    save_weights(network, weights)
    assert "mine.safetensors onnx" in run(*arguments).out
    assert [file.name.split("-")[0] for file in made] == ["mine", "mine"] and len(set(made)) == 2
    run(*arguments)
    assert len(made) == 2  # what is there is from these weights
    made[0].write_bytes(b"y")
    run(*arguments)
    assert len(made) == 3  # changed since
    with torch.no_grad():
        next(network.parameters()).add_(1)
    save_weights(network, weights)
    run(*arguments)
    assert len(made) == 5  # other weights under the same name


def test_spread_is_median_and_quartiles():
    found = spread([5.0, 1.0, 2.0, 4.0, 3.0])
    assert (found.low, found.median, found.high, found.best, found.runs) == (2, 3, 4, 1, 5)
    assert spread([1.0]) is None


POOL = [
    pytest.param("x.pte", True, [2], None, id="ExecuTorch's pool is given its size"),
    pytest.param("x.pte", False, [2], "on as many threads as ExecuTorch takes", id="it takes none"),
    pytest.param("x.onnx", False, [], None, id="others are told by their session"),
]


@pytest.mark.parametrize(("file", "sized", "asked", "note"), POOL)
def test_the_threads_of_a_process_are_those_asked_for(file, sized, asked, note, monkeypatch):
    counts = []
    pool = SimpleNamespace(size_pool=lambda count: counts.append(count) or sized)
    monkeypatch.setitem(sys.modules, "featherface.runtimes.executorch", pool)
    assert worker._limit_threads(Path(file), 2) == note
    assert counts == asked


def test_a_row_says_that_it_had_other_threads():
    good = Spread(2.0, 1.0, 3.0, 1.0, 5)
    row = Measured(Subject("x.pte", Path("x.pte"), "640", 1), good, good, 1, 1.0, 1.0, note="on two threads")
    assert table([row]).splitlines()[-1].endswith("  on two threads")


FIRST = [
    pytest.param(True, ["whole"], 2, id="ours: the faces"),
    pytest.param(False, ["network"], None, id="another's: what the network puts out"),
]


@pytest.mark.parametrize(("is_ours", "ran", "faces"), FIRST)
def test_a_cold_start_ends_with_one_run(is_ours, ran, faces):
    runs = []

    def whole():
        runs.append("whole")
        return [1, 2]

    assert worker.first_result(lambda: runs.append("network"), whole if is_ours else None) == faces
    assert runs == ran


@pytest.mark.parametrize(("text", "size"), [("vga", (480, 640)), ("1080p", (1080, 1920)), ("7x9", (7, 9))])
def test_sizes_are_height_by_width(text, size):
    assert parse_picture_size(text) == size
