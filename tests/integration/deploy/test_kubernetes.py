"""The manifests: valid against the schemas of Kubernetes, and of one mind with the server."""

import shutil
import subprocess

import kubernetes_validate
import pytest
import yaml

from tests.fixtures.deployment import DEPLOY, cluster_settings, manifests, one_manifest, values
from voxswap_server.app import secured
from voxswap_server.rpc.server import SERVICES

KUBERNETES = DEPLOY / "kubernetes"
VERSION = "1.33"


@pytest.mark.parametrize("manifest", manifests(), ids=lambda manifest: manifest["kind"])
def test_each_manifest_is_valid(manifest):
    kubernetes_validate.validate(manifest, VERSION, strict=True)


def test_the_schemas_refuse_what_is_wrong():
    wrong = one_manifest("Deployment") | {"spec": {"replicas": "many"}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSION, strict=True)


def test_the_base_names_all_its_files_and_no_others():
    base = KUBERNETES / "base"
    content = yaml.safe_load((base / "kustomization.yaml").read_text())
    named = {*content["resources"], *content["configMapGenerator"][0]["files"], "kustomization.yaml"}
    assert named == {path.name for path in base.iterdir()}


def container():
    (found,) = one_manifest("Deployment")["spec"]["template"]["spec"]["containers"]
    return found


def test_the_settings_are_the_servers_and_the_ports_are_theirs():
    settings = cluster_settings()
    secured(settings)
    ports = {port["name"]: port["containerPort"] for port in container()["ports"]}
    assert ports == {
        "grpc": int(settings.rpc.address.rpartition(":")[2]),
        "http": settings.http.port,
        "metrics": settings.metrics.port,
    }
    assert {port["targetPort"] for port in one_manifest("Service")["spec"]["ports"]} == ports.keys()
    mounts = {mount["name"]: mount["mountPath"] for mount in container()["volumeMounts"]}
    assert mounts["store"] == str(settings.store)
    assert container()["args"][-1] == f"{mounts['settings']}/voxswap.toml"


def test_the_probes_ask_what_the_server_answers():
    for probe, service in (("startupProbe", SERVICES[0]), ("readinessProbe", SERVICES[0]), ("livenessProbe", None)):
        asked = container()[probe]["grpc"]
        assert asked["port"] == 50051
        assert asked.get("service") == service


def test_there_is_time_to_drain():
    settings = cluster_settings().rpc
    grace_s = one_manifest("Deployment")["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert settings.drain_notice_s > 0
    assert settings.drain_notice_s + settings.drain_grace_s < grace_s


def test_it_runs_as_the_user_of_the_image_and_may_nothing_more():
    pod = one_manifest("Deployment")["spec"]["template"]["spec"]
    assert str(pod["securityContext"]["runAsUser"]) == values("USER")[-1]
    assert container()["securityContext"]["readOnlyRootFilesystem"] is True


def kustomized(folder):
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not installed: it has kustomize in it")
    made = subprocess.run([kubectl, "kustomize", str(KUBERNETES / folder)], capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    return list(yaml.safe_load_all(made.stdout))


@pytest.mark.parametrize("folder", ["base", "cuda"])
def test_what_kustomize_makes_is_valid_and_hangs_together(folder):
    made = {one["kind"]: one for one in kustomized(folder)}
    for manifest in made.values():
        kubernetes_validate.validate(manifest, VERSION, strict=True)
    labels = made["Deployment"]["spec"]["template"]["metadata"]["labels"].items()
    assert made["Deployment"]["spec"]["selector"]["matchLabels"].items() <= labels
    assert made["Service"]["spec"]["selector"].items() <= labels
    assert made["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"].items() <= labels
    assert made["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"].items() <= labels
    pod = made["Deployment"]["spec"]["template"]["spec"]
    assert pod["volumes"][0]["configMap"]["name"] == made["ConfigMap"]["metadata"]["name"]
    limits = pod["containers"][0]["resources"]["limits"]
    assert ("nvidia.com/gpu" in limits) == (folder == "cuda")
