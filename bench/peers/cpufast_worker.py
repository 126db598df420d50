"""Runs inside the environment of gpt-sovits-cpufast and does, by its own code, what it is asked on standard input.

Imports nothing of ours but the loop beside it. Its front-end is replaced by phones that are given, for both sides speak
the same ones and their time is not counted; English has no BERT features, so its BERT is not loaded. Everything else is
the package as it is.
"""

import os
import site
import sys
from importlib.metadata import version
from pathlib import Path

from answering import Watch, require_length, serve

PACKAGES = Path(site.getsitepackages()[0])
sys.path[:0] = [str(PACKAGES / "GPT_SoVITS"), str(PACKAGES)]

import torch  # noqa: E402

RATE_HZ = 32_000
STREAMS = {
    "sentence": {"return_fragment": True},
    "stream": {"streaming_mode": True, "parallel_infer": False},
    "fast stream": {"streaming_mode": True, "parallel_infer": False, "fixed_length_chunk": True},
    "whole": {},
}


class Worker:
    def __init__(self):
        self.tts = None

    def open(self, t2s, sovits, pretrained, clip, phones, prompt_phones, tokens):
        from TTS_infer_pack.TTS import TTS, TTS_Config

        class English(TTS):
            def init_bert_weights(self, _base_path):
                self.bert_tokenizer = self.bert_model = None

        torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
        places = {"cnhuhbert_base_path": f"{pretrained}/chinese-hubert-base", "bert_base_path": pretrained}
        voice = {"t2s_weights_path": t2s, "vits_weights_path": sovits, "version": "v2"}
        self.tts = English(TTS_Config({"custom": {"device": "cpu", "is_half": False} | places | voice}))
        self.files, self.clip, self.tokens = (t2s, sovits), clip, tokens
        self.phones, self.prompt_phones = phones, prompt_phones
        front = self.tts.text_preprocessor
        front.segment_and_extract_feature_for_text = self._features
        front.segment_and_extract_feature_for_text_with_phone_units = lambda *args: (*self._features(*args), [])
        self.request()  # encodes the clip, which it keeps from then on
        prompt = self.tts.prompt_cache["prompt_semantic"]
        return {"version": version("gpt-sovits-cpufast"), "torch": torch.__version__, "prompt_tokens": len(prompt)}

    def _features(self, text, _language, _version):
        phones = self.prompt_phones if text.startswith("prompt") else self.phones
        return list(phones), torch.zeros(1024, len(phones)), text

    def request(self):
        watch, pieces = Watch(), list(self._spoken("whole"))
        took = watch.read()
        require_length(sum(map(len, pieces)) / RATE_HZ, self.tokens)
        return took

    def first(self, mode):
        watch, pieces = Watch(), self._spoken(mode)
        next(pieces)
        took = watch.read()
        pieces.close()
        return took

    def _spoken(self, mode):
        asked = {
            "text": "text.",
            "text_lang": "en",
            "ref_audio_path": self.clip,
            "prompt_text": "prompt.",
            "prompt_lang": "en",
            "top_k": 5,
            "text_split_method": "cut0",
            "fragment_interval": 0.0,
            "seed": 1,
        }
        for rate_hz, audio in self.tts.run(asked | STREAMS[mode]):
            if rate_hz != RATE_HZ or not audio.any():  # it hands out silence before it raises what went wrong
                continue
            yield audio

    def t2s(self, rows, tokens, loop):
        """So many draws of each row: its loops draw one more than they are told to stop at."""
        model = self.tts.t2s_model.model
        phones = torch.tensor(list(self.prompt_phones) + list(self.phones))
        prompt = self.tts.prompt_cache["prompt_semantic"].expand(rows, -1)
        asked = {"top_k": 5, "top_p": 1, "temperature": 1.0, "early_stop_num": tokens - 1, "repetition_penalty": 1.35}
        bert = torch.zeros(1024, phones.numel())
        many = [phones] * rows, torch.tensor([phones.numel()] * rows), prompt, [bert] * rows
        watch = Watch()
        if loop == "batch":
            _, last = model.infer_panel_batch_infer(*many, max_len=phones.numel(), **asked)
        else:
            _, last = model.infer_panel_naive_batched(*many, **asked)
        took = watch.read()
        if [int(step) for step in last] != [tokens - 1] * rows:
            raise ValueError(f"its rows ended at steps {last}, not all at {tokens - 1}")
        return took

    def decode(self, tokens):
        codes = torch.randint(0, 1024, (1, 1, tokens), generator=torch.Generator().manual_seed(1))
        spectra, speaker = self.tts._get_runtime_refer_audio_spec_and_sv_emb()
        ge, ge_text = self.tts._get_runtime_decode_condition()
        phones = torch.tensor(self.phones)[None]
        watch = Watch()
        audio = self.tts.vits_model.decode(codes, phones, spectra, sv_emb=speaker, ge=ge, ge_text=ge_text)
        took = watch.read()
        require_length(audio.shape[-1] / RATE_HZ, tokens)
        return took

    def switch(self):
        watch = Watch()
        self.tts.init_t2s_weights(self.files[0])
        self.tts.init_vits_weights(self.files[1])
        return watch.read()


if __name__ == "__main__":
    with torch.inference_mode():
        serve(Worker())
