"""The SoVITS decoder as it is trained: upstream's parameter names, padding masks, gradients.

`nn/vits.py` of the server is the same network as it is used; `tests/training` holds the two together. Weights are
plain here; the export writes them under weight norm, as upstream has them. Widths are free where upstream's code fixes
them (content, MRTE, couplings): the importer takes every width from the tensors. Knows nothing of data and losses.
"""

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

REFERENCE_BINS = 704
_NOISE_SCALE = 0.5
_FIRST_LOG_STD = -2.0
"""Training starts with little noise."""
_MRTE_HEADS = 4
_STYLE_HEADS = 2
_WINDOW = 4
_SLOPE, _LAST_SLOPE = 0.1, 0.01


@dataclass(frozen=True, slots=True)
class SovitsShape:
    content_width: int = 256
    tokens: int = 1024
    phones: int = 732
    hidden_channels: int = 192
    filter_channels: int = 256
    n_heads: int = 2
    n_layers: int = 2
    kernel_size: int = 3
    inter_channels: int = 162
    """Of the generator's input: the channels of `MelFrames`."""
    gin_channels: int = 256
    """Also the width of the MRTE."""
    style_width: int = 128
    couplings: int = 2
    flow_width: int = 128
    flow_layers: int = 2
    upsample_initial_channel: int = 256
    upsample_rates: tuple[int, ...] = (10, 8, 8)
    upsample_kernel_sizes: tuple[int, ...] = (20, 16, 16)
    resblock_kernel_sizes: tuple[int, ...] = (3,)
    resblock_dilation_sizes: tuple[tuple[int, ...], ...] = ((1, 3, 9),)

    def upstream(self) -> dict[str, Any]:
        """The `config` of a checkpoint."""
        model = asdict(self)
        for ours in ("content_width", "tokens", "phones", "style_width", "couplings", "flow_width", "flow_layers"):
            del model[ours]
        model |= {name: [list(x) if isinstance(x, tuple) else x for x in value] for name, value in model.items()
                  if isinstance(value, tuple)}  # fmt: skip
        model |= {"resblock": "1", "p_dropout": 0.0, "use_spectral_norm": False, "semantic_frame_rate": "25hz"}
        data = {
            "filter_length": 2048,
            "sampling_rate": 32_000,
            "hop_length": 640,
            "win_length": 2048,
            "n_speakers": 300,
        }
        return {"data": data, "train": {"segment_size": 20_480}, "model": model | {"version": "v2"}}


class _Norm(nn.Module):
    """Over channels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))
        self.beta = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T) -> (B, C, T)."""
        return F.layer_norm(x.transpose(1, 2), self.gamma.shape, self.gamma, self.beta, 1e-5).transpose(1, 2)


def _square(width: int) -> nn.Conv1d:
    conv = nn.Conv1d(width, width, 1)
    nn.init.xavier_uniform_(conv.weight)
    return conv


class _RelativeAttention(nn.Module):
    def __init__(self, shape: SovitsShape) -> None:
        super().__init__()
        width, self.heads = shape.hidden_channels, shape.n_heads
        self.conv_q, self.conv_k, self.conv_v, self.conv_o = (_square(width) for _ in range(4))
        head = width // self.heads
        self.emb_rel_k = nn.Parameter(torch.randn(1, 2 * _WINDOW + 1, head) * head**-0.5)
        self.emb_rel_v = nn.Parameter(torch.randn(1, 2 * _WINDOW + 1, head) * head**-0.5)

    def forward(self, x: Tensor, blocked: Tensor) -> Tensor:
        """(B, C, T), blocked keys (B, 1, 1, T) -> (B, C, T)."""
        B, C, T = x.shape
        q, k, v = (
            conv(x).view(B, self.heads, -1, T).transpose(2, 3) for conv in (self.conv_q, self.conv_k, self.conv_v)
        )
        q = q * q.shape[-1] ** -0.5
        place = torch.arange(T, device=x.device)
        offset = place[None] - place[:, None]  # (T, T): key - query
        near = offset.abs() <= _WINDOW
        column = (offset.clamp(-_WINDOW, _WINDOW) + _WINDOW).expand(B, self.heads, T, T)
        bias = (q @ self.emb_rel_k[0].T).gather(-1, column) * near
        scores = (q @ k.transpose(-1, -2) + bias).masked_fill(blocked, -1e4)
        weights = scores.softmax(-1)
        around = place[:, None] + torch.arange(-_WINDOW, _WINDOW + 1, device=x.device)
        inside = (around >= 0) & (around < T)
        band = weights.gather(-1, around.clamp(0, T - 1).expand(B, self.heads, T, -1)) * inside
        mixed = weights @ v + band @ self.emb_rel_v[0]
        return self.conv_o(mixed.transpose(2, 3).reshape(B, C, T))


