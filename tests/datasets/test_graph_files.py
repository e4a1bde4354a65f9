"""Graphs from text: small files of both formats, all parts of them, and every kind of broken line."""

import numpy as np
import pytest
import torch

from topodl.datasets import load_graphs
from topodl.errors import InputError

# A triangle of class 1, a graph without edges of class -1, and a path of class 1.
FOLDER = {
    "A": "1, 2\n2, 1\n2, 3\n3, 2\n1, 3\n3, 1\n5, 6\n6, 5\n6, 7\n7, 6\n",
    "graph_indicator": "1\n1\n1\n2\n3\n3\n3\n",
    "graph_labels": "1\n-1\n1\n",
    "node_labels": "0\n4\n0\n4\n4\n9\n0\n",
    "node_attributes": "0.5, 1\n1.5, 2\n2, 3\n3, 4\n4, 5\n5, 6\n6, -7e1\n",
    "edge_labels": "0\n0\n1\n1\n0\n0\n2\n2\n0\n0\n",
    "edge_attributes": "ignored\n",
}
FILE = "3\n3 1\n0 2 1 2\n4 2 0 2\n0 2 0 1\n1 -1\n4 0\n3 1\n4 1 1\n9 2 0 2\n0 1 1\n"


def write(folder, parts, name="DS"):
    for part, text in parts.items():
        (folder / f"{name}_{part}.txt").write_text(text, encoding="utf-8")
    return folder


def without(*parts):
    return {part: text for part, text in FOLDER.items() if part not in parts}


def test_reads_a_folder(tmp_path):
    graphs = load_graphs(write(tmp_path, FOLDER))
    assert graphs.n_graphs == 3
    assert graphs.feature_names == ("label_0", "label_4", "label_9", "attribute_0", "attribute_1")
    assert graphs.x.dtype == np.float32
    assert graphs.x[[0, 5, 6]].tolist() == [[1, 0, 0, 0.5, 1], [0, 0, 1, 5, 6], [1, 0, 0, 6, -70]]
    assert graphs.edge_index.tolist() == [[0, 1, 1, 2, 0, 2, 4, 5, 5, 6], [1, 0, 2, 1, 2, 0, 5, 4, 6, 5]]
    assert graphs.batch.tolist() == [0, 0, 0, 1, 2, 2, 2]
    assert graphs.y.tolist() == [1, 0, 1]
    assert graphs.classes.tolist() == [-1, 1]
    assert graphs.edge_labels.tolist() == [0, 0, 1, 1, 0, 0, 2, 2, 0, 0]


def test_reads_the_same_graphs_from_one_file(tmp_path):
    (tmp_path / "DS.txt").write_text(FILE, encoding="utf-8")
    graphs = load_graphs(tmp_path / "DS.txt")
    same = load_graphs(write(tmp_path, without("node_attributes", "edge_labels")))
    assert graphs.edge_labels is None
    assert graphs.feature_names == same.feature_names
    for one, other in zip(graphs[:5], same[:5], strict=True):
        if one is graphs.edge_index:
            one, other = (e[:, np.lexsort(e)] for e in (one, other))
        np.testing.assert_array_equal(one, other)
        assert one.dtype == other.dtype


def test_attributes_follow_the_neighbours_in_one_file(tmp_path):
    (tmp_path / "g.txt").write_text("1\n2 0\n7 1 1 0.25 3\n7 1 0 -1 4\n\n", encoding="utf-8")
    graphs = load_graphs(str(tmp_path / "g.txt"))
    assert graphs.feature_names == ("label_7", "attribute_0", "attribute_1")
    assert graphs.x.tolist() == [[1, 0.25, 3], [1, -1, 4]]


def test_folders_with_less(tmp_path):
    plain = load_graphs(write(tmp_path, without("node_labels", "node_attributes", "edge_labels")))
    assert plain.x.tolist() == [[1.0]] * 7
    assert plain.feature_names == ("one",)
    assert plain.edge_labels is None
    (tmp_path / "DS_graph_labels.txt").unlink()
    (tmp_path / "DS_graph_attributes.txt").write_text("0.5\n1.5\n-2\n", encoding="utf-8")
    regression = load_graphs(tmp_path)
    assert regression.y.tolist() == [0.5, 1.5, -2.0]
    assert regression.y.dtype == np.float32
    assert len(regression.classes) == 0


def test_a_folder_of_several_data_sets(tmp_path):
    write(write(tmp_path, FOLDER), FOLDER, "OTHER")
    with pytest.raises(InputError, match=r"has DS_A.txt, OTHER_A.txt; expected one of them"):
        load_graphs(tmp_path)
    assert load_graphs(tmp_path, name="OTHER").n_graphs == 3
    with pytest.raises(InputError, match=r"expected NO_A.txt"):
        load_graphs(tmp_path, "NO")


def test_graphs_one_by_one(tmp_path):
    graphs = load_graphs(write(tmp_path, FOLDER))
    mixed = graphs._replace(batch=graphs.batch[::-1], edge_index=len(graphs.x) - 1 - graphs.edge_index)
    for collection in (graphs, mixed._replace(x=graphs.x[::-1])):
        pairs = collection.pairs()
        assert len(pairs) == graphs.n_graphs
        for i, (x, edges) in enumerate(pairs):
            alone = collection.take([i])
            np.testing.assert_array_equal(x, alone.x)
            np.testing.assert_array_equal(edges, alone.edge_index)


