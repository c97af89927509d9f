"""Decoding: priors, k2 search, scoring."""
