"""A small REST application of a wholesale shop: no framework, no packages, everything in memory."""
