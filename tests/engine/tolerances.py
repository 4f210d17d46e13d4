"""How far a number may be off, and why. Nothing else in the tests is compared by a tolerance."""

STATISTICS_RELATIVE = 1e-12
"""Mean and deviation of a band: sums in float64 whose order follows the shards."""
