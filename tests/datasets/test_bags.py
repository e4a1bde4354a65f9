"""Bags of events: who is in them, how many, and errors."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from topodl.datasets import draw_bags
from topodl.errors import InputError

EVENTS = np.random.default_rng(0).normal(size=(300, 3))
LABELS = (np.arange(300) < 120).astype(int)


@given(st.integers(1, 60), st.integers(1, 9), st.floats(0, 1), st.integers(0, 99))
def test_what_is_in_a_bag(size, n_bags, fraction, seed):
    bags = draw_bags(EVENTS, LABELS, size, n_bags, fraction, seed)
    assert bags.points.shape == (n_bags, size, 3)
    assert bags.labels.sum() == n_bags // 2
    assert (bags.points == EVENTS[bags.indices]).all()
    for label, indices in zip(bags.labels, bags.indices, strict=True):
        assert len(set(indices.tolist())) == size
        assert label == 1 or not LABELS[indices].any()
    again = draw_bags(EVENTS, LABELS, size, n_bags, fraction, seed)
    assert (again.indices == bags.indices).all()


def test_numbers_of_signal_events_are_binomial():
    bags = draw_bags(EVENTS, LABELS, size=40, n_bags=4000, fraction=0.3)
    counts = LABELS[bags.indices].sum(1)[bags.labels == 1]
    assert counts.mean() == pytest.approx(12.0, abs=0.4)
    assert counts.var() == pytest.approx(40 * 0.3 * 0.7, rel=0.15)
    assert (
        LABELS[draw_bags(EVENTS, LABELS, 40, 10).indices].sum(1)
        == 40 * draw_bags(EVENTS, LABELS, 40, 10).labels
    ).all()


def test_order_within_and_among_bags_tells_nothing():
    bags = draw_bags(EVENTS, LABELS, size=20, n_bags=2000, fraction=0.5)
    signal = LABELS[bags.indices][bags.labels == 1]
    assert abs(signal[:, :10].mean() - signal[:, 10:].mean()) < 0.05
    assert abs(bags.labels[:1000].mean() - 0.5) < 0.06


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"events": EVENTS[:, 0]}, r"events has shape \(300,\)"),
        ({"labels": LABELS[:5]}, r"labels has shape \(5,\); expected 0 or 1 for each of 300 events"),
        ({"labels": LABELS + 1}, "expected 0 or 1 for each"),
        ({"size": 0}, "size is 0"),
        ({"fraction": 1.5}, "fraction is 1.5"),
        ({"size": 200}, "labels have 180 of background; expected at least 200"),
        ({"size": 150}, "labels have 120 of signal; expected at least 150"),
    ],
)
def test_unusable_arguments_are_named(change, message):
    with pytest.raises(InputError, match=message):
        draw_bags(**({"events": EVENTS, "labels": LABELS, "size": 10, "n_bags": 4} | change))
