"""Runs inside the environment of genie-tts and does, by its own code, what it is asked on standard input.

Imports nothing of ours but the loop beside it. Its own converter makes its ONNX files of the checkpoints that it is
given. Two things are put in the place of what it would download: the features of the reference clip, which are noise of
the right length (they are encoded once for each clip, and that is not timed), and the phones, which are given. Nothing
is played.
"""

import os
import sys
import types
import wave
from importlib.metadata import version
from pathlib import Path

from answering import Watch, require_length, serve

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
    """Its stage decoder, which says that the end has come after so many steps."""

    def __init__(self, session, steps):
        self._session, self._left = session, steps

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
        if not any(Path(self.folder).glob("*.onnx")):
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
        """So many draws: the first of them is its first stage's."""
        if rows != 1:
            raise ValueError("it has no batches")
        watch = Watch()
        Inference.tts_client.t2s_cpu(
            ref_seq=self.prompt.phonemes_seq,
            ref_bert=self.prompt.text_bert,
            text_seq=self.phones,
            text_bert=self._bert(self.phones),
            ssl_content=self.prompt.ssl_content,
            encoder=self.model.T2S_ENCODER,
            first_stage_decoder=self.model.T2S_FIRST_STAGE_DECODER,
            stage_decoder=Bounded(self.model.T2S_STAGE_DECODER, tokens - 1),
        )
        return watch.read()

    def decode(self, tokens):
        codes = np.random.default_rng(1).integers(0, 1024, (1, 1, tokens))
        given = {"text_seq": self.phones, "pred_semantic": codes, "ref_audio": self.prompt.audio_32k}
        watch = Watch()
        (audio, *_) = self.model.VITS.run(None, given)
        took = watch.read()
        require_length(audio.shape[-1] / RATE_HZ, tokens)
        return took

    def request(self):
        watch = Watch()
        audio = Inference.tts_client.tts(
            text="text.",
            prompt_audio=self.prompt,
            encoder=self.model.T2S_ENCODER,
            first_stage_decoder=self.model.T2S_FIRST_STAGE_DECODER,
            # It speaks one token less than its stage decoder makes steps: the last would be the end of speech.
            stage_decoder=Bounded(self.model.T2S_STAGE_DECODER, self.tokens + 1),
            vocoder=self.model.VITS,
            prompt_encoder=self.model.PROMPT_ENCODER,
            language=LANGUAGE,
        )
        took = watch.read()
        require_length(audio.shape[-1] / RATE_HZ, self.tokens)
        return took

    def first(self, **_how):
        return self.request()  # a sentence is its smallest piece

    def switch(self):
        watch = Watch()
        model_manager.remove_character(NAME)
        self._load()
        return watch.read()


if __name__ == "__main__":
    serve(Worker())
