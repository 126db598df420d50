"""The stages before the networks: where a text is cut, its phones and language runs, its BERT features.

Knows nothing of tokens and waveforms.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from voxswap_server.domain import CutMethod
from voxswap_server.errors import RequestError
from voxswap_server.nn.bert import TextEncoder
from voxswap_server.nn.specs import spec_of
from voxswap_server.parity.cases import Case
from voxswap_server.parity.compare import Row, Stage, Verdict, failed, whole_numbers
from voxswap_server.text.frontend import TextFrontend
from voxswap_server.text.utterances import Utterance

CUTS = {
    "cut0": CutMethod.NONE,
    "cut1": CutMethod.FOUR_SENTENCES,
    "cut2": CutMethod.FIFTY_CHARACTERS,
    "cut3": CutMethod.CHINESE_STOP,
    "cut4": CutMethod.ENGLISH_STOP,
    "cut5": CutMethod.PUNCTUATION,
}
"""Upstream's names of the cut methods."""
_END_OF_SEGMENT = -1


def replay_text(case: Case, frontend: TextFrontend) -> list[Row]:
    """Rows "cut" and "phones", and "runs" where the case stores them."""
    rows = [_cut(case, frontend)]
    try:
        utterances = [_utterance(case, index, frontend) for index in range(len(case.record.text_segments))]
    except RequestError as error:
        return [*rows, failed(case.name, "phones", error.message)]
    ours = (phone for utterance in utterances for phone in (*utterance.phones, _END_OF_SEGMENT))
    theirs = (phone for segment in case.record.text_segments for phone in (*segment.phones, _END_OF_SEGMENT))
    rows.append(whole_numbers(case.name, "phones", ours, theirs))
    return [*rows, _runs(case, utterances)] if case.runs else rows


def replay_bert(case: Case, text_encoder: Callable[[], TextEncoder]) -> tuple[list[Tensor | None], list[Row]]:
    """Features of every segment by our own network, (1024, phones) or None for zeros, and the row "bert"."""
    stage = Stage(case.name, "bert")
    features: list[Tensor | None] = []
    for index, segment in enumerate(case.record.text_segments):
        golden = case.bert_of(index)
        if golden is None:
            features.append(None)
            continue
        parts = [
            text_encoder().features(run.norm_text, run.word2ph)
            if run.lang == "zh" and run.word2ph is not None
            else torch.zeros(golden.shape[0], run.n_phones)
            for run in case.runs[index].runs
        ]
        ours = torch.cat(parts, dim=1)
        features.append(ours)
        stage.tensors(ours, golden, segment.text)
    return features, [stage.row()] if stage.compared else []


def _cut(case: Case, frontend: TextFrontend) -> Row:
    inputs = case.inputs
    collapse = not (inputs.return_fragment or inputs.streaming_mode)  # upstream skips it in these modes
    expected = [case.record.text_segments[index].text for index in case.targets]
    try:
        ours = frontend.segment(inputs.text, inputs.text_lang, CUTS[inputs.text_split_method], collapse=collapse)
    except RequestError as error:
        return failed(case.name, "cut", error.message)
    if ours == expected:
        return Row(case.name, "cut", Verdict.PASS, equal=True)
    return Row(case.name, "cut", Verdict.FAIL, equal=False, note=f"{ours}, upstream has {expected}")


def _utterance(case: Case, index: int, frontend: TextFrontend) -> Utterance:
    symbols = spec_of(case.version).symbols
    if index not in case.targets:
        return frontend.prompt(case.inputs.prompt_text, case.inputs.prompt_lang, symbols)
    segment = case.record.text_segments[index]
    return frontend.analyse(segment.text, segment.lang, symbols)


def _runs(case: Case, utterances: list[Utterance]) -> Row:
    """Language, normalised text and phones of each character: what BERT is asked with."""
    ours = [(run.language, run.norm_text, run.word2ph) for utterance in utterances for run in utterance.runs]
    theirs = [(run.lang, run.norm_text, run.word2ph) for segment in case.runs for run in segment.runs]
    if ours == theirs:
        return Row(case.name, "runs", Verdict.PASS, equal=True)
    pairs = zip(ours, theirs, strict=False)
    first = next((pair for pair in pairs if pair[0] != pair[1]), (len(ours), len(theirs)))
    return Row(case.name, "runs", Verdict.FAIL, equal=False, note=f"{first[0]}, upstream has {first[1]}")
