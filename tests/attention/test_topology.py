import itertools

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from torch.autograd import forward_ad

import topodl
from tests.naive import attention as naive
from topodl.attention import AttentionSample, AttentionTopology
from topodl.errors import InputError

CLASSES = {"comma": [1010], "period": [1012], "sep": [102]}
EVERYTHING = (
    "graph",
    "barcode",
    "pattern",
    "sink",
    "entropy",
    "soft",
    "normalized",
    "graph.maximum_matching",
)


def attention(*shape: int, seed: int = 0, spread: float = 2.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.softmax(spread * torch.randn(*shape, shape[-1], generator=generator), -1)


def head(layer: AttentionTopology, matrix: torch.Tensor) -> dict[str, float]:
    values = layer(matrix[None, None, None].float())[0]
    return dict(zip(layer.feature_list(), values.tolist(), strict=True))


def test_hand_computed_map():
    matrix = torch.tensor(
        [[0.5, 0.5, 0.0, 0.0], [0.0, 0.2, 0.8, 0.0], [0.9, 0.1, 0.0, 0.0], [0.0, 0.0, 0.3, 0.7]]
    )
    found = head(AttentionTopology(("graph", "barcode", "pattern", "sink"), thresholds=(0.25, 0.6)), matrix)
    # at 0.25 the edges are 0-0, 0-1, 1-2, 2-0, 3-2, 3-3; at 0.6 only 1-2, 2-0, 3-3
    expected = {
        "strong_components": (2, 4),
        "edges": (6, 3),
        "degree": (3, 1.5),
        "cycles": (3, 1),
        "components": (1, 2),
        "betti1": (3, 1),
        "matching": (2, 1),
        "chordal": (1, 1),
    }
    for name, values in expected.items():
        assert [found[f"graph.{name}.t0.25"], found[f"graph.{name}.t0.6"]] == pytest.approx(values)
    assert found["barcode.h0.sum"] == pytest.approx(0.1 + 0.2 + 0.7)
    assert found["barcode.h0.longest_death"] == pytest.approx(0.7)
    assert found["barcode.h0.count_death_ge_0.5"] == 1
    assert found["barcode.h0.count_death_le_0.25"] == 2
    assert found["barcode.h1.count"] == 0
    assert found["pattern.previous"] == pytest.approx(
        naive.pattern_distance(matrix.numpy(), np.eye(4, k=-1)), abs=1e-6
    )
    assert found["sink.position0"] == pytest.approx(1.4 / 4)


def test_a_ring_has_one_loop():
    ring = 0.9 * torch.roll(torch.eye(6), 1, 1) + 0.1 * torch.eye(6)
    found = head(AttentionTopology("barcode.h1"), ring)
    assert found["barcode.h1.count"] == 1
    assert found["barcode.h1.longest_birth"] == pytest.approx(0.1)
    assert found["barcode.h1.longest_death"] == pytest.approx(1.0)
    assert found["barcode.h1.sum"] == pytest.approx(0.9)
    assert found["barcode.h1.entropy"] == 0


def test_of_equally_long_loops_the_earliest_counts():
    # two squares with the same bar length at different births
    distances = torch.ones(8, 8)
    for offset, birth in ((0, 0.25), (4, 0.125)):
        for k in range(4):
            i, j = offset + k, offset + (k + 1) % 4
            distances[i, j] = distances[j, i] = birth
        for i, j in ((0, 2), (1, 3)):
            distances[offset + i, offset + j] = distances[offset + j, offset + i] = birth + 0.5
    layer = AttentionTopology("barcode.h1.longest_birth", renormalize=False, row_tolerance=float("inf"))
    weights = (1 - distances) * (1 - torch.eye(8))
    assert layer(weights[None, None, None]).item() == 0.125


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("n", [1, 2, 3, 7])
def test_graph_features_equal_the_slow_twins(n, dtype):
    maps = attention(2, 2, 3, n, spread=3).to(dtype)
    layer = AttentionTopology(("graph", "graph.maximum_matching", "graph.weak_components"), renormalize=False)
    found = layer(maps).view(2, 2, 3, -1)
    for at in itertools.product(range(2), range(2), range(3)):
        matrix = maps[at].numpy()
        weights = np.maximum(matrix, matrix.T)
        tree = np.array(naive.tree_weights(weights))
        got = dict(zip(layer.feature_list(), found[at].tolist(), strict=True))
        for t in layer.thresholds:
            limit = matrix.dtype.type(t)
            edges, either = matrix >= limit, weights >= limit
            components = n - int((tree.astype(matrix.dtype) >= limit).sum())
            loops = int(np.diag(edges).sum())
            expected = {
                "strong_components": naive.strong_components(edges),
                "weak_components": components,
                "components": components,
                "edges": edges.sum(),
                "degree": 2 * edges.sum() / n,
                "cycles": naive.count_cycles(edges),
                "betti1": np.triu(either, 1).sum() + loops - n + components,
                "matching": naive.greedy_matching(edges),
                "maximum_matching": naive.maximum_matching(either),
                "chordal": naive.is_chordal(either),
            }
            for name, value in expected.items():
                assert got[f"graph.{name}.t{t:g}"] == pytest.approx(float(value)), (name, t)


@pytest.mark.parametrize("how", ["max", "min", "mean", "upper"])
def test_symmetrisation(how):
    maps = attention(1, 1, 1, 8)
    matrix = maps[0, 0, 0].numpy()
    upper = np.triu(matrix, 1)
    weights = {
        "max": np.maximum(matrix, matrix.T),
        "min": np.minimum(matrix, matrix.T),
        "mean": (matrix + matrix.T) / 2,
        "upper": upper + upper.T,
    }[how]
    layer = AttentionTopology(
        ("graph.components", "graph.matching", "barcode.h0.sum"),
        thresholds=(0.1,),
        symmetrize=how,
        renormalize=False,
        lower_bound=0.0,
    )
    tree = np.array(naive.tree_weights(weights))
    components, matching, total = layer(maps)[0].tolist()
    assert components == 8 - (tree >= 0.1).sum()
    assert total == pytest.approx((1 - tree).sum(), abs=1e-5)
    edges = matrix if how == "max" else weights
    assert matching == naive.greedy_matching(edges >= 0.1)
    tracked = layer(maps.double().requires_grad_())[0, 2].item()
    assert tracked == pytest.approx(total, abs=1e-5)


def test_directed_graph_has_counts_but_no_barcode():
    maps = attention(1, 2, 2, 6)
    directed = AttentionTopology("graph", symmetrize=None)(maps)
    torch.testing.assert_close(directed, AttentionTopology("graph")(maps))
    with pytest.raises(InputError, match=r"'barcode\.h0\.sum' with symmetrize=None"):
        AttentionTopology("barcode", symmetrize=None)(maps)


def test_self_loops_count_only_where_asked():
    names = [f"graph.{s}" for s in ("edges", "degree", "cycles", "betti1", "components", "matching")]
    matrix = torch.eye(4)
    with_loops = head(AttentionTopology(names, thresholds=(0.5,)), matrix)
    without = head(AttentionTopology(names, thresholds=(0.5,), self_loops=False), matrix)
    assert list(with_loops.values()) == [4, 2, 4, 4, 4, 0]
    assert list(without.values()) == [0, 0, 0, 0, 4, 0]


def test_caps():
    uniform = torch.full((1, 1, 1, 6, 6), 1 / 6)
    assert AttentionTopology("graph.cycles", thresholds=(0.1,), cycle_cap=50)(uniform).item() == 50
    assert AttentionTopology("graph.cycles", thresholds=(0.1,), cycle_cap=10**6)(uniform).item() == 415
    names = ("graph.strong_components", "graph.weak_components", "graph.components")
    apart = torch.eye(6)[None, None, None]
    assert AttentionTopology(names, thresholds=(0.1,), component_cap=4)(apart)[0].tolist() == [4, 4, 6]


def test_values_at_a_threshold_count():
    quarter = torch.full((1, 1, 1, 4, 4), 0.25)
    assert AttentionTopology("graph.edges", thresholds=(0.25,))(quarter).item() == 16


def test_normalised_variants_divide_by_the_length():
    maps = attention(1, 1, 1, 9)
    plain = AttentionTopology(("graph.components", "barcode.h0.sum", "barcode.h1.count"), thresholds=(0.1,))
    names = ("graph.components_per_token", "barcode.h0.sum_per_token", "barcode.h1.count_per_token")
    torch.testing.assert_close(AttentionTopology(names, thresholds=(0.1,))(maps), plain(maps) / 9)
    soft = AttentionTopology(("soft", "sink.count"), thresholds=(0.1,))
    per_token = [name.replace(".t0.1", "_per_token.t0.1") for name in soft.feature_list()[:-1]]
    layer = AttentionTopology([*per_token, "sink.count_per_token"], thresholds=(0.1,))
    torch.testing.assert_close(layer(maps), soft(maps) / 9)
    every = AttentionTopology("normalized").feature_list()
    assert all("_per_token" in name or name.endswith("_normalized") for name in every)
    uniform = torch.full((1, 1, 1, 4, 4), 0.25)
    entropies = ("barcode.h0.entropy_normalized", "entropy.mean_normalized")
    torch.testing.assert_close(AttentionTopology(entropies)(uniform), torch.ones(1, 2))


def test_padding_on_either_side_changes_nothing():
    layer = AttentionTopology(EVERYTHING, token_classes={"comma": [7]})
    maps, ids = attention(2, 2, 6, seed=3), torch.tensor([1, 7, 3, 7, 5, 2])
    alone = layer(maps[None], input_ids=ids[None])
    for before, after in ((0, 4), (3, 0), (2, 2)):
        padded = torch.nn.functional.pad(maps, (before, after, before, after))
        padded[..., :before, :] = torch.nan  # what some models leave in the rows of padding
        mask = torch.nn.functional.pad(torch.ones(6), (before, after))
        tokens = torch.nn.functional.pad(ids, (before, after), value=7)
        assert torch.equal(layer(padded[None], mask[None], tokens[None]), alone)


def test_batches_threads_and_order_change_nothing():
    layer = AttentionTopology(EVERYTHING)
    samples = [attention(2, 2, n, seed=n) for n in (3, 9, 5, 9, 1, 5, 17, 9)]
    together = layer(samples)
    apart = torch.cat([layer([sample]) for sample in samples])
    torch.testing.assert_close(together, apart, rtol=1e-6, atol=1e-6)
    before = topodl.get_num_threads()
    try:
        topodl.set_num_threads(8)
        assert torch.equal(layer(samples), together)
        topodl.set_num_threads(1)
        assert torch.equal(layer(samples), together)
    finally:
        topodl.set_num_threads(before)


def test_one_sample_and_thirty_two_are_the_same():
    layer = AttentionTopology(EVERYTHING, token_classes={"comma": [7]})
    maps, ids = attention(32, 2, 2, 12, seed=4), torch.randint(5, 9, (32, 12))
    mask = torch.arange(12) < torch.randint(1, 13, (32, 1))
    for row in range(32):
        maps[row, ..., ~mask[row]] = 0
    maps = maps / maps.sum(-1, keepdim=True)
    together = layer(maps, mask, ids)
    for row in range(32):
        torch.testing.assert_close(
            layer(maps[row : row + 1], mask[row : row + 1], ids[row : row + 1])[0],
            together[row],
            rtol=1e-6,
            atol=1e-6,
        )


def test_a_large_batch_is_worked_on_in_slices(monkeypatch):
    maps = attention(6, 2, 2, 8)
    layer = AttentionTopology(("graph", "barcode"))
    whole = layer(maps)
    monkeypatch.setattr("topodl.attention.topology._SLICE_ENTRIES", 600)
    torch.testing.assert_close(layer(maps), whole)


def test_cut_tokens_and_renormalised_rows():
    maps, ids = attention(1, 1, 5), torch.tensor([101, 5, 6, 7, 102])
    cut = maps[..., 1:4, 1:4]
    expected = cut / cut.sum(-1, keepdim=True)
    layer = AttentionTopology(("barcode", "entropy"), drop_ids=(101, 102))
    torch.testing.assert_close(
        layer(maps[None], input_ids=ids[None]), AttentionTopology(("barcode", "entropy"))([expected])
    )
    kept = AttentionTopology("entropy.row_max", drop_ids=(101, 102), renormalize=False)
    assert kept(maps[None], input_ids=ids[None]).item() == pytest.approx(cut.amax(-1).mean().item())


def test_padded_patterns_read_the_whole_matrix():
    maps = attention(1, 1, 6)
    mask = torch.tensor([[1, 1, 1, 1, 0, 0]])
    layer = AttentionTopology(
        ("pattern", "barcode.h0.sum"), padded_patterns=True, renormalize=False, row_tolerance=float("inf")
    )
    found = dict(zip(layer.feature_list(), layer(maps[None], mask)[0].tolist(), strict=True))
    assert found["pattern.self"] == pytest.approx(
        naive.pattern_distance(maps[0, 0].numpy(), np.eye(6)), abs=1e-6
    )
    cut = AttentionTopology("barcode.h0.sum", renormalize=False, row_tolerance=float("inf"))
    assert found["barcode.h0.sum"] == pytest.approx(cut(maps[None, ..., :4, :4]).item())


def test_a_single_token():
    layer = AttentionTopology(("graph", "barcode", "pattern", "sink", "entropy"), thresholds=(0.5,))
    found = head(layer, torch.ones(1, 1))
    ones = ("strong_components", "edges", "cycles", "components", "betti1", "chordal")
    assert all(found[f"graph.{name}.t0.5"] == 1 for name in ones)
    assert all(value == 0 for name, value in found.items() if name.startswith(("barcode", "entropy.mean")))
    assert (found["pattern.self"], found["pattern.previous"]) == (0, 1)
    assert all(np.isfinite(list(found.values())))


def test_a_fully_masked_sample_is_zero_everywhere():
    layer = AttentionTopology(EVERYTHING, padded_patterns=True)
    maps = attention(2, 1, 2, 4)
    found = layer(maps, torch.tensor([[0, 0, 0, 0], [1, 1, 1, 1]]))
    assert (found[0] == 0).all()
    assert (found[1] != 0).any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda m: m[1, 0, 1, 2].fill_(torch.nan),
            r"attention\[1\] has NaN at \(layer, head, query, key\) = \(0, 1, 2, 0\)",
        ),
        (lambda m: m[0, 0, 0, 0, 1].fill_(-0.1), r"attention\[0\] has a negative value at .* \(0, 0, 0, 1\)"),
        (
            lambda m: m[1, 0, 1, 3].mul_(2),
            r"attention\[1\] has a row that sums to 2 at \(layer, head, query\) = \(0, 1, 3\)",
        ),
        (lambda m: m[1, 0, 1, 3, 0].fill_(torch.inf), r"attention\[1\] has an infinite value"),
    ],
)
def test_bad_values_are_named(change, message):
    maps = attention(2, 1, 2, 4)
    change(maps)
    with pytest.raises(InputError, match=message):
        AttentionTopology()(maps)


