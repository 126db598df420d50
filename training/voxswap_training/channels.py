"""What each channel of the generator's input is: the same from either end, as the flow turns channels round.

An earlier mel spectrum with its pitch, the channels of the source, a later spectrum with its pitch. Knows nothing of
networks and sound.
"""

from typing import Final

PER_FRAME: Final = 2
"""Spectra, and values of pitch."""
BANDS: Final = 80
SPOKEN_CHANNELS: Final = PER_FRAME * (BANDS + 1)
PHASES_PER_FRAME: Final = 10
"""The phase is told every 2 ms: more often than the highest voice swings."""

EARLIER: Final = range(BANDS + 1)
"""Pitch, then bands upwards."""
STATES: Final = range(EARLIER.stop, EARLIER.stop + 14)
"""What one coupling of the source tells the next."""
TEXTURE: Final = range(STATES.stop, STATES.stop + 8)
"""Noise for the generator to make hiss from."""
SEEDS: Final = range(TEXTURE.stop, TEXTURE.stop + 2)
"""Noise that the phase is made of."""
PHASES: Final = range(SEEDS.stop, SEEDS.stop + 2 * PHASES_PER_FRAME)
"""Cosines of the phase, then sines."""
LATER: Final = range(PHASES.stop, PHASES.stop + BANDS + 1)
"""Bands upwards, then pitch."""

CHANNELS: Final = LATER.stop
PITCH: Final = frozenset({EARLIER.start, LATER.stop - 1})
SPOKEN: Final = frozenset({*EARLIER, *LATER})
NOISE: Final = frozenset({*TEXTURE, *SEEDS})
"""What the prior fills with noise of deviation 1; the rest of the source it leaves empty."""
HEARD: Final = SPOKEN | {*TEXTURE, *PHASES}
"""By the generator."""
SOURCE_HEARS: Final = PITCH | {*SEEDS, *STATES}
SOURCE_SAYS: Final = frozenset({*STATES, *PHASES})
