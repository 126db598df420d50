"""The board of the service: what callers get, and what the engine does for it."""

from boards.parts import BYTES, COUNT, PER_SECOND, SECONDS, SHARE, Board, Plot, Query, Row, quantiles, rates

SERVICE = Board(
    "voxswap-service",
    "voxswap: service",
    "What callers get: how many, how soon, how fast, and what fails.",
    (
        Row(
            "Now",
            (
                Plot(
                    "Servers",
                    "Instances that Prometheus reaches.",
                    COUNT,
                    (Query("count(voxswap_build_info{@})"),),
                    "number",
                    4,
                ),
                Plot(
                    "Requests",
                    "Requests that ended, a second.",
                    PER_SECOND,
                    (Query("sum(rate(voxswap_requests_total{@}[~]))"),),
                    "number",
                    4,
                ),
                Plot(
                    "Being spoken",
                    "Requests that hold a voice.",
                    COUNT,
                    (Query("sum(voxswap_requests_running{@})"),),
                    "number",
                    4,
                ),
                Plot(
                    "Waiting",
                    "Requests in the queue: a lasting number means too little device.",
                    COUNT,
                    (Query("sum(voxswap_requests_waiting{@})"),),
                    "number",
                    4,
                ),
                Plot(
                    "First audio, p95",
                    "From acceptance to the first byte of audio.",
                    SECONDS,
                    quantiles("time_to_first_audio_seconds", levels=(0.95,)),
                    "number",
                    4,
                ),
                Plot(
                    "Speech made",
                    "Seconds of audio sent, a second: how many listeners are being served.",
                    COUNT,
                    (Query("sum(rate(voxswap_audio_seconds_total{@}[~]))"),),
                    "number",
                    4,
                ),
            ),
        ),
        Row(
            "Callers",
            (
                Plot(
                    "Requests by method",
                    "Which calls come, a second.",
                    PER_SECOND,
                    rates("requests", "method"),
                    "stack",
                ),
                Plot(
                    "Requests by code",
                    "RESOURCE_EXHAUSTED is too much work; INTERNAL and DATA_LOSS are faults.",
                    PER_SECOND,
                    rates("requests", "code"),
                    "stack",
                ),
                Plot(
                    "Share that failed by our fault",
                    "INTERNAL, UNKNOWN and DATA_LOSS among all that ended.",
                    SHARE,
                    (Query("voxswap:request_faults:ratio_rate5m{@}", "{{instance}}"),),
                ),
                Plot(
                    "First audio",
                    "By whether the voice was on the device when the request came.",
                    SECONDS,
                    quantiles("time_to_first_audio_seconds", "model_state", (0.5, 0.95)),
                ),
                Plot(
                    "First audio, all of it",
                    "Each column is one moment, each cell how many began to hear.",
                    SECONDS,
                    (Query("sum by (le) (increase(voxswap_time_to_first_audio_seconds_bucket{@}[~]))", "{{le}}"),),
                    "heatmap",
                ),
                Plot(
                    "Silence in playback",
                    "Playback time without audio, per request: the voice stutters.",
                    SECONDS,
                    quantiles("underrun_seconds"),
                ),
            ),
        ),
        Row(
            "Engine",
            (
                Plot("Time in the queue", "Before a request holds its voice.", SECONDS, quantiles("queue_seconds")),
                Plot(
                    "Real-time factor",
                    "Above 1, speech is made slower than it is heard.",
                    COUNT,
                    quantiles("real_time_factor"),
                ),
                Plot(
                    "Device calls", "p95 of one call, by stage.", SECONDS, quantiles("stage_seconds", "stage", (0.95,))
                ),
                Plot(
                    "Device time",
                    "Share of a second that each stage has the device.",
                    SHARE,
                    (Query("sum by (stage) (rate(voxswap_stage_seconds_sum{@}[~]))", "{{stage}}"),),
                    "stack",
                ),
                Plot(
                    "Rows of one T2S call",
                    "More rows are more listeners for the same time.",
                    COUNT,
                    (
                        Query(
                            "sum(rate(voxswap_batch_size_sum{@}[~])) / sum(rate(voxswap_batch_size_count{@}[~]))",
                            "mean",
                        ),
                    ),
                ),
                Plot(
                    "Semantic tokens",
                    "Drawn a second.",
                    COUNT,
                    (Query("sum(rate(voxswap_semantic_tokens_total{@}[~]))", "tokens"),),
                ),
                Plot(
                    "Unfit utterances",
                    "Runaway, silence or noise: spoken once more, or failed.",
                    PER_SECOND,
                    (
                        Query(
                            "sum by (fault, outcome) (rate(voxswap_degenerate_utterances_total{@}[~])) or vector(0)",
                            "{{fault}} {{outcome}}",
                        ),
                    ),
                ),
                Plot(
                    "Notices",
                    "What callers were told though nothing failed, by code: characters left out, switches not reached.",
                    PER_SECOND,
                    (Query("sum by (code) (rate(voxswap_notices_total{@}[~])) or vector(0)", "{{code}}"),),
                ),
                Plot(
                    "From cancellation to release",
                    "How long a listener who left still holds something.",
                    SECONDS,
                    quantiles("cancel_to_release_seconds", levels=(0.5, 0.95)),
                ),
                Plot(
                    "Memory",
                    "Of the device by kind, and of the process.",
                    BYTES,
                    (
                        Query(
                            "sum by (kind) (voxswap_device_memory_bytes{@}) or "
                            'label_replace(process_resident_memory_bytes{@}, "kind", "process", "", "")',
                            "{{kind}}",
                        ),
                    ),
                ),
            ),
        ),
    ),
)