class _FeedForward(nn.Module):
    def __init__(self, shape: SovitsShape) -> None:
        super().__init__()
        width, inner, kernel = shape.hidden_channels, shape.filter_channels, shape.kernel_size
        self.conv_1 = nn.Conv1d(width, inner, kernel, padding=kernel // 2)
        self.conv_2 = nn.Conv1d(inner, width, kernel, padding=kernel // 2)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return self.conv_2(F.relu(self.conv_1(x * mask)) * mask) * mask


class _Encoder(nn.Module):
    def __init__(self, shape: SovitsShape, layers: int) -> None:
        super().__init__()
        width = shape.hidden_channels
        self.attn_layers = nn.ModuleList(_RelativeAttention(shape) for _ in range(layers))
        self.norm_layers_1 = nn.ModuleList(_Norm(width) for _ in range(layers))
        self.ffn_layers = nn.ModuleList(_FeedForward(shape) for _ in range(layers))
        self.norm_layers_2 = nn.ModuleList(_Norm(width) for _ in range(layers))

    def forward(self, x: Tensor, mask: Tensor, dropout: float) -> Tensor:
        """(B, C, T), mask (B, 1, T) -> (B, C, T)."""
        blocked = mask[:, None] == 0
        x = x * mask
        for attend, norm1, feed, norm2 in zip(
            self.attn_layers, self.norm_layers_1, self.ffn_layers, self.norm_layers_2, strict=True
        ):
            x = norm1(x + F.dropout(attend(x, blocked), dropout, self.training))
            x = norm2(x + F.dropout(feed(x, mask), dropout, self.training))
        return x * mask


class _CrossAttention(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv_q, self.conv_k, self.conv_v, self.conv_o = (_square(width) for _ in range(4))

    def forward(self, x: Tensor, memory: Tensor, blocked: Tensor) -> Tensor:
        """(B, C, T), (B, C, P), blocked keys (B, 1, 1, P) -> (B, C, T)."""

        def split(y: Tensor) -> Tensor:
            return y.view(len(y), _MRTE_HEADS, -1, y.shape[-1]).transpose(2, 3)

        q, k, v = split(self.conv_q(x)), split(self.conv_k(memory)), split(self.conv_v(memory))
        mixed = F.scaled_dot_product_attention(q, k, v, ~blocked)
        return self.conv_o(mixed.transpose(2, 3).reshape(x.shape))


class _Mrte(nn.Module):
    def __init__(self, shape: SovitsShape) -> None:
        super().__init__()
        width = shape.gin_channels
        self.cross_attention = _CrossAttention(width)
        self.c_pre = nn.Conv1d(shape.hidden_channels, width, 1)
        self.text_pre = nn.Conv1d(shape.hidden_channels, width, 1)
        self.c_post = nn.Conv1d(width, shape.hidden_channels, 1)

    def forward(self, content: Tensor, mask: Tensor, text: Tensor, text_mask: Tensor, speaker: Tensor) -> Tensor:
        content, text = self.c_pre(content * mask), self.text_pre(text * text_mask)
        x = self.cross_attention(content * mask, text * text_mask, text_mask[:, None] == 0) + content + speaker
        return self.c_post(x * mask)


class _Prior(nn.Module):
    """enc_p."""

    def __init__(self, shape: SovitsShape) -> None:
        super().__init__()
        width = shape.hidden_channels
        self.ssl_proj = nn.Conv1d(shape.content_width, width, 1)
        self.encoder_ssl = _Encoder(shape, shape.n_layers // 2)
        self.text_embedding = nn.Embedding(shape.phones, width)
        self.encoder_text = _Encoder(shape, shape.n_layers)
        self.mrte = _Mrte(shape)
        self.encoder2 = _Encoder(shape, shape.n_layers // 2)
        self.proj = nn.Conv1d(width, 2 * shape.inter_channels, 1)
        quiet = torch.full((shape.inter_channels,), _FIRST_LOG_STD)
        self.proj.bias = nn.Parameter(torch.cat([torch.zeros(shape.inter_channels), quiet]))

    def forward(
        self, content: Tensor, mask: Tensor, phones: Tensor, text_mask: Tensor, speaker: Tensor, dropout: float
    ) -> tuple[Tensor, Tensor]:
        x = self.encoder_ssl(self.ssl_proj(content) * mask, mask, dropout)
        text = self.encoder_text(self.text_embedding(phones).transpose(1, 2), text_mask, dropout)
        x = self.encoder2(self.mrte(x, mask, text, text_mask, speaker), mask, dropout)
        mean, log_std = (self.proj(x) * mask).chunk(2, 1)
        return mean, log_std


class _Named(nn.Module):
    """A layer one name deeper, as upstream has it."""

    def __init__(self, name: str, layer: nn.Module) -> None:
        super().__init__()
        self.name = name
        self.add_module(name, layer)

    def forward(self, x: Tensor) -> Tensor:
        layer: nn.Module = getattr(self, self.name)
        return layer(x)


class _StyleAttention(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.w_qs, self.w_ks, self.w_vs, self.fc = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C); divided by the root of the whole width, as upstream does."""
        B, T, C = x.shape
        q, k, v = (layer(x).view(B, T, _STYLE_HEADS, -1).transpose(1, 2) for layer in (self.w_qs, self.w_ks, self.w_vs))
        mixed = F.scaled_dot_product_attention(q, k, v, scale=C**-0.5)
        return self.fc(mixed.transpose(1, 2).reshape(B, T, C))


class _Style(nn.Module):
    """ref_enc."""

    def __init__(self, shape: SovitsShape) -> None:
        super().__init__()
        width = shape.style_width
        first, second = _Named("fc", nn.Linear(REFERENCE_BINS, width)), _Named("fc", nn.Linear(width, width))
        self.spectral = nn.ModuleDict({"0": first, "3": second})
        self.temporal = nn.ModuleList(
            _Named("conv1", _Named("conv", nn.Conv1d(width, 2 * width, 5, padding=2))) for _ in range(2)
        )
        self.slf_attn = _StyleAttention(width)
        self.fc = _Named("fc", nn.Linear(width, shape.gin_channels))

    def forward(self, spectrum: Tensor) -> Tensor:
        """(B, REFERENCE_BINS, F) -> (B, gin, 1)."""
        x = spectrum.transpose(1, 2)
        x = F.mish(self.spectral["0"](x))
        x = F.mish(self.spectral["3"](x)).transpose(1, 2)
        for conv in self.temporal:
            x = x + F.glu(conv(x), 1)
        x = x.transpose(1, 2)
        x = x + self.slf_attn(x)
        return self.fc(x).mean(1).unsqueeze(-1)


class _Wn(nn.Module):
    def __init__(self, shape: SovitsShape) -> None:
        super().__init__()
        width, layers = shape.flow_width, shape.flow_layers
        self.cond_layer = nn.Conv1d(shape.gin_channels, 2 * width * layers, 1)
        self.in_layers = nn.ModuleList(nn.Conv1d(width, 2 * width, 5, padding=2) for _ in range(layers))
        self.res_skip_layers = nn.ModuleList(
            nn.Conv1d(width, width if layer == layers - 1 else 2 * width, 1) for layer in range(layers)
        )

    def forward(self, x: Tensor, mask: Tensor, speaker: Tensor) -> Tensor:
        total = torch.zeros_like(x)
        shifts = self.cond_layer(speaker).chunk(len(self.in_layers), 1)
        for gate, out, shift in zip(self.in_layers, self.res_skip_layers, shifts, strict=True):
            a, b = (gate(x) + shift).chunk(2, 1)
            y = out(torch.tanh(a) * torch.sigmoid(b))
            if y.shape[1] == x.shape[1]:
                total = total + y
            else:
                residual, skip = y.chunk(2, 1)
                x = (x + residual) * mask
                total = total + skip
        return total * mask


class _Coupling(nn.Module):
    def __init__(self, shape: SovitsShape) -> None:
        super().__init__()
        half = shape.inter_channels // 2
        self.pre = nn.Conv1d(half, shape.flow_width, 1)
        self.enc = _Wn(shape)
        self.post = nn.Conv1d(shape.flow_width, half, 1)
        nn.init.zeros_(self.post.weight)
        nn.init.zeros_(self.post.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, mask: Tensor, speaker: Tensor) -> Tensor:
        return self.post(self.enc(self.pre(x) * mask, mask, speaker)) * mask


class _Flow(nn.Module):
    """From the prior's space to the generator's, the only direction there is here."""

    def __init__(self, shape: SovitsShape) -> None:
        super().__init__()
        self.flows = nn.ModuleDict({str(2 * index): _Coupling(shape) for index in range(shape.couplings)})

    def forward(self, z: Tensor, mask: Tensor, speaker: Tensor) -> Tensor:
        for coupling in reversed(list(self.flows.values())):
            first, second = z.flip(1).chunk(2, 1)
            z = torch.cat((first, second - coupling(first, mask, speaker)), 1)
        return z


class _Along(nn.Conv1d):
    """Over time on (B, C, 1, T): with channels last, narrow layers take a CPU two thirds of the time."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the base class names it
        weight, padding, dilation = self.weight[:, :, None], (0, *self.padding), (1, *self.dilation)
        return F.conv2d(input, weight, self.bias, padding=padding, dilation=dilation)


class _Longer(nn.ConvTranspose1d):
    def forward(self, input: Tensor) -> Tensor:  # type: ignore[override]  # noqa: A002 - no output size is ever asked
        return F.conv_transpose2d(input, self.weight[:, :, None], self.bias, (1, *self.stride), (0, *self.padding))


class _ResidualBlock(nn.Module):
    def __init__(self, width: int, kernel: int, dilations: tuple[int, ...]) -> None:
        super().__init__()
        self.convs1 = nn.ModuleList(
            _Along(width, width, kernel, dilation=dilation, padding=dilation * (kernel // 2)) for dilation in dilations
        )
        self.convs2 = nn.ModuleList(_Along(width, width, kernel, padding=kernel // 2) for _ in dilations)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, 1, T) -> (B, C, 1, T)."""
        for dilated, plain in zip(self.convs1, self.convs2, strict=True):
            x = x + plain(F.leaky_relu(dilated(F.leaky_relu(x, _SLOPE)), _SLOPE))
        return x


class Generator(nn.Module):
    def __init__(self, shape: SovitsShape) -> None:
        super().__init__()
        width = shape.upsample_initial_channel
        self.blocks = len(shape.resblock_kernel_sizes)
        self.conv_pre = nn.Conv1d(shape.inter_channels, width, 7, padding=3)
        self.cond = nn.Conv1d(shape.gin_channels, width, 1)
        self.ups = nn.ModuleList()
        self.resblocks = nn.ModuleList()
        for rate, kernel in zip(shape.upsample_rates, shape.upsample_kernel_sizes, strict=True):
            self.ups.append(_Longer(width, width // 2, kernel, rate, padding=(kernel - rate) // 2))
            width //= 2
            for sizes in zip(shape.resblock_kernel_sizes, shape.resblock_dilation_sizes, strict=True):
                self.resblocks.append(_ResidualBlock(width, *sizes))
        self.conv_post = _Along(width, 1, 7, padding=3, bias=False)

    def forward(self, z: Tensor, speaker: Tensor) -> Tensor:
        """(B, C, T) -> (B, T * hop)."""
        x = (self.conv_pre(z) + self.cond(speaker))[:, :, None].contiguous(memory_format=torch.channels_last)
        for index, up in enumerate(self.ups):
            x = up(F.leaky_relu(x, _SLOPE))
            first, *others = self.resblocks[index * self.blocks : (index + 1) * self.blocks]
            made = first(x)
            for block in others:
                made = made + block(x)
            x = made / self.blocks if others else made
        return torch.tanh(self.conv_post(F.leaky_relu(x, _LAST_SLOPE)))[:, 0, 0]


class TrainableSovits(nn.Module):
    codebook: Tensor

    def __init__(self, shape: SovitsShape, codebook: Tensor) -> None:
        """`codebook`: (tokens, content_width), given and never trained."""
        super().__init__()
        self.shape = shape
        self.enc_p = _Prior(shape)
        self.ref_enc = _Style(shape)
        self.flow = _Flow(shape)
        self.dec = Generator(shape)
        self.register_buffer("codebook", codebook, persistent=False)

    def speaker(self, spectrum: Tensor) -> Tensor:
        """(B, REFERENCE_BINS or more, F) -> (B, gin, 1)."""
        return self.ref_enc(spectrum[:, :REFERENCE_BINS])

    def frames(
        self,
        tokens: Tensor,
        token_counts: Tensor,
        phones: Tensor,
        phone_counts: Tensor,
        speaker: Tensor,
        *,
        dropout: float = 0.0,
        noise: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """What the generator is given: (B, C, 2T), and the mask of real frames (B, 1, 2T).

        `noise` is (B, C, 2T); None draws it.
        """
        content = self.codebook[tokens].repeat_interleave(2, 1).transpose(1, 2)
        mask = _mask(2 * token_counts, content.shape[2])
        mean, log_std = self.enc_p(content, mask, phones, _mask(phone_counts, phones.shape[1]), speaker, dropout)
        noise = torch.randn_like(mean) if noise is None else noise
        return self.flow((mean + noise * log_std.exp() * _NOISE_SCALE) * mask, mask, speaker), mask


def _mask(counts: Tensor, length: int) -> Tensor:
    return (torch.arange(length, device=counts.device) < counts[:, None]).float()[:, None]
