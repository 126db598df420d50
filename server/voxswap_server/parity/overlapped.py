"""Several utterances through a flow-matching decoder at once, in chunks of one batch (upstream's parallel_infer).

The chunks overlap, all of them follow the reference prompt, and their sounds are joined by overlap-add. Faster than
chunk after chunk where the device has room for a batch; what an utterance sounds like depends on its neighbours, so the
engine does not use it: it is here to replay upstream's runs. Knows nothing of text.
"""

from collections.abc import Generator, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from voxswap_server.nn.cfm import Cfm
from voxswap_server.nn.decoder import FlowPrompt
from voxswap_server.nn.noise import NoiseSource
from voxswap_server.nn.reference import unscale_mel
from voxswap_server.parity import sola


def overlapped_mels(
    decoder: Cfm, features: Tensor, prompt: FlowPrompt, noise: NoiseSource, steps: int
) -> tuple[Tensor, int]:
    """Mel (chunks, bands, frames) of overlapping chunks; how many frames of the last one are padding.

    Args:
        decoder: of v3 or v4.
        features: of all utterances (1, C, F), from `decoder.features`.
        prompt: of the conditioning.
        noise: asked once, for the whole batch.
        steps: of the integration.
    """
    prompt_frames = prompt.mel.shape[-1]
    chunks, padding = _chunks(features, decoder.layout.chunk_frames - prompt_frames, decoder.layout.overlap_frames)
    condition = torch.cat((prompt.features.expand(len(chunks), -1, -1), chunks), -1)
    start = noise.cfm(0, (len(chunks), decoder.config.dit.bands, condition.shape[-1]))
    modulation = decoder.dit.modulations(steps)
    return _returned(decoder.integrate(condition, prompt.mel, start, modulation)), padding


def join(decoder: Cfm, mels: Tensor, padding: int, lengths: Sequence[int]) -> list[Tensor]:
    """Waveforms (samples,) of utterances that are `lengths` frames long, from the mels of overlapping chunks.

    The last one is short by as many samples as overlap-add shifted the chunks by.
    """
    per_frame, overlap = decoder.vocoder.samples_per_frame, decoder.layout.overlap_frames
    samples = decoder.vocoder.samples(torch.cat(list(unscale_mel(mels)), -1)[None])
    joined = sola.merge(list(samples.view(len(mels), -1)), overlap * per_frame)
    spoken = joined[overlap * per_frame : len(joined) - padding * per_frame]
    ends = torch.tensor(lengths).cumsum(0) * per_frame
    return list(spoken.tensor_split([int(end) for end in ends[:-1]]))


def _returned(steps: Generator[None, None, Tensor]) -> Tensor:
    """Goes through all steps."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            whole: Tensor = end.value
            return whole


def _chunks(features: Tensor, size: int, overlap: int) -> tuple[Tensor, int]:
    """(1, C, F) -> (chunks, C, size), and how many frames of the last chunk are padding.

    The first chunk begins with `overlap` empty frames; each other one with the end of the one before it.
    """
    padded = F.pad(features, (overlap, 0))
    step = size - overlap
    count = 1 + max(0, -(-(padded.shape[-1] - size) // step))
    padding = size + (count - 1) * step - padded.shape[-1]
    return F.pad(padded, (0, padding)).unfold(-1, size, step)[0].transpose(0, 1), padding
