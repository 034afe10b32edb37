"""The proxy of deploy/, with the real nginx, before real hosts: sockets and event streams go through."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import httpx

from goldenpath.client import Client
from goldenpath.model.events import AgentCompleted, AgentOutput
from tests.compose.test_serving import Served, served, token
from tests.docs.pages import ROOT, blocks

CONFIG = (ROOT / "deploy" / "nginx.conf").read_text()
(CELLS,) = (
    block.text
    for block in blocks(ROOT / "docs" / "scaling.md")
    if block.words.get("file") == "cells.conf"
)
NGINX = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
if NGINX is None and os.environ.get("CI") == "true":
    raise RuntimeError("nginx is not installed")


@contextmanager
def proxy(host: Served, port: int, config: str = CONFIG) -> Iterator[str]:
    """nginx with the committed file; all hosts that it names are the one that is here."""
    place = host.url.removeprefix("http://")
    text = re.sub(r"(?<=server )[\w.]+:87\d\d", place, config)
    text = text.replace("listen 8080", f"listen 127.0.0.1:{port}")
    with tempfile.TemporaryDirectory(prefix="goldenpath-nginx-") as directory:
        text = text.replace("/tmp/nginx.pid", f"{directory}/pid")
        temporary = "".join(
            f"{kind}_temp_path {directory}/{kind};"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        file = Path(directory, "nginx.conf")
        file.write_text(text.replace("http {", f"http {{ {temporary}", 1))
        assert NGINX is not None
        checked = subprocess.run([NGINX, "-t", "-c", file], capture_output=True, text=True)
        assert checked.returncode == 0, checked.stderr
        assert "[warn]" not in checked.stderr
        process = subprocess.Popen([NGINX, "-c", file, "-g", "daemon off;"])
        try:
            url = f"http://127.0.0.1:{port}"
            _answers(url)
            yield url
        finally:
            process.terminate()
            process.wait(10)


def _answers(url: str) -> None:
    """Until it listens."""
    deadline = time.monotonic() + 20
    while True:
        try:
            httpx.get(f"{url}/healthz", trust_env=False)
            return
        except httpx.ConnectError:
            assert time.monotonic() < deadline


if NGINX is not None:

    def test_a_socket_and_a_stream_go_through_unbuffered(tmp_path: Path, free_port: int) -> None:
        """The first piece arrives while the answer is still held back: nothing gathers it."""

        async def ask(url: str) -> None:
            with anyio.fail_after(60):
                await both(url)

        async def both(url: str) -> None:
            async with (
                Client(url, token()) as client,
                httpx.AsyncClient(base_url=url, trust_env=False) as web,
                web.stream(
                    "GET", "/v1/events", headers={"Authorization": f"Bearer {token()}"}
                ) as stream,
            ):
                lines = stream.aiter_lines()
                async for line in lines:
                    if '"welcome"' in line:
                        break
                sent = await client.send("go")
                pieces: list[str] = []
                async for entry in client.run(sent.run_id):
                    if isinstance(entry.body, AgentOutput):
                        pieces.append(entry.body.text)
                        async for line in lines:
                            if '"agent_output"' in line:
                                break
                        (tmp_path / "gate").touch()
                    if isinstance(entry.body, AgentCompleted):
                        assert entry.body.status == "succeeded"
                        break
                assert "".join(pieces) == "began ended"

        with served(tmp_path) as host, proxy(host, free_port) as url:
            anyio.run(ask, url)

    def test_a_pages_own_origin_is_told_by_its_host(tmp_path: Path, free_port: int) -> None:
        """The proxy keeps the host that the browser asked for, so no origin has to be allowed."""
        with served(tmp_path) as host, proxy(host, free_port) as url:
            asked = {"Authorization": f"Bearer {token()}"}
            for origin, status in ((url, 201), ("https://elsewhere.example", 403)):
                answer = httpx.post(
                    f"{url}/v1/threads", json={}, headers={**asked, "Origin": origin}, trust_env=False
                )  # fmt: skip
                assert answer.status_code == status, answer.text

    def test_a_cell_is_picked_by_its_address(tmp_path: Path, free_port: int) -> None:
        """The example of docs/scaling.md, in the place of the server of the committed file."""
        before = CONFIG.partition("    upstream hosts")[0]
        mapped = CONFIG[CONFIG.index("    map ") : CONFIG.index("    server {")]
        # A server for any other name, as nginx would take the first one for it.
        other = "server { listen 8080 default_server; return 421; }"
        config = f"{before}{mapped}{CELLS}{other}}}"
        with served(tmp_path) as host, proxy(host, free_port, config) as url:
            for name, status in (("cell-1", 200), ("cell-2", 200), ("cell-3", 421)):
                asked = {"Host": f"{name}.example.org"}
                answer = httpx.get(f"{url}/healthz", headers=asked, trust_env=False)
                assert answer.status_code == status, name

    def test_the_operators_port_is_not_behind_it(tmp_path: Path, free_port: int) -> None:
        with served(tmp_path) as host, proxy(host, free_port) as url:
            assert httpx.get(f"{url}/metrics", trust_env=False).status_code == 404


def test_a_body_may_be_as_large_as_a_host_takes() -> None:
    from goldenpath.config import SETTINGS

    size = re.search(r"client_max_body_size (\d+)k;", CONFIG)
    assert size is not None
    assert int(size[1]) * 1024 >= SETTINGS["limit-frame"].default


def test_an_idle_connection_is_let_go_before_the_host_closes_it() -> None:
    import uvicorn

    kept = re.search(r"keepalive_timeout (\d+)s;", CONFIG)
    assert kept is not None
    assert int(kept[1]) < uvicorn.Config("x").timeout_keep_alive
