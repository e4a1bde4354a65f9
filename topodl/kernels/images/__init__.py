"""Kernels over images and volumes: pairings of cubical filtrations, and matchings between two."""
