"""The chart, linted and rendered by the real Helm; every manifest checked against Kubernetes' own schemas."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from polycall.config import Settings, load
from polycall.domain import IsolationLevel
from tests.deploy.helm import CHART, Helm, HelmError, find_helm

ROOT = CHART.parents[1]
SECRET = {"existingSecret": "polycall-secrets"}
SETS: dict[str, dict[str, Any]] = {
    "as it comes": {},
    "confined, scaled by HPA": {"isolation": {"level": "confined"}, "autoscaling": {"mode": "hpa", "maxReplicas": 5}},
    "contained, scaled by KEDA": {"isolation": {"level": "contained"}, "autoscaling": {"mode": "keda"}},
    "namespaced, in a user namespace, with volumes": {
        "isolation": {"level": "namespaced", "hostUsers": False, "unmaskProc": True},
        "server": {"persistence": {"enabled": True, "storageClass": "fast"}, "nodeSelector": {"pool": "code"}},
        "networkPolicy": {"restClients": [{"namespaceSelector": {}}], "monitoring": [], "egress": []},
        "image": {"digest": "sha256:" + "0" * 64},
    },
    "with settings and a name": {
        "server": {
            "settings": {"retention_days": 30, "entries": 10_000_000, "egress_anywhere": False},
            "env": [{"name": "POLYCALL_DOMO_APP_KEY", "valueFrom": {"secretKeyRef": {"name": "domo", "key": "key"}}}],
            "volumes": [{"name": "domo", "configMap": {"name": "domo"}}],
            "volumeMounts": [{"name": "domo", "mountPath": "/etc/polycall"}],
        },
        "objectStore": {"url": "s3://bucket/polycall", "thresholdKiB": 1_000_000, "credentialsSecret": "bucket"},
        "gateway": {"settings": {"requests_per_second": 1000}, "service": {"type": "LoadBalancer"}},
        "fullnameOverride": "code",
        "networkPolicy": {"enabled": False},
        "serviceAccount": {"create": False},
    },
}
# the oldest that the chart takes, and the newest that is known
VERSIONS = ("1.30", kubernetes_validate.latest_version().rpartition(".")[0])

Manifests = Mapping[tuple[str, str], dict[str, Any]]


@pytest.fixture(scope="module")
def helm() -> Helm:
    return find_helm()


@pytest.fixture(scope="module")
def rendered(helm: Helm, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Manifests]:
    """Every set's manifests, by kind and name."""
    place = tmp_path_factory.mktemp("helm")
    return {
        name: {(each["kind"], each["metadata"]["name"]): each for each in helm.render(SECRET | values, place)}
        for name, values in SETS.items()
    }


def spec(manifests: Manifests, kind: str) -> dict[str, Any]:
    (found,) = [each for (each_kind, _), each in manifests.items() if each_kind == kind]
    return dict(found["spec"])


def pod(manifests: Manifests, kind: str) -> dict[str, Any]:
    return dict(spec(manifests, kind)["template"]["spec"])


def container(manifests: Manifests, kind: str) -> dict[str, Any]:
    (only,) = pod(manifests, kind)["containers"]
    return dict(only)


def environment(manifests: Manifests, kind: str) -> dict[str, str]:
    return {each["name"]: each["value"] for each in container(manifests, kind)["env"] if "value" in each}


def test_helm_finds_nothing_to_say(helm: Helm, tmp_path: Path) -> None:
    for name in ("as it comes", "contained, scaled by KEDA"):  # each template, with and without
        assert helm.lint(SECRET | SETS[name], tmp_path) == ""


