"""What values mean: found, declared, refused; the lookup of classes agrees with a loop over pixels."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from tests.evaluation.case_folders import mask, save
from topodl.errors import InputError
from topodl.evaluation.case_types import IGNORE, DeclaredLabels, LabelScheme
from topodl.evaluation.label_values import (
    check_foreground,
    class_indices,
    count_values,
    find_scheme,
    parse_classes,
    read_label,
)

FILE = Path("label.png")
labels = arrays(
    st.sampled_from([np.uint8, np.int16, np.uint16, np.int64]),
    array_shapes(min_dims=2, max_dims=3, max_side=6),
    elements=st.integers(0, 120),
)


@given(labels)
def test_values_are_counted(values):
    expected = {}
    for value in values.ravel().tolist():
        expected[value] = expected.get(value, 0) + 1
    assert count_values(values) == expected
    assert count_values(values.astype(np.int64) - 10**6) == {v - 10**6: n for v, n in expected.items()}


@given(labels, st.data())
def test_classes_are_looked_up_pixel_by_pixel(values, data):
    present = sorted(count_values(values))
    classes = {value: data.draw(st.integers(0, 4)) for value in present}
    ignore = data.draw(st.sampled_from([None, *present]))
    meaning = {value: index for value, index in classes.items() if value != ignore}
    scheme = LabelScheme(tuple("abcde"), meaning, ignore)
    expected = [IGNORE if v == ignore else classes[v] for v in values.ravel().tolist()]
    found = class_indices(values, scheme, FILE)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, np.reshape(expected, values.shape))


@given(labels, st.data())
def test_regions_are_looked_up_pixel_by_pixel(values, data):
    present = sorted(count_values(values))
    subsets = st.lists(st.sampled_from(present), min_size=1, unique=True).map(tuple)
    ignore = data.draw(st.sampled_from([None, 121]))
    regions = tuple(data.draw(st.lists(subsets, min_size=1, max_size=3)))
    scheme = LabelScheme(("background", "x"), dict.fromkeys(present, 0), ignore, regions)
    values.flat[0] = values.flat[0] if ignore is None else ignore
    found = class_indices(values, scheme, FILE)
    expected = [[IGNORE if v == ignore else v in region for v in values.ravel()] for region in regions]
    np.testing.assert_array_equal(found, np.reshape(expected, (len(regions), *values.shape)))


@given(labels)
def test_a_stray_value_is_named_with_its_place(values):
    place = tuple(size - 1 for size in values.shape)
    values[place] = 125
    scheme = LabelScheme(("a",), dict.fromkeys(range(121), 0))
    with pytest.raises(InputError) as caught:
        class_indices(values, scheme, FILE)
    assert f"label {FILE} has the value 125 at {place}; expected one of 0, 1, 2," in str(caught.value)


def test_large_labels_are_looked_up_part_by_part():
    values = np.arange(3 * 700 * 701, dtype=np.int32).reshape(3, 700, 701) % 3
    scheme = LabelScheme(("a", "b"), {0: 0, 1: 1}, 2)
    assert count_values(values) == dict.fromkeys(range(3), 490_700)
    np.testing.assert_array_equal(class_indices(values, scheme, FILE), np.array([0, 1, IGNORE])[values])
    values[2, 600, 5] = 9
    with pytest.raises(InputError, match=r"value 9 at \(2, 600, 5\); expected one of 0, 1, 2"):
        class_indices(values, scheme, FILE)


@pytest.mark.parametrize(
    ("text", "names", "ignore"),
    [
        ("0=background,1=artery,2=vein", {0: "background", 1: "artery", 2: "vein"}, None),
        (" 255 = left lung , 0=rest ", {255: "left lung", 0: "rest"}, None),
        ("0=bg,1=a,2=a,255=ignore", {0: "bg", 1: "a", 2: "a"}, 255),
        ("-1=background,4=x=y", {-1: "background", 4: "x=y"}, None),
    ],
)
def test_classes_are_parsed(text, names, ignore):
    declared = parse_classes(text)
    assert (declared.names, declared.ignore, declared.source) == (names, ignore, "--classes")


def test_two_values_cannot_both_be_ignored():
    with pytest.raises(InputError, match=r"classes ignores the values \[1, 2\]"):
        parse_classes("0=a,3=b,1=ignore,2=ignore")


def scheme_of(counts, declared=None, ignore=None):
    return find_scheme({FILE: counts}, declared, ignore)


def test_the_background_is_the_class_of_that_name_or_the_first():
    scheme, _ = scheme_of({0: 1}, parse_classes("1=vein,0=background"))
    assert (scheme.classes, scheme.values) == (("background", "vein"), {1: 1, 0: 0})
    scheme, _ = scheme_of({0: 1}, parse_classes("1=vein,0=rest"))
    assert (scheme.classes, scheme.values) == (("vein", "rest"), {1: 0, 0: 1})


def test_values_of_one_name_are_one_class():
    scheme, line = scheme_of({0: 5, 1: 2, 7: 1}, parse_classes("0=background,1=vessel,7=vessel"))
    assert (scheme.classes, scheme.values) == (("background", "vessel"), {0: 0, 1: 1, 7: 1})
    assert line == "labels, as --classes says: 0 background, 1 vessel, 7 vessel"


def test_a_class_without_pixels_is_mentioned():
    _, line = scheme_of({0: 5, 1: 2}, parse_classes("0=background,1=artery,2=vein"))
    assert line.endswith("0 background, 1 artery, 2 vein (no pixel has 2)")


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({0: 9}, "the labels have only the value 0; expected background and foreground"),
        ({255: 9}, "the labels have only the ignored value 255"),
        ({0: 1, 1: 1, 2: 1, 255: 1}, None),
        (dict.fromkeys(range(33), 1), "the labels have 33 different values, 33 of them in label.png"),
    ],
)
def test_values_without_names(counts, message):
    if message is None:
        assert scheme_of(counts, ignore=255)[0].classes == ("background", "class_1", "class_2")
        return
    with pytest.raises(InputError, match=message):
        scheme_of(counts, ignore=255)


def test_regions_are_parsed_and_looked_up():
    declared = parse_classes("0=background, 1+2 + 4=whole, 2+4=core,3=ignore")
    assert declared.names == {0: "background"}
    assert declared.regions == {"whole": (1, 2, 4), "core": (2, 4)}
    scheme, line = scheme_of({0: 5, 1: 2, 2: 1, 3: 1, 4: 1}, declared)
    assert line == "labels, as --classes says: regions whole = 1+2+4, core = 2+4; 3 counts nowhere"
    values = np.array([[0, 1, 2], [3, 4, 0]])
    found = class_indices(values, scheme, Path("x.png"))
    assert found.tolist() == [[[0, 1, 1], [IGNORE, 1, 0]], [[0, 0, 1], [IGNORE, 1, 0]]]
    with pytest.raises(InputError, match=r"x\.png has the value 5 at \(0, 0\)"):
        class_indices(np.array([[5]]), scheme, Path("x.png"))


def test_ranges_of_values_are_named_once():
    declared = parse_classes("0-127=background, 128 - 255=polyp")
    assert declared.names == {v: "background" if v < 128 else "polyp" for v in range(256)}
    scheme, line = scheme_of({0: 5, 3: 1, 250: 2}, declared)
    assert line == "labels, as --classes says: 0-127 background, 128-255 polyp"
    assert class_indices(np.array([[3, 127], [128, 255]]), scheme, Path("x.jpg")).tolist() == [[0, 0], [1, 1]]
    _, line = scheme_of({0: 5}, parse_classes("0-40=background,41-60+70=a,80+81=b"))
    assert line.endswith("0-40 background, 41-60 a, 70 a, 80 b, 81 b (no pixel has 41-60, 70, 80, 81)")
    assert parse_classes("-1=x,0=a").names == {-1: "x", 0: "a"}
    for wrong in ("5-3=a,0=b", "0-70000=a,1=b", "-3--1=a,0=b", "1-=a,0=b"):
        with pytest.raises(InputError, match=r"classes has the (range|part)"):
            parse_classes(wrong)


def test_values_with_a_plus_that_do_not_overlap_are_classes():
    declared = parse_classes("0+9=background,1+2=vessel,3=disc")
    assert declared.names == {0: "background", 9: "background", 1: "vessel", 2: "vessel", 3: "disc"}
    assert declared.regions is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0=background,1+2=a,2=a", "names the region 'a' twice"),
        ("1+2=a,2=b", "has regions that overlap, and no background"),
        ("0=background,1+2=a,2=b,3+4=ignore", r"ignores the values \[3, 4\]"),
        ("0+2=background,1+2=a,2=b", "has the value 2 in 'background' and in 'a'"),
        ("0=background,1+2=a,2=b,1=ignore", "has the value 1 in 'ignore' and in 'a'"),
        ("0=background,0+1=ignore,1=a", r"ignores the values \[0, 1\]"),
        ("0=background,1+=a,2=b", r"has the part '1\+=a'; expected .* or \"0=background,1\+2=whole,2=core\""),
    ],
)
def test_unusable_regions_are_named(text, message):
    with pytest.raises(InputError, match=f"classes {message}"):
        parse_classes(text)


def test_more_classes_than_bytes():
    declared = DeclaredLabels({i: f"c{i}" for i in range(255)}, "dataset.json")
    with pytest.raises(InputError, match=r"dataset\.json has 255 classes; expected at most 254"):
        scheme_of({0: 1}, declared)


def test_two_values_in_jpeg_are_no_noise():
    scheme, _ = find_scheme({Path("a.jpg"): {0: 5, 255: 3}}, None, None)
    assert scheme.values == {0: 0, 255: 1}


def test_foreground_of_regions():
    scheme = LabelScheme(("background", "x"), {0: 0, 1: 1, 2: 0}, None, ((1,),))
    check_foreground({FILE: {0: 3, 1: 1}}, scheme)
    with pytest.raises(InputError, match="none of the 1 training labels has foreground"):
        check_foreground({FILE: {0: 3, 2: 1}}, scheme)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.float32, np.float64])
def test_kinds_of_numbers(tmp_path, dtype):
    path = save(tmp_path / "l.npy", mask((0, 1), dtype=dtype))
    values = read_label(path).values
    assert values.dtype.kind in "iu"
    np.testing.assert_array_equal(values, mask((0, 1)))


def test_what_scaling_in_a_header_leaves_is_rounded(tmp_path):
    path = save(tmp_path / "l.npy", mask((0, 1), dtype=np.float64) * (1 + 1e-6))
    np.testing.assert_array_equal(read_label(path).values, mask((0, 1)))


@pytest.mark.parametrize("value", [0.4, np.nan, np.inf, 1e12])
def test_numbers_that_are_no_values_of_labels(tmp_path, value):
    label = mask((0, 1), dtype=np.float64)
    label[3, 4] = value
    path = save(tmp_path / "l.npy", label)
    with pytest.raises(InputError, match=r"l\.npy has .* at \(3, 4\); expected integers"):
        read_label(path)


@pytest.mark.parametrize("size", [(5,), (2, 3, 4, 5)])
def test_labels_of_too_few_or_many_axes(tmp_path, size):
    path = save(tmp_path / "l.npy", np.zeros(size, np.uint8))
    with pytest.raises(InputError, match="expected two or three axes"):
        read_label(path)


def test_grey_in_three_channels_and_an_opaque_fourth(tmp_path):
    grey = mask((0, 255))
    rgba = np.stack([grey, grey, grey, np.full_like(grey, 255)], axis=-1)
    for channels in (3, 4):
        path = save(tmp_path / "l.png", rgba[..., :channels])
        np.testing.assert_array_equal(read_label(path).values, grey)
