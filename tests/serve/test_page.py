"""The service's page: whatever goes wrong is said, and nothing is left at "looking"."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from importlib.resources import files

import pytest

# Just enough of a browser for the page's script: elements, a request, a picture.
BROWSER = """
const elements = {};
const element = () => ({ listeners: {}, files: [{ type: 'image/png' }], value: '', classList: { add() {}, remove() {} },
  addEventListener(kind, call) { this.listeners[kind] = call; },
  getContext: () => ({ drawImage() {}, strokeRect() {}, fillRect() {} }) });
globalThis.document = { querySelector: name => elements[name] ??= element() };
globalThis.createImageBitmap = async () => {
  if (CASE.picture) throw new Error(CASE.picture);
  return { width: 4, height: 3 };
};
globalThis.fetch = async () => {
  if (CASE.network) throw new TypeError(CASE.network);
  return { ok: CASE.ok, json: async () => JSON.parse(CASE.body) };
};
"""
ACT = """
elements['[type=file]'].listeners.change();
setTimeout(() => console.log(JSON.stringify([elements['[role=status]'].textContent, elements.canvas.hidden])), 50);
"""
FOUND = json.dumps({"images": [{"faces": [{"box": [0, 0, 1, 1], "landmarks": [[0, 0]]}]}]})


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js")
@pytest.mark.parametrize(
    ("case", "says", "hidden"),
    [
        pytest.param({"ok": True, "body": FOUND}, "1 face", False, id="a photo"),
        pytest.param({"ok": False, "body": '{"error": "too large"}'}, "too large", True, id="the server's reason"),
        pytest.param({"network": "Failed to fetch"}, "Failed to fetch", True, id="no connection"),
        pytest.param({"ok": False, "body": "Internal"}, "JSON", True, id="an answer that is no JSON"),
        pytest.param(
            {"ok": True, "body": FOUND, "picture": "cannot decode"}, "cannot decode", True, id="no picture here"
        ),
    ],
)  # fmt: skip
def test_the_page_says_what_became_of_a_photo(case, says, hidden):
    page = (files("featherface.serve") / "page.html").read_text(encoding="utf-8")
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    code = f"const CASE = {json.dumps(case)};\n{BROWSER}\n{{{script}}}\n{ACT}"
    result = subprocess.run(["node", "-e", code], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    text, is_hidden = json.loads(result.stdout)
    assert says in text and is_hidden == hidden
