"""Any order of requests, releases, failures, changes of the store and of time: the invariants hold after every step.

Calls of the loader run when the machine says, so every interleaving of loads, evictions and requests can occur.
"""

from concurrent.futures import Future

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.fixtures.fake_loader import Clock, FakeLoader, RecordedMetrics, Steps
from voxswap_server.engine.residency import DeviceOutOfMemory, Lease, ResidencyConfig, ResidencyManager
from voxswap_server.engine.residency.ledger import PartState, Tier
from voxswap_server.engine.residency.voices import Stage, Ticket
from voxswap_server.errors import VoiceUnusable, VoxswapError

NAMES = ("a", "b", "c", "d", "network:n")
CONTENTS = ("base", "p1", "p2", "p3", "p4", "p5", "p6")
SIZES = dict(zip(CONTENTS, (8, 1, 2, 3, 5, 7, 4), strict=True))
WAIT_S = 30.0

names = st.sampled_from(NAMES)
contents = st.sets(st.sampled_from(CONTENTS), min_size=1, max_size=3)


class ResidencyMachine(RuleBasedStateMachine):
    lies = False

    @initialize(
        budget=st.integers(14, 30),
        host=st.sampled_from((0, 0, 6, 20)),
        wait=st.sampled_from((0.0, WAIT_S)),
        turn=st.sampled_from((0.0, 5.0)),
        ttl=st.sampled_from((0.0, 20.0)),
        ahead=st.sampled_from((0, 1, 3)),
        voices=st.fixed_dictionaries(dict.fromkeys(NAMES, contents)),
        measured=st.dictionaries(st.sampled_from(CONTENTS), st.integers(0, 9), max_size=2),
    )
    def begin(self, budget, host, wait, turn, ttl, ahead, voices, measured):
        self.clock, self.steps, self.metrics = Clock(), Steps(), RecordedMetrics()
        self.loader = FakeLoader({name: {key: SIZES[key] for key in keys} for name, keys in voices.items()})
        self.loader.host_tier = host > 0
        if self.lies:
            self.loader.measured = measured
        self.manager = ResidencyManager(
            self.loader,
            ResidencyConfig(
                device_budget_bytes=budget,
                host_budget_bytes=host,
                wait_for_room_s=wait,
                min_resident_s=turn,
                idle_ttl_s=ttl,
                loads_ahead=ahead,
                backoff_s=2.0,
            ),
            self.metrics,
            clock=self.clock,
            wall_clock=lambda: 0.0,
            submit=self.steps,
        )
        self.core = self.manager._core
        self.books = self.core.books
        self.open: list[Ticket] = []
        self.leaving: list[Future] = []

    # --- what may happen --------------------------------------------------------------------------------------------

    @rule(name=names, how=st.sampled_from(("lease", "lease", "lease", "show", "pin", "fresh")))
    def ask(self, name, how):
        failed_lately = self.books.failures.blocking(name) is not None
        try:
            ticket = self.manager._request(name, wants_lease=how == "lease", pin=how == "pin", fresh=how == "fresh")
        except VoxswapError:
            refused = True
        else:
            refused = False
            self.open.append(ticket)
        assert failed_lately or not refused

    @rule(name=names)
    def announce(self, name):
        """A request that waits for its turn says what it will lease. It is never refused."""
        self.open.append(self.manager._driver.step(lambda: self.core.request_ahead(name)))

    @precondition(lambda self: self.open)
    @rule(at=st.integers(0, 1000))
    def close(self, at):
        """A lease is returned, or a waiter gives up."""
        ticket = self.open.pop(at % len(self.open))
        self.manager._close_ticket(ticket)
        self.manager._close_ticket(ticket)

    @precondition(lambda self: self.steps.pending)
    @rule(at=st.integers(0, 1000))
    def answer(self, at):
        """One call of the loader is made and answered."""
        self.steps.step(at)

    @rule(names=st.lists(names, min_size=1, max_size=4))
    def use(self, names):
        """Voices are leased one after another, each as soon as it is there; the loader answers everything."""
        for name in names:
            self.ask(name, "lease")
            self.steps.run_all()

    @precondition(lambda self: len(self.open) > 3)
    @rule()
    def close_all(self):
        while self.open:
            self.close(0)

    @rule(
        call=st.sampled_from(("plan", "load-for", "assemble")).flatmap(lambda call: names.map(f"{call}:{{}}".format))
        | st.sampled_from(("load", "promote", "demote", "release")).flatmap(
            lambda call: st.sampled_from(CONTENTS).map(f"{call}:{{}}".format)
        ),
        error=st.sampled_from((VoiceUnusable("v", "broken"), DeviceOutOfMemory(), OSError("a bad sector"))),
    )
    def break_call(self, call, error):
        """The next call of this kind for this voice or part fails."""
        self.loader.failing[call] = [error]

    @rule(name=names, keys=contents | st.none())
    def change(self, name, keys):
        """The store has another revision of the voice, or has it no more."""
        if keys is None:
            self.loader.voices.pop(name, None)
        else:
            self.loader.voices[name] = {key: SIZES[key] for key in keys}

    @rule(name=names, what=st.sampled_from(("unload", "unpin", "relieve")), need=st.integers(1, 20))
    def operate(self, name, what, need):
        """What operators, and the device thread when its memory is full, ask for."""
        match what:
            case "unload":
                self.leaving += self.manager._driver.step(lambda: self.core.unload(name))
            case "unpin":
                self.manager._driver.step(lambda: self.core.unpin(name))
            case _:
                self.leaving += self.manager._driver.step(lambda: self.core.relieve(need))

    @rule(seconds=st.sampled_from((0.5, 3.0, 10.0, 40.0)))
    def pass_time(self, seconds):
        self.clock.pass_s(seconds)
        deadline_s = self.manager.tick()
        assert deadline_s is None or deadline_s > self.clock()

    # --- what must hold ---------------------------------------------------------------------------------------------

    @invariant()
    def books_are_exact(self):
        for tier in (self.books.device, self.books.host):
            self.check_tier(tier)

    def check_tier(self, tier: Tier):
        here, leaving = list(tier.parts()), list(tier.leaving())
        there = [part for part in (*here, *leaving) if part.state in {PartState.READY, PartState.LEAVING}]
        assert tier.committed_bytes == sum(part.size_bytes for part in here)
        assert tier.used_bytes == sum(
            part.size_bytes for part in (*here, *leaving) if part.state is not PartState.CLAIMED
        )
        assert sum(part.size_bytes for part in there) == self.loader.bytes_on(tier.name)
        assert all(part.loaded is not None for part in there)
        if not self.lies:
            assert tier.used_bytes <= tier.budget_bytes
            assert tier.committed_bytes <= tier.budget_bytes

    @invariant()
    def levels_add_up(self):
        levels = self.manager.levels()
        assert sum(levels["device"].__getattribute__(name) for name in ("leased_bytes", "evictable_bytes")) == (
            self.books.device.used_bytes
        )
        generations = [self.books.roster.resident(generation) for _, generation in self.generations()]
        voices = [one for one in generations if one.voice_id != "network:n"]
        assert [one for one in self.manager.residents() if one.tier == "device"] == voices
        held = {part for _, generation in self.generations() for part in generation.parts.values()}
        own = sum(one.bytes_own for one in generations)
        shared = {part for part in held if len(part.holders) > 1}
        assert own + sum(part.size_bytes for part in shared) == sum(part.size_bytes for part in held)

    def generations(self):
        for voice in self.books.roster.voices.values():
            for generation in (voice.current, voice.loading, *voice.retiring):
                if generation is not None:
                    yield voice, generation

    @invariant()
    def leased_weights_are_there(self):
        counted: dict[object, int] = {}
        for ticket in self.open:
            if ticket.granted and ticket.wants_lease and ticket.future.exception() is None:
                lease = ticket.future.result()
                assert isinstance(lease, Lease)
                lease.bundle.speak()
                counted[ticket.generation] = counted.get(ticket.generation, 0) + 1
        for _, generation in self.generations():
            assert generation.leases == counted.pop(generation, 0)
        assert not counted

    @invariant()
    def only_idle_and_unpinned_voices_are_evicted(self):
        for voice, generation in self.generations():
            if generation.going in {"lru", "ttl", "memory"}:
                assert generation.stage is Stage.LEAVING
                assert generation.leases == 0
            assert not voice.pinned or voice.current is not None

    @invariant()
    def every_announcement_is_counted_once(self):
        for _, generation in self.generations():
            announced = [ticket for ticket in self.open if ticket.ahead and ticket.generation is generation]
            assert generation.awaited == sum(1 for ticket in announced if ticket.granted and not ticket.closed)

    @invariant()
    def every_part_is_held_or_moving(self):
        for part in self.books.device.parts():
            assert part.holders or part.state is PartState.MOVING
        for copy in self.books.host.parts():
            wanted = self.books.device.get(copy.key)
            assert copy.holders or copy.state is PartState.MOVING or (wanted and wanted.state is not PartState.READY)

    @invariant()
    def nobody_waits_for_nothing(self):
        waiting = {ticket.generation for ticket in self.open if not ticket.granted and ticket.generation}
        alive = {generation for _, generation in self.generations() if generation.stage is not Stage.LEAVING}
        assert waiting <= alive
        if not self.books.queue:
            assert not any(generation.yielding for generation in self.books.roster.current())

    @invariant()
    def at_rest_within_the_budget(self):
        if not self.steps.pending:
            for tier in (self.books.device, self.books.host):
                assert tier.used_bytes == tier.committed_bytes <= tier.budget_bytes

    def teardown(self):
        if not hasattr(self, "manager"):
            return
        self.steps.run_all()
        for _ in range(2):  # the second one for those who came to the front when the first lost their patience
            self.clock.pass_s(WAIT_S)
            self.manager.tick()
            self.steps.run_all()
        assert all(ticket.future.done() for ticket in self.open if not ticket.ahead), "somebody still waits"
        for ticket in self.open:
            self.manager._close_ticket(ticket)
        self.steps.run_all()
        assert all(future.done() for future in self.leaving)
        self.manager.close(grace_s=0.0)
        self.steps.run_all()
        assert self.manager.close(grace_s=0.0)
        assert not self.loader.live
        assert self.manager.residents() == []
        assert self.manager.networks() == {}


class LyingHeaders(ResidencyMachine):
    """Parts are larger or smaller than their headers say."""

    lies = True


class DeepResidency(ResidencyMachine):
    """The same, for longer."""


class DeepLyingHeaders(LyingHeaders):
    """The same, for longer."""


quick = settings(
    max_examples=150,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
deep = settings(quick, max_examples=1500, stateful_step_count=60)

TestResidency = ResidencyMachine.TestCase
TestResidency.settings = quick
TestLyingHeaders = LyingHeaders.TestCase
TestLyingHeaders.settings = settings(quick, max_examples=80)
TestDeepResidency = pytest.mark.slow(DeepResidency.TestCase)
TestDeepResidency.settings = deep
TestDeepLyingHeaders = pytest.mark.slow(DeepLyingHeaders.TestCase)
TestDeepLyingHeaders.settings = deep
