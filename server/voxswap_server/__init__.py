"""The voxswap server: GPT-SoVITS voices over gRPC. See docs/ARCHITECTURE.md."""

from voxswap_server._torchaudio import keep_compiled_part_out

# First, in every process that imports any part of the server: see _torchaudio.py for the reason.
keep_compiled_part_out()

__version__ = "0.1.0"