def test_rows_of_any_sum_are_taken_where_allowed():
    maps = attention(1, 1, 1, 5)
    free = AttentionTopology("barcode", row_tolerance=float("inf"))
    torch.testing.assert_close(free(3 * maps), free(maps))
    hollow = maps.clone()
    hollow[..., 2, :] = 0  # a row without mass stays as it is
    assert torch.isfinite(free(hollow)).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"features": "grap"}, r"features has 'grap'; expected groups"),
        ({"features": ()}, "features is empty"),
        ({"features": 3}, "features is 3; expected a sequence"),
        ({"thresholds": (0.0,)}, r"thresholds\[0\] is 0\.0"),
        ({"thresholds": ()}, "thresholds is empty"),
        ({"thresholds": 0.1}, r"thresholds is 0\.1; expected a sequence"),
        ({"thresholds": (0.1, 0.10000001)}, r"thresholds has two that are called 't0\.1'"),
        ({"symmetrize": "sum"}, "symmetrize is 'sum'"),
        ({"cycle_cap": 0}, "cycle_cap is 0"),
        ({"row_tolerance": float("nan")}, "row_tolerance is nan"),
        ({"drop_ids": 3}, "drop_ids is 3; expected a sequence"),
        ({"token_classes": {"self": [1]}}, "token_classes has the name 'self'"),
        ({"token_classes": {"comma": 7}}, r"token_classes\['comma'\] is 7; expected a sequence"),
        ({"token_classes": [7]}, r"token_classes is \[7\]; expected a mapping"),
        ({"temperature": 0.0}, r"temperature is 0\.0"),
    ],
)
def test_bad_settings_are_named(arguments, message):
    with pytest.raises(InputError, match=message):
        AttentionTopology(**arguments)(attention(1, 1, 1, 3))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda f: f(torch.rand(2, 3, 3)), r"attention has shape \(2, 3, 3\); expected shape \(B, layers"),
        (lambda f: f(torch.ones(1, 1, 1, 2, 2, dtype=torch.int64)), "has dtype torch.int64"),
        (lambda f: f(attention(2, 1, 1, 3), torch.ones(2, 4)), r"mask has shape \(2, 4\)"),
        (lambda f: f(attention(1, 1, 1, 3), torch.tensor([[1, 2, 0]])), r"mask\[0\] has other values"),
        (lambda f: f([attention(1, 2, 3), attention(2, 2, 3)]), "the same for all samples"),
        (lambda f: f([]), "has no sample"),
        (lambda f: f([attention(1, 1, 3)], torch.ones(1, 3)), "beside a list"),
        (
            lambda f: f(tuple(attention(2, 2, 2, 3))),
            r"is a tuple; expected torch\.stack\(output\.attentions, 1\)",
        ),
    ],
)
def test_bad_shapes_are_named(call, message):
    with pytest.raises(InputError, match=message):
        call(AttentionTopology())


