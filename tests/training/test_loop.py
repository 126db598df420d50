import json
from pathlib import Path

import pytest
import torch

from voxswap_training.loop import Budget, Progress, adamw


def progress(tmp_path: Path, budget: Budget) -> Progress:
    torch.manual_seed(len(list(tmp_path.iterdir())))
    return Progress(tmp_path / "run.pt", budget, {"network": torch.nn.Linear(2, 2)})


def test_a_run_ends_with_its_budget_and_the_next_goes_on(tmp_path: Path) -> None:
    first = progress(tmp_path, Budget(total_minutes=1, run_minutes=0.5))
    assert not first.resume()
    done = list(first.steps())
    assert 0.4 < first.share < 0.6
    second = progress(tmp_path, Budget(total_minutes=1, run_minutes=10))
    assert not torch.equal(second.parts["network"].weight, first.parts["network"].weight)
    assert second.resume()
    assert torch.equal(second.parts["network"].weight, first.parts["network"].weight)
    assert next(iter(second.steps())) == done[-1] + 1
    list(second.steps())
    assert second.share == 1
    assert list(second.steps()) == []


def test_the_rate_rises_stays_and_falls(tmp_path: Path) -> None:
    run = progress(tmp_path, Budget(1, 1))
    rates = []
    for step, spent in ((0, 0), (99, 5), (400, 20), (900, 45), (1200, 60)):
        run.step, run.spent_s = step, spent
        rates.append(run.rate())
    assert rates == pytest.approx([1 / 200, 0.5, 1.0, 0.5, 0.05])


def test_the_curve_holds_means_since_the_last_line(tmp_path: Path) -> None:
    run, curve = progress(tmp_path, Budget(1, 1)), tmp_path / "curve.jsonl"
    run.note(loss=1.0)
    run.note(loss=3.0)
    run.report(curve, lambda: {"dev_loss": 5.0})
    run.note(loss=7.0)
    run.report(curve, lambda: {"dev_loss": 4.0})
    rows = [json.loads(line) for line in curve.read_text().splitlines()]
    assert [(row["loss"], row["dev_loss"]) for row in rows] == [(2.0, 5.0), (7.0, 4.0)]


def test_vectors_do_not_decay() -> None:
    groups = adamw(torch.nn.Linear(3, 3), 0.1, decay=0.5, betas=(0.9, 0.99)).param_groups
    assert [(len(group["params"]), group["weight_decay"]) for group in groups] == [(1, 0.5), (1, 0.0)]
