import os
import sys
import warnings

import numpy as np
import pytest
import torch
from PIL import Image

from tests.datasets.archives import small_data_set, write_folder
from topodl.datasets import TopoMortar
from topodl.errors import InputError, MissingDependencyError


@pytest.fixture
def root(tmp_path):
    write_folder(tmp_path / "data", small_data_set())
    return tmp_path / "data"


@pytest.mark.parametrize(
    ("options", "ids"),
    [
        ({}, ["001", "002", "003"]),
        ({"training_set": "small"}, ["002"]),
        ({"split": "val", "training_set": "small"}, ["004"]),
        ({"split": "test"}, ["005", "006", "007", "008"]),
        ({"split": "test", "group": "indistr"}, ["005", "006"]),
        ({"split": "test", "group": "shadows"}, ["008"]),
    ],
)
def test_split_training_set_and_group_select(root, options, ids):
    data = TopoMortar(root, **options)
    assert [item["id"] for item in data] == data.ids == ids
    assert len(data) == len(ids)


@pytest.mark.parametrize("labels", ["accurate", "noisy", "pseudo"])
def test_an_item_is_what_the_files_say(root, labels):
    item = TopoMortar(str(root), labels=labels)[1]
    picture = np.array(Image.open(root / "train" / "images" / "002.png"))
    label = np.array(Image.open(root / "train" / labels / "002.png"))
    assert set(np.unique(label)) == {0, 8, 255}
    assert torch.equal(
        (item["image"] * 255).round().to(torch.uint8), torch.from_numpy(picture).permute(2, 0, 1)
    )
    assert torch.equal(item["label"], torch.from_numpy(label == 255)[None].long())
    assert item["image"].dtype == torch.float32
    assert (item["id"], item["group"]) == ("002", "indistr")


def test_a_transform_gets_and_returns_the_item(root):
    data = TopoMortar(root, transform=lambda item: item | {"id": item["id"] + "!"})
    assert data[0]["id"] == "001!"


def test_items_are_batched_by_a_loader(root):
    batch = next(iter(torch.utils.data.DataLoader(TopoMortar(root), batch_size=3)))
    assert batch["image"].shape == (3, 3, 8, 8)
    assert batch["id"] == ["001", "002", "003"]


def test_indices_count_from_the_end_and_stop_at_it(root):
    data = TopoMortar(root)
    assert data[-1]["id"] == "003"
    for index in (3, -4):
        with pytest.raises(IndexError, match="TopoMortar: index is"):
            data[index]


def test_missing_files_are_skipped_with_one_warning_that_says_where(root):
    (root / "test" / "images" / "006.png").unlink()
    (root / "test" / "accurate" / "008.png").unlink()
    with pytest.warns(UserWarning, match="are skipped") as caught:
        data = TopoMortar(root, split="test")
    assert data.ids == ["005", "007"]
    assert len(caught) == 1
    assert str(caught[0].message) == (
        f"TopoMortar: 2 of 4 pictures of the test split are not in {root} and are skipped "
        "(indistr: 1, shadows: 1)"
    )
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        list(data)
        TopoMortar(root, split="test", group="angles")


def test_a_selection_with_no_file_names_the_folder(root):
    (root / "test" / "images" / "007.png").unlink()
    with pytest.raises(
        InputError, match=r"has none of the 1 files that its split names.*images.*download=True"
    ):
        TopoMortar(root, split="test", group="angles")


def test_a_group_that_the_split_does_not_have(root):
    with pytest.raises(InputError, match="group is 'angles', but the train split has no picture of it"):
        TopoMortar(root, group="angles")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "training"}, "split is 'training'; expected one of 'train', 'val', 'test'"),
        ({"labels": "exact"}, "labels is 'exact'; expected one of 'accurate', 'noisy', 'pseudo'"),
        ({"training_set": 10}, "training_set is 10; expected one of 'large', 'small'"),
        ({"group": "rain"}, "group is 'rain'; expected one of 'indistr', 'angles', 'colors', 'graffiti'"),
        ({"split": "test", "labels": "noisy"}, "labels is 'noisy' with split='test'; expected 'accurate'"),
    ],
)
def test_other_values_are_named_with_those_that_exist(root, options, message):
    with pytest.raises(InputError, match=f"TopoMortar: {message}"):
        TopoMortar(root, **options)


