"""What both sides are given: the same checkpoints, the same clip, the same phones.

The voice has the dimensions of the released v2 models, or of the demo's, and seeded weights. It never ends by itself:
the row of the end-of-speech token is zero and its limit is a few seconds, so every request is as long on either side,
to the token.
"""

import json
import time
from dataclasses import dataclass
from pathlib import Path

from transformers import HubertConfig

from voxswap_server.bench.timing import timed
from voxswap_server.bench.voices import VoiceSize, sovits_half, t2s_half
from voxswap_server.demo.tiny import sovits_file, t2s_file, tiny_prompt, write_pretrained_models
from voxswap_server.domain import Language
from voxswap_server.text.frontend import TextFrontend
from voxswap_store.asset_importer import import_assets
from voxswap_store.assets import ASSETS
from voxswap_store.importer import ImportRequest, import_voice

VOICE = "peer"
TEXT = "The kettle is on, and the first guests are at the gate."
LIMIT_S = 2
"""Of speech in each utterance; upstream's limit takes a semantic token for a fiftieth of a second, so what is heard
lasts twice as long: about what somebody takes to say the text."""
TOKENS = 50 * LIMIT_S
TOKENS_PER_S = 25


@dataclass(frozen=True, slots=True)
class Material:
    """Where everything lies, and what is said."""

    t2s: Path
    sovits: Path
    pretrained: Path
    """In the layout of GPT-SoVITS's `pretrained_models`."""
    clip: Path
    store: Path
    """Ours, with the same voice imported."""
    phones: tuple[int, ...]
    prompt_phones: tuple[int, ...]
    speaker_width: int
    """Of the decoder's speaker vector."""

    @property
    def switched(self) -> tuple[Path, ...]:
        """What either side reads to switch voices."""
        return (self.t2s, self.sovits, *(self.store / "voices" / VOICE).glob("*.safetensors"))


def prepare(folder: Path, size: VoiceSize) -> Material:
    """Makes it all in an empty folder."""
    weight, config = t2s_half(size)
    ends = weight["model.ar_predict_layer.weight"]
    ends[-1] = 0
    config["data"]["max_sec"] = LIMIT_S
    t2s, sovits = folder / "voice.ckpt", folder / "voice.pth"
    t2s.write_bytes(t2s_file(weight, config))
    decoder = sovits_half(size)
    sovits.write_bytes(sovits_file(*decoder))
    pretrained = write_pretrained_models(folder / "pretrained_models", ("hubert",))
    _spell_out(pretrained / ASSETS["hubert"].usual_place)
    prompt = tiny_prompt(1)
    clip = folder / "clip.wav"
    clip.write_bytes(prompt.audio)
    store = folder / "store"
    import_assets(pretrained, store, only=("hubert",))
    consent = "Nobody is heard: the voice is synthetic."
    # It never ends by itself, which the checks of speech would take for what it is.
    import_voice(ImportRequest(VOICE, t2s, sovits, prompt, consent=consent, check_speech=False), store)
    frontend, english = TextFrontend(), Language("en")
    phones, prompt_phones = (frontend.analyse(text, english.code, "v2").phones for text in (TEXT, prompt.transcript))
    width = decoder[1]["model"]["gin_channels"]
    return Material(t2s, sovits, pretrained, clip, store, phones, prompt_phones, width)


def front_end_s() -> float:
    """CPU seconds that reading the text takes, everything loaded."""
    frontend, english = TextFrontend(), Language("en")
    frontend.analyse(TEXT, english.code, "v2")
    return timed(lambda: frontend.analyse(TEXT, english.code, "v2"), 0.1, clock=time.process_time)()


def _spell_out(directory: Path) -> None:
    """Peers read the configuration without transformers' defaults, so they are written out."""
    config = directory / "config.json"
    given = json.loads(config.read_text("utf-8"))
    whole = HubertConfig(**given).to_dict()
    config.write_text(json.dumps(whole, default=str), "utf-8")
    preprocessor = directory / "preprocessor_config.json"
    usual = {"do_normalize": True, "padding_value": 0.0, "sampling_rate": 16_000}
    preprocessor.write_text(json.dumps(usual | json.loads(preprocessor.read_text("utf-8"))), "utf-8")
