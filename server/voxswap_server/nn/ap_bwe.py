"""AP-BWE: audio with half the band to audio with all of it (Lu et al. 2024), upstream's super-sampling of v3.

Two streams of ConvNeXt blocks look at magnitude and phase of a spectrum, tell each other what they see, and add what is
missing above. Knows nothing of voices, of utterances or of what pauses are. Each sample depends on the signal within
`reach_frames` of it and on nothing else, so a signal can be made piece by piece with exactly that much context.
"""

import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchaudio.functional import resample

from voxswap_server.nn.adopt import parse_config
from voxswap_server.nn.pretrained import load_network, read_config

SEGMENT_FRAMES: Final = (180, 300, 600)
"""How much of a signal each pass makes (at 600 frames a second): small first ones are heard early, larger ones spend
less on their context. The last number repeats."""
WHOLE: Final = (math.inf,)
"""All of a signal in one pass."""
_KERNEL: Final = 7
_NORM_EPSILON: Final = 1e-6
_LEAST_MAGNITUDE: Final = 1e-4
"""Added to magnitudes before their logarithm is taken."""
_FILTER_SAMPLES: Final = 8
"""Input samples on either side that torchaudio's resampling looks at when the rate rises."""


@dataclass(frozen=True, slots=True)
class ApBweConfig:
    width: int
    inner_width: int
    """Of a block, between its two linear layers."""
    layers: int
    fft_samples: int
    hop_samples: int
    window_samples: int
    in_hz: int
    out_hz: int

    def __post_init__(self) -> None:
        if self.out_hz % self.in_hz or self.hop_samples % (self.out_hz // self.in_hz):
            raise ValueError(f"{self.in_hz} Hz and a hop of {self.hop_samples} samples at {self.out_hz} Hz do not fit")

    @property
    def ratio(self) -> int:
        """Output samples for one input sample."""
        return self.out_hz // self.in_hz

    @property
    def reach_frames(self) -> int:
        """Frames on either side of a sample that it depends on: resampling, analysis, network, synthesis."""
        window = -(-self.window_samples // 2 // self.hop_samples)
        return -(-_FILTER_SAMPLES * self.ratio // self.hop_samples) + 2 * window + (_KERNEL // 2) * (self.layers + 1)


class Block(nn.Module):
    """A ConvNeXt block over time: (B, C, T) -> (B, C, T)."""

    def __init__(self, width: int, inner_width: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv1d(width, width, _KERNEL, padding=_KERNEL // 2, groups=width)
        self.norm = nn.LayerNorm(width, eps=_NORM_EPSILON)
        self.widen = nn.Linear(width, inner_width)
        self.narrow = nn.Linear(inner_width, width)
        self.scale = nn.Parameter(torch.empty(width))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.depthwise(x).mT)  # (B, T, C)
        y = self.narrow(F.gelu(self.widen(y))) * self.scale
        return x + y.mT


class Stream(nn.Module):
    """One of the two: what it is told (B, bins, T) on its way in, what it has found (B, T, C) on its way out."""

    def __init__(self, config: ApBweConfig) -> None:
        super().__init__()
        bins, width = config.fft_samples // 2 + 1, config.width
        self.pre = nn.Conv1d(bins, width, _KERNEL, padding=_KERNEL // 2)
        self.pre_norm = nn.LayerNorm(width, eps=_NORM_EPSILON)
        self.blocks = nn.ModuleList(Block(width, config.inner_width) for _ in range(config.layers))
        self.post_norm = nn.LayerNorm(width, eps=_NORM_EPSILON)

    def enter(self, spectrum: Tensor) -> Tensor:
        return self.pre_norm(self.pre(spectrum).mT).mT

    def leave(self, x: Tensor) -> Tensor:
        return self.post_norm(x.mT)


class ApBwe(nn.Module):
    """Log magnitudes and phases, narrow to wide."""

    def __init__(self, config: ApBweConfig) -> None:
        super().__init__()
        bins = config.fft_samples // 2 + 1
        self.magnitude = Stream(config)
        self.phase = Stream(config)
        self.magnitude_out = nn.Linear(config.width, bins)
        self.real_out = nn.Linear(config.width, bins)
        self.imaginary_out = nn.Linear(config.width, bins)

    def steps(self, log_magnitude: Tensor, phase: Tensor) -> Generator[None, None, tuple[Tensor, Tensor]]:
        """(B, bins, T) and (B, bins, T) in radians -> the same two; yields before each layer, for others to go on."""
        loud, turned = self.magnitude.enter(log_magnitude), self.phase.enter(phase)
        for loud_block, turned_block in zip(self.magnitude.blocks, self.phase.blocks, strict=True):
            yield
            loud = loud + turned
            turned = turned + loud  # of the sum, not of what was there before it
            loud, turned = loud_block(loud), turned_block(turned)
        yield
        loud, turned = self.magnitude.leave(loud), self.phase.leave(turned)
        angle = torch.atan2(self.imaginary_out(turned), self.real_out(turned))
        return log_magnitude + self.magnitude_out(loud).mT, angle.mT


class SuperSampler:
    """A wave in, the same at a higher rate and with a wider band out.

    Args:
        network: the two streams.
        config: what it was made from.
    """

    def __init__(self, network: ApBwe, config: ApBweConfig) -> None:
        self._network = network
        self.config = config

    @classmethod
    def from_directory(
        cls, directory: Path, *, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
    ) -> Self:
        """Reads a directory with `config.json` and `model.safetensors`, as `layout_ap_bwe` translates it.

        Raises:
            OSError: a file cannot be read.
            ValueError: tensors and config do not fit each other.
        """
        config = parse_config(ApBweConfig, read_config(directory))
        return cls(load_network(lambda: ApBwe(config), directory, dtype=dtype, device=device), config)

    @property
    def modules(self) -> tuple[nn.Module, ...]:
        return (self._network,)

    def samples(self, wave: Tensor) -> Tensor:
        """As `steps`, at once."""
        steps = self.steps(wave)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                made: Tensor = end.value
                return made

    def steps(self, wave: Tensor) -> Generator[None, None, Tensor]:
        """(n,) at `in_hz` -> (n * ratio,) at `out_hz`, both in -1..1; n is at least 1. A layer at a step.

        Upstream `AP_BWE.__call__`, but for the end: upstream drops what its last hop does not fill.
        """
        config, weight = self.config, next(self._network.parameters())
        least = config.fft_samples // 2 // config.ratio + 1  # what a spectrum can mirror at its ends
        padded = F.pad(wave.to(weight), (0, max(0, least - wave.numel())))
        raised = resample(padded[None], config.in_hz, config.out_hz)
        window = torch.hann_window(config.window_samples, dtype=weight.dtype, device=weight.device)
        shape = (config.fft_samples, config.hop_samples, config.window_samples, window)
        narrow = torch.stft(raised, *shape, return_complex=True)
        spectrum = torch.log(narrow.abs() + _LEAST_MAGNITUDE), narrow.angle()
        log_magnitude, phase = yield from self._network.steps(*spectrum)
        wide = torch.polar(log_magnitude.exp(), phase)
        made = torch.istft(wide, *shape, length=raised.shape[-1])
        return made[0, : wave.numel() * config.ratio]


class SuperSampledSignal:
    """A signal that arrives in portions; what is made of it equals one pass over all of it, but for rounding.

    Passes are cut at places that are counted from the beginning of the signal, so how it arrives changes no bit. The
    network itself is touchy: a phase that rounding turns from pi to -pi is another phase to it.

    Args:
        network: makes the samples.
        sizes: frames of each pass; the last number repeats. `WHOLE` is one pass over all of it, as upstream makes it.
    """

    def __init__(self, network: SuperSampler, sizes: Sequence[float] = SEGMENT_FRAMES) -> None:
        self._network = network
        self._sizes = list(sizes)
        self._hop = network.config.hop_samples // network.config.ratio
        self._reach = network.config.reach_frames * self._hop
        self._kept = torch.zeros(0)
        """From the context of the next pass on."""
        self._first = 0
        """Place of the first sample that is kept."""
        self._made = 0
        """Input samples that are made already."""

    @property
    def _known(self) -> int:
        return self._first + self._kept.numel()

    def push(self, samples: Tensor) -> None:
        """Adds (n,) samples at the rate of the input."""
        self._kept = torch.cat((self._kept, samples))

    def ready(self, *, final: bool) -> bool:
        """Whether there is anything to make for certain.

        Args:
            final: nothing will be pushed any more, so whatever is left.
        """
        if final:
            return self._made < self._known
        return self._known >= self._made + self._sizes[0] * self._hop + self._reach

    def make(self) -> Generator[None, None, Tensor]:
        """The next pass, which must be ready: (samples,) at the rate of the output. As `SuperSampler.steps`."""
        ratio, start = self._network.config.ratio, self._made
        stop = int(min(self._known, start + self._sizes[0] * self._hop))
        left, right = max(0, start - self._reach), min(self._known, stop + self._reach)
        made = yield from self._network.steps(self._kept[left - self._first : right - self._first])
        self._made, before = stop, max(0, stop - self._reach)
        self._kept, self._first = self._kept[before - self._first :], before
        if len(self._sizes) > 1:
            del self._sizes[0]
        return made[(start - left) * ratio : (stop - left) * ratio]
