"""What a request leaves open is filled in: by the voice's manifest, then by upstream's defaults (SPEC §8).

A pure function of the two.
"""

from dataclasses import dataclass
from typing import TypeVar

from voxswap_server.domain import CutMethod, SynthesisRequest
from voxswap_server.engine.pipeline import SpeechParams
from voxswap_server.engine.voice import Voice
from voxswap_server.nn.decoder import DEFAULT_STEPS
from voxswap_server.nn.sampling import Sampling

DEFAULT_PAUSE_S = 0.3
DEFAULT_CUT = CutMethod.PUNCTUATION

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Parameters:
    cut: CutMethod
    speech: SpeechParams


def resolve(request: SynthesisRequest, voice: Voice, *, seed: int) -> Parameters:
    """Every parameter of a request; `seed` is used if it brings none."""
    asked, usual, plain = request.sampling, voice.manifest.defaults, Sampling()
    sampling = Sampling(
        top_k=_first(asked.top_k, usual.top_k, plain.top_k),
        top_p=_first(asked.top_p, usual.top_p, plain.top_p),
        temperature=_first(asked.temperature, usual.temperature, plain.temperature),
        repetition_penalty=_first(asked.repetition_penalty, usual.repetition_penalty, plain.repetition_penalty),
    )
    return Parameters(
        cut=_first(request.cut_method, usual.cut_method, DEFAULT_CUT),
        speech=SpeechParams(
            sampling=sampling,
            seed=_first(asked.seed, None, seed),
            speed=request.speaking_rate,
            pause_s=_first(request.pause_s, usual.pause_s, DEFAULT_PAUSE_S),
            sample_steps=_first(request.sample_steps, usual.sample_steps, DEFAULT_STEPS),
            exact=request.exact or request.unary,
            live=not request.unary,
            align=bool(request.timestamps),
        ),
    )


def _first(asked: T | None, usual: T | None, plain: T) -> T:
    if asked is not None:
        return asked
    return plain if usual is None else usual
