"""Lenses: by formula, for new samples as for old ones, and what can be given in place of a name."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.utils.estimator_checks import parametrize_with_checks

from topodl import InputError, Mapper
from topodl.mapper import Eccentricity, NeighbourDensity

CLOUD = st.integers(0, 99).map(lambda seed: np.random.default_rng(seed).normal(size=(seed % 20 + 2, 3)) * 10)


@parametrize_with_checks([Eccentricity(), Eccentricity(1.0), NeighbourDensity(3)])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


@given(CLOUD, st.sampled_from([1.0, 2.0, 5.0, np.inf]))
def test_eccentricity_is_a_mean_of_powers_of_distances(x, exponent):
    distances = cdist(x, x)
    means = distances.max(1) if np.isinf(exponent) else (distances**exponent).mean(1) ** (1 / exponent)
    lens = Eccentricity(exponent).fit(x)
    np.testing.assert_allclose(lens.transform(x)[:, 0], means)
    np.testing.assert_allclose(lens.transform(x[:2])[:, 0], means[:2])
    given = Eccentricity(exponent, metric="precomputed").fit(distances)
    np.testing.assert_allclose(given.transform(distances)[:, 0], means)


@given(CLOUD, st.integers(1, 30))
def test_density_is_a_root_mean_square_to_neighbours(x, n_neighbors):
    distances = cdist(x, x)
    nearest = np.sort(distances, 1)[:, :n_neighbors]
    expected = -np.sqrt((nearest**2).mean(1))
    np.testing.assert_allclose(NeighbourDensity(n_neighbors).fit_transform(x)[:, 0], expected, atol=1e-9)
    given = NeighbourDensity(n_neighbors, metric="precomputed").fit(distances)
    np.testing.assert_allclose(given.transform(distances)[:, 0], expected, atol=1e-9)


def lens_of(lens, x, **settings):
    return Mapper(lens=lens, **settings).fit(x).lens_


def test_lenses_by_name_and_otherwise():
    x = np.random.default_rng(0).normal(size=(20, 4))
    np.testing.assert_allclose(abs(lens_of("pca", x)), abs(PCA(1).fit_transform(x)))
    assert lens_of("pca", x, n_components=2).shape == (20, 2)
    np.testing.assert_allclose(lens_of("eccentricity", x), Eccentricity().fit_transform(x))
    np.testing.assert_allclose(lens_of("density", x), NeighbourDensity().fit_transform(x))
    assert (lens_of(2, x) == x[:, [2]]).all()
    assert (lens_of([3, -4], x) == x[:, [3, 0]]).all()
    assert (lens_of(None, x[:, :2]) == x[:, :2]).all()
    assert (lens_of(lambda x: x.sum(1), x) == x.sum(1)[:, None]).all()
    assert lens_of(TruncatedSVD(2), x).shape == (20, 2)
    module = torch.nn.Linear(4, 2)
    expected = module(torch.from_numpy(x).float()).detach().numpy()
    np.testing.assert_allclose(lens_of(module, x), expected, rtol=1e-5, atol=1e-6)
    assert lens_of(torch.nn.Flatten(), x).shape == (20, 4)


def test_modules_and_transformers_are_not_changed():
    pca, module = PCA(1), torch.nn.Linear(3, 1)
    x = np.random.default_rng(0).normal(size=(9, 3))
    before = module.weight.clone()
    Mapper(lens=pca).fit(x)
    Mapper(lens=module).fit(x)
    assert not hasattr(pca, "components_")
    assert torch.equal(module.weight, before)


@pytest.mark.parametrize(
    ("lens", "message"),
    [
        ("tsne", "lens is 'tsne'; expected one of 'pca', 'eccentricity', 'density'"),
        (7, "lens is column 7; expected one of the 3 columns of X"),
        (1.5, "lens is 1.5; expected a name, columns"),
        (PCA, "lens has shape .* and dtype object"),
        (lambda x: x[:2], r"lens has shape \(2, 3\) and dtype float64; expected numbers of shape \(5,\)"),
        (lambda x: np.full(5, np.nan), "lens has NaN at row 0, column 0; expected finite values"),
        (lambda x: [1, 2, np.inf, 4, 5], "lens has inf at row 2, column 0"),
    ],
)
def test_what_is_no_lens_is_named(lens, message):
    with pytest.raises((InputError, TypeError), match=message):
        Mapper(lens=lens).fit(np.random.default_rng(0).random((5, 3)))


@pytest.mark.parametrize(
    ("lens", "message"),
    [
        (Eccentricity(0.5), "exponent is 0.5; expected a number of at least 1"),
        (NeighbourDensity(0), "n_neighbors is 0"),
        (Eccentricity(metric="cosine"), "metric is 'cosine'; expected one of 'euclidean', 'precomputed'"),
        (Eccentricity(metric="precomputed"), r"X has shape \(5, 3\); expected distances \(n, n\)"),
    ],
)
def test_settings_that_are_unusable_are_named(lens, message):
    with pytest.raises(InputError, match=message):
        lens.fit(np.zeros((5, 3)))


def test_columns_of_data_frames_go_by_name():
    pandas = pytest.importorskip("pandas")
    x = np.random.default_rng(0).normal(size=(40, 3))
    frame = pandas.DataFrame(x, columns=["width", "height", "density"])
    for names, numbers in (("height", 1), (["density", "width"], [2, 0])):
        mapper = Mapper(lens=names).fit(frame)
        np.testing.assert_array_equal(mapper.lens_, x[:, np.atleast_1d(numbers)])
        assert mapper.transform(frame[:5]).shape == (5, len(mapper.graph_))
    by_neighbours = NeighbourDensity().fit_transform(x)
    np.testing.assert_array_equal(Mapper(lens="density").fit(frame).lens_, by_neighbours)
    with pytest.raises(InputError, match="lens has 'depth'; expected columns of X: width, height, density"):
        Mapper(lens=["width", "depth"]).fit(frame)
    with pytest.raises(InputError, match=r"lens is 'depth'; expected one of 'pca', .*'height'"):
        Mapper(lens="depth").fit(frame)
    with pytest.raises(InputError, match="expected columns of X: no names"):
        Mapper(lens=["width"]).fit(x)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("n", [1, 7])
def test_equal_samples_are_one_node_without_a_warning(n):
    assert len(Mapper().fit(np.ones((n, 3))).graph_) == 1


@pytest.mark.parametrize("lens", [Eccentricity(), Eccentricity(3), NeighbourDensity(2)])
def test_samples_whose_squares_overflow_are_named(lens):
    huge = np.array([[0.0], [1e200]])
    with pytest.raises(InputError, match=r"X has 1e\+200 at row 1, column 0; expected finite values"):
        lens.fit(huge)
    with pytest.raises(InputError, match=r"X has 1e\+200 at row 1, column 0; expected finite values"):
        lens.fit(huge / 1e200).transform(huge)
