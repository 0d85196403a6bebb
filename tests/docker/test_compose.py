"""compose.yaml: parses for every profile, keeps the engine inside, and runs what the profiles and settings say."""

from __future__ import annotations

import json
import os
import subprocess
from functools import lru_cache
from typing import Any

import pytest
import yaml

from server.engine import ENVIRONMENT
from server.profiles import load, names
from server.settings import Settings
from tests.docker.deployment import DOCKER, tool

PROFILES = ("gpu", "cpu", "observability", "train")


@lru_cache
def parsed(*profiles: str, **environment: str) -> dict[str, Any]:
    command = [tool("docker-compose"), "-f", str(DOCKER / "compose.yaml")]
    for profile in profiles:
        command += ["--profile", profile]
    finished = subprocess.run(
        [*command, "config"], capture_output=True, text=True, check=False, env=os.environ | environment
    )
    assert finished.returncode == 0, finished.stderr
    return dict(yaml.safe_load(finished.stdout))


def seconds(duration: str) -> float:
    minutes, _, rest = duration.rpartition("m")
    return 60 * float(minutes or 0) + float(rest.removesuffix("s") or 0)


@pytest.mark.parametrize(
    ("profiles", "services"),
    [
        (("gpu",), {"prefetch", "engine", "gateway", "ui"}),
        (("cpu",), {"nano", "ui-nano"}),
        (("observability",), {"prometheus", "grafana"}),
        (("train",), {"trainer"}),
    ],
)
def test_each_profile_parses_and_starts_what_it_is_for(profiles: tuple[str, ...], services: set[str]) -> None:
    assert services <= set(parsed(*profiles)["services"])
    raw = yaml.safe_load((DOCKER / "compose.yaml").read_text())
    assert {name for name, each in raw["services"].items() if set(each["profiles"]) & set(profiles)} == services


def test_only_the_gateway_reaches_the_engine() -> None:
    configuration = parsed(*PROFILES)
    assert configuration["networks"]["engine"]["internal"] is True
    inside = {name for name, each in configuration["services"].items() if "engine" in (each.get("networks") or {})}
    assert inside == {"engine", "gateway"}
    assert list(configuration["services"]["engine"]["networks"]) == ["engine"]
    assert "ports" not in configuration["services"]["engine"]
    published = [port for each in configuration["services"].values() for port in each.get("ports", [])]
    assert published
    assert all(str(port).startswith("127.0.0.1:") for port in published)


@pytest.mark.parametrize("profile", [name for name in names() if name != "cpu"])
def test_the_engine_runs_as_its_profile_says(profile: str) -> None:
    engine = parsed("gpu", GAZAL_PROFILE=profile, GAZAL_GPUS="2")["services"]["engine"]
    flag, path = engine["command"]
    assert flag == "--config"
    assert engine["entrypoint"] == ["vllm", "serve"]
    made = DOCKER / "engine" / path.removeprefix("/etc/gazal/")
    assert yaml.safe_load(made.read_text()) == load(profile).container_config()
    assert engine["environment"].items() >= ENVIRONMENT.items()
    assert engine["image"] == "vllm/vllm-openai:v0.32.0"
    (device,) = engine["deploy"]["resources"]["reservations"]["devices"]
    assert (device["driver"], str(device["count"]), device["capabilities"]) == ("nvidia", "2", ["gpu"])


def test_no_container_writes_its_root_or_gains_privileges() -> None:
    for name, service in parsed(*PROFILES)["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert not str(service["user"]).startswith(("0", "root")), name
        assert "privileged" not in service, name


def test_compiled_kernels_can_be_loaded() -> None:
    """Docker mounts a tmpfs with noexec, and torch loads what it compiled from there."""
    services = parsed(*PROFILES)["services"]
    for name in ("engine", "trainer", "nano"):
        assert all(place.endswith(":exec") for place in services[name]["tmpfs"]), name
    environment = services["engine"]["environment"]
    for variable in ("VLLM_CACHE_ROOT", "TRITON_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR"):
        assert environment[variable].startswith("/cache/"), variable


def test_secrets_come_as_files() -> None:
    configuration = parsed(*PROFILES)
    for name, service in configuration["services"].items():
        for variable, value in (service.get("environment") or {}).items():
            if variable.endswith(("_FILE", "__FILE")) and "SECRET" in variable + str(value).upper():
                assert str(value).startswith("/run/secrets/"), (name, variable)
            assert "API_KEYS" not in variable, name
    assert {secret["file"].rpartition("docker/")[2] for secret in configuration["secrets"].values()} == {
        "secrets/secret",
        "secrets/keys.json",
        "secrets/ui_key",
        "secrets/metrics_key",
        "secrets/grafana_password",
    }


def test_every_setting_of_the_gateway_exists() -> None:
    known = {f"GAZAL_{name.upper()}" for name in Settings.model_fields} | {"GAZAL_HOME"}
    services = parsed(*PROFILES)["services"]
    for name in ("gateway", "nano", "prefetch"):
        used = {variable for variable in services[name]["environment"] if variable.startswith("GAZAL_")}
        assert used <= known, name


def test_the_start_waits_for_health_and_the_stop_for_streams() -> None:
    services = parsed("gpu")["services"]
    assert services["engine"]["depends_on"]["prefetch"]["condition"] == "service_completed_successfully"
    assert services["gateway"]["depends_on"]["engine"]["condition"] == "service_healthy"
    assert services["ui"]["depends_on"]["gateway"]["condition"] == "service_healthy"
    environment = services["gateway"]["environment"]
    drain = float(environment["GAZAL_DRAIN_DELAY_S"]) + float(environment["GAZAL_DRAIN_TIMEOUT_S"])
    assert seconds(services["gateway"]["stop_grace_period"]) > drain
    assert seconds(services["engine"]["stop_grace_period"]) > load("balanced").flags["shutdown-timeout"]


def test_offline_is_passed_through_and_the_engine_is_never_online() -> None:
    services = parsed("gpu", HF_HUB_OFFLINE="1")["services"]
    assert services["prefetch"]["environment"]["HF_HUB_OFFLINE"] == "1"
    assert parsed("gpu")["services"]["engine"]["environment"]["HF_HUB_OFFLINE"] == "1"


def test_grafana_finds_prometheus_and_the_dashboard() -> None:
    services = parsed("observability")["services"]
    provisioning = DOCKER / "grafana" / "provisioning"
    source = yaml.safe_load((provisioning / "datasources" / "prometheus.yaml").read_text())["datasources"][0]
    assert source["url"] == "http://prometheus:9090"
    folder = yaml.safe_load((provisioning / "dashboards" / "gazal.yaml").read_text())["providers"][0]["options"]["path"]
    assert any(f"{folder}/gazal.json" in str(volume) for volume in services["grafana"]["volumes"])
    assert json.loads((DOCKER / "grafana" / "gazal.json").read_text())["uid"] == "gazal"
