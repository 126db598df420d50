"""Structured logs: what is bound to a request, the canonical line, audit lines, and where they go.

Knows nothing of requests themselves: whoever serves one binds its values here, and every line that is written on its
way carries them. Never text, never audio.
"""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TextIO

import structlog
from structlog.contextvars import bind_contextvars, bound_contextvars, get_contextvars
from structlog.typing import Processor

log = structlog.get_logger("voxswap")
audit_log = structlog.get_logger("voxswap.audit")


@dataclass(frozen=True, slots=True)
class LogConfig:
    level: str = "INFO"
    """DEBUG, INFO, WARNING or ERROR."""
    json: bool | None = None
    """None: JSON unless the output is a terminal."""


def configure(config: LogConfig, stream: TextIO = sys.stdout) -> None:
    """Sends our lines, and those that libraries write through `logging`, to one stream in one format.

    Raises:
        ValueError: no such level.
    """
    level = logging.getLevelNamesMapping().get(config.level.upper())
    if level is None:
        raise ValueError(f"log level {config.level!r} is not one of DEBUG, INFO, WARNING, ERROR")
    as_json = not stream.isatty() if config.json is None else config.json
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_renderers(as_json=as_json)],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # It tells of every change that it sees; those that mean something are told by whoever asked for them.
    logging.getLogger("watchfiles").setLevel(logging.WARNING)


def _renderers(*, as_json: bool) -> list[Processor]:
    if as_json:
        # Without the local variables of each frame: they hold texts and audio.
        traceback = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
        return [
            structlog.processors.ExceptionRenderer(traceback),
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ]
    return [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]


@contextmanager
def request_context(request_id: str, trace_id: str) -> Iterator[None]:
    """Every line written inside carries both ids, and what is added by `annotate`; nothing of it stays behind."""
    before = get_contextvars()
    with bound_contextvars(request_id=request_id, trace_id=trace_id):
        try:
            yield
        finally:
            structlog.contextvars.unbind_contextvars(*(get_contextvars().keys() - before.keys()))


def annotate(**values: Any) -> None:
    """Adds values to all further lines of this request, the canonical one included."""
    bind_contextvars(**_rounded(values))


def current_trace_id() -> str:
    """Of the request that this code runs for; "" outside of one."""
    return str(get_contextvars().get("trace_id", ""))


def canonical(event: str, *, error: BaseException | None = None, level: int = logging.INFO, **values: Any) -> None:
    """The one line that tells all about a request that ended."""
    log.log(level, event, exc_info=error, **_rounded(values))


def audit(action: str, **values: Any) -> None:
    """Who changed what: load, unload, evict, import, update, delete, pin, unpin."""
    audit_log.info("audit", action=action, **_rounded(values))


def _rounded(values: dict[str, Any]) -> dict[str, Any]:
    return {key: round(value, 4) if isinstance(value, float) else value for key, value in values.items()}
