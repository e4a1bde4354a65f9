"""ATOL against GUDHI's with the same centres, by hand, and gradients."""

import gudhi.representations as gr
import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans

from tests.strategies import make_diagrams
from topodl import Diagrams, InputError
from topodl.layers import Atol

COUNTS = [[30, 0], [2, 0], [70, 0], [7, 0], [1, 0]]


@pytest.mark.parametrize(("ours", "theirs"), [("sum", "cloud"), ("mean", "iidproba")])
@pytest.mark.parametrize("contrast", ["gaussian", "laplacian", "indicator"])
def test_agreement_with_gudhi(ours, theirs, contrast):
    d = make_diagrams(0, COUNTS, essential=0.0).dim(0)
    peer = gr.Atol(KMeans(4, n_init=10, random_state=0), theirs, contrast).fit(d.to_gudhi(0))
    expected = peer.transform(d.to_gudhi(0))
    np.testing.assert_allclose(
        Atol(contrast=contrast, operation=ours, centres=peer.centers)(d)[:, 0], expected, rtol=1e-9
    )
    fitted = Atol(4, contrast, ours).fit(d)
    np.testing.assert_allclose(fitted.centres_[0], peer.centers, rtol=1e-9)
    np.testing.assert_allclose(fitted.transform(d), expected, rtol=1e-9)


def test_one_centre_is_as_wide_as_half_of_all_bars():
    d = make_diagrams(0, COUNTS, essential=0.0).dim(0)
    peer = gr.Atol(KMeans(1, n_init=10, random_state=0)).fit(d.to_gudhi(0))
    np.testing.assert_allclose(Atol(1).fit(d).transform(d), peer.transform(d.to_gudhi(0)), rtol=1e-9)


def test_by_hand():
    d = Diagrams.from_padded(torch.tensor([[[0.0, 1.0], [0.0, 3.0]]], dtype=torch.float64))
    out = Atol(centres=[[0.0, 1.0], [0.0, 5.0]], contrast="indicator")(d)
    assert out.tolist() == [[[2.0, 1.0]]]  # both widths are 2; (0, 1) is twice as far from the second
    each = Atol(centres=[[[0.0, 1.0], [0.0, 5.0]]], contrast="gaussian")(d)
    np.testing.assert_allclose(each[0, 0], [1 + np.exp(-1), np.exp(-4) + np.exp(-1)], rtol=1e-12)


def test_centres_whose_squared_distance_vanishes_have_a_width():
    d = Diagrams.from_padded(torch.tensor([[[0.0, 1e-200], [0.0, 1.0]]], dtype=torch.float64))
    out = Atol(centres=[[0.0, 1e-200], [0.0, 5e-200]], contrast="indicator")(d)
    assert out.tolist() == [[[1.0, 0.0]]]  # the first bar lies on a centre, the second near none


def test_fewer_bars_than_centres():
    d = Diagrams.from_gudhi([np.array([[0.0, 1.0], [0.0, 1.0]]), np.array([[0.0, 2.0]])])
    layer = Atol(4).fit(d)
    births = d.births.clone().requires_grad_()
    out = layer(d._with(births=births))
    assert (out[:, 0, 2:] == 0).all()
    assert (out[:, 0, :2] > 0).all()
    out.sum().backward()
    assert births.grad.isfinite().all()
    assert layer.get_feature_names_out()[-1] == "atol_h0_3"
    empty = Atol(2).fit(make_diagrams(0, [[0, 0], [0, 0]]))
    assert (empty.transform(make_diagrams(0, [[3, 2]])) == 0).all()


@pytest.mark.parametrize("contrast", ["gaussian", "laplacian", "indicator"])
def test_gradients(contrast):
    d = make_diagrams(3, [[4, 3], [0, 1]], essential=0.0)
    layer = Atol(contrast=contrast, centres=[[0.2, 0.9], [0.7, 1.3], [0.1, 0.3]])

    def features(births, deaths):
        return layer(d._with(births=births, deaths=deaths))

    ends = d.births.clone().requires_grad_(), d.deaths.clone().requires_grad_()
    assert torch.autograd.gradcheck(features, ends)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (Atol(0), "Atol: n_centres is 0; expected an integer of at least 1"),
        (Atol(contrast="box"), "Atol: contrast is 'box'; expected one of 'gaussian'"),
        (Atol(operation="max"), "Atol: operation is 'max'; expected one of 'sum', 'mean'"),
        (Atol(centres=[1.0, 2.0]), r"Atol: centres have shape \(2,\); expected finite births and deaths"),
        (Atol(centres=np.zeros((3, 2, 2))), r"Atol: centres have shape \(3, 2, 2\).*K = 2"),
        (Atol(centres=[[0.0, 1.0]] * 2), "Atol: centres have fewer than two distinct ones"),
    ],
)
def test_bad_settings_are_named(layer, message):
    with pytest.raises(InputError, match=message):
        layer(make_diagrams(0, [[2, 2]]))


def test_other_dimensions_than_in_fit_are_refused():
    layer = Atol(2).fit(make_diagrams(0, [[4, 4]]).dim(0))
    layer.dims = (0, 1)
    with pytest.raises(InputError, match=r"d have dimensions \(0, 1\); expected 1 dimensions, as in fit"):
        layer(make_diagrams(0, [[2, 2]]))
