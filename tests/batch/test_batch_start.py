"""A worker that cannot start, and a cluster that cannot be had, are one line: no traceback, no waiting for ever."""

from __future__ import annotations

import hashlib
import socket
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace

import fsspec
import onnxruntime
import pytest

from featherface.batch import cluster
from featherface.batch.plan import Shard
from featherface.batch.processes import run_local
from featherface.batch.work import Job, start
from featherface.errors import ConfigError
from featherface.zoo import find_model

SHARD = Shard(0, "_plan-000000.parquet", 0)
MODEL = find_model("v2").read_bytes()
SHA256 = hashlib.sha256(MODEL).hexdigest()


def job_for(output, **options):
    return Job(str(output), ".", None, options.pop("sha256", SHA256), {}, {}, False, **options)


def in_process(job):
    return [start(job)(SHARD)]


def in_a_process_of_its_own(job):
    return list(run_local(job, [SHARD], 1))


def in_an_actor(job):
    import json

    row = {"number": [0], "plan": [SHARD.plan], "row_group": [0], "redo": [False]}
    (report,) = cluster.Actor(job)(row)["report"]
    return [SimpleNamespace(**json.loads(report))]


@pytest.mark.parametrize(
    ("engine", "content", "says"),
    [
        pytest.param(in_process, MODEL[:1000], "changed since", id="a cut model"),
        pytest.param(in_a_process_of_its_own, MODEL[:1000], "changed since", id="a cut model, in a process"),
        pytest.param(in_an_actor, MODEL[:1000], "changed since", id="a cut model, in an actor"),
        pytest.param(in_process, None, "no such file", id="no model"),
        pytest.param(in_process, b"no network", "not a readable ONNX model", id="what is no network"),
    ],
)
def test_a_model_that_cannot_be_used_is_one_report(tmp_path, engine, content, says):
    if content is not None:
        (tmp_path / "_model.onnx").write_bytes(content)
    sha256 = hashlib.sha256(content).hexdigest() if content == b"no network" else SHA256
    (report,) = engine(job_for(tmp_path, sha256=sha256))
    assert says in report.failure and "_model.onnx" in report.failure
    assert "\n" not in report.failure


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda place: None, id="not there"),
        pytest.param(lambda place: place.write_text("a file"), id="no folder"),
    ],
)
def test_no_room_for_temporary_files_is_one_report(tmp_path, monkeypatch, make):
    output = f"memory://{tmp_path.name}-start"
    fsspec.filesystem("memory").pipe_file(f"/{tmp_path.name}-start/_model.onnx", MODEL)
    make(tmp_path / "temporary")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (report,) = in_process(job_for(output))
    assert "no room for temporary files" in report.failure and "TMPDIR" in report.failure


@pytest.mark.parametrize(
    ("providers", "says"),
    [
        pytest.param(["CPUExecutionProvider"], "has CPUExecutionProvider", id="a package without CUDA"),
        pytest.param(
            ["CUDAExecutionProvider", "CPUExecutionProvider"], "cannot load CUDA", id="CUDA without a library"
        ),
    ],
)
def test_gpus_that_cannot_be_used_are_refused(tmp_path, monkeypatch, providers, says):
    """ONNX Runtime itself would go on with the CPU, at a tenth of the speed and the price of a GPU."""
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("CUDA is here")
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: providers)
    (tmp_path / "_model.onnx").write_bytes(MODEL)
    (report,) = in_process(job_for(tmp_path, gpu=True))
    assert says in report.failure and "onnxruntime-gpu" in report.failure


def node(cpus, gpus=0.0, alive=True):
    return {"Alive": alive, "Resources": {"CPU": cpus, **({"GPU": gpus} if gpus else {})}}


@pytest.mark.parametrize(
    ("nodes", "gpus", "fit"),
    [
        pytest.param([node(4.0), node(2.0)], 0, 6, id="CPUs alone"),
        pytest.param([node(4.0), node(8.0, 2.0)], 1, 2, id="as many as there are GPUs"),
        pytest.param([node(8.0, 1.0), node(8.0, 1.0)], 2, 0, id="two GPUs of two nodes are not two of one"),
        pytest.param([node(1.0, 4.0)], 0.5, 1, id="CPUs can be what is short"),
        pytest.param([node(8.0, 1.0)], 0.25, 4, id="four share a GPU"),
        pytest.param([node(8.0)], 1, 0, id="no GPU at all"),
        pytest.param([node(8.0, 1.0, alive=False)], 1, 0, id="a node that is dead"),
    ],
)
def test_how_many_workers_a_cluster_holds(monkeypatch, nodes, gpus, fit):
    assert cluster.room(nodes, gpus) == fit
    if not fit:
        monkeypatch.setattr(cluster, "connect", lambda address, workers: None)
        ray = SimpleNamespace(nodes=lambda: nodes, data=None)
        monkeypatch.setitem(sys.modules, "ray", ray)
        with pytest.raises(ConfigError, match=rf"{gpus} GPUs .*--gpus-per-worker"):
            list(cluster.run_ray(job_for("out"), [SHARD], 1, None, gpus))


class Web(BaseHTTPRequestHandler):
    """A web server, which knows no HTTP/2."""

    def log_message(self, *_):
        """Silence."""


def answering(answer):
    """A server that says this to everybody, or nothing; its address."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve():
        line, _ = server.accept()
        if answer is not None:
            line.sendall(answer)
            line.close()
        else:
            line.recv(1 << 16)
            line.recv(1 << 16)

    threading.Thread(target=serve, daemon=True).start()
    return server.getsockname()[1]


def web():
    server = HTTPServer(("127.0.0.1", 0), Web)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_port


@pytest.mark.parametrize(
    ("serve", "says"),
    [
        pytest.param(web, "no Ray cluster", id="a web server"),
        pytest.param(lambda: answering(b"SSH-2.0-OpenSSH_9.2\r\n"), "no Ray cluster", id="SSH"),
        pytest.param(lambda: answering(b""), "no Ray cluster|reset", id="somebody who hangs up"),
        pytest.param(lambda: answering(None), "said nothing in 1 seconds", id="somebody who says nothing"),
        pytest.param(lambda: 1, "refused", id="nobody"),
        pytest.param(lambda: answering(b"\0\0\x18\x04\0\0\0\0\0"), None, id="what Ray's server says"),
    ],
)
def test_only_what_may_be_ray_is_waited_for(monkeypatch, serve, says):
    monkeypatch.setattr(cluster, "_PATIENCE", 1)
    address = f"127.0.0.1:{serve()}"
    if says is None:
        cluster._knock(address)
        return
    with pytest.raises(OSError, match=f"(?i){says}"):
        cluster._knock(address)
