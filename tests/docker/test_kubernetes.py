"""Every rendered overlay: valid, restricted, closed to whom it does not concern, and as the profiles say.

kubernetes-validate knows Kubernetes' own kinds; of the custom ones no schema comes with it, so their required fields
are checked here against what their projects document.
"""

from __future__ import annotations

from typing import Any

import kubernetes_validate
import pytest
import yaml

from server.engine import ENVIRONMENT
from server.profiles import load
from tests.docker.deployment import DOCKER, OVERLAYS, find, pod_specs, rendered

CUSTOM = {
    "ServiceMonitor": ("monitoring.coreos.com/v1", ["selector", "endpoints"]),
    "PodMonitor": ("monitoring.coreos.com/v1", ["selector", "podMetricsEndpoints"]),
    "PrometheusRule": ("monitoring.coreos.com/v1", ["groups"]),
    "ScaledObject": ("keda.sh/v1alpha1", ["scaleTargetRef", "triggers"]),
    "LeaderWorkerSet": ("leaderworkerset.x-k8s.io/v1", ["replicas", "leaderWorkerTemplate"]),
}


def kinds(overlay: str) -> set[str]:
    return {manifest["kind"] for manifest in rendered(overlay)}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_manifest_is_valid(overlay: str) -> None:
    for manifest in rendered(overlay):
        if manifest["kind"] not in CUSTOM:
            kubernetes_validate.validate(manifest, "1.31", strict=True)
            continue
        version, fields = CUSTOM[manifest["kind"]]
        assert manifest["apiVersion"] == version
        assert [field for field in fields if not manifest["spec"].get(field)] == [], manifest["metadata"]["name"]
        for spec in pod_specs(manifest):
            pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": spec}
            kubernetes_validate.validate(pod, "1.31", strict=True)


def test_a_field_that_does_not_exist_is_found() -> None:
    service = find(rendered("single"), "Service", "gateway")
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(service | {"spec": service["spec"] | {"port": 80}}, "1.31", strict=True)


def test_each_overlay_holds_what_it_is_for() -> None:
    assert {"Deployment", "HorizontalPodAutoscaler", "PodDisruptionBudget", "NetworkPolicy", "Job"} <= kinds("single")
    assert {"ScaledObject", "ServiceMonitor", "PodMonitor", "PrometheusRule"} <= kinds("replicas")
    assert find(rendered("replicas"), "Deployment", "engine")["spec"]["replicas"] == 2
    assert "LeaderWorkerSet" in kinds("multinode")
    assert not [
        each for each in rendered("multinode") if (each["kind"], each["metadata"]["name"]) == ("Deployment", "engine")
    ]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_pod_meets_the_restricted_standard_and_writes_only_where_it_may(overlay: str) -> None:
    assert (
        find(rendered(overlay), "Namespace", "gazal")["metadata"]["labels"]["pod-security.kubernetes.io/enforce"]
        == "restricted"
    )
    specs = [(each["metadata"]["name"], spec) for each in rendered(overlay) for spec in pod_specs(each)]
    assert len(specs) >= 3
    for name, spec in specs:
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert not spec.keys() & {"hostNetwork", "hostPID", "hostIPC"}, name
        assert all("hostPath" not in volume for volume in spec.get("volumes", [])), name
        for container in spec["containers"]:
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False, name
            assert context["readOnlyRootFilesystem"] is True, name
            assert context["capabilities"] == {"drop": ["ALL"]}, name
            assert container["resources"]["limits"]["memory"], name
            mounted = {mount["name"] for mount in container.get("volumeMounts", [])}
            assert mounted <= {volume["name"] for volume in spec["volumes"]}, name
        if name != "router":  # it asks the API server for engines
            assert spec["automountServiceAccountToken"] is False, name


def may_reach(manifests: list[dict[str, Any]], source: str, target: str) -> bool:
    """Whether network policies let pods of one name reach those of another on some port."""
    policies = [each["spec"] for each in manifests if each["kind"] == "NetworkPolicy"]

    def selects(selector: dict[str, Any], name: str) -> bool:
        wanted = selector.get("matchLabels", {}).get("app.kubernetes.io/name", name)
        chosen = [each["values"] for each in selector.get("matchExpressions", [])]
        return wanted == name and all(name in values for values in chosen)

    def allows(direction: str, own: str, other: str) -> bool:
        peers = {"ingress": "from", "egress": "to"}[direction]
        for policy in policies:
            if not selects(policy["podSelector"], own):
                continue
            for rule in policy.get(direction, []):
                for peer in rule.get(peers, []):
                    if (
                        "podSelector" in peer
                        and "namespaceSelector" not in peer
                        and selects(peer["podSelector"], other)
                    ):
                        return True
        return False

    return allows("egress", source, target) and allows("ingress", target, source)


