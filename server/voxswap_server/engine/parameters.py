"""What a request leaves open is filled in: by the voice's manifest, then by upstream's defaults (SPEC §8).

A pure function of the two.
"""

from dataclasses import dataclass
from typing import TypeVar

from voxswap_server.domain import CutMethod, SynthesisRequest
from voxswap_server.engine.pipeline import SpeechParams
from voxswap_server.engine.voice import Voice
from voxswap_server.errors import RequestError
from voxswap_server.nn.decoder import DEFAULT_STEPS
from voxswap_server.nn.sampling import Sampling
from voxswap_server.nn.specs import SPECS, VersionSpec

DEFAULT_PAUSE_S = 0.3
DEFAULT_CUT = CutMethod.PUNCTUATION

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Parameters:
    cut: CutMethod
    speech: SpeechParams
    rate_hz: int
    """Of the audio as it is made."""
    super_sampled: bool = False
    """It is made at the voice's rate and then raised to `rate_hz`."""


def resolve(request: SynthesisRequest, voice: Voice, *, seed: int) -> Parameters:
    """Every parameter of a request; `seed` is used if it brings none.

    Raises:
        RequestError: the voice cannot be super-sampled.
    """
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
        rate_hz=_rate_hz(request, voice.spec),
        super_sampled=request.super_sampling,
    )


def _rate_hz(request: SynthesisRequest, spec: VersionSpec) -> int:
    if not request.super_sampling:
        return spec.sample_rate_hz
    if spec.super_sampled_hz is None:
        can = ", ".join(one.version for one in SPECS.values() if one.super_sampled_hz is not None)
        raise RequestError(
            f"voice {request.voice_id!r} of {spec.version} speaks at {spec.sample_rate_hz} Hz and cannot be "
            f"super-sampled; voices that can: those of {can}",
            field="super_sampling",
        )
    return spec.super_sampled_hz


def _first(asked: T | None, usual: T | None, plain: T) -> T:
    if asked is not None:
        return asked
    return plain if usual is None else usual
