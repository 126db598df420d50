"""The decoder of v3 and v4: prior, condition, flow matching, vocoder, and the samples that come out.

Replays both of upstream's ways: utterance by utterance, chunk after chunk; or all utterances of a batch in overlapping
chunks. Where the server goes the same way (the first), the samples are made by the server's own function.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from voxswap_server.nn.cfm import Cfm
from voxswap_server.nn.decoder import Conditioning, FlowPrompt
from voxswap_server.nn.noise import RecordedNoise
from voxswap_server.nn.reference import ReferenceFeatures, unscale_mel
from voxswap_server.parity.cases import Case
from voxswap_server.parity.compare import Row, failed
from voxswap_server.parity.overlapped import join, overlapped_mels
from voxswap_server.parity.replay_decoder import (
    HIDDEN,
    Heard,
    Item,
    Samples,
    Stages,
    items_of,
    listening,
    noises,
    samples_row,
)

_EVERY = 8
"""Upstream's embedded condition is stored at this distance of frames."""


@torch.inference_mode()
def replay_cfm(case: Case, decoder: Cfm, reference: ReferenceFeatures) -> list[Row]:
    """Rows of the speaker, of every stored stage, and of the samples.

    Args:
        case: what to replay; upstream's own tokens and phones are used.
        decoder: the network.
        reference: the one that counts.
    """
    replay = _Replay(case, decoder, reference)
    speak = replay.overlapped if case.inputs.parallel_infer else replay.serial
    pieces: dict[int, list[Samples]] = {}
    for call in case.calls():
        items = items_of(case, call)
        for item, samples in zip(items, speak(items), strict=True):
            pieces.setdefault(item.segment, []).append(samples.numpy())
    if replay.noise.left():
        return [*replay.stages.rows(), failed(case.name, "noise", "upstream decoded more often")]
    return [*replay.stages.rows(), samples_row(case, pieces)]


class _Recording:
    """The recorded noise in the order of upstream's calls; remembers what was handed out."""

    def __init__(self, case: Case) -> None:
        self._noises = noises(case)
        self.starts: list[Tensor] = []

    def cfm(self, _call: int, shape: tuple[int, ...]) -> Tensor:
        start = next(self._noises, None)
        if start is None or tuple(start.shape) != shape:
            found = "nothing" if start is None else tuple(start.shape)
            raise ValueError(f"asked for noise of {shape}, upstream drew {found}")
        self.starts.append(start)
        return start

    def left(self) -> bool:
        return next(self._noises, None) is not None

    def latent(self, channels: int, start_frame: int, frames: int) -> Tensor:
        raise NotImplementedError

    def exponential(self, step: int, size: int) -> Tensor:
        raise NotImplementedError


