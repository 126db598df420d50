"""The decoder of v1, v2, v2Pro and v2ProPlus: speaker, prior, flow, waveform, and the samples that come out.

Replays upstream's joint decodes: at speed 1 all utterances of a batch are decoded in one pass and cut apart by their
token counts; at other speeds each alone.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from voxswap_server.nn.reference import ReferenceFeatures
from voxswap_server.nn.vits import Vits
from voxswap_server.parity.cases import Case
from voxswap_server.parity.compare import Row, failed
from voxswap_server.parity.replay_decoder import HIDDEN, Item, Samples, Stages, items_of, listening, noises, samples_row


@torch.inference_mode()
def replay_vits(case: Case, decoder: Vits, references: Sequence[ReferenceFeatures]) -> list[Row]:
    """Rows of the speaker, of every stored stage of the decodes, and of the samples.

    Args:
        case: what to replay; upstream's own tokens and phones are used.
        decoder: the network.
        references: the main one, then the auxiliary ones.
    """
    stages = Stages(case)
    speaker = _speaker(case, decoder, references, stages)
    if case.streams:
        unreplayed = [name for name in case.unused() if not name.startswith("s1_")]
        case.used.update(unreplayed)
        return [
            *stages.rows(),
            *(failed(case.name, _stage_of(name), "streaming is not replayed") for name in unreplayed),
        ]
    pieces: dict[int, list[Samples]] = {}
    recorded = noises(case)
    groups = list(_groups(case))
    for index, items in enumerate(groups):
        noise = next(recorded, None)
        if noise is None:
            return [*stages.rows(), failed(case.name, "noise", f"{len(groups)} decodes, upstream had {index}")]
        samples = _decode(case, decoder, items, speaker, noise, index, stages)
        for item, piece in zip(items, _cut(case, samples, items, decoder), strict=True):
            pieces.setdefault(item.segment, []).append(piece)
    if next(recorded, None) is not None:
        return [*stages.rows(), failed(case.name, "noise", "upstream decoded more often")]
    return [*stages.rows(), samples_row(case, pieces)]


def _speaker(case: Case, decoder: Vits, references: Sequence[ReferenceFeatures], stages: Stages) -> Tensor:
    speaker = decoder.conditioning(references).speaker
    calls = len(case.record.capture_shapes.get("ref_enc_out", ())) or len(references)
    for index in range(calls):  # every decode encodes all references anew
        stages.compare("ref_enc_out", index, decoder.reference.style(references[index % len(references)].spectrum))
        stages.compare("ge", index, speaker)
    return speaker


def _groups(case: Case) -> Iterator[list[Item]]:
    """Utterances of each decode, in upstream's order."""
    for call in case.calls():
        items = items_of(case, call)
        if case.inputs.speed_factor == 1:
            yield items
        else:
            yield from ([item] for item in items)


def _decode(
    case: Case, decoder: Vits, items: Sequence[Item], speaker: Tensor, noise: Tensor, index: int, stages: Stages
) -> Samples:
    tokens = torch.tensor([token for item in items for token in item.tokens])
    phones = torch.tensor([phone for item in items for phone in item.phones])
    with listening({name: getattr(decoder.prior, part) for name, part in HIDDEN.items()}) as heard:
        mean, log_std = decoder.encode(tokens, phones, speaker, case.inputs.speed_factor)
    for name, ((_, hidden),) in heard.items():
        stages.compare(name, index, hidden.transpose(1, 2))
    stages.compare("m_p", index, mean)
    stages.compare("logs_p", index, log_std)
    stages.compare("noise", index, noise)
    frames = decoder.flow(decoder.latent(mean, log_std, noise), speaker)
    stages.compare("z", index, frames)
    samples = decoder.generate(frames, speaker)
    stages.compare("audio", index, samples)
    return samples.numpy()


def _cut(case: Case, samples: Samples, items: Sequence[Item], decoder: Vits) -> list[Samples]:
    """The pieces of a joint decode."""
    if len(items) == 1 and case.inputs.speed_factor != 1:
        return [samples]
    ends = np.cumsum([len(item.tokens) for item in items]) * decoder.spec.samples_per_token
    return np.split(samples, ends)[:-1]


def _stage_of(array: str) -> str:
    return "int16" if array == "audio_int16" else array.rpartition("_")[0]
