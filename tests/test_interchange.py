"""Diagrams as others write them, read and written."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from torch.utils.data import DataLoader

from tests.strategies import diagrams
from tests.test_diagrams import assert_same, example
from topodl import Diagrams, InputError
from topodl.layers._inputs import as_diagrams


@given(diagrams())
def test_a_table_is_read_back_in_any_order(d):
    table = d.numpy()
    assert_same(Diagrams.from_numpy(table, len(d), d.homology_dims), d)
    frame = pd.DataFrame(table).sample(frac=1, random_state=0)
    back = Diagrams.from_numpy(frame, len(d), d.homology_dims)
    assert sorted(back.numpy().tolist()) == sorted(table.tolist())
    assert back.dtype == d.dtype


def test_a_table_that_is_none_is_named():
    table = pd.DataFrame({"sample": [0], "dim": [0], "birth": [0.0], "death": [1.0]})
    assert repr(Diagrams.from_numpy(table)) == "Diagrams(1 sample; H0: 1 bar; float64, cpu)"
    with pytest.raises(InputError, match="from_numpy: table is a DataFrame without 'death'"):
        Diagrams.from_numpy(table.drop(columns="death"))
    with pytest.raises(InputError, match="from_numpy: table is a list without 'sample'"):
        Diagrams.from_numpy([1])
    with pytest.raises(InputError, match=r"table\['dim'\] has a value that is none; expected integers"):
        Diagrams.from_numpy(table.assign(dim=[np.nan]))
    with pytest.raises(InputError, match=r"table\['birth'\] has dtype object; expected numbers"):
        Diagrams.from_numpy(table.assign(birth=np.array([None], dtype=object)))


@given(diagrams())
def test_every_dimension_survives_the_way_through_giotto(d):
    table = d.to_giotto()
    back = Diagrams.from_giotto(table)
    assert back.homology_dims == (d.homology_dims if len(d) else ())
    assert len(back) == len(d)


PERSISTENCE = [(1, (0.5, 1.0)), (0, (0.0, np.inf)), (0, (0.0, 0.25))]  # as GUDHI gives it, of one complex


def test_the_persistence_of_one_complex_is_a_batch_of_one():
    expected = Diagrams.from_gudhi([PERSISTENCE])
    assert_same(Diagrams.from_gudhi(PERSISTENCE), expected)
    assert_same(Diagrams.from_gudhi(tuple(PERSISTENCE)), expected)
    assert_same(Diagrams.from_gudhi(json.loads(json.dumps(PERSISTENCE))), expected)
    bars = np.array([[0.0, 1.0], [0.0, 2.0]])
    for alone in (bars, torch.tensor(bars), bars.tolist()):
        assert_same(Diagrams.from_gudhi(alone, dim=1), Diagrams.from_gudhi([bars], dim=1))
    assert len(Diagrams.from_gudhi(np.zeros((0, 2)))) == 1


class Dionysus:
    """Bars as Dionysus gives those of one dimension: an iterable of points."""

    def __init__(self, bars):
        self.points = [SimpleNamespace(birth=b, death=d, data=i) for i, (b, d) in enumerate(bars)]

    def __iter__(self):
        return iter(self.points)

    def __len__(self):
        return len(self.points)


Dionysus.__module__ = "dionysus._dionysus"  # by which an empty one is known


def test_the_diagrams_of_one_sample_by_dimension_are_a_batch_of_one():
    arrays = [np.array([]), np.array([[0.5, 1.0], [0.0, np.inf]])]
    expected = Diagrams.from_persim([arrays])
    assert expected.counts.tolist() == [[0, 2]]
    assert_same(Diagrams.from_persim(arrays), expected)
    from_objects = [Dionysus([]), Dionysus(arrays[1])]
    assert_same(Diagrams.from_persim(from_objects), expected)
    assert_same(Diagrams.from_persim([from_objects, from_objects]), Diagrams.cat([expected, expected]))


def test_layers_read_a_sample_that_begins_without_bars():
    loops = np.array([[0.5, 1.0]])
    for sample in (
        [np.array([]), loops],
        [torch.zeros(0, 2), torch.tensor(loops)],
        [Dionysus([]), Dionysus(loops)],
    ):
        for X in ([sample, sample], [[], sample]):
            assert as_diagrams("PersistenceImage", X).counts[1].tolist() == [0, 1]
    assert as_diagrams("PersistenceImage", [Dionysus([]), Dionysus(loops)]).counts.tolist() == [[0, 1]]
    assert as_diagrams("PersistenceImage", PERSISTENCE).counts.tolist() == [[2, 1]]


def test_forms_that_cannot_be_told_are_named():
    with pytest.raises(InputError, match=r"from_gudhi: diagrams have diagrams of Dionysus; .*from_persim"):
        Diagrams.from_gudhi([Dionysus([(0, 1)])])
    with pytest.raises(InputError, match=r"from_gudhi: diagrams\[1\]\[0\] is array.*expected \(dimension, "):
        Diagrams.from_gudhi([PERSISTENCE, np.zeros((1, 2))])
    with pytest.raises(InputError, match=r"from_gudhi: diagrams\[0\]\[1\] is \(0, 1.0\)"):
        Diagrams.from_gudhi([[(0, (0.0, 1.0)), (0, 1.0)]])
    with pytest.raises(InputError, match=r"from_gudhi: diagrams\[0\] is no table of numbers"):
        Diagrams.from_gudhi([[np.array([]), np.zeros((1, 2))]])
    with pytest.raises(InputError, match=r"from_persim: diagrams\[0\]\[0\] has dtype <U1"):
        Diagrams.from_persim([[[["a", "b"]]]])
    with pytest.raises(TypeError, match="from_persim: diagrams is a NoneType; expected a sequence"):
        Diagrams.from_persim(None)


def test_diagrams_are_collated_and_loaded_by_default(tmp_path):
    samples = [(example()[i], i) for i in range(3)]
    d, labels = next(iter(DataLoader(samples, batch_size=3)))
    assert_same(d, example())
    assert labels.tolist() == [0, 1, 2]
    torch.save({"diagrams": d}, tmp_path / "d.pt")
    assert_same(torch.load(tmp_path / "d.pt", weights_only=True)["diagrams"], d)
