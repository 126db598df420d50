"""Several utterances through a flow-matching decoder at once, in chunks of one batch (upstream's parallel_infer).

The chunks overlap, all of them follow the reference prompt, and their sounds are joined by overlap-add. Faster than
chunk after chunk where the device has room for a batch; what an utterance sounds like depends on its neighbours, so the
engine does not use it. Knows nothing of text.
"""

from collections.abc import Generator, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from voxswap_server.nn import sola
from voxswap_server.nn.cfm import Cfm
from voxswap_server.nn.decoder import FlowPrompt
from voxswap_server.nn.noise import NoiseSource
from voxswap_server.nn.reference import unscale_mel


def synthesize_overlapped(
    decoder: Cfm, features: Sequence[Tensor], prompt: FlowPrompt, noise: NoiseSource, steps: int
) -> list[Tensor]:
    """One waveform (samples,) for each utterance.

    The last one is short by as many samples as overlap-add shifted the chunks by.

    Args:
        decoder: of v3 or v4.
        features: of each utterance (1, C, frames), from `decoder.features`.
        prompt: of the conditioning.
        noise: asked once, for the whole batch.
        steps: of the integration.
    """
    layout, vocoder = decoder.layout, decoder.vocoder
    prompt_frames = prompt.mel.shape[-1]
    chunks, padding = _chunks(torch.cat(list(features), -1), layout.chunk_frames - prompt_frames, layout.overlap_frames)
    condition = torch.cat((prompt.features.expand(len(chunks), -1, -1), chunks), -1)
    start = noise.cfm(0, (len(chunks), decoder.config.dit.bands, condition.shape[-1]))
    mels = _returned(decoder.integrate(condition, prompt.mel, start, steps))[..., prompt_frames:]
    mel = torch.cat(list(unscale_mel(mels)), -1)[None]
    per_frame = vocoder.samples_per_frame
    pieces = vocoder.samples(mel).view(len(chunks), -1)
    joined = sola.merge(list(pieces), layout.overlap_frames * per_frame)
    spoken = joined[layout.overlap_frames * per_frame : len(joined) - padding * per_frame]
    ends = torch.tensor([part.shape[-1] for part in features]).cumsum(0) * per_frame
    return list(spoken.tensor_split([int(end) for end in ends[:-1]]))


def _returned(steps: Generator[None, None, Tensor]) -> Tensor:
    """Goes through all steps."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def _chunks(features: Tensor, size: int, overlap: int) -> tuple[Tensor, int]:
    """(1, C, F) -> (chunks, C, size), and how many frames of the last chunk are padding.

    The first chunk begins with `overlap` empty frames; each other one with the end of the one before it.
    """
    padded = F.pad(features, (overlap, 0))
    step = size - overlap
    count = 1 + max(0, -(-(padded.shape[-1] - size) // step))
    padding = size + (count - 1) * step - padded.shape[-1]
    return F.pad(padded, (0, padding)).unfold(-1, size, step)[0].transpose(0, 1), padding
