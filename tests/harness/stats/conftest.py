"""Settings of the property tests here."""

from hypothesis import settings

# A time limit for each example would let a busy machine decide.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
