"""What every test needs before anything else is imported."""

import voxswap_server  # noqa: F401  (mends torchaudio, which transformers and SpeechBrain import)
