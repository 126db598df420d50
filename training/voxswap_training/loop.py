"""What all training stages share: a budget of time, a schedule over it, checkpoints to go on from, a curve.

The schedule runs over seconds spent, not over steps: a run fills the time it is given on any machine, and one that
was stopped goes on where it was. Knows nothing of networks and losses.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

_WARM_UP_STEPS = 200
_SAVE_EVERY_S = 120.0
_LAST_RATE = 0.05


@dataclass(frozen=True, slots=True)
class Budget:
    total_minutes: float
    """Over all runs: the schedule ends here."""
    run_minutes: float
    """This run stops here, if the whole does not end before."""


@dataclass(slots=True)
class Progress:
    """Where a training stands; kept in its checkpoint."""

    file: Path
    budget: Budget
    parts: Mapping[str, Any]
    """Networks and optimisers: whatever has a state_dict."""
    step: int = 0
    spent_s: float = 0.0
    _sums: dict[str, float] = field(default_factory=dict)
    _count: int = 0

    def resume(self) -> bool:
        """Takes up the checkpoint if there is one."""
        if not self.file.exists():
            return False
        kept = torch.load(self.file, map_location="cpu", weights_only=True)
        for name, part in self.parts.items():
            part.load_state_dict(kept[name])
        self.step, self.spent_s = kept["step"], kept["spent_s"]
        return True

    def save(self) -> None:
        """Writes the checkpoint aside and renames it: a stop at any moment leaves a whole file."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        state = {name: part.state_dict() for name, part in self.parts.items()}
        aside = self.file.with_suffix(".part")
        torch.save(state | {"step": self.step, "spent_s": self.spent_s}, aside)
        aside.replace(self.file)

    @property
    def share(self) -> float:
        """Of the whole budget, what is spent."""
        return min(1.0, self.spent_s / (60 * self.budget.total_minutes))

    def rate(self, *, flat: float = 0.5) -> float:
        """Factor of the learning rate: a short rise, a plateau until `flat`, then a straight fall."""
        rise = min(1.0, (self.step + 1) / _WARM_UP_STEPS)
        return rise * min(1.0, max(_LAST_RATE, (1 - self.share) / (1 - flat)))

    def steps(self) -> Iterator[int]:
        """Counts steps until the time is up, saving now and then and at the end."""
        run_until = time.monotonic() + 60 * self.budget.run_minutes
        saved = last = time.monotonic()
        while self.share < 1 and last < run_until:
            yield self.step
            self.step += 1
            now = time.monotonic()
            self.spent_s += now - last
            last = now
            if now - saved > _SAVE_EVERY_S:
                self.save()
                last = saved = time.monotonic()
        self.save()

    def train(
        self,
        step: Callable[[float], Mapping[str, Tensor]],
        measure: Callable[[], Mapping[str, float]],
        curve: Path,
        *,
        report_every: int,
        flat: float = 0.5,
    ) -> None:
        """Until the time is up; each step is given the factor of its rates and tells its losses; a tenth is kept."""
        for number in self.steps():
            found = step(self.rate(flat=flat))
            if number % 10 == 0:
                self.note(**{name: value.item() for name, value in found.items()})
            if (number + 1) % report_every == 0:
                self.report(curve, measure)

    def note(self, **values: float) -> None:
        """Adds this step's losses to the next line of the curve."""
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        self._count += 1

    def report(self, curve: Path, measure: Callable[[], Mapping[str, float]]) -> None:
        """A line of the curve: means of what was noted since the last, and what `measure` finds on the dev set."""
        means = {name: total / self._count for name, total in self._sums.items()}
        self._sums.clear()
        self._count = 0
        row = {"step": self.step, "minutes": round(self.spent_s / 60, 2)}
        row |= {name: round(value, 4) for name, value in (means | dict(measure())).items()}
        with curve.open("a", encoding="utf-8") as file:  # JSON lines: later phases have more columns
            file.write(json.dumps(row) + "\n")
        print(*(f"{name} {value}" for name, value in row.items()), flush=True)


def descend(optimiser: torch.optim.Optimizer, network: nn.Module, loss: Tensor, *, longest: float) -> None:
    """One step down a loss, with gradients no longer than `longest`; none where they are not finite."""
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    norm = nn.utils.clip_grad_norm_(network.parameters(), longest)
    if torch.isfinite(norm):
        optimiser.step()


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    for group in optimiser.param_groups:
        group["lr"] = rate


def adamw(network: nn.Module, rate: float, *, decay: float, betas: tuple[float, float]) -> torch.optim.AdamW:
    """Weight decay on matrices only."""
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, rate, betas=betas, fused=True)


def autocast(device: torch.device) -> torch.autocast:
    """Half precision where matrices are multiplied faster in it: GPUs, and CPUs with instructions for it."""
    fast = device.type == "cuda" or torch.cpu.get_capabilities().get("avx512_bf16", False)
    return torch.autocast(device.type, torch.bfloat16, enabled=fast)


def half_on_gpu(device: torch.device) -> torch.autocast:
    """Half precision for convolutions, which CPUs do not do faster in it."""
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda")