@pytest.mark.parametrize("name", SETS)
def test_every_manifest_is_one_that_kubernetes_knows(rendered: dict[str, Manifests], name: str) -> None:
    kinds = {kind for kind, _ in rendered[name]}
    assert kinds >= {"StatefulSet", "Deployment", "Service", "PodDisruptionBudget"}
    for manifest in rendered[name].values():
        if manifest["apiVersion"].startswith("keda.sh/"):
            continue  # a definition of its own, which no schema here has
        for version in VERSIONS:
            kubernetes_validate.validate(manifest, version, strict=True)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"existingSecret": ""}, "existingSecret"),
        ({"autoscaling": {"mode": "both"}}, "autoscaling/mode"),
        ({"isolation": {"level": "none"}}, "isolation/level"),
        ({"server": {"slots": 0}}, "server/slots"),
        ({"server": {"replica": 3}}, "'replica' not allowed"),
        ({"server": {"settings": {"SLOTS": 3}}}, "invalid propertyName 'SLOTS'"),
        ({"isolation": {"unmaskProc": True}}, "isolation.unmaskProc needs isolation.hostUsers: false"),
    ],
)
def test_values_that_cannot_be_are_refused(helm: Helm, tmp_path: Path, values: dict[str, Any], message: str) -> None:
    with pytest.raises(HelmError) as caught:
        helm.render(SECRET | values, tmp_path)
    assert message in str(caught.value)


@pytest.mark.parametrize("name", SETS)
def test_servers_and_gateways_take_the_settings_that_they_are_given(
    rendered: dict[str, Manifests], name: str, tmp_path: Path
) -> None:
    url = "postgresql://u:p@h/d"
    held = {"database-url": url, "encryption-key": "A" * 43 + "=", "bootstrap-key": "pc_key"}
    for file, text in held.items():
        (tmp_path / file).write_text(text)
    variables = {
        variable: value.replace("/run/secrets/polycall", str(tmp_path))
        for variable, value in environment(rendered[name], "StatefulSet").items()
    }
    settings = load({}, variables)
    assert (settings.gateway, settings.database_url, settings.slots) == (False, url, 8)
    floors = {"confined": 1, "contained": 3}
    wanted = floors.get(str(SETS[name].get("isolation", {}).get("level")), 2)
    assert settings.isolation_floor is IsolationLevel(wanted)
    assert load({}, environment(rendered[name], "Deployment")).replicas
    if name == "with settings and a name":
        assert (settings.retention_days, settings.entries, settings.egress_anywhere) == (30, 10_000_000, False)
        assert (settings.object_store_url, settings.object_threshold_kib) == ("s3://bucket/polycall", 1_000_000)
        given = container(rendered[name], "StatefulSet")
        assert given["envFrom"] == [{"secretRef": {"name": "bucket"}}]
        assert given["env"][-1]["valueFrom"] == {"secretKeyRef": {"name": "domo", "key": "key"}}
        assert {"name": "domo", "mountPath": "/etc/polycall"} in given["volumeMounts"]
        assert {"name": "domo", "configMap": {"name": "domo"}} in pod(rendered[name], "StatefulSet")["volumes"]


def test_every_setting_can_be_given(rendered: dict[str, Manifests], helm: Helm, tmp_path: Path) -> None:
    own = environment(rendered["as it comes"], "StatefulSet")
    changed = {
        "object_store_url": "s3://b",
        "domo_file": "/etc/polycall/domo.toml",
        "entries": 7,
        "egress_anywhere": False,
    }
    wanted = {
        item.name: changed.get(item.name, getattr(Settings(), item.name))
        for item in fields(Settings)
        if not {f"POLYCALL_{item.name.upper()}", f"POLYCALL_{item.name.upper()}_FILE"} & own.keys()
    }
    told = {name: value if isinstance(value, bool | int | float) else str(value) for name, value in wanted.items()}
    manifests = helm.render(SECRET | {"server": {"settings": told}}, tmp_path)
    found = environment({(each["kind"], each["metadata"]["name"]): each for each in manifests}, "StatefulSet")
    mounted = {name for name in own if name.endswith("_FILE")}  # secrets that are not there to be read
    settings = load({}, {name: value for name, value in found.items() if name not in mounted})
    assert {name: getattr(settings, name) for name in wanted} == wanted


