"""Proves fidelity: replays golden cases on our networks and compares every stage with what upstream computed.

A directory of goldens holds, per version, small manifests from which checkpoints are rebuilt bit for bit, and cases
with upstream's own inputs, intermediate tensors and outputs. The tool calls networks, importer, front-end and audio
functions directly, so that recorded noise and joint decodes replay as the case lists them. Knows nothing of the engine.
"""

from voxswap_server.parity import report
from voxswap_server.parity.runner import run

__all__ = ["report", "run"]
