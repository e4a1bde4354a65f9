"""Kernels over masks and likelihood maps: distances, skeletons, simple points, regions."""