@pytest.mark.parametrize(("name", "most"), [("as it comes", 3), ("confined, scaled by HPA", 5)])
def test_gateways_know_every_server_that_there_can_be_by_the_name_of_its_pod(
    rendered: dict[str, Manifests], name: str, most: int
) -> None:
    manifests = rendered[name]
    (servers,) = [key for kind, key in manifests if kind == "StatefulSet"]
    service = spec(manifests, "StatefulSet")["serviceName"]
    assert manifests["Service", service]["spec"]["clusterIP"] == "None"
    names = [f"{servers}-{index}.{service}.prod.svc.cluster.local:50052" for index in range(most)]
    assert environment(manifests, "Deployment")["POLYCALL_REPLICAS"].split(",") == names
    assert environment(manifests, "StatefulSet")["POLYCALL_INTERNAL_ADDRESS"] == "0.0.0.0:50052"


@pytest.mark.parametrize("name", SETS)
def test_nothing_in_a_pod_finds_a_token_or_variables_of_kubernetes(rendered: dict[str, Manifests], name: str) -> None:
    for kind in ("StatefulSet", "Deployment"):
        assert pod(rendered[name], kind)["automountServiceAccountToken"] is False
        assert pod(rendered[name], kind)["enableServiceLinks"] is False  # POLYCALL_PORT would be an unknown setting
    for kind, key in rendered[name]:
        if kind == "ServiceAccount":
            assert rendered[name][kind, key]["automountServiceAccountToken"] is False


def test_a_pod_is_given_the_time_that_its_drain_takes(rendered: dict[str, Manifests]) -> None:
    manifests = rendered["as it comes"]
    for kind in ("StatefulSet", "Deployment"):
        before = int(container(manifests, kind)["lifecycle"]["preStop"]["exec"]["command"][1])
        grace = int(environment(manifests, kind)["POLYCALL_DRAIN_GRACE_S"])
        left = pod(manifests, kind)["terminationGracePeriodSeconds"] - before - grace
        # 2 s until gateways know, 10 s for kills, 5 s for the last records, 1 s for answers
        assert left >= (18 if kind == "StatefulSet" else 5)


def test_servers_are_equal_and_are_asked_by_grpc_health(rendered: dict[str, Manifests]) -> None:
    servers = spec(rendered["as it comes"], "StatefulSet")
    assert (servers["podManagementPolicy"], servers["replicas"]) == ("Parallel", 3)
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container(rendered["as it comes"], "StatefulSet")[probe]["grpc"] == {"port": 50051}


