"""SpeechBrain's speaker encoder comes into the store: recognised, checked against itself, and never run."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
import yaml
from huggingface_hub import constants
from hyperpyyaml import load_hyperpyyaml
from typer.testing import CliRunner

from tests.fixtures import pickle_assembly as asm
from tests.fixtures.ecapa import Reference, settings_text
from voxswap_server.cli.main import app
from voxswap_server.errors import AssetMissing, RequestError
from voxswap_store import errors
from voxswap_store.asset_importer import find_assets, import_assets
from voxswap_store.assets import asset_directory, asset_state, verify_asset
from voxswap_store.hub import FetchFailed, fetch_asset


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> Path:
    """Read only."""
    return Reference().write(tmp_path_factory.mktemp("published") / "spkrec-ecapa-voxceleb")


@pytest.fixture
def folder(published, tmp_path) -> Path:
    """With files that a test may replace."""
    made = tmp_path / "encoder"
    made.mkdir()
    for file in published.iterdir():
        (made / file.name).write_bytes(file.read_bytes())
    return made


def test_it_is_recognised_by_what_its_settings_say(folder, tmp_path):
    assert list(find_assets(tmp_path)) == ["ecapa"]
    import_assets(tmp_path, tmp_path / "store")
    verify_asset(tmp_path / "store", "ecapa")
    files = {path.name for path in asset_directory(tmp_path / "store", "ecapa").iterdir()}
    assert files == {"asset.toml", "config.json", "model.safetensors"}
    (folder / "embedding_model.ckpt").rename(folder / "other.ckpt")
    assert find_assets(tmp_path / "encoder") == {}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "broken: [",
        "[" * 5_000,
        settings_text().replace("ECAPA_TDNN.ECAPA_TDNN", "Xvector.Xvector"),
        settings_text().replace("embedding_model: !new", "another_model: !new"),
    ],
    ids=["empty", "broken", "deep", "another network", "another name"],
)
def test_somebody_elses_settings_are_left_alone(folder, tmp_path, text):
    (folder / "hyperparams.yaml").write_text(text)
    assert find_assets(folder) == {}
    with pytest.raises(RequestError, match=r"does not hold ecapa; looked for spkrec-ecapa-voxceleb"):
        import_assets(folder, tmp_path / "store", only=("ecapa",))


def attacks(marker: Path) -> dict[str, str]:
    """Values that make something run in a loader that believes them."""
    return {
        "python": f"!!python/object/apply:os.system ['echo > {marker}']",
        "new": f"!new:logging.FileHandler ['{marker}']",
        "apply": f"!apply:os.system ['echo > {marker}']",
    }


@pytest.mark.parametrize("kind", ["python", "new", "apply"])
def test_an_attack_runs_in_loaders_that_believe_the_file(tmp_path, kind):
    marker = tmp_path / "ran"
    text = f"a: {attacks(marker)[kind]}\n"
    if kind == "python":
        yaml.unsafe_load(text)
    elif kind == "new":
        load_hyperpyyaml(text)["a"].close()
    else:
        load_hyperpyyaml(text)
    assert marker.exists()  # so the next test can fail


@pytest.mark.parametrize("kind", ["python", "new", "apply"])
def test_an_attack_in_the_settings_runs_nothing(folder, tmp_path, kind):
    marker, settings = tmp_path / "ran", folder / "hyperparams.yaml"
    attack, honest = attacks(marker)[kind], settings_text()

    settings.write_text(f"first: {attack}\n{honest}last: {attack}\n")
    import_assets(folder, tmp_path / "store")
    assert asset_state(tmp_path / "store", "ecapa").manifest is not None

    settings.write_text(honest.replace("    res2net_scale: 4", f"    res2net_scale: {attack}"))
    with pytest.raises(errors.CheckpointError, match="res2net_scale is"):
        import_assets(folder, tmp_path / "store")

    settings.write_text(honest.replace("n_mels: 24", f"n_mels: {attack}"))
    with pytest.raises(errors.CheckpointError, match="n_mels is"):
        import_assets(folder, tmp_path / "store")

    for other in (attack, f"!new:os.system ['echo > {marker}']"):
        settings.write_text(f"embedding_model: {other}\n")
        assert find_assets(folder) == {}
    assert not marker.exists()


def test_an_attack_in_the_pickle_runs_nothing(folder, tmp_path):
    attack = asm.torch_zip(asm.program(asm.called(asm.named("os", "system"), asm.plain(f"echo > {tmp_path}/ran"))))
    (folder / "embedding_model.ckpt").write_bytes(attack)
    with pytest.raises(errors.ForbiddenContent, match=r"os\.system"):
        import_assets(folder, tmp_path / "store")
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "store" / "assets").exists()


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        (
            {"network": {"channels": [16, 16, 16, 25]}},
            r"mfa\.conv\.conv\.weight.*\(24, 32, 1\), expected \(25, 32, 1\)",
        ),
        ({"network": {"kernel_sizes": [3, 3, 3, 1]}}, r"blocks\.0\.conv\.conv\.weight.*expected \(16, 24, 3\)"),
        ({"network": {"res2net_scale": 8}}, r"res2net_block\.blocks\.0\.conv\.conv\.weight"),
        ({"network": {"se_channels": None}}, r"se_block\.conv1\.conv\.weight.*expected \(128, 16, 1\)"),
        ({"network": {"lin_neurons": 192}}, r"fc\.conv\.weight.*\(20, 48, 1\), expected \(192, 48, 1\)"),
        ({"network": {"global_context": False}}, r"asp\.tdnn\.conv\.conv\.weight"),
        ({"network": {"channels": [16, 16, 16, 16, 24]}}, "5 channels, 4 kernel_sizes and 4 dilations"),
        ({"network": {"channels": [16, 16, 20, 24]}}, "differ between the inner blocks"),
        ({"network": {"channels": "many"}}, "channels is 'many', expected a list"),
        ({"network": {"channels": [16, 16, 16, -24]}}, "channels is -24, expected a whole number"),
        ({"network": {"channels": [16, 16, 16, True]}}, "channels is True, expected a whole number"),
        ({"network": {"res2net_scale": 3}}, "res2net_scale of 3 does not divide 16"),
        ({"network": {"dilations": [1, 2, 3000, 1]}}, "kernel of 3 with dilation 3000"),
        ({"network": {"kernel_sizes": [4, 3, 3, 1]}}, "kernel of 4"),
        ({"network": {"groups": [1, 1, 1, 2]}}, "groups is .* is known"),
        ({"network": {"activation": "!name:torch.nn.GELU"}}, "activation is !name:torch.nn.GELU"),
        ({"network": {"surprise": 1}}, "'surprise', which is not known"),
        ({"network": {"input_size": 40}}, "input_size is 40, but n_mels is 24"),
        ({"bands": 40}, r"blocks\.0\.conv\.conv\.weight.*expected \(16, 40, 5\)"),
        ({"bands": "many"}, "n_mels is 'many'"),
        ({"features": {"sample_rate": 8000}}, "sample_rate is 8000; only 16000"),
        ({"features": {"deltas": True}}, "deltas is True; only False"),
        ({"features": {"f_max": 9000}}, "0 to 9000 Hz"),
        ({"features": {"f_max": ".inf"}}, "f_max is .*expected a number"),
        ({"features": {"hop_length": 500}}, "every 500 ms"),
        ({"features": {"n_fft": 256}}, "in 256 points"),
        ({"std_norm": "maybe"}, "std_norm is 'maybe'"),
    ],
)
def test_settings_that_contradict_the_tensors_or_ask_for_more_are_refused(folder, tmp_path, settings, why):
    (folder / "hyperparams.yaml").write_text(settings_text(**settings))
    with pytest.raises(errors.CheckpointError, match=why):
        import_assets(folder, tmp_path / "store")
    assert not (tmp_path / "store" / "assets").exists()


@pytest.mark.parametrize("missing", ["compute_features", "mean_var_norm"])
def test_a_part_that_is_missing_is_told(folder, tmp_path, missing):
    (folder / "hyperparams.yaml").write_text(settings_text().replace(f"{missing}: !new", f"x_{missing}: !new"))
    with pytest.raises(errors.CheckpointError, match=f"{missing} is missing, expected speechbrain"):
        import_assets(folder, tmp_path / "store")


def test_global_normalization_is_not_built(folder, tmp_path):
    (folder / "hyperparams.yaml").write_text(settings_text().replace("norm_type: sentence", "norm_type: global"))
    with pytest.raises(errors.CheckpointError, match="norm_type is 'global'; only 'sentence'"):
        import_assets(folder, tmp_path / "store")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda state: state.pop("asp_bn.norm.running_mean"), r"asp_bn\.norm\.running_mean.*missing"),
        (lambda state: state.pop("blocks.2.tdnn2.conv.conv.bias"), r"blocks\.2\.tdnn2\.conv\.conv\.bias.*missing"),
        (lambda state: state["fc.conv.bias"].fill_(float("nan")), r"fc\.conv\.bias.*NaN"),
        (lambda state: state["mfa.norm.norm.running_var"].fill_(-1), r"mfa\.norm\.norm\.running_var.*negative"),
        (lambda state: state.update({"fc.conv.bias": torch.zeros(21)}), r"fc\.conv\.bias.*\(21,\), expected \(20,\)"),
        (lambda state: state.update({"fc.conv.bias": torch.zeros(20).int()}), r"fc\.conv\.bias.*expected real numbers"),
    ],
    ids=["statistics", "bias", "NaN", "variance", "shape", "integers"],
)
def test_a_tensor_that_is_wrong_is_named(folder, tmp_path, change, why):
    state = torch.load(folder / "embedding_model.ckpt")
    change(state)
    torch.save(state, folder / "embedding_model.ckpt")
    with pytest.raises(errors.BadTensor, match=why):
        import_assets(folder, tmp_path / "store")


def test_without_it_the_error_says_how_to_get_it(tmp_path):
    with pytest.raises(AssetMissing, match=r"ECAPA-TDNN is not installed.*assets fetch ecapa.*assets import DIR"):
        asset_directory(tmp_path, "ecapa")


# --- the Hub -------------------------------------------------------------------------------------------------------


class Hub(ThreadingHTTPServer):
    """Stands in for the Hub: the files of one repository, and who asked for what."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.folder = folder
        self.asked: list[tuple[str, str | None]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Answers(BaseHTTPRequestHandler):
    server: Hub

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers.get("authorization")))
        repository, _, file = self.path.removeprefix("/").partition("/resolve/main/")
        path = self.server.folder / file
        if repository != "somebody/encoder":
            self._answer(401, {"X-Error-Code": "RepoNotFound"})
        elif not path.is_file():
            self._answer(404, {"X-Error-Code": "EntryNotFound"})
        else:
            size = str(path.stat().st_size)
            self._answer(200, {"ETag": f'"{size}"', "X-Repo-Commit": "a" * 40, "Content-Length": size}, path)

    def _answer(self, code: int, headers: dict[str, str], path: Path | None = None) -> None:
        self.send_response(code)
        for name, value in ({"Content-Length": "0"} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        if path is not None and self.command == "GET":
            self.wfile.write(path.read_bytes())

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


@pytest.fixture
def hub(folder, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_TOKEN", "secret")
    with Hub(folder) as hub:
        thread = threading.Thread(target=hub.serve_forever)
        thread.start()
        yield hub
        hub.shutdown()
        thread.join()


def test_it_is_fetched_and_imported(hub, tmp_path):
    state = fetch_asset("ecapa", "somebody/encoder", tmp_path / "store", endpoint=hub.url)
    assert state.manifest is not None
    verify_asset(tmp_path / "store", "ecapa")
    assert {path for path, _ in hub.asked} == {
        f"/somebody/encoder/resolve/main/{file}" for file in ("hyperparams.yaml", "embedding_model.ckpt")
    }
    assert {credentials for _, credentials in hub.asked} == {None}


def test_what_comes_is_a_strangers_file(hub, folder, tmp_path):
    attack = asm.torch_zip(asm.program(asm.called(asm.named("os", "system"), asm.plain("true"))))
    (folder / "embedding_model.ckpt").write_bytes(attack)
    with pytest.raises(errors.ForbiddenContent, match=r"os\.system"):
        fetch_asset("ecapa", "somebody/encoder", tmp_path / "store", endpoint=hub.url)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("nobody/encoder", "no public repository of this name"),
        ("no/such/name", "Repo id must be"),
    ],
)
def test_a_name_that_the_hub_does_not_know(hub, tmp_path, name, why):
    with pytest.raises(FetchFailed, match=rf"hyperparams\.yaml could not be fetched from '{name}'.*{why}"):
        fetch_asset("ecapa", name, tmp_path / "store", endpoint=hub.url)


def test_a_repository_without_the_file(hub, folder, tmp_path):
    (folder / "embedding_model.ckpt").unlink()
    with pytest.raises(FetchFailed, match=r"embedding_model\.ckpt could not be fetched.*does not hold it"):
        fetch_asset("ecapa", "somebody/encoder", tmp_path / "store", endpoint=hub.url)
    assert not (tmp_path / "store" / "assets").exists()


def test_without_a_network_the_error_says_how_to_do_it_by_hand(tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(FetchFailed, match=r"cannot be reached\. By hand: download its hyperparams\.yaml and embedding"):
        fetch_asset("ecapa", "somebody/encoder", tmp_path / "store")


def test_the_command(hub, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "voxswap.toml").write_text('[speakers]\nhub = "somebody/encoder"\n')
    words = ["assets", "fetch", "ecapa", "--endpoint", hub.url, "--store", str(tmp_path / "store")]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert "imported ecapa of somebody/encoder: ECAPA-TDNN" in done.output
    done = CliRunner().invoke(app, [*words, "--hub", "nobody/encoder"])
    assert done.exit_code == 2
    assert "voxswap: hyperparams.yaml could not be fetched from 'nobody/encoder'" in done.output
