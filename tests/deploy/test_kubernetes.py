"""The Kubernetes manifests: valid, locked down, and in agreement with the image and each other."""

from __future__ import annotations

import json
import re
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest

from git_credential_relay.broker.config.model import BrokerModel, LimitsModel
from git_credential_relay.broker.server.openapi import document
from tests.deploy.files import (
    DOCUMENT,
    MANIFESTS,
    Object,
    broker_stage,
    named,
    pods,
    read_objects,
)

VERSION = "1.37"
PORT = BrokerModel().listen.rpartition(":")[2]


def called(value: Any) -> str:
    """What a test of this object is called."""
    return f"{value['kind']}-{value['metadata']['name']}"


@pytest.mark.parametrize("manifest", read_objects(), ids=called)
def test_manifest_is_valid(manifest):
    """Every object has the form that Kubernetes gives it, and no key that it does not know."""
    assert kubernetes_validate.validate(manifest, VERSION, strict=True) == VERSION


def test_a_wrong_manifest_is_refused():
    """The validation sees an unknown key, a wrong type and a missing key."""
    for change in ({"replicaz": 3}, {"replicas": "three"}, {"selector": ...}):
        deployment = named("Deployment", "broker")
        spec = {**deployment["spec"], **change}
        deployment["spec"] = {name: value for name, value in spec.items() if value is not ...}
        with pytest.raises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate(deployment, VERSION, strict=True)


def test_document_names_the_version_tested():
    """The document says which version of Kubernetes the manifests were checked against."""
    assert f"schemas of Kubernetes {VERSION}," in DOCUMENT.replace("\n", " ")


def test_namespaces_come_first():
    """The files in the order of their names make each namespace before what is in it."""
    first, *others = MANIFESTS
    spaces = {o["metadata"]["name"] for o in read_objects() if o["kind"] == "Namespace"}

    assert first.name == "10-namespaces.yaml"
    assert all("kind: Namespace" not in path.read_text() for path in others)
    assert all(
        o["kind"] == "Namespace" or o["metadata"]["namespace"] in spaces for o in read_objects()
    )


@pytest.mark.parametrize(
    "pod", [spec for _, _, spec in pods()], ids=[name for name, _, _ in pods()]
)
def test_pod_is_restricted(pod):
    """Every pod meets the `restricted` standard that its namespace demands, cannot write to its
    image, and has neither a token for the cluster's API nor unbounded memory."""
    context = pod["securityContext"]
    [container] = pod["containers"]

    assert (context["runAsNonRoot"], context["seccompProfile"]) == (
        True,
        {"type": "RuntimeDefault"},
    )
    assert min(context["runAsUser"], context["runAsGroup"], context["fsGroup"]) > 0
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["automountServiceAccountToken"] is False
    assert container["resources"]["limits"]["memory"]
    assert not any(pod.get(name) for name in ("hostNetwork", "hostPID", "hostIPC"))
    assert not any("hostPath" in volume for volume in pod["volumes"])
    for each in read_objects():
        if each["kind"] == "Namespace":
            labels = each["metadata"]["labels"]
            assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


@pytest.mark.parametrize(
    "pod", [spec for _, _, spec in pods()], ids=[name for name, _, _ in pods()]
)
def test_mounts_and_ports_lead_somewhere(pod):
    """Each mount names a volume, each volume is mounted, and each probe's port has its name."""
    [container] = pod["containers"]
    mounted = [mount["name"] for mount in container["volumeMounts"]]
    volumes = [volume["name"] for volume in pod["volumes"]]
    claims = ["data"] if container["name"] == "postgresql" else []
    ports = {port["name"] for port in container.get("ports", [])}
    probed = {
        probe[kind]["port"]
        for name, probe in container.items()
        for kind in ("httpGet", "tcpSocket")
        if name.endswith("Probe") and kind in probe
    }

    assert sorted(mounted) == sorted(volumes + claims)
    assert not any("subPath" in mount for mount in container["volumeMounts"])
    assert probed <= ports