def test_only_the_gateway_reaches_the_engine() -> None:
    for overlay in ("single", "multinode"):
        assert may_reach(rendered(overlay), "gateway", "engine"), overlay
        assert not may_reach(rendered(overlay), "prefetch", "engine"), overlay
        assert not may_reach(rendered(overlay), "engine", "gateway"), overlay
    replicas = rendered("replicas")
    assert may_reach(replicas, "gateway", "router")
    assert may_reach(replicas, "router", "engine")
    assert not may_reach(replicas, "gateway", "engine")
    closed = find(replicas, "NetworkPolicy", "nothing")["spec"]
    assert (closed["podSelector"], sorted(closed["policyTypes"])) == ({}, ["Egress", "Ingress"])


def test_the_gateway_talks_to_what_the_overlay_has() -> None:
    for overlay, upstream in (("single", "engine"), ("replicas", "router"), ("multinode", "engine")):
        gateway = find(rendered(overlay), "Deployment", "gateway")["spec"]["template"]["spec"]["containers"][0]
        assert gateway["args"][:2] == ["--upstream", f"http://{upstream}:8000"]
        assert find(rendered(overlay), "Service", upstream)["spec"]["ports"][0]["port"] == 8000


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_engine_runs_as_its_profile_says(overlay: str) -> None:
    made = [each for each in rendered(overlay) if each["kind"] == "ConfigMap" and "progress.py" in each["data"]]
    (files,) = [each["data"] for each in made]
    for manifest in rendered(overlay):
        if manifest["metadata"]["name"] != "engine" or manifest["kind"] == "NetworkPolicy":
            continue
        for spec in pod_specs(manifest):
            (container,) = spec["containers"]
            assert container["command"] == ["vllm", "serve"]
            assert container["image"] == "vllm/vllm-openai:v0.32.0"
            name = container["args"][1].removeprefix("/etc/gazal/")
            profile = load(name.removesuffix(".yaml"))
            assert yaml.safe_load(files[name]) == profile.container_config()
            gpus = int(container["resources"]["limits"]["nvidia.com/gpu"])
            nodes = 2 if manifest["kind"] == "LeaderWorkerSet" else 1
            assert gpus * nodes == profile.count
            environment = {each["name"]: each.get("value") for each in container["env"]}
            assert environment.items() >= ENVIRONMENT.items()


def test_every_pause_is_shorter_than_the_grace_period() -> None:
    for overlay in OVERLAYS:
        for manifest in rendered(overlay):
            for spec in pod_specs(manifest):
                (container,) = spec["containers"]
                environment = {each["name"]: each.get("value") for each in container.get("env", [])}
                pause = int(
                    container.get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command", ["", 0])[1]
                )
                drain = float(environment.get("GAZAL_DRAIN_DELAY_S", 0)) + float(
                    environment.get("GAZAL_DRAIN_TIMEOUT_S", 0)
                )
                if "--config" in container.get("args", []):
                    drain = load("balanced").flags["shutdown-timeout"]
                if pause or drain:
                    assert spec["terminationGracePeriodSeconds"] > pause + drain, manifest["metadata"]["name"]


def test_both_pods_of_a_group_are_the_engine_of_the_base() -> None:
    base = pod_specs(find(rendered("single"), "Deployment", "engine"))[0]
    leader, worker = pod_specs(find(rendered("multinode"), "LeaderWorkerSet", "engine"))
    joined = ["--nnodes", "$(LWS_GROUP_SIZE)", "--node-rank", "$(LWS_WORKER_INDEX)"]
    joined += ["--master-addr", "$(LWS_LEADER_ADDRESS)"]
    assert leader["containers"][0]["args"][2:] == joined
    assert worker["containers"][0]["args"][2:] == [*joined, "--headless"]
    for pod in (leader, worker):
        alike = {
            name: pod["containers"][0][name] for name in ("image", "env", "resources", "securityContext", "command")
        }
        assert alike == {name: base["containers"][0][name] for name in alike}
        assert pod["securityContext"] == base["securityContext"]
        assert pod["volumes"] == base["volumes"]
    assert leader["containers"][0]["livenessProbe"] == base["containers"][0]["livenessProbe"]


def test_the_values_of_the_upstream_chart_say_what_the_profile_says() -> None:
    values = yaml.safe_load((DOCKER / "production-stack" / "values.yaml").read_text())
    (model,) = values["servingEngineSpec"]["modelSpec"]
    profile = load("balanced")
    words = profile.arguments()
    assert model["tag"] == "v0.32.0"
    assert model["requestGPU"] == profile.count
    assert [word for word in words if word not in model["vllmConfig"]["extraArgs"]] == []
    assert {each["name"]: each["value"] for each in model["env"]}.items() >= ENVIRONMENT.items()
