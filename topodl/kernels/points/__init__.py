"""Kernels over points and their distances: Rips and alpha filtrations, spanning trees."""
