"""Kernels over graphs: spanning forests, extended persistence, cliques of three."""
