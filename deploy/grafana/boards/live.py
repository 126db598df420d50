"""The board of live streams."""

from boards.parts import COUNT, PER_SECOND, SECONDS, Board, Plot, Query, Row, quantiles, rates

LIVE = Board(
    "voxswap-live",
    "voxswap: live streams",
    "Streams that take text while they speak: how many, how soon, how smoothly.",
    (
        Row(
            "Now",
            (
                Plot("Live streams", "Open now.", COUNT, (Query("sum(voxswap_live_streams_running{@})"),), "number"),
                Plot(
                    "Switches",
                    "Changes of voice inside a stream, in the last hour.",
                    COUNT,
                    (Query("sum(increase(voxswap_live_switches_total{@}[1h]))"),),
                    "number",
                ),
                Plot(
                    "Underruns",
                    "Times that a live listener ran dry, in the last hour.",
                    COUNT,
                    (Query("sum(increase(voxswap_live_underruns_total{@}[1h]))"),),
                    "number",
                ),
            ),
        ),
        Row(
            "Streams",
            (
                Plot(
                    "Live streams",
                    "Open, by server.",
                    COUNT,
                    (Query("voxswap_live_streams_running{@}", "{{instance}}"),),
                ),
                Plot(
                    "Switches",
                    "By how they ended; a failed one leaves the old voice speaking.",
                    PER_SECOND,
                    rates("live_switches", "outcome"),
                    "stack",
                ),
                Plot("Underruns", "Times a second that a live listener ran dry.", PER_SECOND, rates("live_underruns")),
                Plot(
                    "How streams end",
                    "A second, by code.",
                    PER_SECOND,
                    (
                        Query(
                            "sum by (code) (rate(voxswap_requests_total{@, "
                            'method="voxswap.v1.SpeechService/StreamingSynthesize"}[~]))',
                            "{{code}}",
                        ),
                    ),
                    "stack",
                ),
                Plot(
                    "First audio",
                    "Of all streams.",
                    SECONDS,
                    quantiles("time_to_first_audio_seconds", "model_state", (0.5, 0.95)),
                ),
                Plot(
                    "Barge-in to silence",
                    "From a cancellation until nothing is held any more.",
                    SECONDS,
                    quantiles("cancel_to_release_seconds", levels=(0.5, 0.95)),
                ),
            ),
        ),
    ),
)
