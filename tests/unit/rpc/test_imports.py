"""The transport works where torch is not installed."""

import subprocess
import sys

PROGRAM = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "torchaudio", "transformers", "speechbrain"}:
            raise ImportError(f"{name} is blocked")

sys.meta_path.insert(0, Blocked())
import voxswap_server.rpc.server
import voxswap_server.metrics
import voxswap_server.logs
print("fine")
"""


def test_the_transport_needs_no_torch():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False, timeout=60)
    assert (done.stdout, done.stderr) == ("fine\n", "")
