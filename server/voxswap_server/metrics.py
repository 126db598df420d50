"""Every number that the process exposes, and the methods that record it.

Knows nothing of who records: the engine, residency and the transports each declare a small Protocol of the methods that
they call, and `Metrics` has them all. The registry is injected, so two servers in one process never mix. Base units:
seconds and bytes. Thread-safe, as prometheus_client is.
"""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info

SHORT_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
"""Buckets of device calls, queueing and releases. Like all buckets here: 11 bounds, the twelfth is +Inf."""
AUDIBLE_S = (0.05, 0.1, 0.2, 0.3, 0.5, 0.8, 1.2, 2.0, 4.0, 8.0, 16.0)
"""Buckets of what a listener waits for."""
LOAD_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0)
AGE_S = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 10800.0, 43200.0, 86400.0, 604800.0)
RATIO = (0.01, 0.025, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 2.0, 5.0)
ROWS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64)


class Metrics:
    """All metrics of one server, registered once.

    Args:
        registry: where they are registered.
        voice_labels: label the load and eviction counters by voice; the store bounds how many series that makes.
    """

    def __init__(self, registry: CollectorRegistry, *, voice_labels: bool = False) -> None:
        self._voice_labels = voice_labels
        voice = ("voice",) if voice_labels else ()

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"voxswap_{name}", text, labels, registry=registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"voxswap_{name}", text, labels, registry=registry)

        def histogram(name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
            return Histogram(f"voxswap_{name}", text, labels, buckets=buckets, registry=registry)

        self._requests = counter("requests", "Requests that ended, by method and status code.", "method", "code")
        self._running = gauge("requests_running", "Requests that are being spoken.")
        self._waiting = gauge("requests_waiting", "Requests in the queue.")
        self._queue = histogram("queue_seconds", "Time in the queue.", SHORT_S)
        self._first_audio = histogram(
            "time_to_first_audio_seconds",
            "From the acceptance of a request to its first byte of audio written.",
            AUDIBLE_S,
            "model_state",
        )
        self._stage = histogram("stage_seconds", "Time of one device call, by stage.", SHORT_S, "stage")
        self._rtf = histogram(
            "real_time_factor", "Synthesis seconds per second of audio; below 1 is faster than real time.", RATIO
        )
        self._underrun = histogram("underrun_seconds", "Playback time without audio, per request.", AUDIBLE_S)
        self._audio = counter("audio_seconds", "Audio sent, in seconds of its duration.")
        self._tokens = counter("semantic_tokens", "Semantic tokens drawn.")
        self._degenerate = counter(
            "degenerate_utterances",
            "Utterances that were not fit to be heard, by fault and outcome.",
            "fault",
            "outcome",
        )
        self._notices = counter("notices", "Things that callers were told though nothing failed, by code.", "code")
        self._batch = histogram("batch_size", "Rows of one T2S call.", ROWS)
        self._released = histogram(
            "cancel_to_release_seconds", "From a request's cancellation until it holds nothing any more.", SHORT_S
        )
        self._live_streams = gauge("live_streams_running", "Live streams that are open.")
        self._live_switches = counter("live_switches", "Changes of voice within a live stream, by outcome.", "outcome")
        self._live_underruns = counter("live_underruns", "Times a listener of a live stream ran dry in mid-speech.")
        self._load = histogram("voice_load_seconds", "Time to make a voice resident.", LOAD_S, "source")
        self._loads = counter("voice_loads", "Voices made resident, by where they came from.", "source", *voice)
        self._load_failures = counter("voice_load_failures", "Loads that failed, by reason.", "reason", *voice)
        self._swaps = counter("voice_swaps", "Loads for which another voice had to go.")
        self._evictions = counter("voice_evictions", "Voices taken out of memory, by reason.", "reason", *voice)
        self._eviction_age = histogram("age_at_eviction_seconds", "Time since its load, of each evicted voice.", AGE_S)
        self._network_load = histogram(
            "network_load_seconds", "Time to bring a shared network to the device.", LOAD_S, "network", "source"
        )
        self._network_failures = counter(
            "network_load_failures", "Loads of shared networks that failed, by reason.", "network", "reason"
        )
        self._network_evictions = counter(
            "network_evictions", "Shared networks taken out of memory, by reason.", "network", "reason"
        )
        self._residents = gauge("voices_resident", "Voices in memory, by tier.", "tier")
        self._voice_bytes = gauge("voice_bytes", "Bytes of voices and shared networks in memory.", "tier", "state")
        self._lookups = counter("cache_lookups", "Look-ups, by cache and result.", "cache", "result")
        self._device_memory = gauge("device_memory_bytes", "Memory of the device, by kind.", "kind")
        self._build = Info("voxswap_build", "What is running.", registry=registry)

    def build(self, **facts: str) -> None:
        """What is running: version, device, torch and so on."""
        self._build.info(facts)

    def request(self, method: str, code: str) -> None:
        """A request ended. `method` is package.Service/Method, `code` the name of the status code."""
        self._requests.labels(method, code).inc()

    def running(self, count: int) -> None:
        self._running.set(count)

    def waiting(self, count: int) -> None:
        self._waiting.set(count)

    def queued(self, seconds: float, trace_id: str = "") -> None:
        self._queue.observe(seconds, _exemplar(trace_id))

    def first_audio(self, seconds: float, *, warm: bool, trace_id: str = "") -> None:
        """`warm`: the voice was on the device when the request came."""
        self._first_audio.labels("warm" if warm else "cold").observe(seconds, _exemplar(trace_id))

    def audio(self, seconds: float) -> None:
        """So much more audio was sent."""
        self._audio.inc(seconds)

    def synthesized(self, *, rtf: float, underrun_s: float, semantic_tokens: int, trace_id: str = "") -> None:
        """A synthesis came to its end."""
        self._tokens.inc(semantic_tokens)
        self._rtf.observe(rtf, _exemplar(trace_id))
        self._underrun.observe(underrun_s, _exemplar(trace_id))

    def degenerate(self, fault: str, *, retried: bool) -> None:
        """An utterance was not fit to be heard; `fault` as of `DegenerateAudio`, `retried`: it is spoken once more."""
        self._degenerate.labels(fault or "unknown", "retried" if retried else "failed").inc()

    def noticed(self, code: str) -> None:
        """A caller was to know something; `code` as of `domain.Notice`."""
        self._notices.labels(code).inc()

    def released(self, seconds: float, trace_id: str = "") -> None:
        """A cancelled request holds nothing any more."""
        self._released.observe(seconds, _exemplar(trace_id))

    def live_streams(self, count: int) -> None:
        self._live_streams.set(count)

    def voice_switched(self, outcome: str) -> None:
        """A live stream changed its voice ("done"), or the new one could not be loaded ("failed")."""
        self._live_switches.labels(outcome).inc()

    def underruns(self, count: int) -> None:
        """So often a listener of a live stream ran dry in mid-speech, when it ended."""
        self._live_underruns.inc(count)

    def stage(self, stage: str, seconds: float) -> None:
        self._stage.labels(stage).observe(seconds)

    def batch(self, rows: int) -> None:
        self._batch.observe(rows)

    def voice_loaded(self, voice_id: str, source: str, seconds: float, *, swapped: bool) -> None:
        """A voice came to the device from the tier `source`; `swapped` when another one had to go for it."""
        self._load.labels(source).observe(seconds)
        self._loads.labels(source, *self._voice(voice_id)).inc()
        self._swaps.inc(swapped)

    def voice_load_failed(self, voice_id: str, reason: str) -> None:
        self._load_failures.labels(reason, *self._voice(voice_id)).inc()

    def voice_evicted(self, voice_id: str, reason: str, age_s: float) -> None:
        """A voice left memory; `reason` is lru, ttl, memory, admin or reload, `age_s` the time since its load."""
        self._evictions.labels(reason, *self._voice(voice_id)).inc()
        self._eviction_age.observe(age_s)

    def network_loaded(self, network: str, source: str, seconds: float) -> None:
        """A network that voices share came to the device from the tier `source`."""
        self._network_load.labels(network, source).observe(seconds)

    def network_load_failed(self, network: str, reason: str) -> None:
        self._network_failures.labels(network, reason).inc()

    def network_evicted(self, network: str, reason: str) -> None:
        self._network_evictions.labels(network, reason).inc()

    def lookup(self, cache: str, *, hit: bool) -> None:
        self.looked_up(cache, "hit" if hit else "miss")

    def looked_up(self, cache: str, result: str) -> None:
        """`result` is hit, miss, corrupt (there was an entry that may not be used) or unavailable."""
        self._lookups.labels(cache, result).inc()

    def tier_levels(
        self,
        tier: str,
        *,
        residents: Callable[[], float],
        leased_bytes: Callable[[], float],
        evictable_bytes: Callable[[], float],
    ) -> None:
        """Where the levels of a tier are read at each scrape; the functions must be quick and thread-safe."""
        self._residents.labels(tier).set_function(residents)
        self._voice_bytes.labels(tier, "leased").set_function(leased_bytes)
        self._voice_bytes.labels(tier, "evictable").set_function(evictable_bytes)

    def device_memory(self, kind: str, size_bytes: Callable[[], float]) -> None:
        """Where one kind of the device's memory is read at each scrape: allocated, reserved, free and so on."""
        self._device_memory.labels(kind).set_function(size_bytes)

    def _voice(self, voice_id: str) -> tuple[str, ...]:
        return (voice_id,) if self._voice_labels else ()


def _exemplar(trace_id: str) -> dict[str, str] | None:
    return {"trace_id": trace_id} if trace_id else None
