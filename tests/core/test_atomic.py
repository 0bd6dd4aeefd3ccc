"""Files are whole or not there; links and pipes stay what they are."""

from __future__ import annotations

import os
import sys
import threading

import pytest

from featherface.atomic import atomic_path, write_text


def test_a_failure_leaves_the_old_file(tmp_path):
    target = tmp_path / "faces.json"
    target.write_text("old")
    with pytest.raises(RuntimeError), atomic_path(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old" and list(tmp_path.iterdir()) == [target]


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
@pytest.mark.parametrize("there", [True, False], ids=["whose file is there", "whose file is not"])
def test_a_link_stays_a_link(tmp_path, there):
    target, link = tmp_path / "real.json", tmp_path / "link.json"
    if there:
        target.write_text("old")
    link.symlink_to(target)
    write_text(link, "new")
    assert link.is_symlink() and target.read_text() == "new"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names")
def test_a_pipe_is_written_into(tmp_path):
    pipe, read = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    write_text(pipe, "faces")
    reader.join(timeout=10)
    assert read == ["faces"] and pipe.is_fifo()


def test_what_is_no_utf8_becomes_an_escape(tmp_path):
    write_text(tmp_path / "a.txt", "caf\udce9 \u6f22\n")
    assert (tmp_path / "a.txt").read_bytes() == "caf\\udce9 \u6f22\n".encode()
