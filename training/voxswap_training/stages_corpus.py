"""The stages that make what is trained on, as commands. Knows what each needs, not how it works."""

import argparse
from pathlib import Path

from voxswap_training.options import content_sound


def add_stages(stages: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    _teacher(stages)
    _corpus(stages)
    _codes(stages)
    _phones(stages)
    _pack(stages)
    _sound(stages)
    _speakers(stages)
    _references(stages)


def _teacher(stages: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    stage = stages.add_parser("teacher", help="join the parts of the teacher's network into one file")
    stage.add_argument("--out", type=Path, required=True)
    stage.set_defaults(run=_run_teacher)


def _run_teacher(options: argparse.Namespace) -> None:
    from voxswap_training.teacher import assemble_model

    assemble_model(options.out)


def _corpus(stages: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    stage = stages.add_parser("corpus", help="let the teacher speak; goes on where the files end")
    stage.add_argument("--teacher", type=Path, required=True, help="ONNX file of stage `teacher`")
    stage.add_argument("--packs", type=Path, required=True, help="folder of the teacher's voice packs (*.bin)")
    stage.add_argument("--wordnet", type=Path, required=True, help="folder of WordNet's data.* files")
    stage.add_argument("--out", type=Path, required=True, help="folder of the corpus")
    stage.add_argument("--prosody", type=int, default=0, metavar="LINES", help="no sound, only who says what when")
    stage.add_argument("--built-in-share", type=float, default=0.7, help="of all lines, those in the built-in voices")
    stage.add_argument("--hours", type=float, default=6.0)
    stage.add_argument("--minutes", type=float, default=1e9)
    stage.add_argument("--seed", type=int, default=1)
    stage.add_argument("--threads", type=int, default=1)
    stage.set_defaults(run=_run_corpus)


def _run_corpus(options: argparse.Namespace) -> None:
    from voxswap_training.corpus import generate, generate_prosody, script
    from voxswap_training.entries import read_index
    from voxswap_training.teacher import Teacher

    teacher = Teacher(options.teacher, options.packs, threads=options.threads, speech=not options.prosody)
    done = read_index(options.out)
    start = done[-1].number + 1 if done else 0
    lines = script(options.wordnet, options.seed, built_in_share=options.built_in_share, start=start)
    if options.prosody:
        generate_prosody(options.out / "index.jsonl", teacher, lines, count=options.prosody, minutes=options.minutes)
    else:
        generate(options.out, teacher, lines, done, hours=options.hours, minutes=options.minutes)


def _codes(stages: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    stage = stages.add_parser("codes", help="fit the semantic codebook and say what its codes know")
    stage.add_argument("--corpus", type=Path, required=True)
    stage.add_argument("--prosody", type=Path, required=True, help="corpus without sound")
    stage.add_argument("--out", type=Path, required=True, help="codebook (.npz)")
    stage.add_argument("--pitch-weight", type=float, default=0.06)
    stage.add_argument("--seed", type=int, default=0)
    stage.set_defaults(run=_run_codes)


def _run_codes(options: argparse.Namespace) -> None:
    from voxswap_training.entries import open_audio, read_index
    from voxswap_training.fit_codes import fit, report, voice_medians

    spoken, unspoken = read_index(options.corpus), read_index(options.prosody)
    codebook = fit(
        spoken[:1500],
        open_audio(options.corpus),
        [*spoken, *unspoken[:4000]],
        pitch_weight=options.pitch_weight,
        seed=options.seed,
    )
    codebook.medians_hz.update(voice_medians([*spoken, *unspoken]))
    codebook.save(options.out)
    print(report(codebook, unspoken[:2000]))


def _phones(stages: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    stage = stages.add_parser("phones", help="read all texts with the server's front-end (needs the server installed)")
    stage.add_argument("--corpus", type=Path, required=True)
    stage.add_argument("--prosody", type=Path, required=True)
    stage.add_argument("--out", type=Path, required=True, help="phones (.json)")
    stage.set_defaults(run=_run_phones)


def _run_phones(options: argparse.Namespace) -> None:
    from voxswap_training.entries import read_index
    from voxswap_training.frontend import write_phones

    texts = [entry.text for folder in (options.corpus, options.prosody) for entry in read_index(folder)]
    print(f"{write_phones(texts, options.out)} texts")


def _pack(stages: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    stage = stages.add_parser("pack", help="arrays and Opus files that training reads and that travel")
    stage.add_argument("--corpus", type=Path, required=True)
    stage.add_argument("--prosody", type=Path, required=True)
    stage.add_argument("--codebook", type=Path, required=True)
    stage.add_argument("--phones", type=Path, required=True)
    stage.add_argument("--out", type=Path, required=True, help="folder")
    stage.add_argument("--audio-mb", type=float, default=0.0, help="Opus files up to this size; 0 makes none")
    stage.add_argument("--opus-level", type=float, default=0.88, help="0 is 256 kbit/s, 1 is 6")
    stage.set_defaults(run=_run_pack)


def _run_pack(options: argparse.Namespace) -> None:
    import json

    from voxswap_training.codes import Codebook
    from voxswap_training.entries import open_audio, read_index
    from voxswap_training.pack import build_lines, compress_audio

    read = json.loads(options.phones.read_text("utf-8"))
    spoken = [entry for entry in read_index(options.corpus) if entry.text in read]
    unspoken = [entry for entry in read_index(options.prosody) if entry.text in read]
    options.out.mkdir(parents=True, exist_ok=True)
    if options.audio_mb:
        audio, limit = open_audio(options.corpus), int(options.audio_mb * 1e6)
        rows = compress_audio(spoken, audio, options.out, level=options.opus_level, limit_bytes=limit)
        spoken, unspoken = spoken[:rows], spoken[rows:] + unspoken
    lines = build_lines(spoken, unspoken, Codebook.load(options.codebook), lambda text: read[text])
    lines.save(options.out / "lines.npz")
    print(f"{len(lines.phones)} lines, {lines.spoken} spoken, {len(lines.tokens.values) / 25 / 3600:.1f} h of tokens")


def _sound(stages: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    stage = stages.add_parser("sound", help="the sound of a pack at the rates that training wants")
    stage.add_argument("--pack", type=Path, required=True)
    stage.add_argument("--corpus", type=Path, help="take the sound of the corpus itself instead of the Opus files")
    stage.add_argument("--out", type=Path, required=True, help="folder of sound_32k.i16 and sound_16k.i16")
    stage.add_argument("--processes", type=int, default=1)
    stage.set_defaults(run=_run_sound)


def _run_sound(options: argparse.Namespace) -> None:
    from voxswap_training.entries import open_audio
    from voxswap_training.pack import Lines, expand_audio
    from voxswap_training.sound import CONTENT_RATE_HZ, RATE_HZ, write_resampled

    lines = Lines.load(options.pack / "lines.npz")
    options.out.mkdir(parents=True, exist_ok=True)
    decoded = options.out / "sound_24k.i16"
    if options.corpus:
        audio = open_audio(options.corpus)
    else:
        audio = expand_audio(lines, options.pack, decoded, processes=options.processes)
    for rate_hz in (RATE_HZ, CONTENT_RATE_HZ):
        target = options.out / f"sound_{rate_hz // 1000}k.i16"
        write_resampled(lines, audio, target, rate_hz=rate_hz, processes=options.processes)
    decoded.unlink(missing_ok=True)


def _speakers(stages: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    stage = stages.add_parser("speakers", help="what ECAPA's teacher says (needs the server and the judges installed)")
    stage.add_argument("--pack", type=Path, required=True)
    stage.add_argument("--sound", type=Path, required=True)
    stage.add_argument("--out", type=Path, required=True, help="clips (.npz)")
    stage.add_argument("--count", type=int, default=6000)
    stage.add_argument("--seed", type=int, default=0)
    stage.set_defaults(run=_run_speakers)


def _run_speakers(options: argparse.Namespace) -> None:
    import torch

    from voxswap_training.campplus import CamPlus
    from voxswap_training.speakers import ask_teacher

    torch.set_num_threads(1)
    sound, teacher = content_sound(options, torch.device("cpu")), CamPlus()
    clips = ask_teacher(
        sound,
        teacher.embedding,
        count=options.count,
        seed=options.seed,
        report=lambda done: print(f"{done} clips", flush=True),
    )
    clips.save(options.out)


def _references(stages: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    stage = stages.add_parser("references", help="one clip of each built-in voice")
    stage.add_argument("--teacher", type=Path, required=True)
    stage.add_argument("--packs", type=Path, required=True)
    stage.add_argument("--codebook", type=Path, required=True)
    stage.add_argument("--out", type=Path, required=True, help="folder")
    stage.add_argument("--sentences", type=Path, help="speak these instead, one a line, each in every voice")
    stage.add_argument("--count", type=int, default=12, help="of the sentences, so many")
    stage.set_defaults(run=_run_references)


def _run_references(options: argparse.Namespace) -> None:
    from voxswap_training.codes import Codebook
    from voxswap_training.references import write_references, write_sentences
    from voxswap_training.teacher import Teacher

    teacher = Teacher(options.teacher, options.packs)
    if options.sentences:
        sentences = [line for line in options.sentences.read_text("utf-8").splitlines() if line]
        write_sentences(teacher, sentences[: options.count], options.out)
    else:
        write_references(teacher, Codebook.load(options.codebook), options.out)
