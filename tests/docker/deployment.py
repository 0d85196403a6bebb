"""What the tests of docker/ share: where things are, rendered manifests, metric names in expressions."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
OVERLAYS = ("single", "replicas", "multinode")

_WORDS = {"and", "or", "unless", "bool", "offset", "by", "without", "on", "ignoring", "group_left", "group_right"}
_NAME = re.compile(r"[a-zA-Z_:][\w:]*")


def tool(name: str) -> str:
    """A program that .ci/install brings. CI must have it; elsewhere its tests are skipped without."""
    found = shutil.which(name)
    if found is None:
        if os.environ.get("CI"):
            pytest.fail(f"{name} is missing; .ci/install brings it")
        pytest.skip(f"needs {name}: run .ci/install as root")
    return found


@lru_cache
def rendered(overlay: str) -> list[dict[str, Any]]:
    """The manifests of an overlay."""
    command = [tool("kubectl"), "kustomize", str(DOCKER / "k8s" / "overlays" / overlay)]
    return list(yaml.safe_load_all(subprocess.run(command, capture_output=True, text=True, check=True).stdout))


def find(manifests: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    """The one manifest of this kind and name."""
    (found,) = [each for each in manifests if each["kind"] == kind and each["metadata"]["name"] == name]
    return found


def pod_specs(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    """The pods that a manifest makes."""
    if manifest["kind"] in ("Deployment", "Job"):
        return [manifest["spec"]["template"]["spec"]]
    if manifest["kind"] == "LeaderWorkerSet":
        group = manifest["spec"]["leaderWorkerTemplate"]
        return [group["leaderTemplate"]["spec"], group["workerTemplate"]["spec"]]
    return []


def selectors(expression: str) -> dict[str, set[str]]:
    """Metric names of a PromQL expression with the labels that are matched or grouped by."""
    text = re.sub(r"\[[^\]]*\]", "", expression)
    grouped: set[str] = set()
    found: dict[str, set[str]] = {}

    def note_group(match: re.Match[str]) -> str:
        grouped.update(_NAME.findall(match[1]))
        return " "

    def note_matchers(match: re.Match[str]) -> str:
        found.setdefault(match[1], set()).update(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", match[2]))
        return " "

    text = re.sub(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)", note_group, text)
    text = re.sub(r"([a-zA-Z_:][\w:]*)\s*(\{[^}]*\})", note_matchers, text)
    for match in _NAME.finditer(re.sub(r"\b\d[\w.]*", " ", text)):
        if match[0] not in _WORDS and not text_after(text, match[0]).startswith("("):
            found.setdefault(match[0], set())
    for labels in found.values():
        labels |= grouped
    return found


def text_after(text: str, name: str) -> str:
    """What follows the first place of a name."""
    return re.split(rf"(?<![\w:]){re.escape(name)}(?![\w:])", text, maxsplit=1)[-1].lstrip()


def rule_groups() -> list[dict[str, Any]]:
    """The groups of docker/prometheus/rules.yml."""
    groups: list[dict[str, Any]] = yaml.safe_load((DOCKER / "prometheus" / "rules.yml").read_text())["groups"]
    return groups


def expressions() -> dict[str, str]:
    """Where each PromQL expression stands, and the expression."""
    found = {}
    for group in rule_groups():
        for rule in group["rules"]:
            found[f"rule {rule.get('alert') or rule['record']}"] = rule["expr"]
    dashboard = json.loads((DOCKER / "grafana" / "gazal.json").read_text())
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            found[f"panel {panel['title']} {target['refId']}"] = target["expr"]
    for manifest in rendered("replicas"):
        if manifest["kind"] == "ScaledObject":
            for number, trigger in enumerate(manifest["spec"]["triggers"]):
                found[f"KEDA trigger {number}"] = trigger["metadata"]["query"]
    return found
