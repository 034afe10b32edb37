"""What stands before the hosts: nginx where it is installed, else a relay of our own."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Generator, Sequence
from pathlib import Path

from goldenpath.testing.relay import Relay

PORT_VARIABLE = "GOLDENPATH_CLUSTER_PORT"
"""By which the hosts hear of the balancer's port."""
_NGINX = """
daemon off; pid {directory}/nginx.pid; error_log {directory}/nginx.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi; uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    upstream hosts {{ {servers} }}
    map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://hosts;
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_upgrade;
            proxy_buffering off;
            proxy_read_timeout 1h;
            proxy_next_upstream error timeout http_502 http_503;
        }}
    }}
}}
"""


@contextlib.contextmanager
def balancer(port: int, hosts: Sequence[int], directory: Path) -> Generator[str]:
    """Serve `port` of loopback by these ports; gives its name."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program is None:
        with Relay(*(("127.0.0.1", one) for one in hosts), port=port):
            yield "a relay (nginx is not installed)"
        return
    config = directory / "nginx.conf"
    servers = " ".join(f"server 127.0.0.1:{one} max_fails=1 fail_timeout=2s;" for one in hosts)
    config.write_text(_NGINX.format(directory=directory, port=port, servers=servers))
    process = subprocess.Popen(  # noqa: S603
        [program, "-c", config, "-e", directory / "nginx.log"], start_new_session=True
    )
    try:
        yield "nginx"
    finally:
        process.terminate()
        process.wait(10)
