"""What stands in deploy/ fits together, and fits the program."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from goldenpath.cli.commands import make_parser
from goldenpath.config import SETTINGS
from goldenpath.config.units import parse_duration
from goldenpath.telemetry.metrics import Metrics
from tests.databases import server, versions
from tests.docs.pages import ROOT

DEPLOY = ROOT / "deploy"
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text()
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
SECONDS_TO_END = 15
"""Beside --drain: bodies that do not stop get 6 s, readers' goodbyes 5."""


def documents(name: str) -> dict[str, dict[str, Any]]:
    """The objects of a manifest by kind."""
    found = yaml.safe_load_all((DEPLOY / "kubernetes" / name).read_text())
    return {one["kind"]: one for one in found}


COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
HOSTS = documents("hosts.yaml")["Deployment"]
JOB = documents("migrate.yaml")["Job"]
POD = HOSTS["spec"]["template"]["spec"]
(HOST,) = POD["containers"]
(MIGRATION,) = JOB["spec"]["template"]["spec"]["containers"]
COMMANDS = {
    "compose one": COMPOSE["services"]["one"]["command"],
    "compose two": COMPOSE["services"]["two"]["command"],
    "compose migrate": COMPOSE["services"]["migrate"]["command"],
    "hosts": HOST["args"],
    "job": MIGRATION["args"],
}


def flag(args: list[str], name: str) -> str:
    return args[args.index(name) + 1]


# -- commands ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_one_that_there_is(name: str) -> None:
    parsed = make_parser().parse_args(COMMANDS[name])
    for row in SETTINGS.values():
        given = getattr(parsed, "setting_" + row.name.replace("-", "_"), None)
        if given is not None:
            row.parse(given, row.flag)


def test_every_variable_is_a_setting() -> None:
    known = {row.variable for row in SETTINGS.values()}
    for file in DEPLOY.rglob("*"):
        if file.is_file() and file.suffix in (".yaml", "") and file.name != "README.md":
            # In comments too, but for the one that a service would set by itself.
            named = set(re.findall(r"GOLDENPATH_[A-Z_]+", file.read_text()))
            assert named <= known, file.name


def test_no_host_of_a_registry_is_named() -> None:
    for file in DEPLOY.rglob("*"):
        if file.is_file():
            text = file.read_text()
            images = re.findall(r"^\s*(?:FROM|- ?image:|image:) +(\S+)", text, re.MULTILINE)
            assert not [one for one in images if "." in one.partition("/")[0] and "/" in one]
            assert not re.search(r"docker\.io|ghcr\.io|quay\.io|gcr\.io|index-url", text), file.name


# -- the image ---------------------------------------------------------------------------------


def test_the_image_installs_what_is_pinned_and_nothing_else() -> None:
    """Each install is from requirements/, constrained by it, or of the wheel that was built."""
    installs = re.findall(r"pip (?:install|wheel) (.*)$", DOCKERFILE, re.MULTILINE)
    assert len(installs) == 4
    constraints = (ROOT / "requirements" / "constraints.txt").read_text()
    for line in installs:
        pinned = "-c requirements/constraints.txt" in line
        assert pinned or "--no-deps" in line, line
        for package in re.findall(r"(?<=txt )[a-z]+$", line):
            assert re.search(rf"^{package}==", constraints, re.MULTILINE), package
    assert any("-r requirements/base.txt" in line for line in installs)
    base = (ROOT / "requirements" / "base.txt").read_text()
    for line in base.split():
        assert line.lower().replace("-", "_") in constraints.lower().replace("-", "_"), line
    assert "asyncpg==" in base


def test_the_image_copies_what_there_is() -> None:
    let_in = (DEPLOY / "Dockerfile.dockerignore").read_text()
    for sources in re.findall(r"^COPY ((?!--)[^\n]+) \S+$", DOCKERFILE, re.MULTILINE):
        for source in sources.split():
            assert (ROOT / source).exists(), source
            assert f"!{source}\n" in let_in, source


def test_the_image_runs_as_nobody_in_particular_and_looks_after_itself() -> None:
    last = DOCKERFILE.rpartition("\nFROM ")[2]
    user = re.search(r"^USER (\d+):(\d+)$", last, re.MULTILINE)
    assert user is not None and user[1] != "0"
    assert int(user[1]) == POD["securityContext"]["runAsUser"]
    assert "HEALTHCHECK" in last and "8701/healthz" in last
    assert SETTINGS["ops-bind"].default.endswith(":8701")


# -- compose -----------------------------------------------------------------------------------


