"""Kernels that turn diagrams and cells into vectors: landscapes, Euler characteristics."""
