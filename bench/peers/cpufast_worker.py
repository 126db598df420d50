"""Runs inside the environment of gpt-sovits-cpufast and does, by its own code, what it is asked on standard input.

Imports nothing of ours. Its front-end is replaced by phones that are given, for both sides speak the same ones and
their time is not counted; English has no BERT features, so its BERT is not loaded. Everything else is the package as it
is.
"""

import json
import os
import site
import sys
import time
from contextlib import redirect_stdout
from importlib.metadata import version
from pathlib import Path

PACKAGES = Path(site.getsitepackages()[0])
sys.path[:0] = [str(PACKAGES / "GPT_SoVITS"), str(PACKAGES)]

import torch  # noqa: E402

TOKENS_PER_S = 25
PAUSE_S = 0.5
"""The most that may follow an utterance."""
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
        self.files, self.clip = (t2s, sovits), clip
        self.phones, self.prompt_phones = phones, prompt_phones
        front = self.tts.text_preprocessor
        front.segment_and_extract_feature_for_text = self._features
        front.segment_and_extract_feature_for_text_with_phone_units = lambda *args: (*self._features(*args), [])
        heard = self.request(mode="whole")
        if abs(heard["audio_s"] - tokens / TOKENS_PER_S) > PAUSE_S:
            raise ValueError(f"it spoke for {heard['audio_s']:.2f} s, not for {tokens} tokens")
        prompt = self.tts.prompt_cache["prompt_semantic"]
        return {"version": version("gpt-sovits-cpufast"), "torch": torch.__version__, "prompt_tokens": len(prompt)}

    def _features(self, text, _language, _version):
        phones = self.prompt_phones if text.startswith("prompt") else self.phones
        return list(phones), torch.zeros(1024, len(phones)), text

    def request(self, mode):
        asked = {
            "text": "text.",
            "text_lang": "en",
            "ref_audio_path": self.clip,
            "prompt_text": "prompt.",
            "prompt_lang": "en",
            "top_k": 5,
            "text_split_method": "cut0",
            "seed": 1,
        }
        begin, first = _now(), None
        audio_s = 0.0
        for rate, audio in self.tts.run(asked | STREAMS[mode]):
            first = first or _since(begin)
            audio_s += len(audio) / rate
        return {"first": first, "all": _since(begin), "audio_s": audio_s}

    def t2s(self, rows, tokens, loop):
        model = self.tts.t2s_model.model
        phones = torch.tensor(list(self.prompt_phones) + list(self.phones))
        prompt = self.tts.prompt_cache["prompt_semantic"].expand(rows, -1)
        asked = {"top_k": 5, "top_p": 1, "temperature": 1.0, "early_stop_num": tokens, "repetition_penalty": 1.35}
        bert = torch.zeros(1024, phones.numel())
        many = [phones] * rows, torch.tensor([phones.numel()] * rows), prompt, [bert] * rows
        begin = _now()
        if loop == "batch":
            drawn, counts = model.infer_panel_batch_infer(*many, max_len=phones.numel(), **asked)
        else:
            drawn, counts = model.infer_panel_naive_batched(*many, **asked)
        took = _since(begin)
        return {"all": took, "tokens": sum(int(count) for count in counts), "drawn": len(drawn)}

    def decode(self, tokens):
        codes = torch.randint(0, 1024, (1, 1, tokens), generator=torch.Generator().manual_seed(1))
        spectra, speaker = self.tts._get_runtime_refer_audio_spec_and_sv_emb()
        ge, ge_text = self.tts._get_runtime_decode_condition()
        phones = torch.tensor(self.phones)[None]
        begin = _now()
        audio = self.tts.vits_model.decode(codes, phones, spectra, sv_emb=speaker, ge=ge, ge_text=ge_text)
        return {"all": _since(begin), "audio_s": audio.shape[-1] / 32_000}

    def switch(self):
        begin = _now()
        self.tts.init_t2s_weights(self.files[0])
        self.tts.init_vits_weights(self.files[1])
        return {"all": _since(begin)}


def _now():
    return time.perf_counter(), time.process_time()


def _since(begin):
    wall, cpu = begin
    return {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}


def main():
    worker, answers = Worker(), sys.stdout
    with torch.inference_mode(), redirect_stdout(sys.stderr):
        for line in sys.stdin:
            asked = json.loads(line)
            try:
                answer = getattr(worker, asked.pop("work"))(**asked)
            except Exception as error:  # whatever it is, the one who asked is told
                answer = {"error": repr(error)}
            print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