def test_graphs_can_be_taken_and_given_to_torch(tmp_path):
    graphs = load_graphs(write(tmp_path, FOLDER))
    part = graphs.take([2, 1])
    assert part.y.tolist() == [1, 0]
    assert part.batch.tolist() == [1, 0, 0, 0]
    assert part.edge_index.tolist() == [[1, 2, 2, 3], [2, 1, 3, 2]]
    assert part.edge_labels.tolist() == [2, 2, 0, 0]
    np.testing.assert_array_equal(part.x, graphs.x[3:])
    np.testing.assert_array_equal(graphs.take(np.array([False, True, True])).x, part.x)
    assert graphs.take([]).n_graphs == 0
    x, edge_index, batch, y = part.tensors()
    assert (x.dtype, edge_index.dtype, batch.dtype, y.dtype) == (torch.float32, *[torch.int64] * 3)
    with pytest.raises(InputError, match=r"indices is \[3\]; expected graphs from 0 to 2"):
        graphs.take([3])
    with pytest.raises(InputError, match="indices has a graph twice"):
        graphs.take([0, 0])


def test_an_empty_graph_keeps_its_place(tmp_path):
    (tmp_path / "g.txt").write_text("3\n0 5\n1 6\n0 0\n0 5\n", encoding="utf-8")
    graphs = load_graphs(tmp_path / "g.txt")
    assert (graphs.n_graphs, graphs.batch.tolist(), graphs.y.tolist()) == (3, [1], [0, 1, 0])
    assert graphs.edge_index.shape == (2, 0)


@pytest.mark.parametrize(
    ("part", "text", "message"),
    [
        ("A", "1, 2\n2; 1\n", r"DS_A\.txt, line 2, is '2; 1'; expected 2 integers"),
        ("A", "1, 2\n\n2, 1\n", r"DS_A\.txt, line 2, is ''; expected 2 integers"),
        ("A", "1, 2\n1, 8\n", r"DS_A\.txt, line 2, has 1, 8; expected a node from 1 to 7"),
        ("A", "0, 2\n", r"DS_A\.txt, line 1, has 0, 2; expected a node from 1 to 7"),
        ("A", "1, 2\n3, 4\n", r"DS_A\.txt, line 2, joins two graphs"),
        (
            "graph_indicator",
            "1\n" * 6 + "4\n",
            r"indicator\.txt, line 7, has 4; expected a graph from 1 to 3",
        ),
        ("graph_labels", "1\none\n", r"labels\.txt, line 2, is 'one'; expected 1 integers"),
        ("node_labels", "0\n1\n", r"node_labels\.txt has 2 lines; expected 7"),
        ("node_attributes", "1, 2\n3\n", r"node_attributes\.txt, line 2, is '3'; expected 2 finite numbers"),
        ("node_attributes", "1, 2\n3, nan\n", r"line 2, is '3 nan'; expected 2 finite numbers"),
        ("edge_labels", "0\n", r"edge_labels\.txt has 1 lines; expected 10"),
    ],
)
def test_a_broken_line_of_a_folder_is_named(tmp_path, part, text, message):
    with pytest.raises(InputError, match=message):
        load_graphs(write(tmp_path, FOLDER | {part: text}))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"g\.txt ends too early"),
        ("two\n", r"g\.txt, line 1, is 'two'; expected the number of graphs"),
        ("1\n2\n", r"line 2, is '2'; expected the number of nodes and the label"),
        ("1\n-1 0\n", r"line 2, is '-1 0'"),
        ("1\n2 0\n0 1 1\n", r"g\.txt ends too early"),
        ("1\n2 0\n0 1 1\n0\n", r"line 4, is '0'; expected tag degree"),
        ("1\n2 0\n0 1 2\n0 1 0\n", r"line 3, has the neighbours 2; expected 1 from 0 to 1"),
        ("1\n2 0\n0 2 1\n0 1 0\n", r"line 3, has the neighbours 1; expected 2 from 0 to 1"),
        ("1\n2 0\n0 1 1 0.5\n0 1 0\n", r"line 4, has 0 attributes; expected 1"),
        ("1\n2 0\n0 1 1 inf\n0 1 0 1\n", r"line 3, is '0 1 1 inf'"),
        ("1\n1 0\n0 0\n1 0\n0 0\n", r"line 4, comes after the last graph; expected 1 graphs"),
    ],
)
def test_a_broken_line_of_a_file_is_named(tmp_path, text, message):
    (tmp_path / "g.txt").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        load_graphs(tmp_path / "g.txt")


def test_missing_files_are_named(tmp_path):
    with pytest.raises(InputError, match=r"nowhere.*does not exist; expected a folder or a file"):
        load_graphs(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"has no file DS_A.txt"):
        load_graphs(tmp_path)
    write(tmp_path, without("graph_labels"))
    with pytest.raises(InputError, match=r"has no DS_graph_labels.txt; expected one"):
        load_graphs(tmp_path)