def test_compose_migrates_before_it_serves_and_ends_in_order() -> None:
    services = COMPOSE["services"]
    assert services["migrate"]["depends_on"] == {"database": {"condition": "service_healthy"}}
    for name in ("one", "two"):
        service = services[name]
        assert service["depends_on"] == {"migrate": {"condition": "service_completed_successfully"}}
        assert "ports" not in service, "only the proxy is reached from outside"
        drain = parse_duration(flag(service["command"], "--drain"))
        assert parse_duration(service["stop_grace_period"]) >= drain + SECONDS_TO_END
        assert flag(service["command"], "--name") == name
    assert "ports" not in services["database"]
    assert services["database"]["volumes"][0].startswith("database:")
    assert "front" not in services["database"]["networks"]
    assert "back" not in services["proxy"]["networks"]
    for service in services.values():
        for volume in service.get("volumes", []):
            if volume.startswith("./"):
                assert (DEPLOY / volume.partition(":")[0]).exists(), volume


@pytest.mark.parametrize("version", versions())
def test_the_roles_are_made_as_compose_makes_them(version: int) -> None:
    """The script, as PostgreSQL's image runs it, on a server of its own."""
    postgres = server(version)
    environment = {
        "PATH": f"{postgres._programs}:{os.environ['PATH']}",
        "PGHOST": "127.0.0.1",
        "PGPORT": str(postgres.port),
        "PGPASSWORD": postgres.password,
        "POSTGRES_USER": "goldenpath",
        "OWNER_PASSWORD": "it's the owner's",
        "SERVING_PASSWORD": "hush",
    }
    try:
        subprocess.run(["sh", DEPLOY / "roles.sh"], env=environment, check=True)
        url = f"postgresql://{{}}@127.0.0.1:{postgres.port}/goldenpath"
        owner = url.format("owner:it%27s%20the%20owner%27s")
        assert _goldenpath("migrate", "--grant", "serving", store=owner) == 0
        assert _goldenpath("check", store=url.format("serving:hush")) == 0
        assert _goldenpath("migrate", store=url.format("serving:hush")) == 0  # nothing to do
        assert _goldenpath("compact", store=url.format("serving:hush")) == 2
    finally:
        postgres.sql("DROP DATABASE IF EXISTS goldenpath WITH (FORCE)")
        for role in ("owner", "serving"):
            postgres.sql(f"DROP ROLE IF EXISTS {role}")


def _goldenpath(*args: str, store: str) -> int:
    from goldenpath.cli import main

    return main([*args, "--store", store])


# -- Kubernetes --------------------------------------------------------------------------------


def test_every_manifest_is_in_the_kustomization_but_the_job() -> None:
    there = {file.name for file in (DEPLOY / "kubernetes").glob("*.yaml")}
    listed = yaml.safe_load((DEPLOY / "kubernetes" / "kustomization.yaml").read_text())
    assert set(listed["resources"]) == there - {"kustomization.yaml", "migrate.yaml"}


