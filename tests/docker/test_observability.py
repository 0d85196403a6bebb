"""Alerts and dashboard: every metric exists, every alert is tested and has an entry in the runbook."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from prometheus_client import Metric

from server.metrics import Metrics
from tests.docker.deployment import DOCKER, ROOT, expressions, rule_groups, selectors, tool

VLLM_METRICS = DOCKER / "prometheus" / "vllm-metrics.txt"
OF_PROMETHEUS = {"job", "instance", "replica", "le"}


def gateway_samples() -> dict[str, set[str]]:
    """Every series that the gateway can export, with its labels."""
    registry = Metrics().registry

    async def collected() -> list[Metric]:  # one gauge counts the tasks of the running loop
        return list(registry.collect())

    found: dict[str, set[str]] = {}
    for family in asyncio.run(collected()):
        collector = registry._names_to_collectors.get(family.name)
        labels = set(getattr(collector, "_labelnames", ()))
        endings = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}.get(family.type, [""])
        for ending in endings:
            found[family.name + ending] = labels | ({family.name} if family.type == "stateset" else set())
    return found


def known() -> dict[str, set[str] | None]:
    """All names that an expression may use; None where the labels are not known."""
    recorded = dict.fromkeys(rule["record"] for group in rule_groups() for rule in group["rules"] if "record" in rule)
    engine = dict.fromkeys(VLLM_METRICS.read_text().split())
    return {"up": None, **recorded, **engine, **gateway_samples()}


def problems(expression: str) -> list[str]:
    names = known()
    found = []
    for name, labels in selectors(expression).items():
        if name not in names:
            found.append(f"{name} does not exist")
        elif (have := names[name]) is not None and labels - have - OF_PROMETHEUS:
            found.append(f"{name} has no label {sorted(labels - have - OF_PROMETHEUS)}")
    return found


def test_the_names_in_an_expression_are_found() -> None:
    assert selectors('sum by (le) (rate(a_bucket{x="y",z!~"b"}[5m])) / (b:c or vector(0)) > 0.5 * d') == {
        "a_bucket": {"x", "z", "le"},
        "b:c": {"le"},
        "d": {"le"},
    }


def test_every_panel_alert_and_trigger_names_metrics_that_exist() -> None:
    wrong = {place: bad for place, expression in expressions().items() if (bad := problems(expression))}
    assert wrong == {}


@pytest.mark.parametrize(
    "expression",
    ["rate(gazal_request_total[5m])", "gazal_first_token_seconds", 'gazal_errors_total{kind="x"}', "vllm:tokens_total"],
)
def test_a_metric_or_label_that_does_not_exist_is_found(expression: str) -> None:
    assert problems(expression)


def test_promtool_accepts_the_rules_and_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "rules.yml").write_text((DOCKER / "prometheus" / "rules.yml").read_text())
    key = tmp_path / "key"
    key.write_text("x")
    configuration = (DOCKER / "prometheus" / "prometheus.yml").read_text()
    (tmp_path / "prometheus.yml").write_text(configuration.replace("/run/secrets/gazal_metrics_key", str(key)))
    checked = subprocess.run(
        [tool("promtool"), "check", "config", tmp_path / "prometheus.yml"], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr


def test_every_alert_has_a_test_that_makes_it_fire_and_one_that_does_not() -> None:
    tests = yaml.safe_load((DOCKER / "prometheus" / "rules_test.yml").read_text())["tests"]
    cases = [case for test in tests for case in test["alert_rule_test"]]
    fired = {case["alertname"] for case in cases if case["exp_alerts"]}
    quiet = {case["alertname"] for case in cases if not case["exp_alerts"]}
    alerts = {rule["alert"] for group in rule_groups() for rule in group["rules"] if "alert" in rule}
    assert alerts == fired == quiet
    command = [tool("promtool"), "test", "rules", str(DOCKER / "prometheus" / "rules_test.yml")]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stdout + finished.stderr


def test_every_alert_has_an_entry_in_the_runbook_and_the_other_way_round() -> None:
    alerts = [rule["alert"] for group in rule_groups() for rule in group["rules"] if "alert" in rule]
    runbook = (ROOT / "docs" / "operations.md").read_text()
    assert sorted(re.findall(r"^### (Gazal\w+)$", runbook, re.MULTILINE)) == sorted(alerts)


def test_the_dashboard_is_one_that_grafana_takes() -> None:
    dashboard = json.loads((DOCKER / "grafana" / "gazal.json").read_text())
    identifiers = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(identifiers)) == len(identifiers)
    assert dashboard["templating"]["list"][0]["query"] == "prometheus"
    for panel in dashboard["panels"]:
        if panel["type"] == "row":
            continue
        assert panel["datasource"]["uid"] == "${datasource}", panel["title"]
        assert panel["description"], panel["title"]
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24, panel["title"]
    assert {panel["type"] for panel in dashboard["panels"]} == {"row", "timeseries"}


def test_what_is_made_from_profiles_and_rules_is_current() -> None:
    command = [sys.executable, str(ROOT / "scripts" / "deploy_files.py"), "--check"]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stdout


def test_the_error_budget_counts_every_failure_of_ours_and_none_of_the_callers() -> None:
    """Codes of statuses of 500 and more, as server/ raises them."""
    ours = set()
    for path in (ROOT / "server").rglob("*.py"):
        ours |= set(re.findall(r"ApiError\(\s*5\d\d,\s*\"(\w+)\"", path.read_text(encoding="utf-8")))
    assert {"engine_error", "overloaded", "internal_error"} <= ours
    ratios = [rule["expr"] for group in rule_groups() for rule in group["rules"] if "ratio" in rule.get("record", "")]
    (pattern,) = {re.search(r'code=~"([^"]+)"', ratio)[1] for ratio in ratios}  # type: ignore[index]
    assert {code for code in ours if not re.fullmatch(pattern, code)} == set()
    for callers in ("invalid_value", "rate_limit_exceeded", "model_not_found", "context_length_exceeded"):
        assert not re.fullmatch(pattern, callers)
