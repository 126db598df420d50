"""The demo, as a new user runs it; where there are no built-in voices yet, with their stand-ins."""

import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from voxswap_server.cli.demo import LIVE, SCRIPT, VOICES
from voxswap_server.cli.main import app
from voxswap_store.built_in import packaged_voices


@pytest.mark.slow
def test_the_demo_speaks_with_four_voices_and_switches(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["demo", "--output", str(tmp_path)], env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    assert ("they babble" in done.output) == (packaged_voices() is None)
    files = sorted(tmp_path.iterdir())
    told = [f"{number}-{voice}.flac" for number, (voice, _) in enumerate(SCRIPT, 1)]
    assert [file.name for file in files] == [*told, f"{len(SCRIPT) + 1}-live.flac"]
    heard = [soundfile.read(file)[0] for file in files]
    assert all(len(samples) > 32_000 and np.abs(samples).max() > 0.01 for samples in heard)
    assert len(VOICES) == 4
    turns = re.findall(r"amber\W+[\d.]+ s\W+\d+ ms\W+[\d.]+\W+(\w+)", done.output)
    assert turns == ["disk", "device"], "only the first line of a voice needs loading"
    changes = [
        (voice, int(sample)) for voice, sample in re.findall(r"(\w+) from sample (\d+) ", " ".join(done.output.split()))
    ]
    assert [voice for voice, _ in changes] == [voice for voice, *_ in LIVE[1:]]
    assert 16_000 <= changes[0][1] < changes[1][1] < heard[-1].size
