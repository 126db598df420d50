"""The compose files: valid, closed to others, and of one mind with the server and with one another."""

import pytest
import yaml
from compose_spec import PyCompose

from tests.fixtures.deployment import DEPLOY, ROOT, compose, image_environment
from voxswap_server.app import secured
from voxswap_server.settings import load_settings, unknown_variables


@pytest.mark.parametrize("name", ["compose.yaml", "compose.cuda.yaml"])
def test_it_follows_the_specification(name):
    assert "voxswap" in PyCompose.from_yaml((DEPLOY / name).read_text()).service_names()


def test_what_is_laid_over_it_names_its_services():
    over = yaml.safe_load((DEPLOY / "compose.cuda.yaml").read_text())
    assert over["services"].keys() <= compose()["services"].keys()


def test_nothing_is_published_beyond_this_machine_and_nothing_may_more_than_it_must():
    for name, service in compose()["services"].items():
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:"), (name, port)
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["read_only"] is True, name


def test_images_have_versions():
    for service in compose()["services"].values():
        if "image" in service:
            assert service["image"].partition(":")[2] not in {"", "latest"}


def test_what_is_mounted_exists():
    for name, service in compose()["services"].items():
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (DEPLOY / source).exists(), (name, source)
            else:
                assert source in compose()["volumes"], (name, source)
    build = compose()["services"]["voxswap"]["build"]
    assert (DEPLOY / build["context"]).resolve() == ROOT
    assert (ROOT / build["dockerfile"]).is_file()


def test_the_server_starts_with_these_settings_and_drains_in_the_time_it_has(monkeypatch):
    service = compose()["services"]["voxswap"]
    environment = image_environment() | service["environment"]
    ours = {name: value for name, value in environment.items() if name.startswith("VOXSWAP_")}
    assert list(unknown_variables(ours)) == []
    for name, value in ours.items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    secured(settings)
    assert settings.cache.redis_url.startswith("redis://redis:")
    published = {port.split(":")[-1] for port in service["ports"]}
    assert published == {settings.rpc.address.rpartition(":")[2], str(settings.http.port)}
    assert settings.rpc.drain_notice_s + settings.rpc.drain_grace_s < float(service["stop_grace_period"].rstrip("s"))


def test_prometheus_reads_the_server_and_grafana_reads_prometheus(monkeypatch):
    monkeypatch.setenv("VOXSWAP_METRICS__HOST", "0.0.0.0")
    scrape = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())["scrape_configs"][0]
    assert scrape["static_configs"][0]["targets"] == [f"voxswap:{load_settings().metrics.port}"]
    provisioning = DEPLOY / "grafana" / "provisioning"
    source = yaml.safe_load((provisioning / "datasources" / "prometheus.yaml").read_text())["datasources"][0]
    assert source["url"] == "http://prometheus:9090"
    provider = yaml.safe_load((provisioning / "dashboards" / "voxswap.yaml").read_text())["providers"][0]
    mounts = dict(volume.split(":")[:2][::-1] for volume in compose()["services"]["grafana"]["volumes"])
    assert mounts[provider["options"]["path"]] == "./grafana/dashboards"
    home = compose()["services"]["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert (DEPLOY / "grafana" / "dashboards" / home.rpartition("/")[2]).is_file()
