"""Kernels over attention maps: their graphs, cycles, trees and bars."""
