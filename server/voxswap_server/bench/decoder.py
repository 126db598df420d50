"""The decoder: real-time factor of one utterance in one go and in the pieces that a stream sends.

Knows nothing of T2S or of requests: the tokens are drawn at random.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import torch
from torch import Tensor

from voxswap_server.bench.options import Options
from voxswap_server.bench.report import Reference, Row
from voxswap_server.bench.timing import Clock, Sample, Series, interleaved, timed
from voxswap_server.bench.voices import VERSION, Workbench, sovits_half
from voxswap_server.engine.pipeline import PIECE_TOKENS
from voxswap_server.nn.decoder import Conditioning, Decoder
from voxswap_server.nn.decoders import faster_decoder, in_bfloat16, load_decoder
from voxswap_server.nn.native.compiler import processor
from voxswap_server.nn.native.team import Team
from voxswap_server.nn.noise import PhiloxNoise
from voxswap_store.layout_sovits import convert_sovits

TITLE: Final = "Decoder: tokens to samples"
_TOKENS, _QUICK_TOKENS = 75, 25


class Utterance:
    """A decoder and what it is to say."""

    def __init__(self, decoder: Decoder, speaker_width: int, tokens: int) -> None:
        random = torch.Generator().manual_seed(1)
        self._decoder = decoder
        self._tokens = torch.randint(0, 1024, (tokens,), generator=random)
        self._phones = torch.randint(1, 700, (max(1, tokens * 2 // 5),), generator=random)
        self._conditioning = Conditioning(torch.randn(1, speaker_width, 1, generator=random) * 0.5)
        self.audio_s = tokens * decoder.spec.samples_per_token / decoder.spec.sample_rate_hz

    def decode(self, piece_tokens: Sequence[int] = ()) -> int:
        """Decodes all of it; returns how many samples came."""
        noise = PhiloxNoise(1)
        pieces = self._decoder.synthesize(
            self._tokens, self._phones, self._conditioning, noise, piece_tokens=piece_tokens
        )
        return sum(piece.numel() for piece in pieces)

    def waveform(self) -> Tensor:
        """(samples,) All of it."""
        return torch.cat(list(self._decoder.synthesize(self._tokens, self._phones, self._conditioning, PhiloxNoise(1))))

    def first_piece(self, clock: Clock = time.perf_counter) -> float:
        """Seconds until the first piece is there."""
        begin = clock()
        pieces = self._decoder.synthesize(
            self._tokens, self._phones, self._conditioning, PhiloxNoise(1), piece_tokens=PIECE_TOKENS
        )
        next(iter(pieces))
        return clock() - begin


@torch.inference_mode()
def measure(options: Options, bench: Workbench) -> Iterator[Row]:
    """One utterance of three seconds (quick: one), as the decoder of a v2 voice makes it."""
    converted = convert_sovits(*sovits_half(bench.size), VERSION)
    tokens = _QUICK_TOKENS if options.quick else _TOKENS
    width = int(converted.config["style"]["out_width"])
    exact = load_decoder(converted.config, converted.tensors, team=Team(options.threads))
    utterance = Utterance(exact, width, tokens)
    work: dict[str, Sample] = {
        "whole": timed(utterance.decode, clock=options.clock),
        "pieces": timed(lambda: utterance.decode(PIECE_TOKENS), clock=options.clock),
        "first": lambda: utterance.first_piece(options.clock),
    }
    if processor().brain:
        rounded = Utterance(_in_bfloat16(converted.config, converted.tensors), width, tokens)
        work["bf16"] = timed(rounded.decode, clock=options.clock)
    found = interleaved(work, options.rounds)
    whole, pieces = (found[name].map(lambda s: s / utterance.audio_s) for name in ("whole", "pieces"))
    what = f"{utterance.audio_s:.0f} s of audio"
    yield Row("decoder", f"{what}, in one go", "RTF", whole)
    sizes = ", ".join(map(str, PIECE_TOKENS))
    yield Row("decoder", f"{what}, in pieces of {sizes} tokens", "RTF", pieces, reference=Reference("in one go", whole))
    yield Row("decoder", f"first piece, {PIECE_TOKENS[0]} tokens", "ms", found["first"].map(lambda s: 1e3 * s))
    if "bf16" in found:
        faster = found["bf16"].map(lambda s: s / utterance.audio_s)
        yield Row("decoder", f"{what}, waveform in bfloat16", "RTF", faster, reference=Reference("exact", whole))
        distance = Series((distance_db(utterance.waveform(), rounded.waveform()),))
        yield Row("decoder", "bfloat16: the exact waveform above what differs", "dB", distance, "higher")


def distance_db(exact: Tensor, other: Tensor) -> float:
    """Power of one waveform over the power of its difference from another."""
    return float(10 * torch.log10(exact.square().mean() / (exact - other).square().mean()))


def _in_bfloat16(config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Decoder:
    dtypes = {True: torch.bfloat16, False: torch.float32}
    return faster_decoder(config, {name: tensor.to(dtypes[in_bfloat16(name)]) for name, tensor in tensors.items()})
