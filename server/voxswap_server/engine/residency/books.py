"""What the parts of the state machine share: ledgers, records, counters, and the effects of the step.

Knows no rules. Whoever calls holds the lock.
"""

import itertools
from collections import Counter
from collections.abc import Callable
from typing import Any

from voxswap_server.domain import CacheStats, ResidentEvent
from voxswap_server.engine.residency.contract import ResidencyConfig, ResidencyMetrics, VoiceLoader
from voxswap_server.engine.residency.ledger import Tier
from voxswap_server.engine.residency.parts import PartStore
from voxswap_server.engine.residency.policy import FailureCache
from voxswap_server.engine.residency.voices import Generation, Roster, Voice

_LOOKED_UP = ("voices", "networks")


class Books:
    """The state of residency.

    Args:
        loader: does the blocking work.
        config: budgets and patience.
        metrics: counters, called as effects.
        clock: monotonic seconds.
        wall_clock: Unix seconds, for events.
    """

    def __init__(
        self,
        loader: VoiceLoader[Any],
        config: ResidencyConfig,
        metrics: ResidencyMetrics,
        clock: Callable[[], float],
        wall_clock: Callable[[], float],
    ) -> None:
        self.loader = loader
        self.config = config
        self.metrics = metrics
        self.clock = clock
        self.device = Tier("device", config.device_budget_bytes)
        self.host = Tier("host", config.host_budget_bytes if loader.host_tier else 0)
        self.store = PartStore(loader, self.device, self.host)
        self.roster = Roster(self.store, clock)
        self.failures = FailureCache(config.backoff_s, config.max_backoff_s, clock)
        self.queue: list[Generation] = []
        """Wait for room, first come first served."""
        self.bringing: list[Generation] = []
        """Hold their parts, and are loaded or assembled."""
        self.hits: Counter[str] = Counter()
        self.misses: Counter[str] = Counter()
        """Look-ups of voices and of networks."""
        self.loads = self.load_failures = 0
        self.evictions: Counter[str] = Counter()
        self.looked_s = clock()
        """When it was last looked whether those who wait can come in."""
        self.closing = False
        self.dirty = False
        """Something changed that may let something else begin."""
        self._wall_clock = wall_clock
        self._uses = itertools.count(1)

    def evictable(self, asking: Voice) -> list[Generation]:
        """Who may go for `asking` now, least recently used first."""
        return self.roster.evictable(self.clock() - self.config.min_resident_s, asking)

    @property
    def loading_ahead(self) -> bool:
        """Whether something holds room that nobody waits for, and will soon give it to whoever does."""
        return any(one.ahead and not one.urgent for one in self.bringing)

    def stats(self) -> CacheStats:
        """Counters and levels; the look-ups are residency's own."""
        tiers, levels = (self.device, self.host), self.roster.levels()
        return CacheStats(
            bytes_used={tier.name: tier.used_bytes for tier in tiers},
            bytes_budget={tier.name: tier.budget_bytes for tier in tiers},
            residents={name: level.residents for name, level in levels.items()},
            hits={name: self.hits[name] for name in _LOOKED_UP},
            misses={name: self.misses[name] for name in _LOOKED_UP},
            loads=self.loads,
            load_failures=self.load_failures,
            evictions=dict(self.evictions),
            networks=self.roster.networks(),
        )

    def touch(self, generation: Generation) -> None:
        """It is of use now."""
        generation.used = next(self._uses)
        generation.used_s = self.clock()

    def tell(self, kind: str, voice: Voice, reason: str = "", *, size_bytes: int = 0, duration_ms: float = 0.0) -> None:
        """An event for the watchers, who watch voices."""
        if voice.network is not None:
            return
        event = ResidentEvent(kind, voice.voice_id, "device", reason, size_bytes, duration_ms, self._wall_clock())
        self.store.effects.events.append(event)

    def after(self, call: Callable[[], object]) -> None:
        """Something to be called when the lock is free."""
        self.store.effects.calls.append(call)
