"""The stages before the networks: where a text is cut, its phones, its BERT features.

Knows nothing of tokens and waveforms. A language whose front-end is not bound yet is taken from the case, and its row
says so.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from voxswap_server.domain import CutMethod
from voxswap_server.errors import RequestError
from voxswap_server.nn.bert import TextEncoder
from voxswap_server.nn.specs import spec_of
from voxswap_server.parity.cases import Case, Segment
from voxswap_server.parity.compare import Row, Stage, Verdict, failed, whole_numbers
from voxswap_server.text.frontend import TextFrontend

BOUND_CODES = frozenset({"en"})
"""Language codes whose phones must be upstream's."""

CUTS = {
    "cut0": CutMethod.NONE,
    "cut1": CutMethod.FOUR_SENTENCES,
    "cut2": CutMethod.FIFTY_CHARACTERS,
    "cut3": CutMethod.CHINESE_STOP,
    "cut4": CutMethod.ENGLISH_STOP,
    "cut5": CutMethod.PUNCTUATION,
}


def replay_text(case: Case, frontend: TextFrontend) -> list[Row]:
    """Rows "cut" and "phones"."""
    return [_cut(case, frontend), *_phones(case, frontend)]


def replay_bert(case: Case, text_encoder: Callable[[], TextEncoder]) -> tuple[list[Tensor | None], list[Row]]:
    """Features of every segment by our own network, (1024, phones) or None for zeros, and the row "bert"."""
    stage = Stage(case.name, "bert")
    features: list[Tensor | None] = []
    for index, segment in enumerate(case.record.text_segments):
        golden = case.bert_of(index)
        if golden is None:
            features.append(None)
            continue
        ours = torch.cat(
            [
                text_encoder().features(run.norm_text, run.word2ph)
                if run.lang == "zh" and run.word2ph is not None
                else torch.zeros(golden.shape[0], run.n_phones)
                for run in case.runs[index].runs
            ],
            dim=1,
        )
        stage.tensors(ours, golden, segment.text)
        features.append(ours)
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


def _phones(case: Case, frontend: TextFrontend) -> list[Row]:
    """One row for what our front-end reads, one for what the case gives."""
    bound = [segment for segment in case.record.text_segments if segment.lang in BOUND_CODES]
    given = sorted({segment.lang for segment in case.record.text_segments if segment.lang not in BOUND_CODES})
    rows = [_read(case, bound, frontend)] if bound else []
    if given:
        note = f"{', '.join(given)}: this front-end is not bound yet"
        rows.append(Row(case.name, "phones", Verdict.GIVEN, note=note))
    return rows


def _read(case: Case, segments: list[Segment], frontend: TextFrontend) -> Row:
    symbols = spec_of(case.version).symbols
    try:
        ours = [frontend.analyse(segment.text, segment.lang, symbols).phones for segment in segments]
    except RequestError as error:
        return failed(case.name, "phones", error.message)
    return whole_numbers(
        case.name,
        "phones",
        (phone for phones in ours for phone in (*phones, -1)),
        (phone for segment in segments for phone in (*segment.phones, -1)),
    )