class _Replay:
    """Counts the calls of every part as upstream's capture did."""

    def __init__(self, case: Case, decoder: Cfm, reference: ReferenceFeatures) -> None:
        self.stages = Stages(case)
        self.noise = _Recording(case)
        self._case = case
        self._decoder = decoder
        self._reference = reference
        self._encoded = self._integrated = self._vocoded = 0

    def serial(self, items: Sequence[Item]) -> Iterator[Tensor]:
        """One waveform after the other; upstream encodes the prompt anew for each."""
        decoder, inputs = self._decoder, self._case.inputs
        for item in items:
            first = len(self.noise.starts)
            with listening(self._parts()) as heard:
                conditioning, prompt = self._prompt()
                features = self._features(item, conditioning)
                mels = [m for m in decoder.mels(features, prompt, self.noise, inputs.sample_steps) if m is not None]
            self._compare(heard, mels)
            samples = decoder.vocoder.samples(unscale_mel(torch.cat(mels, -1)))
            self.stages.compare("voc_out", self._vocoded, samples[None, None])
            self._vocoded += 1
            noise = RecordedNoise(starts=self.noise.starts[first:])
            tokens, phones = torch.tensor(item.tokens), torch.tensor(item.phones)
            speed, steps = inputs.speed_factor, inputs.sample_steps
            pieces = decoder.synthesize(tokens, phones, conditioning, noise, speed=speed, steps=steps)
            yield torch.cat(list(pieces))

    def overlapped(self, items: Sequence[Item]) -> list[Tensor]:
        """All waveforms of a batch."""
        decoder, steps = self._decoder, self._case.inputs.sample_steps
        with listening(self._parts()) as heard:
            conditioning, prompt = self._prompt()
            features = [self._features(item, conditioning) for item in items]
            mels, padding = overlapped_mels(decoder, torch.cat(features, -1), prompt, self.noise, steps)
        self._compare(heard, [mels])
        samples = decoder.vocoder.samples(unscale_mel(torch.cat(list(mels), -1)[None]))
        self.stages.compare("voc_out", self._vocoded, samples[None, None])
        self._vocoded += 1
        return join(decoder, mels, padding, [part.shape[-1] for part in features])

    def _prompt(self) -> tuple[Conditioning, FlowPrompt]:
        tokens, phones = torch.tensor(self._case.record.prompt_semantic), torch.tensor(self._case.prompt_phones)
        conditioning = self._decoder.conditioning([self._reference], tokens, phones)
        if conditioning.prompt is None:
            raise ValueError("a flow-matching decoder made no prompt")
        return conditioning, conditioning.prompt

    def _features(self, item: Item, conditioning: Conditioning) -> Tensor:
        tokens, phones = torch.tensor(item.tokens), torch.tensor(item.phones)
        return self._decoder.features(tokens, phones, conditioning.speaker, self._case.inputs.speed_factor)

    def _parts(self) -> dict[str, nn.Module]:
        decoder = self._decoder
        return {name: getattr(decoder.prior, part) for name, part in HIDDEN.items()} | {
            "ref_enc_out": decoder.reference.style,
            "bridge_out": decoder.condition.bridge,
            "wns1_out": decoder.condition,
            "dit_text": decoder.dit.text,
            "dit_joined": decoder.dit.joined_in,
            "dit": decoder.dit,
        }

    def _compare(self, heard: dict[str, list[Heard]], mels: Sequence[Tensor]) -> None:
        """Compares what one utterance or batch went through, and counts on."""
        stages, steps = self.stages, self._case.inputs.sample_steps
        for index, (_, speaker) in enumerate(heard["ref_enc_out"]):
            stages.compare("ref_enc_out", index, speaker)
        for name in HIDDEN:
            for index, (_, hidden) in enumerate(heard[name], self._encoded):
                stages.compare(name, index, hidden.transpose(1, 2))
        for index, ((hidden, *_), features) in enumerate(heard["wns1_out"], self._encoded):
            stages.compare("encp_x", index, hidden.transpose(1, 2))
            stages.compare("wns1_out", index, features)
        for index, (_, bridged) in enumerate(heard["bridge_out"], self._encoded):
            stages.compare("bridge_out", index, bridged)
        self._encoded += len(heard["wns1_out"])
        dit, bands = self._decoder.dit, self._decoder.config.dit.bands
        calls = zip(heard["dit_text"], heard["dit_joined"], heard["dit"][::steps], mels, strict=True)
        for (_, text), ((joined,), _), ((state, _, modulation, step), _), mel in calls:
            index, known = self._integrated, text.shape[1] - mel.shape[-1]
            prompt = joined[..., bands : 2 * bands]
            # The server does not work out what becomes of the prompt's frames: upstream throws it away.
            velocity = dit(F.pad(state, (0, 0, known, 0)), dit.surroundings(text, prompt, 0), modulation, step)
            stages.compare("noise", index, self.noise.starts[index])
            stages.compare("dit_text_every8", index, text[:, ::_EVERY])
            stages.compare("dit_step0", index, velocity)
            stages.compare("cfm_prompt", index, prompt[:1, :known].transpose(1, 2))
            stages.compare("cfm_out", index, F.pad(mel, (known, 0)))
            self._integrated += 1
