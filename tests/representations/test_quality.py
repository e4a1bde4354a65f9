"""The measures of embeddings against loops over pairs, scikit-learn, and cases with known values."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.manifold import trustworthiness

from topodl.errors import InputError
from topodl.representations import embedding_quality


def naive_ranks(points):
    n = len(points)
    ranks = []
    for i in range(n):
        distance = np.linalg.norm(points - points[i], axis=1)
        others = sorted((j for j in range(n) if j != i), key=lambda j: (distance[j], j))
        ranks.append({j: position + 1 for position, j in enumerate(others)})
    return ranks


def naive_mrre(X, Z, k):
    n, of_x, of_z = len(X), naive_ranks(X), naive_ranks(Z)
    largest = n * sum(abs(2 * j - n - 1) / j for j in range(1, k + 1))
    pairs = [(of_x[i][j], of_z[i][j]) for i in range(n) for j in range(n) if i != j]
    zx = sum(abs(rx - rz) / rz for rx, rz in pairs if rz <= k)
    xz = sum(abs(rx - rz) / rx for rx, rz in pairs if rx <= k)
    return zx / largest, xz / largest


@given(n=st.integers(10, 25), k=st.integers(1, 4), seed=st.integers(0, 1000))
def test_rank_measures(n, k, seed):
    rng = np.random.default_rng(seed)
    X, Z = rng.normal(size=(n, 4)), rng.normal(size=(n, 2))
    quality = embedding_quality(X, Z, n_neighbors=[k])
    assert quality["trustworthiness"] == pytest.approx(trustworthiness(X, Z, n_neighbors=k))
    assert quality["continuity"] == pytest.approx(trustworthiness(Z, X, n_neighbors=k))
    assert (quality["mrre_zx"], quality["mrre_xz"]) == pytest.approx(naive_mrre(X, Z, k))


def test_densities_and_distances_by_hand():
    X, Z = np.array([[0.0], [1.0], [2.0], [2.0]]), np.array([[0.0], [0.0], [4.0], [4.0]])

    def density(distances, sigma):
        total = np.exp(-(np.array(distances) ** 2) / sigma).sum(1)
        return total / total.sum()

    p = density([[0, 0.5, 1, 1], [0.5, 0, 0.5, 0.5], [1, 0.5, 0, 0], [1, 0.5, 0, 0]], 0.1)
    q = density([[0, 0, 1, 1], [0, 0, 1, 1], [1, 1, 0, 0], [1, 1, 0, 0]], 0.1)
    quality = embedding_quality(X, Z, n_neighbors=[1], sigmas=[0.1])
    assert quality["kl_0.1"] == pytest.approx(np.sum(p * np.log(p / q)))
    differences = [1, 2, 2, 3, 3, 0]
    assert quality["rmse"] == pytest.approx(np.sqrt(2 * np.sum(np.square(differences)) / 16))


def test_unusable_input_is_named():
    X = np.zeros((10, 2))
    with pytest.raises(InputError, match="Z has 9 rows; expected 10"):
        embedding_quality(X, X[:9])
    with pytest.raises(InputError, match=r"X has nan at \(0, 0\)"):
        embedding_quality(np.full((10, 2), np.nan), X)
    with pytest.raises(InputError, match="n_neighbors is"):
        embedding_quality(X, X, n_neighbors=[50])
