"""Makes torchaudio importable beside any build of torch.

torchaudio 2.11 from the package index is compiled against CUDA libraries. Beside a CPU build of torch its compiled
part cannot load, and the failure takes `import torchaudio` down, and with it transformers (which imports torchaudio
when it is installed) and SpeechBrain. Everything voxswap calls (sinc resampling, Kaldi fbank) is pure Python, so the
compiled part is kept out on every machine: one behaviour everywhere, whatever the wheel was built for.

`voxswap_server/__init__.py` runs this before anything else, so each process that imports any part of the server is
mended first. Nothing is imported here, torch least of all: the transports must start without it.
"""

import sys
from types import ModuleType
from typing import Any

_EXTENSION = "torchaudio._extension"


def keep_compiled_part_out() -> None:
    """Puts a stand-in for torchaudio's extension module in place, unless torchaudio is already imported."""
    if _EXTENSION in sys.modules:
        return
    stand_in = ModuleType(_EXTENSION, "Stand-in: torchaudio without its compiled part.")
    vars(stand_in).update(
        _IS_TORCHAUDIO_EXT_AVAILABLE=False, _IS_ALIGN_AVAILABLE=False, fail_if_no_align=_fail_if_no_align
    )
    sys.modules[_EXTENSION] = stand_in


def _fail_if_no_align(_function: Any) -> Any:
    """Torchaudio decorates its forced-alignment functions with this; they need the compiled part."""

    def refuse(*_args: Any, **_kwargs: Any) -> None:
        raise RuntimeError("forced alignment needs torchaudio's compiled part, which voxswap keeps out")

    return refuse
