"""SpeechBrain's redirects do not break whoever walks over the modules."""

import subprocess
import sys

import pytest

WALK = "for module in list(sys.modules.values()): getattr(module, '__file__', None), hasattr(module, 'no_such_name')"
IMPORT = "import sys; import voxswap_server; import speechbrain.lobes.models.ECAPA_TDNN;"
DROP = "from voxswap_server._speechbrain import drop_redirects; drop_redirects();"


@pytest.mark.parametrize(("dropped", "code"), [(False, 1), (True, 0)])
def test_modules_can_be_walked_over_once_the_redirects_are_gone(*, dropped: bool, code: int) -> None:
    program = IMPORT + (DROP if dropped else "") + "\n" + WALK
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
