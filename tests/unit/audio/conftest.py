"""Upstream's own numbers for the assembly of pieces."""

from pathlib import Path

import numpy as np
import pytest

GOLDEN = Path(__file__).parents[2] / "goldens" / "assembly" / "postprocess.npz"


@pytest.fixture(scope="session")
def upstream_assembly() -> dict[str, np.ndarray]:
    with np.load(GOLDEN) as stored:
        return {name: stored[name] for name in stored}
