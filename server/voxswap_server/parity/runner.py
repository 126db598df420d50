"""Replays the cases that are asked for, stage by stage, and collects one row of each.

Knows which replay belongs to which family of decoders and nothing of how a stage is computed. A stage that nothing
compares is a failure, so that no case passes by being skipped.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import torch

from voxswap_server.errors import VoxswapError
from voxswap_server.nn.cfm import Cfm
from voxswap_server.nn.t2s_backends import BackendName
from voxswap_server.nn.vits import Vits
from voxswap_server.parity.cases import Case, Goldens
from voxswap_server.parity.compare import Row, failed, whole_numbers
from voxswap_server.parity.exceptions import Fidelity, load_fidelity
from voxswap_server.parity.networks import GoldenVoice, Networks
from voxswap_server.parity.references import References
from voxswap_server.parity.replay_cfm import replay_cfm
from voxswap_server.parity.replay_shared import replay_shared
from voxswap_server.parity.replay_t2s import replay_t2s
from voxswap_server.parity.replay_text import replay_bert, replay_text
from voxswap_server.parity.replay_vits import replay_vits
from voxswap_server.text.frontend import TextFrontend

_INPUTS = ("bert_",)
"""Arrays of a case that are inputs wherever nothing of ours makes them."""


def run(
    root: Path,
    work: Path,
    *,
    versions: list[str] | None = None,
    cases: list[str] | None = None,
    t2s_backend: BackendName = "auto",
) -> Iterator[Row]:
    """Yields the rows of every case that is asked for, as they are ready.

    Args:
        root: a directory of goldens.
        work: where checkpoints are rebuilt and imported; what is there already is used again.
        versions: None is all there are.
        cases: patterns of `name` or `version/name`; None is all, and what belongs to no case too.
        t2s_backend: computes the semantic tokens.

    Raises:
        BadGoldens: the directory is none of goldens, or nothing answers to a version or a pattern.
    """
    goldens = Goldens(root)
    selected = goldens.select(versions, cases)
    replay = Replay(goldens, work, t2s_backend=t2s_backend)
    if cases is None:
        yield from replay.shared()
    for version, name in selected:
        yield from replay.case(version, name)


class Replay:
    """One run over a directory of goldens."""

    def __init__(
        self, goldens: Goldens, work: Path, fidelity: Fidelity | None = None, *, t2s_backend: BackendName = "auto"
    ) -> None:
        self._goldens = goldens
        self._networks = Networks(goldens.root, work, t2s_backend)
        self._references = References(goldens.root, self._networks)
        self._frontend = TextFrontend()
        self._fidelity = fidelity or load_fidelity()

    def shared(self) -> Iterator[Row]:
        """Rows of what belongs to no case: text, sampling, assembly, reference clips."""
        yield from replay_shared(self._goldens.root, self._frontend)
        for key in self._references.stored():
            yield from self._references.rows(key)

    def case(self, version: str, name: str) -> list[Row]:
        """Rows of one case, exceptions applied."""
        label = f"{version}/{name}"
        try:
            case = self._goldens.case(version, name)
        except VoxswapError as error:
            return [failed(label, "case", error.message)]
        rows: list[Row] = []
        try:
            rows.extend(self._rows(case))
        except Exception as error:  # a case that breaks must not hide the ones after it
            rows.append(failed(case.name, "crash", f"{type(error).__name__}: {error}"))
        left = [array for array in case.unused() if not array.startswith(_INPUTS)]
        if left:
            rows.append(failed(case.name, "unread", f"nothing of ours was compared with {', '.join(left)}"))
        return self._fidelity.judge(case, rows)

    def _rows(self, case: Case) -> Iterator[Row]:
        yield from replay_text(case, self._frontend)
        try:
            voice = self._networks.voice(case.version, case.record.model_files)
        except VoxswapError as error:
            yield failed(case.name, "import", error.message)
            return
        found = voice.entry.manifest.version
        if found != case.version:
            yield failed(case.name, "import", f"the importer takes it for {found}")
            return
        bert, rows = replay_bert(case, lambda: self._networks.text_encoder)
        yield from rows
        yield from replay_t2s(case, voice.t2s, bert)
        family = _FAMILIES.get(voice.spec.decoder)
        if family is None:
            yield failed(case.name, "decoder", f"the decoder of {case.version} is not built")
            return
        yield from family(case, voice, self._references)


def _replay_vits(case: Case, voice: GoldenVoice, references: References) -> Iterable[Row]:
    decoder = voice.decoder
    if not isinstance(decoder, Vits):
        raise TypeError(f"{case.version} has no decoder of this family")
    inputs = case.inputs
    main = references.features(inputs.ref_audio_path, voice.spec)
    others = [references.features(key, voice.spec, auxiliary=True) for key in inputs.aux_ref_audio_paths]
    yield prompt_tokens(case, voice, references)
    yield from replay_vits(case, decoder, [main, *others])


def _replay_cfm(case: Case, voice: GoldenVoice, references: References) -> Iterable[Row]:
    decoder = voice.decoder
    if not isinstance(decoder, Cfm):
        raise TypeError(f"{case.version} has no decoder of this family")
    yield prompt_tokens(case, voice, references)
    yield from replay_cfm(case, decoder, references.features(case.inputs.ref_audio_path, voice.spec))


def prompt_tokens(case: Case, voice: GoldenVoice, references: References) -> Row:
    """The row "prompt tokens": from the audio file to ids."""
    features = references.features(case.inputs.ref_audio_path, voice.spec)
    if features.content is None:
        raise ValueError("the main reference was encoded as an auxiliary one")
    with torch.inference_mode():
        ours = voice.decoder.prompt_tokens(features.content)
    return whole_numbers(case.name, "prompt tokens", ours.tolist(), case.record.prompt_semantic)


_FAMILIES: Mapping[str, Callable[[Case, GoldenVoice, References], Iterable[Row]]] = {
    "vits": _replay_vits,
    "cfm": _replay_cfm,
}
"""Family of decoders to its replay."""