def test_token_classes_need_ids():
    layer = AttentionTopology("pattern.comma", token_classes={"comma": [7]})
    with pytest.raises(InputError, match=r"input_ids\[0\] is missing"):
        layer(attention(1, 1, 1, 3))
    sample = AttentionSample(attention(1, 1, 3), input_ids=np.array([7, 1, 7]))
    template = np.tile([0.5, 0.0, 0.5], (3, 1))
    expected = naive.pattern_distance(sample.attention[0, 0].numpy(), template)
    assert layer([sample]).item() == pytest.approx(expected, abs=1e-6)


def test_masks_and_ids_may_be_lists():
    layer = AttentionTopology(("pattern.comma", "sink.max"), token_classes={"comma": [7]}, row_tolerance=2)
    maps, mask, ids = attention(2, 1, 2, 3), [[1, 1, 1], [1, 1, 0]], [[7, 1, 7], [7, 7, 0]]
    expected = layer(maps, torch.tensor(mask), torch.tensor(ids))
    torch.testing.assert_close(layer(maps, mask, ids), expected)
    torch.testing.assert_close(layer(list(zip(maps, mask, ids, strict=True))), expected)


def test_half_precision_is_computed_in_float32():
    maps = attention(1, 1, 2, 6)
    out = AttentionTopology("barcode")(maps.half())
    assert out.dtype == torch.float32
    torch.testing.assert_close(out, AttentionTopology("barcode")(maps), rtol=1e-2, atol=1e-2)


