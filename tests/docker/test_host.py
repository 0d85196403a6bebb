"""Hosts without containers: systemd units and the nginx example."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from server.settings import Settings
from tests.docker.deployment import DOCKER, tool

UNITS = sorted((DOCKER / "systemd").glob("*.service"))


def environment(unit: Path) -> dict[str, str]:
    lines = re.findall(r"^Environment=(.*)$", unit.read_text(encoding="utf-8"), re.MULTILINE)
    return dict(pair.split("=", 1) for line in lines for pair in line.split())


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_systemd_understands_the_unit(unit: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("this machine has no systemd")
    command = ["systemd-analyze", "verify", "--man=no", str(unit)]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stderr
    complaints = [line for line in said.splitlines() if unit.name in line and "is not executable" not in line]
    assert complaints == []


def test_the_server_s_unit_uses_settings_that_exist_and_lets_streams_end() -> None:
    unit = DOCKER / "systemd" / "gazal-server.service"
    known = {f"GAZAL_{name.upper()}" for name in Settings.model_fields} | {"GAZAL_HOME"}
    used = environment(unit)
    assert {name for name in used if name.startswith("GAZAL_")} <= known
    stop_s = int(re.search(r"^TimeoutStopSec=(\d+)", unit.read_text(), re.MULTILINE)[1])  # type: ignore[index]
    assert stop_s > float(used["GAZAL_DRAIN_TIMEOUT_S"]) + 15  # the engine has 15 s after the drain


def test_nginx_accepts_the_example(tmp_path: Path) -> None:
    for name in ("crt", "key"):
        (tmp_path / f"gazal.{name}").touch()
    make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    make += ["-subj", "/CN=x", "-keyout", str(tmp_path / "gazal.key"), "-out", str(tmp_path / "gazal.crt")]
    subprocess.run(make, check=True, capture_output=True)
    site = (DOCKER / "nginx" / "gazal.conf").read_text(encoding="utf-8")
    site = site.replace("/etc/nginx/tls", str(tmp_path)).replace("/var/log/nginx", str(tmp_path))
    main = f"pid {tmp_path}/pid; events {{}} http {{ {site} }}"
    (tmp_path / "nginx.conf").write_text(main, encoding="utf-8")
    command = [tool("nginx"), "-t", "-e", str(tmp_path / "error.log"), "-c", str(tmp_path / "nginx.conf")]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr


def test_nginx_streams_and_shows_no_metrics_to_the_outside() -> None:
    site = (DOCKER / "nginx" / "gazal.conf").read_text(encoding="utf-8")
    api = site[site.index("location /v1/") : site.index("location = /readyz")]
    assert "proxy_buffering off;" in api
    assert "proxy_next_upstream off;" in api
    read_s = int(re.search(r"proxy_read_timeout (\d+)s", api)[1])  # type: ignore[index]
    assert read_s > Settings().heartbeat_s
    closed = re.search(r"location ~ \^/\(([^)]*)\)", site)[1]  # type: ignore[index]
    assert {"metrics", "version", "docs", "livez"} <= set(closed.split("|"))
    megabytes = int(re.search(r"client_max_body_size (\d+)m", site)[1])  # type: ignore[index]
    assert megabytes << 20 > Settings().max_body_bytes
