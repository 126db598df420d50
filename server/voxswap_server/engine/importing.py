"""What the importer needs of the networks: is this clip usable, and the prompt encoded once and for all.

Runs on the CPU, in whichever thread imports: the device belongs to the device thread.
"""

from collections.abc import Mapping
from contextlib import ExitStack

import torch
from torch import Tensor

from voxswap_server.audio.decode import Decoded, decode
from voxswap_server.domain import Prompt
from voxswap_server.engine import stored_prompt
from voxswap_server.engine.networks import Networks
from voxswap_server.engine.prompt_audio import Encoders, encode_prompt_audio
from voxswap_server.engine.prompts import PromptConfig
from voxswap_server.errors import BadReferenceAudio
from voxswap_server.nn.decoders import load_decoder
from voxswap_server.nn.reference import content_wave, mix_down
from voxswap_server.nn.specs import spec_of
from voxswap_server.text.frontend import TextFrontend
from voxswap_server.text.languages import prompt_code
from voxswap_store.assets import content_encoder
from voxswap_store.converted import Converted


class PromptImport:
    """Checks and encodes the prompts of voices that are being imported.

    Args:
        networks: has the content encoders, and "eres2net" for the versions that take it.
        frontend: for transcripts.
        config: limits of reference audio.
    """

    def __init__(self, networks: Networks, frontend: TextFrontend, config: PromptConfig) -> None:
        self._networks = networks
        self._frontend = frontend
        self._config = config

    def decoded(self, audio: bytes) -> Decoded:
        """The samples of a clip.

        Raises:
            BadReferenceAudio: it cannot be read, or is larger than the limits.
        """
        return decode(audio, max_s=self._config.max_audio_s, max_bytes=self._config.max_audio_bytes)

    def check_main(self, audio: bytes) -> None:
        """The rules of a main reference: readable, 3 to 10 s.

        Raises:
            BadReferenceAudio: it breaks one.
        """
        clip = self.decoded(audio)
        content_wave(mix_down(clip.samples), clip.rate_hz)

    def check_auxiliary(self, audio: bytes) -> None:
        """A clip that is mixed in need only be readable.

        Raises:
            BadReferenceAudio: it is not.
        """
        try:
            self.decoded(audio)
        except BadReferenceAudio as error:
            error.field = "prompt.auxiliary"
            raise

    def phones(self, prompt: Prompt, version: str) -> tuple[int, ...]:
        """Of the transcript; () where there is none.

        Raises:
            RequestError: a voice of this version cannot read it.
        """
        transcript, symbols = prompt.transcript.strip(), spec_of(version).symbols
        if not transcript:
            return ()
        return self._frontend.prompt(transcript, prompt_code(prompt.language, symbols), symbols).phones

    @torch.inference_mode()
    def encode(self, prompt: Prompt, version: str, decoder: Converted) -> Mapping[str, Tensor]:
        """Implements `voxswap_store.importer.EncodePrompt`.

        Raises:
            AssetMissing: a shared network is not installed.
            RequestError: no content encoder has the width that the voice was trained on.
        """
        spec = spec_of(version)
        phones = torch.tensor(self.phones(prompt, version), dtype=torch.long)
        clips = [self.decoded(clip) for clip in (prompt.audio, *prompt.auxiliary)]
        network = load_decoder(decoder.config, decoder.tensors)
        with ExitStack() as held:
            content = held.enter_context(self._networks.lease(content_encoder(network.content_width))).result()
            speaker = None
            if spec.speaker_vector:
                speaker = held.enter_context(self._networks.lease("eres2net")).result().vector
            encoded = encode_prompt_audio(network, clips, phones, Encoders(content.features, speaker))
        return stored_prompt.to_tensors(encoded)
