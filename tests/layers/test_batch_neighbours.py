"""No layer's output for a sample depends on the samples that share its batch, in evaluation mode."""

import pytest
import torch

import topodl
from tests.strategies import make_diagrams
from topodl import Diagrams, layers

PRECISIONS = {torch.float32: {"rtol": 1e-4, "atol": 1e-5}, torch.float64: {"rtol": 1e-9, "atol": 1e-11}}
SCALES = [1.0, 0.1, 1e3, 1e-3, 1.0, 30.0]  # a batch mixes them

CURVES = {"resolution": 5, "value_range": (0.0, 3.0)}
PLANE = {"resolution": (3, 4), "value_ranges": (0.0, 2.0)}
CASES = {
    "AlphaPersistence": [layers.AlphaPersistence()],
    "Amplitude": [
        layers.Amplitude(),
        layers.Amplitude("heat", {"bandwidth": 0.3}),
        layers.Amplitude("silhouette", CURVES),
    ],
    "Atol": [layers.Atol(centres=[[0.0, 1.0], [0.5, 2.0], [3.0, 4.0]])],
    "BarClamper": [layers.BarClamper(0.2, 5.0)],
    "BarSelector": [layers.BarSelector(2), layers.BarSelector(1, "rest", min_persistence=0.1)],
    "BettiCurve": [layers.BettiCurve(**CURVES), layers.BettiCurve(width=0.1, **CURVES)],
    "ComplexPolynomial": [layers.ComplexPolynomial(kind, 3) for kind in "RST"],
    "CubicalPersistence": [layers.CubicalPersistence(), layers.CubicalPersistence(superlevel=True)],
    "DelayEmbedding": [layers.DelayEmbedding(3, 2)],
    "DiagramEncoder": [
        layers.DiagramEncoder(width=8, n_heads=2, n_outputs=2),
        layers.DiagramEncoder(width=8, n_heads=2, n_blocks=0, pool="mean"),
    ],
    "DiagramDistances": [layers.DiagramDistances().fit(make_diagrams(9, [[3, 2], [1, 4]], essential=0.0))],
    "DiagramKernel": [layers.DiagramKernel().fit(make_diagrams(9, [[3, 2], [1, 4]], essential=0.0))],
    "DiagramScaler": [layers.DiagramScaler().fit(make_diagrams(9, [[3, 2], [1, 4]], essential=0.0))],
    "EulerCharacteristicTransform": [
        layers.EulerCharacteristicTransform(n_directions=3, n_thresholds=5, mode=mode, radius=2.0)
        for mode in ("soft", "hard")
    ],
    "EulerCurve": [layers.EulerCurve(**CURVES)],
    "EulerSurface": [layers.EulerSurface(**PLANE), layers.EulerSurface(width=0.5, **PLANE)],
    "FiberedPersistence": [layers.FiberedPersistence(n_lines=3, value_ranges=(0.0, 2.0))],
    "Filtration": [layers.Filtration("height", directions=[[0.6, 0.8]]), layers.Filtration("radial")],
    "GraphPersistence": [layers.GraphPersistence(), layers.GraphPersistence(extended=True)],
    "HilbertSurface": [layers.HilbertSurface(**PLANE), layers.HilbertSurface(width=0.5, **PLANE)],
    "LevelPersistence": [layers.LevelPersistence([0.3, 1.0, 20.0])],
    "LongestBars": [layers.LongestBars(4)],
    "MultiparameterLandscape": [
        layers.MultiparameterLandscape(n_landscapes=2, resolution=4, value_ranges=(0.0, 2.0))
    ],
    "NumberOfBars": [layers.NumberOfBars(0.1)],
    "PaddedBars": [layers.PaddedBars(3)],
    "PersLay": [layers.PersLay(n_features=4), layers.PersLay("triangle", n_features=4, operation="top_k")],
    "PersistenceCurve": [layers.PersistenceCurve(**CURVES)],
    "PersistenceEntropy": [layers.PersistenceEntropy()],
    "PersistenceImage": [
        layers.PersistenceImage(resolution=4, birth_range=(0.0, 2.0), persistence_range=(0.0, 2.0))
    ],
    "PersistenceLandscape": [layers.PersistenceLandscape(n_layers=2, **CURVES)],
    "PersistenceStatistics": [layers.PersistenceStatistics()],
    "RePHINE": [layers.RePHINE(4, readout="graph"), layers.RePHINE(4, readout="graph", triangles=False)],
    "RipsPersistence": [layers.RipsPersistence(), layers.RipsPersistence(dims=0)],
    "SignedMeasureImage": [layers.SignedMeasureImage(bandwidth=0.3, **PLANE)],
    "Silhouette": [layers.Silhouette(**CURVES)],
    "SliceFeatures": [layers.SliceFeatures(layers.BettiCurve(**CURVES), 1)],
    "TopologicalVector": [layers.TopologicalVector(4)],
    "TOGL": [layers.TOGL(4, readout="graph"), layers.TOGL(4, readout="graph", triangles=False)],
}

OF_TWO_CHANNELS = (
    *(layers.EulerSurface, layers.HilbertSurface, layers.SignedMeasureImage),
    *(layers.FiberedPersistence, layers.LevelPersistence, layers.MultiparameterLandscape),
)

