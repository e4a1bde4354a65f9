import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from topodl import InputError
from topodl.complexes import Lists

ROWS = st.lists(st.lists(st.integers(0, 9), max_size=4), max_size=6)


def lists_of(rows):
    offsets = torch.tensor([0, *map(len, rows)]).cumsum(0)
    return Lists(torch.tensor([m for row in rows for m in row], dtype=torch.int64), offsets)


@given(ROWS, st.data())
def test_lists_are_taken_in_any_order(rows, data):
    which = data.draw(st.lists(st.integers(0, max(len(rows) - 1, 0)), max_size=6 * bool(rows)))
    taken = lists_of(rows).take(torch.tensor(which, dtype=torch.int64))
    assert [row.tolist() for row in taken.numpy()] == [rows[i] for i in which]
    assert [taken[i].tolist() for i in range(len(which))] == [rows[i] for i in which]
    assert taken.owners.tolist() == [i for i, j in enumerate(which) for _ in rows[j]]


@given(ROWS)
def test_shorter_lists_are_filled_in_a_table(rows):
    width = max(map(len, rows), default=0)
    table = lists_of(rows).table(fill=-1)
    assert table.tolist() == [row + [-1] * (width - len(row)) for row in rows]


def test_lists_of_one_length_are_a_table():
    table = torch.arange(6).view(2, 3)
    assert torch.equal(Lists.from_table(table).table(), table)
    assert Lists.from_table(table[:0]).table().shape == (0, 3)
    assert Lists.from_table(table[:, :0]).lengths.tolist() == [0, 0]
    assert Lists.from_table(table).offsets.tolist() == [0, 3, 6]
    with pytest.raises(InputError, match=r"table has shape \(3,\) and dtype torch\.int64; expected shape"):
        Lists.from_table(table[0])
    assert lists_of([[0, 1], [2, 3]]).table().tolist() == [[0, 1], [2, 3]]
    with pytest.raises(InputError, match="the lists have 1 to 2 members; expected one length, or fill"):
        lists_of([[0, 1], [2]]).table()


@pytest.mark.parametrize("offsets", [[], [0], [1, 2], [0, 3], [0, 2, 1, 2]])
def test_offsets_rise_from_0_to_the_number_of_members(offsets):
    with pytest.raises(InputError, match=r"Lists: offsets has .*rise from 0 to the 2 members"):
        Lists(torch.tensor([5, 6]), torch.tensor(offsets, dtype=torch.int64))


def test_members_are_integers_on_one_axis():
    with pytest.raises(InputError, match=r"members has shape \(1,\) and dtype torch.float32"):
        Lists(torch.zeros(1), torch.tensor([0, 1]))
    with pytest.raises(IndexError, match="list 2 is out of range; there are 2 lists"):
        lists_of([[0], [1]])[2]


def test_transposing_on_another_device_goes_by_sorting(monkeypatch):
    rows = lists_of([[3, 1], [], [1, 0, 3]])
    expected, places = rows.transposed(5)
    monkeypatch.setattr("topodl.complexes.lists.on_host", lambda x: False)
    found, found_places = rows.transposed(5)
    assert torch.equal(found.members, expected.members)
    assert torch.equal(found.offsets, expected.offsets)
    assert torch.equal(found_places, places)