def test_a_host_is_probed_where_it_answers() -> None:
    ports = {port["name"]: port["containerPort"] for port in HOST["ports"]}
    assert ports == {"clients": SETTINGS["port"].default, "ops": 8701}
    assert flag(HOST["args"], "--ops-bind") == f"0.0.0.0:{ports['ops']}"
    assert HOST["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "ops"}
    assert HOST["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "ops"}


def test_a_host_gets_the_time_to_drain() -> None:
    before = int(HOST["lifecycle"]["preStop"]["exec"]["command"][1])
    drain = parse_duration(flag(HOST["args"], "--drain"))
    assert POD["terminationGracePeriodSeconds"] >= before + drain + SECONDS_TO_END


def test_hosts_are_replaced_one_by_one_and_stand_apart() -> None:
    assert HOSTS["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    assert HOSTS["spec"]["replicas"] >= 2
    keys = {one["topologyKey"] for one in POD["topologySpreadConstraints"]}
    assert keys == {"topology.kubernetes.io/zone", "kubernetes.io/hostname"}
    budget = documents("disruption.yaml")["PodDisruptionBudget"]["spec"]
    assert budget["maxUnavailable"] == 1


def test_everything_selects_the_hosts() -> None:
    labels = HOSTS["spec"]["template"]["metadata"]["labels"]
    selectors = [
        HOSTS["spec"]["selector"]["matchLabels"],
        documents("disruption.yaml")["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
        documents("network.yaml")["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"],
        documents("service.yaml")["Service"]["spec"]["selector"],
        *(one["labelSelector"]["matchLabels"] for one in POD["topologySpreadConstraints"]),
    ]
    assert all(one == labels for one in selectors)
    assert JOB["spec"]["template"]["metadata"]["labels"] != labels


def test_a_host_is_named_after_its_pod_and_no_service_sets_its_port() -> None:
    names = {one["name"]: one for one in HOST["env"]}
    assert flag(HOST["args"], "--name") == "$(POD_NAME)"
    assert names["POD_NAME"]["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.name"
    for pod in (POD, JOB["spec"]["template"]["spec"]):
        assert pod["enableServiceLinks"] is False
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        for container in pod["containers"]:
            assert container["securityContext"]["readOnlyRootFilesystem"] is True


def test_secrets_are_referred_to_and_the_owner_is_another_one() -> None:
    def secrets(container: dict[str, Any]) -> dict[str, str]:
        return {
            one["name"]: one["valueFrom"]["secretKeyRef"]["name"]
            for one in container["env"]
            if "secretKeyRef" in one.get("valueFrom", {})
        }

    assert secrets(HOST) == {"GOLDENPATH_STORE": "goldenpath", "GOLDENPATH_AUTH_SECRET": "goldenpath"}  # fmt: skip
    assert secrets(MIGRATION) == {"GOLDENPATH_STORE": "goldenpath-owner"}
    assert not [one for one in HOST["env"] + MIGRATION["env"] if "value" in one]


def test_the_operators_port_is_private() -> None:
    rules = documents("network.yaml")["NetworkPolicy"]["spec"]["ingress"]
    who = {port["port"]: rule["from"] for rule in rules for port in rule["ports"]}
    assert set(who) == {"clients", "ops"}
    assert who["ops"] != who["clients"]
    assert all(who.values()), "an empty list lets everybody in"
    service = documents("service.yaml")["Service"]["spec"]
    assert [port["targetPort"] for port in service["ports"]] == ["clients"]


# -- metrics -----------------------------------------------------------------------------------

RULES = [
    rule
    for group in yaml.safe_load((DEPLOY / "alerts.yaml").read_text())["groups"]
    for rule in group["rules"]
]
DASHBOARD = json.loads((DEPLOY / "grafana.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def samples() -> set[str]:
    """Every name that a scrape shows."""
    lines = Metrics().render().decode().splitlines()
    return {re.split(r"[{ ]", line)[0] for line in lines if not line.startswith("#")}


def unknown(query: str) -> set[str]:
    """What a query names and no scrape shows."""
    return set(re.findall(r"\bgoldenpath_\w+", query)) - samples()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_asks_for_what_there_is_and_says_what_to_do(rule: dict[str, Any]) -> None:
    assert not unknown(rule["expr"])
    assert "goldenpath_" in rule["expr"] or "up{" in rule["expr"]
    assert rule["annotations"]["summary"] and rule["annotations"]["description"]
    page, _, anchor = rule["annotations"]["runbook"].partition("#")
    assert page == "docs/runbook.md" and anchor == rule["alert"].lower()
    assert f"\n### {rule['alert']}\n" in RUNBOOK
    assert rule["labels"]["severity"] in ("page", "ticket")


def test_undelivered_answers_come_first() -> None:
    assert "goldenpath_answers_undelivered" in RULES[0]["expr"]
    assert "goldenpath_answers_undelivered" in PANELS[0]["targets"][0]["expr"]
    top = min(PANELS, key=lambda one: (one["gridPos"]["y"], one["gridPos"]["x"]))
    assert top is PANELS[0]


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_a_panel_shows_what_there_is(panel: dict[str, Any]) -> None:
    assert panel["targets"] and panel["description"]
    for target in panel["targets"]:
        assert "goldenpath_" in target["expr"]
        assert not unknown(target["expr"])


def test_the_dashboard_leaves_no_metric_out() -> None:
    shown = set(re.findall(r"\bgoldenpath_\w+", json.dumps(DASHBOARD)))
    families = {re.sub(r"_(bucket|sum|count|created)$", "", name) for name in samples()}
    assert families <= {re.sub(r"_(bucket|sum|count)$", "", name) for name in shown}
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))


def test_what_the_files_point_to_is_there() -> None:
    for file in [*DEPLOY.glob("*.md"), *DEPLOY.glob("*.yaml")]:
        for name in re.findall(
            r"\b(?:docs|deploy|requirements|tests)/[\w./-]*\w", file.read_text()
        ):
            assert (ROOT / name).exists() or Path(name).suffix == "", f"{file.name}: {name}"
