"""What a text that is read without one of its networks is told."""

from collections.abc import Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from voxswap_server.domain import Notice
from voxswap_server.engine.job import Await, Tell
from voxswap_server.engine.residency.policy import FailureCache
from voxswap_server.engine.text_encoder import TextEncoding, TextRoutine
from voxswap_server.errors import AssetMissing
from voxswap_server.text.utterances import Run, Utterance


class Damaged:
    """BERT's file cannot be read: after each attempt it is not tried again for a while, which residency tells."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.refusals: list[str] = []
        self._failures = FailureCache(60.0, 60.0, lambda: self.now_s)
        self._failures.record("bert", AssetMissing("Chinese RoBERTa large", "fetch it again"), None)

    @contextmanager
    def lease(self, name: str) -> "Iterator[Future[Any]]":
        self.now_s += 7.0
        failure = self._failures.blocking(name)
        assert failure is not None
        refusal = self._failures.refusal(failure)
        self.refusals.append(refusal.message)
        pending: Future[Any] = Future()
        pending.set_exception(refusal)
        yield pending


class AtOnce(Executor):
    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> "Future[Any]":
        done: Future[Any] = Future()
        done.set_result(fn(*args, **kwargs))
        return done


def analyse(text: str, *_: object) -> Utterance:
    return Utterance(text, text, (1,) * len(text), (Run("zh", text, ("a",) * len(text), (1,) * len(text)),))


def told(routine: TextRoutine) -> list[Notice]:
    """Every notice of a routine that is run to its end."""
    notices, answer, error = [], None, None
    while True:
        try:
            work = routine.send(answer) if error is None else routine.throw(error)
        except StopIteration:
            return notices
        answer = error = None
        match work:
            case Tell(note=Notice() as notice):
                notices.append(notice)
            case Await(future):
                error = future.exception()
                answer = None if error else future.result()


def test_a_network_that_stays_away_is_told_in_the_same_words_though_its_next_attempt_comes_nearer() -> None:
    networks = Damaged()
    encoding = TextEncoding(SimpleNamespace(analyse=analyse), AtOnce(), networks, SimpleNamespace())
    [first] = told(encoding.utterance("今天很好。", "zh", "v2", SimpleNamespace()))
    [second] = told(encoding.utterance("我们走吧。", "zh", "v2", SimpleNamespace()))
    assert networks.refusals[0] != networks.refusals[1]
    assert "it will be tried again in 53 s" in networks.refusals[0]
    assert first == second
    assert first.message.endswith("Chinese RoBERTa large is not installed; fetch it again")
