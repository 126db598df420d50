"""The stages that train, as commands. Knows what each needs, not how it works."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from voxswap_training.options import add_training, budget_of, content_sound, decoder_codebook, decoder_sound, device_of

if TYPE_CHECKING:
    from voxswap_training.train_generator import GeneratorSettings


def add_stages(stages: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    _content(stages)
    _t2s(stages)
    _acoustic(stages)
    _vocoder(stages)
    _source(stages)
    _decoder(stages)
    _ecapa(stages)


def _content(stages: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    stage = stages.add_parser("content", help="train the content encoder: a reference audio -> its codes")
    add_training(stage)
    stage.add_argument("--codebook", type=Path, required=True)
    stage.add_argument("--sound", type=Path, required=True, help="folder of stage `sound`")
    stage.add_argument("--batch", type=int, default=24)
    stage.add_argument("--report-every", type=int, default=100)
    stage.set_defaults(run=_run_content)


def _run_content(options: argparse.Namespace) -> None:
    from voxswap_training.codes import Codebook
    from voxswap_training.pack import Lines
    from voxswap_training.train_content import ContentSettings, train

    device = device_of(options)
    lines = Lines.load(options.pack / "lines.npz")
    settings = ContentSettings(batch=options.batch, report_every=options.report_every, seed=options.seed)
    sound = content_sound(options, device)
    codebook = Codebook.load(options.codebook)
    train(lines, sound, codebook, options.out, budget_of(options), settings, device=device)


def _t2s(stages: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    stage = stages.add_parser("t2s", help="train phones -> tokens")
    add_training(stage)
    stage.add_argument("--codebook", type=Path, required=True)
    stage.add_argument("--batch-tokens", type=int, default=3000)
    stage.add_argument("--layers", type=int, default=4)
    stage.add_argument("--width", type=int, default=256)
    stage.add_argument("--report-every", type=int, default=100)
    stage.set_defaults(run=_run_t2s)


def _run_t2s(options: argparse.Namespace) -> None:
    from voxswap_training.codes import Codebook
    from voxswap_training.pack import Lines
    from voxswap_training.t2s import T2SShape
    from voxswap_training.train_t2s import HEAD_WIDTH, T2SSettings, train

    settings = T2SSettings(batch_tokens=options.batch_tokens, report_every=options.report_every, seed=options.seed)
    lines = Lines.load(options.pack / "lines.npz")
    silence = Codebook.load(options.codebook).silence
    shape = T2SShape(hidden_dim=options.width, head=options.width // HEAD_WIDTH, n_layer=options.layers)
    train(lines, silence, options.out, budget_of(options), settings, shape=shape, device=device_of(options))


def _acoustic(stages: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    stage = stages.add_parser("acoustic", help="train tokens, phones and a reference -> mel frames")
    add_training(stage)
    stage.add_argument("--codebook", type=Path, required=True)
    stage.add_argument("--sound", type=Path, required=True, help="folder of stage `sound`")
    stage.add_argument("--batch", type=int, default=32)
    stage.add_argument("--report-every", type=int, default=100)
    stage.set_defaults(run=_run_acoustic)


def _run_acoustic(options: argparse.Namespace) -> None:
    from voxswap_training.shape import SovitsShape
    from voxswap_training.train_acoustic import AcousticSettings, AcousticTrainer

    device, shape = device_of(options), SovitsShape()
    settings = AcousticSettings(batch=options.batch, report_every=options.report_every, seed=options.seed)
    corpus = decoder_sound(options, device)
    codebook = decoder_codebook(options, shape.content_width)
    budget = budget_of(options)
    AcousticTrainer(*corpus, codebook, options.out, budget, settings, shape=shape, device=device).run()


def _vocoder(stages: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    stage = stages.add_parser("vocoder", help="train the generator alone: true frames -> waveform")
    add_training(stage)
    _add_generator(stage, batch=16, rate=1e-3, judge_rate=5e-4, judged_from=0.1)
    stage.set_defaults(run=_run_vocoder)


def _run_vocoder(options: argparse.Namespace) -> None:
    from voxswap_training.shape import SovitsShape
    from voxswap_training.train_vocoder import train

    device, settings = device_of(options), _generator_settings(options)
    corpus = decoder_sound(options, device)
    train(*corpus, options.out, budget_of(options), settings, shape=SovitsShape(), device=device)


def _source(stages: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    stage = stages.add_parser("source", help="train the couplings that make a phase out of noise and pitch")
    add_training(stage)
    stage.add_argument("--codebook", type=Path, required=True)
    stage.add_argument("--batch", type=int, default=16)
    stage.add_argument("--report-every", type=int, default=100)
    stage.set_defaults(run=_run_source)


def _run_source(options: argparse.Namespace) -> None:
    from voxswap_training.codes import Codebook
    from voxswap_training.pack import Lines
    from voxswap_training.pitch import Pitch
    from voxswap_training.shape import SovitsShape
    from voxswap_training.train_source import SourceSettings, SourceTrainer

    device = device_of(options)
    lines = Lines.load(options.pack / "lines.npz")
    pitch = Pitch(lines, Codebook.load(options.codebook).medians_hz)
    settings = SourceSettings(batch=options.batch, report_every=options.report_every, seed=options.seed)
    dev, budget = lines.dev[: lines.spoken], budget_of(options)
    SourceTrainer(pitch, dev, options.out, budget, settings, shape=SovitsShape(), device=device).run()


def _decoder(stages: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    stage = stages.add_parser("decoder", help="train the generator to speak from what `acoustic` says")
    add_training(stage)
    _add_generator(stage, batch=32, rate=5e-4, judge_rate=4e-4, judged_from=0.0)
    stage.add_argument("--acoustic", type=Path, required=True, help="checkpoint of stage `acoustic`")
    stage.add_argument("--vocoder", type=Path, required=True, help="checkpoint of stage `vocoder`")
    stage.add_argument("--source", type=Path, required=True, help="checkpoint of stage `source`")
    stage.set_defaults(run=_run_decoder)


def _run_decoder(options: argparse.Namespace) -> None:
    from voxswap_training.shape import SovitsShape
    from voxswap_training.train_decoder import Parts, train

    device, settings, shape = device_of(options), _generator_settings(options), SovitsShape()
    corpus = decoder_sound(options, device)
    codebook = decoder_codebook(options, shape.content_width)
    parts = Parts(options.acoustic, options.vocoder, options.source)
    train(*corpus, codebook, options.out, budget_of(options), settings, parts=parts, shape=shape, device=device)


def _add_generator(
    stage: argparse.ArgumentParser, *, batch: int, rate: float, judge_rate: float, judged_from: float
) -> None:
    stage.add_argument("--codebook", type=Path, required=True)
    stage.add_argument("--sound", type=Path, required=True, help="folder of stage `sound`")
    stage.add_argument("--batch", type=int, default=batch, help="stretches a step")
    stage.add_argument("--slice-frames", type=int, default=32, help="of 20 ms, a stretch")
    stage.add_argument("--rate", type=float, default=rate)
    stage.add_argument("--judge-rate", type=float, default=judge_rate)
    stage.add_argument("--judge-width", type=int, default=24)
    stage.add_argument("--judged-from", type=float, default=judged_from, help="share of the budget")
    stage.add_argument("--report-every", type=int, default=100)


def _generator_settings(options: argparse.Namespace) -> "GeneratorSettings":
    from dataclasses import fields

    from voxswap_training.train_generator import GeneratorSettings

    return GeneratorSettings(**{field.name: getattr(options, field.name) for field in fields(GeneratorSettings)})


def _ecapa(stages: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    stage = stages.add_parser("ecapa", help="train the speaker encoder (needs SpeechBrain)")
    add_training(stage)
    stage.add_argument("--sound", type=Path, required=True)
    stage.add_argument("--clips", type=Path, required=True, help="of stage `speakers`")
    stage.add_argument("--batch", type=int, default=64)
    stage.add_argument("--report-every", type=int, default=100)
    stage.add_argument("--export", type=Path, help="folder for SpeechBrain's files, written at the end of the run")
    stage.set_defaults(run=_run_ecapa)


def _run_ecapa(options: argparse.Namespace) -> None:
    from voxswap_training.speakers import Clips
    from voxswap_training.train_ecapa import EcapaSettings, train, write_ecapa

    device = device_of(options)
    settings = EcapaSettings(batch=options.batch, report_every=options.report_every, seed=options.seed)
    sound = content_sound(options, device)
    student = train(Clips.load(options.clips), sound, options.out, budget_of(options), settings, device=device)
    if options.export:
        write_ecapa(student, options.export)
