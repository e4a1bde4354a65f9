"""Tori and cylinders, hollow and solid: the graph and the features of its nodes each confuse two of them."""

import numpy as np
import pytest
import torch
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from topodl import Mapper
from topodl.layers import RipsPersistence

KINDS = ("hollow torus", "solid torus", "hollow cylinder", "solid cylinder")
N = 600


def make_shape(kind, seed):
    rng = np.random.default_rng(seed)
    around, along = rng.uniform(0, 2 * np.pi, (2, N))
    depth = np.sqrt(rng.uniform(size=N)) if "solid" in kind else np.ones(N)
    across, up = depth * np.cos(around), depth * np.sin(around)
    if "torus" in kind:
        points = [(3 + across) * np.cos(along), (3 + across) * np.sin(along), up]
    else:
        points = [4 * (along / np.pi - 1), across, up]
    return np.stack(points, 1) + 0.05 * rng.standard_normal((N, 3))


def longest_bar(diagrams):
    lengths = torch.zeros(len(diagrams), dtype=diagrams.births.dtype)
    return lengths.scatter_reduce(0, diagrams.samples, diagrams.persistence(), "amax")[:, None]


@pytest.fixture(scope="module")
def graphs():
    attributes = make_pipeline(RipsPersistence(dims=1), FunctionTransformer(longest_bar))
    mapper = Mapper(clusterer=1.0, min_size=5, attributes=attributes)
    return {kind: [mapper.fit(make_shape(kind, seed)).graph_ for seed in range(4)] for kind in KINDS}


def test_structure_and_attributes_together_tell_what_each_alone_confuses(graphs):
    closed = {kind: {each.betti()[1] > 0 for each in some} for kind, some in graphs.items()}
    bars = {kind: [float(each.x.mean()) for each in some] for kind, some in graphs.items()}
    hollow = {kind: {bar > 0.5 for bar in some} for kind, some in bars.items()}
    told = {kind: (closed[kind], hollow[kind]) for kind in KINDS}
    assert told == {
        "hollow torus": ({True}, {True}),
        "solid torus": ({True}, {False}),
        "hollow cylinder": ({False}, {True}),
        "solid cylinder": ({False}, {False}),
    }
    assert all(each.n_components == 1 for some in graphs.values() for each in some)
