"""PCM, containers, resampling and loudness. No torch."""
