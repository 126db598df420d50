"""The stages that look at what was trained and write it down, as commands. Knows what each needs, not how it works."""

import argparse
from pathlib import Path


def add_stages(stages: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    _judge_t2s(stages)
    _export(stages)
    _curves(stages)


def _judge_t2s(stages: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    stage = stages.add_parser("judge-t2s", help="what of a text survives into tokens")
    stage.add_argument("--pack", type=Path, required=True)
    stage.add_argument("--codebook", type=Path, required=True)
    stage.add_argument("--checkpoints", type=Path, required=True, help="folder of stage `t2s`")
    stage.add_argument("--lines", type=int, default=30)
    stage.add_argument("--top-k", type=int, default=5)
    stage.add_argument("--temperature", type=float, default=0.7)
    stage.set_defaults(run=_run_judge_t2s)


def _run_judge_t2s(options: argparse.Namespace) -> None:
    from voxswap_training.codes import Codebook
    from voxswap_training.judge_t2s import judge
    from voxswap_training.pack import Lines
    from voxswap_training.train_t2s import load

    lines, codebook = Lines.load(options.pack / "lines.npz"), Codebook.load(options.codebook)
    network = load(options.checkpoints / "t2s.pt")
    print(judge(network, lines, codebook, count=options.lines, top_k=options.top_k, temperature=options.temperature))


def _export(stages: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    stage = stages.add_parser("export", help="the voices as upstream's files")
    stage.add_argument("--t2s", type=Path, required=True, help="folder of stage `t2s`")
    stage.add_argument("--decoder", type=Path, required=True, help="folder of stage `decoder`")
    stage.add_argument("--source", type=Path, required=True, help="folder of stage `source`")
    stage.add_argument("--content", type=Path, required=True, help="folder of stage `content`")
    stage.add_argument("--codebook", type=Path, required=True)
    stage.add_argument("--references", type=Path, required=True, help="folder of stage `references`")
    stage.add_argument("--out", type=Path, required=True, help="folder")
    stage.set_defaults(run=_run_export)


def _run_export(options: argparse.Namespace) -> None:
    from voxswap_training.bundle import write_bundle
    from voxswap_training.codes import Codebook

    write_bundle(
        options.t2s / "t2s.pt",
        options.decoder / "decoder.pt",
        options.source / "source.pt",
        options.content / "content.pt",
        Codebook.load(options.codebook),
        options.references,
        options.out,
    )


def _curves(stages: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    stage = stages.add_parser("curves", help="how far each training is, as tables and a picture")
    stage.add_argument("--runs", type=Path, required=True, help="folder that holds those of the stages")
    stage.add_argument("--out", type=Path, required=True, help="folder")
    stage.set_defaults(run=_run_curves)


def _run_curves(options: argparse.Namespace) -> None:
    from voxswap_training.curves import write_curves

    print(*write_curves(options.runs, options.out))
