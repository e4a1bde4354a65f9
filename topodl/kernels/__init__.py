"""Compiled loops: NumPy arrays in, integers out; nothing below here imports torch."""
