import pickle

import pytest
import torch

from topodl import InputError
from topodl.complexes import clique_complexes, ring_complexes
from topodl.integrations import pyg
from topodl.integrations.pyg import CliqueLift, RingLift, cell_tensors, complexes_of

geometric = pytest.importorskip("torch_geometric")

BOWTIE = torch.tensor([[0, 0, 1, 2, 2, 3], [1, 2, 2, 3, 4, 4]])
SQUARE = torch.tensor([[0, 1, 2, 0], [1, 2, 3, 3]])
GRAPHS = [(BOWTIE, 5), (SQUARE, 6), (BOWTIE[:, :0], 1), (BOWTIE, 5)]


def data_of(edge_index, n):
    return geometric.data.Data(edge_index=edge_index, x=torch.arange(2.0 * n).view(n, 2), num_nodes=n)


def joined():
    """Return the edges of all graphs as a batch counts them, and the graph of each vertex."""
    batch = geometric.data.Batch.from_data_list([data_of(*graph) for graph in GRAPHS])
    return batch.edge_index, batch.batch


@pytest.mark.parametrize("lift", [CliqueLift(), RingLift(max_length=4)])
def test_a_loader_joins_the_complexes_of_its_graphs(lift):
    loader = geometric.loader.DataLoader([lift(data_of(*graph)) for graph in GRAPHS], batch_size=4)
    (batch,) = loader
    found = complexes_of(batch)
    lifted = clique_complexes if isinstance(lift, CliqueLift) else ring_complexes
    expected = lifted(*joined(), len(GRAPHS))
    for k in (1, 2):
        assert torch.equal(found.vertices(k).members, expected.vertices(k).members)
        assert torch.equal(found.faces(k).members, expected.faces(k).members)
        assert torch.equal(found.offsets(k), expected.offsets(k))


@pytest.mark.parametrize("lifted", [clique_complexes, ring_complexes])
def test_tables_count_on_by_cells_in_a_batch(lifted):
    graphs = []
    for edge_index, n in GRAPHS:
        plain = data_of(edge_index, n)
        graphs.append(pyg.CellData(**plain.to_dict(), **cell_tensors(lifted(edge_index, n_vertices=n))))
    batch = geometric.data.Batch.from_data_list(graphs)
    expected = lifted(*joined(), len(GRAPHS))
    for k in (1, 2):
        faces, vertices = expected.faces(k), expected.vertices(k)
        assert torch.equal(batch[f"face_index_{k}"], torch.stack((faces.members, faces.owners)))
        assert torch.equal(batch[f"cell_index_{k}"], torch.stack((vertices.members, vertices.owners)))
        assert torch.equal(batch[f"face_sign_{k}"], expected.signs(k))
        assert torch.equal(batch[f"num_cells_{k}"], expected.counts[:, k])
    for i, graph in enumerate(batch.to_data_list()):
        assert torch.equal(graph.face_index_2, graphs[i].face_index_2)
        assert torch.equal(graph.edge_index, graphs[i].edge_index)
    again = pickle.loads(pickle.dumps(batch))
    assert torch.equal(again.face_index_1, batch.face_index_1)


def test_features_of_cells_are_joined_along_the_cells():
    lift = CliqueLift(features="mean")
    batch = geometric.data.Batch.from_data_list([lift(data_of(*graph)) for graph in GRAPHS])
    complexes = complexes_of(batch)
    for k in (1, 2):
        assert torch.equal(batch[f"x_{k}"], batch.x[complexes.vertices(k).table()].mean(1))
    assert "x_1" not in RingLift()(data_of(BOWTIE, 5))
    assert RingLift(features="sum")(data_of(SQUARE, 4)).x_2.tolist() == [[12.0, 16.0]]


def test_transforms_print_their_options():
    assert repr(CliqueLift(3)) == "CliqueLift(max_dim=3, features=None)"
    assert repr(RingLift()) == "RingLift(max_length=6, kind='chordless', features=None)"


def test_what_is_missing_is_named():
    with pytest.raises(InputError, match="complexes_of: data is a Data without complexes"):
        complexes_of(data_of(*GRAPHS[0]))
    with pytest.raises(InputError, match="CliqueLift: data is a Data without 'x'"):
        CliqueLift(features="sum")(geometric.data.Data(edge_index=BOWTIE, num_nodes=5))
    with pytest.raises(InputError, match="complexes are 4 samples; expected one"):
        cell_tensors(clique_complexes(*joined(), 4))
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        _ = pyg.nonsense
