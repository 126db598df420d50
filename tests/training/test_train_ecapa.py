from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from voxswap_server.nn.ecapa import SpeakerEncoder
from voxswap_store.asset_importer import import_assets
from voxswap_training.loop import Budget
from voxswap_training.sound import CONTENT_RATE_HZ, Sound
from voxswap_training.speakers import CLIP_SAMPLES, Clips


@pytest.fixture
def ecapa() -> ModuleType:
    """Imported late: SpeechBrain's lazy modules must not be there while tests are collected."""
    return import_module("voxswap_training.train_ecapa")


def test_losses_are_nothing_for_the_teachers_own(ecapa: ModuleType) -> None:
    wanted = ecapa.centred(torch.randn(8, 192))
    found = ecapa.losses(wanted, wanted)
    assert float(found["loss"]) == pytest.approx(0, abs=1e-5)
    assert float(ecapa.losses(-wanted, wanted)["distance"]) == pytest.approx(2, abs=1e-5)
    assert float(wanted.mean(0).abs().max()) < 0.2


def test_a_disturbed_clip_is_shorter_and_finite(ecapa: ModuleType) -> None:
    wave = torch.randn(4, CLIP_SAMPLES)
    changed = ecapa.disturbed(wave, np.random.default_rng(0))
    assert changed.shape[0] == 4
    assert CLIP_SAMPLES // 2 <= changed.shape[1] <= CLIP_SAMPLES
    assert torch.isfinite(changed).all()
    assert not torch.allclose(changed, wave[:, : changed.shape[1]])


def test_training_writes_what_speechbrain_reads(ecapa: ModuleType, tmp_path: Path) -> None:
    counts = np.array([CLIP_SAMPLES] * 4)
    np.random.default_rng(0).integers(-9000, 9000, counts.sum()).astype(np.int16).tofile(tmp_path / "sound")
    sound = Sound(tmp_path / "sound", counts, torch.device("cpu"))
    rng = np.random.default_rng(1)
    embedding = rng.normal(size=(8, 192)).astype(np.float32)
    clips = Clips(np.arange(8) % 4, np.zeros(8, np.int64), np.ones(8, np.float32), embedding)
    settings = ecapa.EcapaSettings(batch=4, report_every=1)
    student = ecapa.train(clips, sound, tmp_path, Budget(0.06, 1), settings, device=torch.device("cpu")).eval()
    ecapa.write_ecapa(student, tmp_path / "ecapa")
    from hyperpyyaml import load_hyperpyyaml

    built = load_hyperpyyaml((tmp_path / "ecapa/hyperparams.yaml").read_text())
    network = built["embedding_model"]
    network.load_state_dict(torch.load(tmp_path / "ecapa/embedding_model.ckpt", weights_only=True))
    network.eval()
    wave = torch.randn(1, CONTENT_RATE_HZ)
    with torch.no_grad():
        features = built["mean_var_norm"](built["compute_features"](wave), torch.ones(1))
        theirs = torch.nn.functional.normalize(network(features)[:, 0], dim=1)
        ours = student(wave)
    assert float((theirs * ours).sum()) > 0.999
    import_assets(tmp_path, tmp_path / "store", only=("ecapa",))
    served = SpeakerEncoder.from_directory(tmp_path / "store/assets/ecapa")
    assert float((served.embedding(wave) * ours[0]).sum()) > 0.999