# Their own tests compare a batch of complexes with its complexes one by one.
OF_CELLS = {
    *("CellMessagePassing", "CycleCliqueEncoding", "HodgeEncoding", "PersistentMessagePassing"),
    *("SimplicialWalkConv", "SimplicialWalks", "cycle_cliques", "simplicial_walks"),
}


def graphs_of(seed, dtype):
    """Return features (n, 4) and edges of graphs in the order of a batch, on every scale."""
    g = torch.Generator().manual_seed(seed)
    graphs = []
    for scale in SCALES:
        n = int(torch.randint(1, 9, (1,), generator=g))
        edges = torch.randint(0, n, (2, 2 * n), generator=g)
        graphs.append((torch.randn(n, 4, generator=g, dtype=torch.float64).to(dtype) * scale, edges))
    return graphs


def samples_for(layer, seed, dtype):
    """Return samples that differ in size or scale, each a batch of one, and how they become one batch."""
    g = torch.Generator().manual_seed(seed)
    if isinstance(layer, layers.TOGL | layers.RePHINE):
        return [(x, e, torch.zeros(len(x), dtype=torch.int64)) for x, e in graphs_of(seed, dtype)]
    if isinstance(layer, layers.GraphPersistence):
        return [([(x[:, 0], edges)],) for x, edges in graphs_of(seed, dtype)]
    if isinstance(layer, layers.DelayEmbedding):
        return [(s * torch.rand(1, 9, generator=g, dtype=torch.float64).to(dtype),) for s in SCALES]
    if isinstance(layer, layers.Filtration):  # of values up to 1
        images = torch.rand(len(SCALES), 1, 5, 6, generator=g, dtype=torch.float64).to(dtype)
        return [(min(s, 1.0) * image,) for s, image in zip(SCALES, images, strict=True)]
    if isinstance(layer, layers.CubicalPersistence | layers.EulerCurve):
        return [(s * torch.rand(1, 5, 6, generator=g, dtype=torch.float64).to(dtype),) for s in SCALES]
    if isinstance(layer, OF_TWO_CHANNELS):
        return [(s * torch.rand(1, 2, 5, 6, generator=g, dtype=torch.float64).to(dtype),) for s in SCALES]
    if isinstance(layer, layers.RipsPersistence | layers.AlphaPersistence):
        return [(s * torch.rand(1, 9, 3, generator=g, dtype=torch.float64).to(dtype),) for s in SCALES]
    if isinstance(layer, layers.EulerCharacteristicTransform):
        return [
            (torch.rand(1, 9, 3, generator=g, dtype=torch.float64).to(dtype) * min(s, 1.0),) for s in SCALES
        ]
    d = make_diagrams(seed, [[5, 3], [0, 0], [1, 6], [4, 0]], dtype=dtype)
    return [
        (one._with(births=one.births * s, deaths=one.deaths * s),) for one, s in zip(d, SCALES, strict=False)
    ]


def together(samples):
    first = samples[0][0]
    if len(samples[0]) == 3:
        starts = torch.tensor([0, *[len(x) for x, _, _ in samples]]).cumsum(0).tolist()
        edges = [e + start for (_, e, _), start in zip(samples, starts, strict=False)]
        batch = torch.repeat_interleave(torch.tensor([len(x) for x, _, _ in samples]))
        return torch.cat([x for x, _, _ in samples]), torch.cat(edges, 1), batch
    if isinstance(first, Diagrams):
        return (Diagrams.cat([d for (d,) in samples]),)
    return (
        ([x for (one,) in samples for x in one],)
        if isinstance(first, list)
        else (torch.cat([x for (x,) in samples]),)
    )


def parts_of(out, samples):
    """Return the output for each sample of a batch, as tensors."""
    if isinstance(out, Diagrams):
        ends = [(d.births, d.deaths, d.dims) for d in out]
        slices = len(ends) // len(samples)  # lines or levels
        return [sum(ends[i * slices : (i + 1) * slices], ()) for i in range(len(samples))]
    if isinstance(out, tuple):
        nodes = out[0].split([len(sample[0]) for sample in samples])
        return [(rows, graph) for rows, graph in zip(nodes, out[1], strict=True)]
    return [(row,) for row in out]


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize(("name", "place"), [(k, i) for k, v in CASES.items() for i in range(len(v))])
def test_a_sample_alone_has_the_output_that_it_has_in_a_batch(name, place, dtype):
    layer = CASES[name][place]
    layer = layer.to(dtype).eval()
    for seed in range(10 if name in ("TOGL", "RePHINE") else 3):
        samples = samples_for(layer, seed, dtype)
        if isinstance(layer, layers.EulerCharacteristicTransform) and seed == 0:
            layer.fit(together(samples)[0])
        with torch.no_grad():
            in_batch = parts_of(layer(*together(samples)), samples)
            alone = [parts_of(layer(*sample), [sample])[0] for sample in samples]
        assert len(in_batch) == len(alone) == len(samples)
        for found, expected in zip(in_batch, alone, strict=True):
            for a, b in zip(found, expected, strict=True):
                torch.testing.assert_close(a, b, **PRECISIONS[dtype], check_dtype=True)


def test_every_layer_is_looked_at():
    pipelines = {"cloud_features", "graph_features", "image_features", "time_series_features"}
    assert set(CASES) | OF_CELLS | pipelines == set(topodl.layers.__all__)