def test_probes_ask_routes_that_exist():
    """The probes and the scraper ask paths that the broker has, by TLS as it is configured."""
    [(metadata, pod)] = [(meta, spec) for name, meta, spec in pods() if name == "broker"]
    [container] = pod["containers"]
    annotations = {k.removeprefix("prometheus.io/"): v for k, v in metadata["annotations"].items()}
    probes = [container[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")]
    asked = [probe["path"] for probe in probes]

    assert asked == ["/healthz", "/healthz", "/readyz"]
    assert {*asked, annotations["path"]} <= json.loads(document())["paths"].keys()
    assert {probe["scheme"] for probe in probes} == {"HTTPS"}
    assert (annotations["scrape"], annotations["scheme"]) == ("true", "https")
    assert "tls_certificate_file" in named("ConfigMap", "broker")["data"]["broker.toml"]


def test_everybody_means_the_same_port():
    """Image, pod, service, policies, scraper and agents name the port at which the broker
    listens by default."""
    [(metadata, pod)] = [(meta, spec) for name, meta, spec in pods() if name == "broker"]
    [agent] = [spec for name, _, spec in pods() if name == "w1"]
    environ = {each["name"]: each["value"] for each in agent["containers"][0]["env"]}
    [service] = named("Service", "broker")["spec"]["ports"]
    ingress = named("NetworkPolicy", "broker")["spec"]["ingress"][0]["ports"]
    egress = named("NetworkPolicy", "agents")["spec"]["egress"][0]["ports"]

    assert f"EXPOSE {PORT}\n" in broker_stage()
    assert f'"--listen", "0.0.0.0:{PORT}"' in broker_stage()
    assert f"HTTPConnection('127.0.0.1', {PORT}," in broker_stage()
    assert pod["containers"][0]["ports"] == [{"name": "https", "containerPort": int(PORT)}]
    assert (service["port"], service["targetPort"]) == (int(PORT), "https")
    assert ingress == egress == [{"port": int(PORT)}]
    assert metadata["annotations"]["prometheus.io/port"] == PORT
    name = named("Service", "broker")["metadata"]
    assert environ["CLOUD_API_URL"] == f"https://{name['name']}.{name['namespace']}.svc:{PORT}"


def test_the_image_is_the_one_of_the_dockerfile():
    """Pods run the images that the document builds, as the user and in the places they have."""
    specs = {name: spec for name, _, spec in pods()}
    for name, target in (("broker", "broker"), ("w1", "agent")):
        image = specs[name]["containers"][0]["image"]
        assert f"docker build --target {target} --tag {image} .\n" in DOCUMENT
    context = specs["broker"]["securityContext"]
    user = f"{context['runAsUser']}:{context['runAsGroup']}"
    places = {mount["mountPath"] for mount in specs["broker"]["containers"][0]["volumeMounts"]}

    assert f"\nUSER {user}\n" in broker_stage()
    assert context["fsGroup"] == context["runAsGroup"]
    assert places == {"/etc/git-credential-relay", "/var/lib/git-credential-relay", "/tmp"}
    assert "command" not in specs["broker"]["containers"][0]


def test_a_pod_has_time_to_drain():
    """Kubernetes does not kill a broker that still answers requests which have begun."""
    [pod] = [spec for name, _, spec in pods() if name == "broker"]
    [_, seconds] = pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]

    assert pod["terminationGracePeriodSeconds"] > int(seconds) + LimitsModel().drain_seconds
    assert "drain_seconds" not in named("ConfigMap", "broker")["data"]["broker.toml"]


def test_selectors_select():
    """Services, the disruption budget and the policies mean pods that there are, and the budget
    lets a node be emptied."""
    labels = [(meta["namespace"], meta["labels"]) for _, meta, _ in pods()]

    def selects(namespace: str, selector: Object) -> bool:
        return any(place == namespace and selector.items() <= own.items() for place, own in labels)

    for each in read_objects():
        namespace, spec = each["metadata"].get("namespace", ""), each.get("spec", {})
        if each["kind"] == "Service":
            assert selects(namespace, spec["selector"]), called(each)
        if each["kind"] in ("Deployment", "StatefulSet", "PodDisruptionBudget"):
            assert selects(namespace, spec["selector"]["matchLabels"]), called(each)
        if each["kind"] == "NetworkPolicy":
            assert selects(namespace, spec["podSelector"].get("matchLabels", {})), called(each)
    budget = named("PodDisruptionBudget", "broker")["spec"]["minAvailable"]
    assert 0 < budget < named("Deployment", "broker")["spec"]["replicas"]


def test_agents_reach_the_broker_alone():
    """Everything is refused but what a policy names; database and cache are for the broker, and
    nobody may connect to an agent."""
    for space in ("git-credential-relay", "agents"):
        assert any(
            policy["kind"] == "NetworkPolicy"
            and policy["metadata"]["namespace"] == space
            and policy["spec"]["podSelector"] == {}
            and set(policy["spec"]["policyTypes"]) == {"Ingress", "Egress"}
            and "ingress" not in policy["spec"]
            for policy in read_objects()
        )
    egress = named("NetworkPolicy", "broker")["spec"]["egress"]
    only_broker = [{"podSelector": {"matchLabels": {"app.kubernetes.io/name": "broker"}}}]
    for name in ("postgresql", "valkey"):
        [rule] = named("NetworkPolicy", name)["spec"]["ingress"]
        [port] = named("Service", name)["spec"]["ports"]
        assert (rule["from"], rule["ports"]) == (only_broker, [{"port": port["port"]}])
        assert "egress" not in named("NetworkPolicy", name)["spec"]
        itself = {"podSelector": {"matchLabels": {"app.kubernetes.io/name": name}}}
        assert {"to": [itself], "ports": rule["ports"]} in egress


def test_the_document_makes_what_pods_need():
    """Each Secret and ConfigMap that a pod mounts or reads is in a manifest or made by a command
    of the document, and nothing else is; the keys are those that are asked for."""
    made = {o["metadata"]["name"]: set(o["data"]) for o in read_objects() if "data" in o}
    for name, options in re.findall(
        r"create (?:secret \w+|configmap) (\S+) +(.*)", DOCUMENT.replace("\\\n", " ")
    ):
        files = re.findall(r"--from-file=(?:([\w.]+)=)?(?:\S*/)?([\w.-]+)", options)
        made[name] = {key or file for key, file in files}
    made["broker-urls"] |= {"DATABASE_URL", "CACHE_URL"}  # see test_document
    made["broker-tls"] |= {"tls.crt", "tls.key"}  # as `create secret tls` calls them
    text = named("ConfigMap", "broker")["data"]["broker.toml"]
    beside = set(re.findall(r'^\w+_file = "([\w.]+)"', text, re.MULTILINE))
    specs = {name: spec for name, _, spec in pods()}

    assert made.keys() == set().union(*map(references, specs.values()))
    assert beside == made["cluster-jwks"] | made["broker-files"] | made["broker-tls"]
    for name, key in variables(specs["broker"]):
        assert key in made[name]
    assert (made["postgresql"], made["valkey"]) == ({"password"}, {"password"})
    assert made["broker-ca"] == {"ca.crt"}


def references(pod: Object) -> set[str]:
    """The Secrets and ConfigMaps that a pod mounts or reads."""
    volumes = [
        source
        for volume in pod["volumes"]
        for source in (volume, *volume.get("projected", {}).get("sources", []))
    ]
    mounted = [v[kind] for v in volumes for kind in ("secret", "configMap") if kind in v]
    names = {each.get("name") or each["secretName"] for each in mounted}
    return names | {name for name, _ in variables(pod)}


def variables(pod: Object) -> list[tuple[str, str]]:
    """Secret and key of each variable that a pod takes from one."""
    found = [each["valueFrom"]["secretKeyRef"] for each in environment(pod) if "valueFrom" in each]
    return [(reference["name"], reference["key"]) for reference in found]


def environment(pod: Object) -> list[Object]:
    """The variables of a pod's container."""
    return list(pod["containers"][0].get("env", []))