def test_a_missing_folder_and_missing_split_files_are_named(tmp_path, root):
    with pytest.raises(InputError, match=r"root is '.*nowhere', which is no folder"):
        TopoMortar(tmp_path / "nowhere")
    (root / "splits_small.yaml").unlink()
    with pytest.raises(InputError, match=r"cannot read .*splits_small\.yaml"):
        TopoMortar(root, training_set="small")
    (root / "dataset_types.txt").unlink()
    with pytest.raises(
        InputError, match=r"cannot read .*dataset_types\.txt \(No such file.*expected the layout"
    ):
        TopoMortar(root)


@pytest.mark.parametrize(
    "text", ["- 1", "[" * 5000, "1: [unclosed", "2:\n  train: []\n", "nothing", "1:\n  train:\n    a: 1\n"]
)
def test_a_damaged_split_file_is_named(root, text):
    (root / "splits.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"splits\.yaml does not list the val files"):
        TopoMortar(root, split="val")


def test_a_picture_that_a_split_lists_twice_is_named(root):
    (root / "splits.yaml").write_text("1:\n  val: [051.png, 052.png, 051.png]\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"splits\.yaml lists 051 twice in val; expected each picture once"):
        TopoMortar(root, split="val")


def test_damaged_groups_are_named(root):
    (root / "dataset_types.txt").write_text("a,b\n1,2\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"dataset_types\.txt has no columns 'ID' and 'group'"):
        TopoMortar(root)
    (root / "dataset_types.txt").write_text("ID,group\n001,indistr\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"dataset_types\.txt does not say the group of 002"):
        TopoMortar(root)


@pytest.mark.parametrize("kind", ["images", "accurate"])
def test_an_unreadable_file_is_named(root, kind):
    path = root / "train" / kind / "002.png"
    for content in (b"", b"no picture", path.read_bytes()[:60]):
        path.write_bytes(content)
        with pytest.raises(InputError, match=rf"cannot read .*{kind}.002\.png"):
            TopoMortar(root)[1]


def test_pictures_of_more_than_eight_bits_are_refused(root):
    deep = np.full((8, 8), 300, np.uint16)
    for kind in ("images", "accurate"):
        path = root / "train" / kind / "003.png"
        Image.fromarray(deep).save(path)
        with pytest.raises(InputError, match=r"003\.png has pixels of more than 8 bits .*; expected"):
            TopoMortar(root)[2]
        Image.fromarray(deep.astype(np.uint8)).save(path)


def test_the_mark_that_windows_writes_is_no_part_of_a_name(root):
    for name in ("dataset_types.txt", "splits.yaml"):
        path = root / name
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert TopoMortar(root).ids == ["001", "002", "003"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names")
def test_a_pipe_is_named_and_not_waited_for(root):
    (root / "splits.yaml").unlink()
    os.mkfifo(root / "splits.yaml")
    with pytest.raises(InputError, match=r"cannot read .*splits\.yaml \(is a pipe or a device"):
        TopoMortar(root)


def test_a_label_of_another_size_is_named(root):
    Image.fromarray(np.zeros((4, 8), np.uint8)).save(root / "train" / "accurate" / "001.png")
    with pytest.raises(InputError, match=r"001\.png has shape \(4, 8\); expected \(8, 8\)"):
        TopoMortar(root)[0]


def test_yaml_is_asked_for_by_name(root, monkeypatch):
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(MissingDependencyError, match=r"TopoMortar needs pyyaml.*topodl\[eval\]"):
        TopoMortar(root)


def test_the_real_data_set(shared):
    folder = shared / "data" / "topomortar"
    assert len(TopoMortar(folder)) == 50
    assert len(TopoMortar(folder, split="val", labels="noisy")) == 20
    small = TopoMortar(folder, labels="pseudo", training_set="small")
    assert small.ids == ["036", "048", "009", "024", "045", "001", "041", "043", "011", "049"]
    assert small[0]["image"].shape == (3, 512, 512)
    with pytest.warns(UserWarning, match=r"240 of 350 pictures of the test split .*angles: 40, colors: 40"):
        data = TopoMortar(folder, split="test")
    assert len(data) == 110
    assert len(TopoMortar(folder, split="test", group="indistr")) == 50
