"""The board of residency: voices in memory, their coming and going, the caches."""

from boards.parts import BYTES, COUNT, PER_SECOND, SECONDS, SHARE, Board, Plot, Query, Row, quantiles, rates

RESIDENCY = Board(
    "voxswap-residency",
    "voxswap: residency",
    "Which voices are in memory, what bringing them costs, and what makes them leave.",
    (
        Row(
            "Now",
            (
                Plot(
                    "Voices in memory",
                    "By tier.",
                    COUNT,
                    (Query("sum by (tier) (voxswap_voices_resident{@})", "{{tier}}"),),
                    "number",
                ),
                Plot(
                    "Bytes in memory",
                    "By tier, and whether they could leave.",
                    BYTES,
                    (Query("sum by (tier, state) (voxswap_voice_bytes{@})", "{{tier}} {{state}}"),),
                    "number",
                ),
                Plot(
                    "Voice already there",
                    "Look-ups that found their voice on the device.",
                    SHARE,
                    (Query('voxswap:cache_hits:ratio_rate5m{@, cache="voices"}', "{{instance}}"),),
                    "number",
                ),
            ),
        ),
        Row(
            "Coming and going",
            (
                Plot(
                    "Loads",
                    "Voices made resident a second, by where they came from.",
                    PER_SECOND,
                    rates("voice_loads", "source"),
                    "stack",
                ),
                Plot(
                    "Swaps",
                    "Loads for which another voice had to go: many mean that the budget is small.",
                    PER_SECOND,
                    rates("voice_swaps"),
                ),
                Plot(
                    "Evictions",
                    "By reason: lru and memory make room, ttl tidies up, admin is a person.",
                    PER_SECOND,
                    rates("voice_evictions", "reason"),
                    "stack",
                ),
                Plot("Time to load", "p95, by source.", SECONDS, quantiles("voice_load_seconds", "source", (0.95,))),
                Plot(
                    "Age at eviction",
                    "Short ages mean that voices push one another out.",
                    SECONDS,
                    quantiles("age_at_eviction_seconds", levels=(0.1, 0.5)),
                ),
                Plot("Loads that failed", "By reason.", PER_SECOND, rates("voice_load_failures", "reason"), "stack"),
            ),
        ),
        Row(
            "Memory",
            (
                Plot(
                    "Bytes by tier",
                    "Leased bytes are being spoken with; evictable ones make room when asked.",
                    BYTES,
                    (Query("sum by (tier, state) (voxswap_voice_bytes{@})", "{{tier}} {{state}}"),),
                    "stack",
                ),
                Plot(
                    "Caches",
                    "Share of look-ups that hit, by cache.",
                    SHARE,
                    (Query("voxswap:cache_hits:ratio_rate5m{@}", "{{cache}}"),),
                ),
                Plot(
                    "Look-ups", "A second, by cache and result.", PER_SECOND, rates("cache_lookups", "cache", "result")
                ),
                Plot(
                    "Shared networks brought",
                    "p95 of bringing one to the device.",
                    SECONDS,
                    quantiles("network_load_seconds", "network", (0.95,)),
                ),
                Plot(
                    "Shared networks gone",
                    "Evictions and failed loads, by reason.",
                    PER_SECOND,
                    (
                        Query(
                            "sum by (network, reason) (rate(voxswap_network_evictions_total{@}[~])) or vector(0)",
                            "{{network}} evicted: {{reason}}",
                        ),
                        Query(
                            "sum by (network, reason) (rate(voxswap_network_load_failures_total{@}[~])) or vector(0)",
                            "{{network}} failed: {{reason}}",
                        ),
                    ),
                ),
            ),
        ),
    ),
)