GRADIENT_NAMES = [
    *(f"barcode.h0.{s}" for s in ("sum", "mean", "std", "entropy", "longest_death", "sum_per_token")),
    *(f"barcode.h1.{s}" for s in ("sum", "mean", "std", "entropy", "longest_birth", "longest_death")),
    *("pattern", "sink.max", "sink.squared_norm", "entropy", "soft"),
]


@pytest.mark.parametrize(
    ("how", "names"),
    [
        ("max", GRADIENT_NAMES),
        *((how, ["barcode.h0.sum", "barcode.h1.sum"]) for how in ("min", "mean", "upper")),
    ],
)
def test_gradients(how, names):
    layer = AttentionTopology(names, thresholds=(0.1, 0.3), symmetrize=how, temperature=0.1)
    generator = torch.Generator().manual_seed(5)
    logits = 2 * torch.randn(1, 1, 1, 6, 6, dtype=torch.float64, generator=generator)
    logits.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: layer(torch.softmax(x, -1)), logits)


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning", "ignore:.torch.jit:FutureWarning")
def test_forward_mode_and_transforms_of_functions_see_all_gradients():
    layer = AttentionTopology(
        ("barcode.h0.sum", "barcode.h1.sum", "pattern", "sink.max", "entropy", "soft.edges")
    )

    def features(logits: torch.Tensor) -> torch.Tensor:
        return layer(torch.softmax(logits, -1))

    x, v = torch.randn(2, 1, 1, 2, 6, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = torch.autograd.functional.jacobian(features, x)
    torch.testing.assert_close(torch.func.jacrev(features)(x), expected)
    torch.testing.assert_close(torch.func.jacfwd(features)(x), expected)
    with forward_ad.dual_level():
        tangent = forward_ad.unpack_dual(features(forward_ad.make_dual(x, v))).tangent
    torch.testing.assert_close(tangent, (expected * v).flatten(2).sum(-1))
    with pytest.raises(InputError, match="mapped by torch"):
        torch.func.vmap(layer)(torch.softmax(x, -1)[None])


def test_gradient_is_finite_on_degenerate_maps():
    layer = AttentionTopology(EVERYTHING)
    for matrix in (torch.eye(4), torch.full((4, 4), 0.25), torch.tril(torch.full((4, 4), 0.25)).softmax(-1)):
        maps = matrix[None, None, None].clone().requires_grad_()
        layer(maps).sum().backward()
        assert torch.isfinite(maps.grad).all()


@pytest.mark.parametrize("how", ["max", "mean"])
@pytest.mark.parametrize("n", [1, 2, 9])
def test_values_are_the_same_with_gradient(n, how):
    maps = attention(2, 2, 2, n, spread=3)
    layer = AttentionTopology(EVERYTHING, symmetrize=how)
    with torch.no_grad():
        expected = layer(maps)
    torch.testing.assert_close(layer(maps.requires_grad_()).detach(), expected, rtol=1e-4, atol=1e-5)


def test_thresholds_may_come_in_any_order():
    maps = attention(2, 2, 2, 9, spread=3)
    names = [f"graph.{s}.t{t}" for s in ("cycles", "matching", "edges") for t in (0.25, 0.05)]
    found = AttentionTopology(names, thresholds=(0.25, 0.05))(maps)
    assert torch.equal(found, AttentionTopology(names, thresholds=(0.05, 0.1, 0.25))(maps))


def test_soft_counts_approach_the_counts():
    maps = attention(1, 1, 2, 8).double()
    stems = ("edges", "degree", "components", "betti1")
    hard = AttentionTopology([f"graph.{s}" for s in stems])(maps)
    soft = AttentionTopology([f"soft.{s}" for s in stems], temperature=1e-6)(maps)
    torch.testing.assert_close(hard, soft)


def test_transformer_face():
    maps = attention(12, 2, 2, 6).numpy()
    layer = AttentionTopology(("barcode.h0.sum", "graph.edges"), thresholds=(0.1,), chunk_size=5)
    table = layer.fit(maps).transform(maps)
    np.testing.assert_allclose(table, layer(torch.from_numpy(maps)).numpy(), rtol=1e-6)
    names = layer.get_feature_names_out()
    assert names[0] == "layer0.head0.barcode.h0.sum"
    assert names[-1] == "layer1.head1.graph.edges.t0.1"
    assert table.shape == (12, len(names))
    twin = clone(layer)
    assert twin.get_params() == layer.get_params()
    for call in (lambda: twin.transform(maps), twin.get_feature_names_out):
        with pytest.raises(NotFittedError):
            call()
    labels = np.arange(12) % 2
    assert make_pipeline(twin, LogisticRegression()).fit(list(maps), labels).predict(maps).shape == (12,)
    with pytest.raises(InputError, match="3 layers of 2 heads; expected 2 layers"):
        layer.transform(attention(1, 3, 2, 6))


@pytest.mark.parametrize("paper", ["2021", "2023"])
def test_golden_values_of_the_papers_code(shared, paper):
    folder = shared / "golden" / "attention"
    classes = CLASSES if paper == "2023" else {k: CLASSES[k] for k in ("comma", "period")}
    layer = AttentionTopology.like_paper(paper, classes)
    rows = range(9) if paper == "2023" else [0, 2, 3, 4, 5, 6]
    tolerances = [4e-6, 1e-6, 0, 0, 0, 0, 1e-7, 0, 0, 0, 2e-7, 6e-7, 2e-8, 0]
    files = [f for f in sorted(folder.glob("s*.npz")) if f.name != "synthetic.npz"]
    assert len(files) == 12
    for file in files:
        with np.load(file) as data:
            gold = {
                name: data[name] for name in ("attn", "input_ids", "topo", "topo_c500", "barcode", "template")
            }
        out = layer(torch.from_numpy(gold["attn"])[None], input_ids=torch.from_numpy(gold["input_ids"])[None])
        out = out.view(*gold["attn"].shape[:2], -1).numpy()
        topo = gold["topo"].copy()
        if paper == "2021":
            topo[..., 4, :] = gold["topo_c500"]
        expected = topo[..., list(rows), :].reshape(*out.shape[:2], -1)
        np.testing.assert_allclose(out[..., : expected.shape[-1]], expected, atol=1e-6)
        bars = out[..., expected.shape[-1] : expected.shape[-1] + 14]
        for k, tolerance in enumerate(tolerances):
            np.testing.assert_allclose(bars[..., k], gold["barcode"][..., k], rtol=0, atol=tolerance + 5e-8)
        patterns = out[..., expected.shape[-1] + 14 :]
        np.testing.assert_allclose(patterns, gold["template"][..., : patterns.shape[-1]], atol=2e-7)


def test_golden_values_of_special_matrices(shared):
    with np.load(shared / "golden" / "attention" / "synthetic.npz") as data:
        gold = {name: data[name] for name in data}
    layer = AttentionTopology.like_paper("2023", CLASSES)
    cases = sorted({name.split("/")[0] for name in gold})
    assert len(cases) == 19
    for case in cases:
        maps, ids = torch.from_numpy(gold[f"{case}/attn"]), torch.from_numpy(gold[f"{case}/ids"])
        out = layer(maps[None, None, None], input_ids=ids[None])[0].numpy()
        expected = [gold[f"{case}/{part}"].ravel() for part in ("topo", "barcode", "template")]
        np.testing.assert_allclose(out, np.concatenate(expected), atol=1e-6, err_msg=case)


def test_golden_padded_patterns(shared):
    layer = AttentionTopology(
        [
            "pattern.self",
            "pattern.first",
            "pattern.previous",
            "pattern.next",
            *(f"pattern.{c}" for c in CLASSES),
        ],
        token_classes=CLASSES,
        padded_patterns=True,
    )
    seen = 0
    for file in sorted((shared / "golden" / "attention").glob("s*_n*.npz")):
        with np.load(file) as data:
            if "attn_pad64_fp16" not in data:
                continue
            half, ids, expected = data["attn_pad64_fp16"], data["input_ids"], data["template_pad64"]
        n = half.shape[-1]
        padded = torch.zeros(*half.shape[:2], 64, 64)
        padded[..., :n] = torch.from_numpy(half).float()
        tokens = torch.zeros(64, dtype=torch.int64)
        tokens[:n] = torch.from_numpy(ids)
        out = layer(padded[None], (torch.arange(64) < n)[None], tokens[None])
        np.testing.assert_allclose(out.view(*half.shape[:2], -1).numpy(), expected, atol=2e-3)
        seen += 1
    assert seen == 3
