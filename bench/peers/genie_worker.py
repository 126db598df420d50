"""Runs inside the environment of genie-tts and does, by its own code, what it is asked on standard input.

Imports nothing of ours. Its own converter makes its ONNX files of the checkpoints that it is given. Two things are put
in the place of what it would download: the features of the reference clip, which are noise of the right length (they
are encoded once for each clip, and that is not timed), and the phones, which are given. Nothing is played.
"""

import json
import os
import sys
import time
import types
import wave
from contextlib import redirect_stdout
from importlib.metadata import version
from pathlib import Path

THREADS = int(os.environ["OMP_NUM_THREADS"])
DATA = Path("GenieData").absolute()  # two of its files must be there for the package to be imported at all
(DATA / "chinese-hubert-base").mkdir(parents=True, exist_ok=True)
(DATA / "speaker_encoder.onnx").touch()
os.environ["GENIE_DATA_DIR"] = str(DATA)
sys.modules["sounddevice"] = types.ModuleType("sounddevice")  # it would ask for the machine's loudspeaker

import numpy as np  # noqa: E402
import onnxruntime  # noqa: E402

MAKE_OPTIONS = onnxruntime.SessionOptions


def options():
    made = MAKE_OPTIONS()
    made.intra_op_num_threads = made.inter_op_num_threads = THREADS
    return made


onnxruntime.SessionOptions = options

from genie_tts.Converter.Converter import convert  # noqa: E402
from genie_tts.Core import Inference  # noqa: E402
from genie_tts.ModelManager import model_manager  # noqa: E402

NAME, LANGUAGE, RATE_HZ = "peer", "English", 32_000
SSL_CHANNELS, BERT_CHANNELS = 768, 1024


class Bounded:
    """Its stage decoder, which says that the end has come after so many tokens."""

    def __init__(self, session, tokens):
        self._session, self._left = session, tokens

    def get_inputs(self):
        return self._session.get_inputs()

    def run(self, names, feed):
        self._left -= 1
        y, embedded, ended, *cache = self._session.run(names, feed)
        if bool(ended) and self._left > 0:
            raise ValueError("it ended before its time: the sides would not have done the same")
        return [y, embedded, self._left <= 0, *cache]


class Worker:
    def open(self, t2s, sovits, clip, phones, prompt_phones, tokens, **_others):
        self.tokens, self.folder = tokens, "converted"
        convert(t2s, sovits, self.folder)
        if not any(Path(self.folder).iterdir()):
            raise ValueError("its converter refused the checkpoints")
        self.phones = np.array([phones], np.int64)
        Inference.get_phones_and_bert = lambda _text, **_how: (self.phones, self._bert(self.phones))
        self.prompt = self._reference(clip, np.array([prompt_phones], np.int64))
        self._load()
        features = {"ref_seq": self.prompt.phonemes_seq, "ref_bert": self.prompt.text_bert}
        features |= {"text_seq": self.phones, "text_bert": self._bert(self.phones)}
        _, prompts = self.model.T2S_ENCODER.run(None, features | {"ssl_content": self.prompt.ssl_content})
        return {
            "version": version("genie-tts"),
            "onnxruntime": onnxruntime.__version__,
            "prompt_tokens": prompts.shape[1],
        }

    def _reference(self, clip, phones):
        with wave.open(clip) as opened:
            rate_hz, channels = opened.getframerate(), opened.getnchannels()
            samples = np.frombuffer(opened.readframes(opened.getnframes()), "<i2").reshape(-1, channels).mean(1)
        seconds = len(samples) / rate_hz
        at = np.linspace(0, len(samples) - 1, round(RATE_HZ * seconds))
        audio = np.interp(at, np.arange(len(samples)), samples).astype(np.float32)[None] / 32768
        frames = (round(16_000 * seconds) - 400) // 320 + 1
        noise = np.random.default_rng(1).standard_normal((1, SSL_CHANNELS, frames)).astype(np.float32)
        return types.SimpleNamespace(
            phonemes_seq=phones, text_bert=self._bert(phones), ssl_content=noise, audio_32k=audio
        )

    def _bert(self, phones):
        return np.zeros((phones.shape[1], BERT_CHANNELS), np.float32)

    def _load(self):
        if not model_manager.load_character(NAME, self.folder, LANGUAGE):
            raise ValueError("it could not load what its converter made")
        self.model = model_manager.get(NAME)

    def t2s(self, rows, tokens, **_how):
        if rows != 1:
            raise ValueError("it has no batches")
        begin = _now()
        self._tokens(tokens)
        return {"all": _since(begin), "tokens": tokens, "drawn": rows}

    def _tokens(self, tokens):
        return Inference.tts_client.t2s_cpu(
            ref_seq=self.prompt.phonemes_seq,
            ref_bert=self.prompt.text_bert,
            text_seq=self.phones,
            text_bert=self._bert(self.phones),
            ssl_content=self.prompt.ssl_content,
            encoder=self.model.T2S_ENCODER,
            first_stage_decoder=self.model.T2S_FIRST_STAGE_DECODER,
            stage_decoder=Bounded(self.model.T2S_STAGE_DECODER, tokens),
        )

    def decode(self, tokens):
        codes = np.random.default_rng(1).integers(0, 1024, (1, 1, tokens))
        given = {"text_seq": self.phones, "pred_semantic": codes, "ref_audio": self.prompt.audio_32k}
        begin = _now()
        (audio, *_) = self.model.VITS.run(None, given)
        return {"all": _since(begin), "audio_s": audio.shape[-1] / RATE_HZ}

    def request(self, **_how):
        begin = _now()
        audio = Inference.tts_client.tts(
            text="text.",
            prompt_audio=self.prompt,
            encoder=self.model.T2S_ENCODER,
            first_stage_decoder=self.model.T2S_FIRST_STAGE_DECODER,
            stage_decoder=Bounded(self.model.T2S_STAGE_DECODER, self.tokens),
            vocoder=self.model.VITS,
            prompt_encoder=self.model.PROMPT_ENCODER,
            language=LANGUAGE,
        )
        took = _since(begin)  # a sentence is its smallest piece
        return {"first": took, "all": took, "audio_s": audio.shape[-1] / RATE_HZ}

    def switch(self):
        model_manager.remove_character(NAME)
        begin = _now()
        self._load()
        return {"all": _since(begin)}


def _now():
    return time.perf_counter(), time.process_time()


def _since(begin):
    wall, cpu = begin
    return {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}


def main():
    worker, answers = Worker(), sys.stdout
    with redirect_stdout(sys.stderr):
        for line in sys.stdin:
            asked = json.loads(line)
            try:
                answer = getattr(worker, asked.pop("work"))(**asked)
            except Exception as error:  # whatever it is, the one who asked is told
                answer = {"error": repr(error)}
            print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
