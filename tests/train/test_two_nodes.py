"""Two machines, as far as the network goes: namespaces with a cable between them, host names and nothing else."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

pytestmark = pytest.mark.slow

HOSTS = {"node-a": "10.77.0.1", "node-b": "10.77.0.2"}
# What `featherface train` does, and keeps what was learned: only rank 0 writes it otherwise. Batch norm's running
# means are each process's own; DDP hands out those of rank 0, which are what is written.
STAGE = """
import os, sys
from safetensors.torch import save_file
from featherface.export.onnx import export_onnx
from featherface.train.config import load_config
from featherface.train.stage import run_stage

if __name__ == "__main__":
    recipe, folder, steps = sys.argv[1:]
    config = load_config(recipe, [f'output="{folder}"', f"steps={steps}"])
    kept = os.path.join(folder, "rank-" + os.environ["RANK"] + ".safetensors")

    def keep(model, step):
        if step == config.steps:
            save_file({name: value.contiguous() for name, value in model.named_parameters()}, kept)

    run_stage(config, distilled=False, resume=False, export=export_onnx, validate=None, report=print, after_step=keep)
"""


def ip(*words):
    return subprocess.run(["ip", *words], capture_output=True, text=True, check=True).stdout


@pytest.fixture
def nodes():
    """Names of the two namespaces by host; each holds one end of a virtual cable, `eth0`."""
    if not (sys.platform == "linux" and shutil.which("ip") and shutil.which("unshare")):
        pytest.skip("network namespaces need Linux with ip (iproute2) and unshare (util-linux)")
    spaces = {host: f"featherface-{os.getpid()}-{host}" for host in HOSTS}
    try:
        try:
            for space in spaces.values():
                ip("netns", "add", space)
            a, b = spaces.values()
            ip("link", "add", "eth0", "netns", a, "type", "veth", "peer", "name", "eth0", "netns", b)
        except subprocess.CalledProcessError as error:
            pytest.skip(f"network namespaces need root: {error.stderr.strip()}")
        for host, space in spaces.items():
            ip("-n", space, "address", "add", f"{HOSTS[host]}/24", "dev", "eth0")
            for link in ("lo", "eth0"):
                ip("-n", space, "link", "set", link, "up")
        yield spaces
    finally:
        for space in spaces.values():
            with suppress(subprocess.CalledProcessError):
                ip("netns", "delete", space)


def start(space, host, rank, hosts_file, *command):
    """torchrun as docs/several-machines.md has it, in a machine's own network, with its own name and /etc/hosts."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1"]
    where = ["--node-rank", str(rank), "--master-addr", "node-a", "--master-port", "29500"]
    become = 'mount --bind "$1" /etc/hosts && hostname "$2" && shift 2 && exec "$@"'
    enter = ["ip", "netns", "exec", space, "unshare", "--uts", "--mount", "sh", "-c", become, "sh"]
    return subprocess.Popen(
        [*enter, hosts_file, host, *torchrun, *where, *command],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run_on_both(nodes, tmp_path, *commands):
    """A command on each machine; both must end well."""
    hosts_file = tmp_path / "hosts"
    hosts_file.write_text("127.0.0.1 localhost\n" + "".join(f"{ip} {name}\n" for name, ip in HOSTS.items()))
    running = [
        start(nodes[host], host, rank, hosts_file, *command)
        for rank, (host, command) in enumerate(zip(HOSTS, commands, strict=True))
    ]
    try:
        for process in running:
            _, errors = process.communicate(timeout=300)
            assert process.returncode == 0, errors[-3000:]
    finally:
        for process in running:
            process.kill()


@pytest.fixture
def folders(tmp_path):
    """An output for each machine."""
    made = [tmp_path / host for host in HOSTS]
    for folder in made:
        folder.mkdir()
    return made


def test_two_machines_end_with_the_same_weights(tiny_set, tmp_path, nodes, folders):
    script, recipe = tmp_path / "stage.py", tiny_set / "tiny.toml"
    script.write_text(STAGE)
    run_on_both(nodes, tmp_path, *([script, recipe, folder, "2"] for folder in folders))
    one, other = (load_file(folder / f"rank-{rank}.safetensors") for rank, folder in enumerate(folders))
    assert one.keys() == other.keys()
    # Each saw its own half of every batch: the same only where gradients went over the cable.
    assert [name for name in one if not torch.equal(one[name], other[name])] == []
    written = [sorted(p.name for p in folder.rglob("*.safetensors")) for folder in folders]
    assert written == [["last.safetensors", "rank-0.safetensors"], ["rank-1.safetensors"]]


def test_the_command_of_the_documentation_trains_on_both(tiny_set, tmp_path, nodes, folders):
    train = ["--no-python", Path(sys.executable).with_name("featherface"), "train", tiny_set / "tiny.toml"]
    own = ([f'--set=output="{folder}"', "--set=steps=2"] for folder in folders)
    run_on_both(nodes, tmp_path, *([*map(str, train), *options] for options in own))
    written = [[p.name for p in folder.rglob("last.safetensors")] for folder in folders]
    assert written == [["last.safetensors"], []], "process 0 alone writes"