def test_the_security_context_follows_the_level(rendered: dict[str, Manifests]) -> None:
    confined = container(rendered["confined, scaled by HPA"], "StatefulSet")["securityContext"]
    assert confined == {  # the Pod Security Standard "restricted"
        "runAsUser": 10001,
        "runAsGroup": 10001,
        "runAsNonRoot": True,
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    namespaced = container(rendered["as it comes"], "StatefulSet")["securityContext"]
    assert namespaced == confined | {
        "seccompProfile": {"type": "Localhost", "localhostProfile": "profiles/polycall.json"},
        "appArmorProfile": {"type": "Unconfined"},
    }
    unmasked = rendered["namespaced, in a user namespace, with volumes"]
    assert container(unmasked, "StatefulSet")["securityContext"]["procMount"] == "Unmasked"
    assert pod(unmasked, "StatefulSet")["hostUsers"] is False
    contained = rendered["contained, scaled by KEDA"]
    assert container(contained, "StatefulSet")["securityContext"]["privileged"] is True
    assert pod(contained, "StatefulSet")["hostUsers"] is False
    for manifests in rendered.values():  # Envoy needs nothing at any level
        assert container(manifests, "Deployment")["securityContext"] == confined


def test_one_thing_scales_the_servers_or_none(rendered: dict[str, Manifests]) -> None:
    scalers = {"HorizontalPodAutoscaler", "ScaledObject"}
    found = {name: sorted(scalers & {kind for kind, _ in manifests}) for name, manifests in rendered.items()}
    assert found["as it comes"] == []
    assert found["confined, scaled by HPA"] == ["HorizontalPodAutoscaler"]
    assert found["contained, scaled by KEDA"] == ["ScaledObject"]
    for name in ("confined, scaled by HPA", "contained, scaled by KEDA"):
        assert "replicas" not in spec(rendered[name], "StatefulSet")  # an upgrade must not undo what it did


def test_scaling_looks_at_metrics_that_servers_have(rendered: dict[str, Manifests]) -> None:
    shown = (ROOT / "server" / "polycall" / "metrics" / "families.py").read_text()
    hpa = spec(rendered["confined, scaled by HPA"], "HorizontalPodAutoscaler")
    pods, cpu = hpa["metrics"]
    assert pods["pods"]["target"] == {"type": "AverageValue", "averageValue": "650m"}
    assert cpu["resource"]["target"] == {"type": "Utilization", "averageUtilization": 80}
    assert f'"{pods["pods"]["metric"]["name"]}"' in shown
    backlog, slots, guard = spec(rendered["contained, scaled by KEDA"], "ScaledObject")["triggers"]
    assert [each["type"] for each in (backlog, slots, guard)] == ["postgresql", "prometheus", "cpu"]
    assert (backlog["metadata"]["targetQueryValue"], slots["metadata"]["threshold"]) == ("20", "0.65")
    assert slots["metadata"]["query"] == (
        'sum(polycall_slots_occupied_ratio{namespace="prod",pod=~"polycall-servers-[0-9]+"})'
    )
    authentication = rendered["contained, scaled by KEDA"]["TriggerAuthentication", "polycall-servers"]["spec"]
    assert authentication["secretTargetRef"] == [
        {"parameter": "connection", "name": "polycall-secrets", "key": "database-url"}
    ]
    assert backlog["authenticationRef"] == {"name": "polycall-servers"}


def test_the_internal_address_is_for_gateways_alone(rendered: dict[str, Manifests]) -> None:
    manifests = rendered["as it comes"]
    rules = manifests["NetworkPolicy", "polycall-servers"]["spec"]["ingress"]
    (internal,) = [rule for rule in rules if {"port": 50052, "protocol": "TCP"} in rule["ports"]]
    labels = spec(manifests, "Deployment")["template"]["metadata"]["labels"]
    (source,) = internal["from"]
    wanted = source["podSelector"]["matchLabels"]
    assert {name: labels[name] for name in wanted} == wanted
    assert wanted["app.kubernetes.io/component"] == "gateway"
    own = spec(manifests, "StatefulSet")["template"]["metadata"]["labels"]
    assert own["app.kubernetes.io/component"] == "server"


def test_secrets_are_referred_to_and_mounted_as_files(rendered: dict[str, Manifests]) -> None:
    manifests = rendered["as it comes"]
    assert "Secret" not in {kind for kind, _ in manifests}
    (volume,) = [each for each in pod(manifests, "StatefulSet")["volumes"] if each["name"] == "secrets"]
    assert volume["secret"]["secretName"] == "polycall-secrets"
    keys = sorted(item["key"] for item in volume["secret"]["items"])
    assert keys == ["bootstrap-key", "database-url", "encryption-key"]
    for name, value in environment(manifests, "StatefulSet").items():
        if name.endswith("_FILE"):
            assert value.removeprefix("/run/secrets/polycall/") in keys


def test_the_notes_name_addresses_and_what_is_open(helm: Helm, tmp_path: Path) -> None:
    notes = helm.notes(SECRET, tmp_path)
    assert "polycall 0.1.0: 3 servers at isolation level 2 or above, 2 gateways." in notes
    assert "http://polycall.prod:8080" in notes
    assert "profiles/polycall.json below /var/lib/kubelet/seccomp" in notes
    assert "no NetworkPolicy" not in notes
    assert "no NetworkPolicy" in helm.notes(SECRET | {"networkPolicy": {"enabled": False}}, tmp_path)


def test_every_value_is_described_by_the_schema_and_the_versions_are_one() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (version, version)
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    schema = yaml.safe_load((CHART / "values.schema.json").read_text())
    assert set(values) == set(schema["properties"]) - {"global"}
    # a comment or a name says what each part is
    assert not re.search(r"TODO|FIXME", (CHART / "values.yaml").read_text())
