"""What can be wrong with a file that somebody wants to import.

CheckpointError            (RequestError: INVALID_ARGUMENT)
├─ NotACheckpoint          the head, the container or the content is not that of a checkpoint
├─ TruncatedCheckpoint     the file ends early
├─ ForbiddenContent        the pickle asks for something that is not on the allow-list
├─ OverLimit               too many bytes, tensors, levels, or too much time or memory
├─ BadTensor               one tensor is missing, lies about its shape, or holds NaN
├─ VersionUnclear          the files do not say which model version they are
└─ MismatchedCheckpoints   the two halves do not belong together

Knows nothing of how a checkpoint is read. A message names the tensor or the byte, never a path: uploads show it to
their caller as it is.
"""

from collections.abc import Iterable

from voxswap_server.errors import RequestError


class CheckpointError(RequestError):
    """A checkpoint cannot be imported; `field` names which, once the importer knows."""

    reason = "BAD_CHECKPOINT"

    def __init__(self, what: str, *, tensor: str = "", field: str = "") -> None:
        super().__init__(f"tensor {tensor!r}: {what}" if tensor else what, field=field)
        self.tensor = tensor
        """Name of the offending tensor as the file spells it, or ""."""


class NotACheckpoint(CheckpointError):
    """The bytes are not those of a GPT-SoVITS checkpoint."""

    reason = "NOT_A_CHECKPOINT"


class TruncatedCheckpoint(CheckpointError):
    """The file ends before its content does."""

    reason = "TRUNCATED_CHECKPOINT"


class ForbiddenContent(CheckpointError):
    """The pickle names something that no checkpoint needs; nothing of it was run."""

    reason = "FORBIDDEN_CONTENT"


class OverLimit(CheckpointError):
    """Reading it would take more than a checkpoint may."""

    reason = "CHECKPOINT_OVER_LIMIT"


class BadTensor(CheckpointError):
    """One tensor is missing, has a wrong or lying shape, or holds values that are no numbers."""

    reason = "BAD_TENSOR"

    def __init__(self, tensor: str, why: str) -> None:
        super().__init__(why, tensor=tensor)
        self.why = why


class VersionUnclear(CheckpointError):
    """The files do not say which version they are."""

    reason = "VERSION_UNCLEAR"

    def __init__(self, why: str, choices: Iterable[str]) -> None:
        self.choices = tuple(choices)
        super().__init__(f"{why}; say which version it is: {', '.join(self.choices)}", field="version")


class MismatchedCheckpoints(CheckpointError):
    """The T2S half and the SoVITS half do not belong to the same family."""

    reason = "MISMATCHED_CHECKPOINTS"
