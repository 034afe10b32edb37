"""What the cluster's hosts serve: the demo's agent and page, with tokens for this machine."""

from __future__ import annotations

import os

from goldenpath.compose.app import App
from goldenpath.config import load_settings
from goldenpath.demo.agent import SHIPPED_DATA, build_agent
from goldenpath.demo.page import page_routes
from goldenpath.demo.tokens import token_route
from goldenpath.testing.cluster.balancer import PORT_VARIABLE

app = App(
    [build_agent(SHIPPED_DATA)],
    routes=[
        *page_routes(),
        token_route(load_settings(None, os.environ), balancer=int(os.environ[PORT_VARIABLE])),
    ],
)
