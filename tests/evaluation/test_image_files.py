"""Every format gives the same axes: a marked corner stays where it is, and spacings stand in their order."""

import importlib
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK
import tifffile
from PIL import Image

from tests.evaluation.case_folders import SIZE, SPACING, VOLUME, mask, picture, save
from topodl.errors import InputError, MissingDependencyError
from topodl.evaluation.case_files import read_case
from topodl.evaluation.case_types import Case
from topodl.evaluation.image_files import SUFFIXES, read_file, stem_of, suffix_of

PICTURES = (".png", ".bmp", ".tif", ".tiff", ".npy", ".nii", ".nii.gz", ".mha", ".mhd", ".nhdr", ".nrrd")
VOLUMES = (".tif", ".npy", ".nii", ".nii.gz", ".mha", ".mhd", ".nrrd")
COLOURS = (".png", ".bmp", ".tif", ".npy")


def case_of(image, label):
    return Case("x", (image,), label, "")


def marked(shape):
    """Return distinct values on every axis: reversed or exchanged axes change them."""
    values = np.zeros(shape, np.uint8)
    values[(0,) * len(shape)] = 250
    for axis in range(len(shape)):
        values[(0,) * axis + (1,) + (0,) * (len(shape) - axis - 1)] = 100 + 40 * axis
    return values


@pytest.mark.parametrize("ending", PICTURES)
@pytest.mark.parametrize("label_ending", [".png", ".nii.gz", ".mha"])
def test_the_axes_of_pictures(tmp_path, ending, label_ending):
    values = marked(SIZE)
    image = save(tmp_path / f"image{ending}", values)
    label = save(tmp_path / f"label{label_ending}", mask((0, 1, 2)))
    read, stored, _ = read_case(case_of(image, label))
    np.testing.assert_array_equal(read, values[None])
    np.testing.assert_array_equal(stored.values, mask((0, 1, 2)))


@pytest.mark.parametrize("ending", VOLUMES)
@pytest.mark.parametrize("label_ending", VOLUMES)
def test_the_axes_of_volumes(tmp_path, ending, label_ending):
    values = marked(VOLUME)
    image = save(tmp_path / f"image{ending}", values)
    label = save(tmp_path / f"label{label_ending}", values)
    read, stored, spacing = read_case(case_of(image, label))
    np.testing.assert_array_equal(read, values[None])
    np.testing.assert_array_equal(stored.values, values)
    keeps_it = {ending, label_ending} - {".tif", ".npy"}
    np.testing.assert_allclose(spacing, SPACING if keeps_it else (1, 1, 1), rtol=1e-6)


@pytest.mark.parametrize("ending", COLOURS)
def test_channels_come_first(tmp_path, ending):
    values = picture("colours")
    image = save(tmp_path / f"image{ending}", values)
    read, _, _ = read_case(case_of(image, save(tmp_path / "label.png", mask())))
    np.testing.assert_array_equal(read, np.moveaxis(values, -1, 0))


def test_jpeg_differs_by_compression_alone(tmp_path):
    values = np.zeros((*SIZE, 3), np.uint8)
    values[:8, :8] = (200, 100, 50)
    image = save(tmp_path / "image.jpg", values)
    read, _, _ = read_case(case_of(image, save(tmp_path / "label.png", mask())))
    assert np.abs(read - np.moveaxis(values, -1, 0)).mean() < 10


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_label_tells_which_axis_of_an_array_counts_channels(tmp_path, axis):
    values = picture("hidden", channels=4)
    image = save(tmp_path / "image.npy", np.moveaxis(values, -1, axis))
    read, _, _ = read_case(case_of(image, save(tmp_path / "label.npy", mask())))
    np.testing.assert_array_equal(read, np.moveaxis(values, -1, 0))


def test_a_cube_without_a_hint_is_refused(tmp_path):
    image = save(tmp_path / "image.npy", picture("cube", size=(6, 6), channels=6))
    label = save(tmp_path / "label.npy", mask(size=(6, 6)))
    with pytest.raises(
        InputError, match="several axes may count channels; expected a format that says which"
    ):
        read_case(case_of(image, label))


@pytest.mark.parametrize("shape", [(1, *SIZE), (*SIZE, 1), (1, 1, *SIZE)])
def test_axes_of_size_one_are_left_out(tmp_path, shape):
    image = save(tmp_path / "image.npy", marked(SIZE).reshape(shape))
    label = save(tmp_path / "label.npy", mask().reshape(shape))
    read, stored, spacing = read_case(case_of(image, label))
    assert (read.shape, stored.values.shape, spacing) == ((1, *SIZE), SIZE, (1, 1))
    np.testing.assert_array_equal(read[0], marked(SIZE))


@pytest.mark.parametrize("ending", [".nii.gz", ".mha"])
def test_a_flat_picture_in_a_format_of_volumes_keeps_its_spacing(tmp_path, ending):
    image = save(tmp_path / f"image{ending}", marked(SIZE)[None])
    label = save(tmp_path / f"label{ending}", mask(size=(1, *SIZE)))
    read, _, spacing = read_case(case_of(image, label))
    np.testing.assert_array_equal(read[0], marked(SIZE))
    np.testing.assert_allclose(spacing, SPACING[1:])


@pytest.mark.parametrize("value", [np.nan, -np.inf, 1e300])
def test_values_that_are_not_finite_in_single_precision(tmp_path, value):
    image = picture("finite", channels=0).astype(np.float64)
    image[5, 6] = value
    label = save(tmp_path / "label.png", mask())
    with pytest.raises(
        InputError, match=r"i\.npy has .* at \(0, 5, 6\), channel first; expected finite values"
    ):
        read_case(case_of(save(tmp_path / "i.npy", image), label))
    half = save(tmp_path / "half.npy", picture("finite", channels=0).astype(np.float16))
    np.testing.assert_array_equal(read_case(case_of(half, label))[0][0], picture("finite", channels=0))


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32])
@pytest.mark.parametrize("ending", [".tif", ".npy", ".nii.gz", ".mha", ".nrrd"])
def test_values_are_neither_clipped_nor_scaled(tmp_path, dtype, ending):
    values = (picture("deep", channels=0).astype(np.float64) * 300 + 1).astype(dtype)
    image = save(tmp_path / f"image{ending}", values)
    read, _, _ = read_case(case_of(image, save(tmp_path / "label.png", mask())))
    np.testing.assert_array_equal(read[0], values)


def test_sixteen_bits_of_png_in_grey_and_colour(tmp_path):
    label = save(tmp_path / "label.png", mask())
    values = picture("deep", channels=3).astype(np.uint16) * 300
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(values, isVector=True), str(tmp_path / "rgb.png"))
    read, _, spacing = read_case(case_of(tmp_path / "rgb.png", label))
    np.testing.assert_array_equal(read, np.moveaxis(values, -1, 0))
    assert spacing == (1, 1)
    read, _, _ = read_case(case_of(save(tmp_path / "grey.png", values[..., 0]), label))
    np.testing.assert_array_equal(read[0], values[..., 0])


def test_opacity_is_a_channel_only_where_it_hides_something(tmp_path):
    label = save(tmp_path / "label.png", mask())
    values = picture("opaque", channels=4)
    for alpha, channels in ((255, 3), (200, 4)):
        values[..., 3] = alpha
        read, _, _ = read_case(case_of(save(tmp_path / "image.png", values), label))
        assert len(read) == channels
        tifffile.imwrite(tmp_path / "i.tif", values, photometric="rgb", extrasamples=["unassalpha"])
        assert len(read_case(case_of(tmp_path / "i.tif", label))[0]) == channels


def test_palettes_are_colours_in_images_and_indices_in_labels(tmp_path):
    path = save(tmp_path / "p.png", mask((0, 1)), palette=[10, 20, 30, 40, 50, 60])
    read, stored, _ = read_case(case_of(path, path))
    np.testing.assert_array_equal(read[:, 0, 0], [40, 50, 60])
    np.testing.assert_array_equal(read[:, -1, -1], [10, 20, 30])
    np.testing.assert_array_equal(stored.values, mask((0, 1)))


def test_palettes_of_tiff(tmp_path):
    colours = np.zeros((3, 256), np.uint16)
    colours[:, :2] = [[10, 40], [20, 50], [30, 60]]
    path = tmp_path / "p.tif"
    tifffile.imwrite(path, mask((0, 1)), photometric="palette", colormap=colours)
    read, stored, _ = read_case(case_of(path, path))
    np.testing.assert_array_equal(read[:, 0, 0], [40, 50, 60])
    np.testing.assert_array_equal(stored.values, mask((0, 1)))


@pytest.mark.parametrize("compression", ["zlib", "lzw", "packbits"])
def test_compressed_tiff(tmp_path, compression):
    values = picture("compressed", channels=0)
    tifffile.imwrite(tmp_path / "i.tif", values, compression=compression)
    read, _, _ = read_case(case_of(tmp_path / "i.tif", save(tmp_path / "label.png", mask())))
    np.testing.assert_array_equal(read[0], values)


def test_stacks_of_imagej_and_ome_have_a_spacing(tmp_path):
    label = save(tmp_path / "label.npy", mask((0, 1), VOLUME))
    values = picture("stack", size=VOLUME, channels=0).astype(np.uint16)
    imagej = {"axes": "ZYX", "spacing": 2.5, "unit": "um"}
    tifffile.imwrite(tmp_path / "j.tif", values, imagej=True, metadata=imagej, resolution=(4, 2))
    read, _, spacing = read_case(case_of(tmp_path / "j.tif", label))
    np.testing.assert_array_equal(read[0], values)
    np.testing.assert_allclose(spacing, (2.5, 0.5, 0.25))
    ome = {"axes": "ZCYX", "PhysicalSizeX": 0.25, "PhysicalSizeY": 0.5, "PhysicalSizeZ": 2.0}
    tifffile.imwrite(tmp_path / "o.ome.tif", np.stack([values, values + 1], 1), ome=True, metadata=ome)
    read, _, spacing = read_case(case_of(tmp_path / "o.ome.tif", label))
    np.testing.assert_array_equal(read, [values, values + 1])
    assert spacing == (2.0, 0.5, 0.25)


def test_resolutions_in_dots_per_inch_say_nothing(tmp_path):
    tifffile.imwrite(tmp_path / "i.tif", picture("dpi", channels=0), resolution=(300, 300), resolutionunit=2)
    label = save(tmp_path / "label.png", mask())
    assert read_case(case_of(tmp_path / "i.tif", label))[2] == (1, 1)


def test_channels_of_volumes(tmp_path):
    label = save(tmp_path / "label.nii.gz", mask((0, 1), VOLUME))
    values = picture("channels", size=VOLUME, channels=2)
    nifti = nibabel.Nifti1Image(values.transpose(2, 1, 0, 3).copy(), np.diag([-0.5, -0.75, 3, 1]))
    nibabel.save(nifti, tmp_path / "i.nii.gz")
    vector = SimpleITK.GetImageFromArray(values, isVector=True)
    vector.SetSpacing(SPACING[::-1])
    SimpleITK.WriteImage(vector, str(tmp_path / "i.nrrd"))
    for name in ("i.nii.gz", "i.nrrd"):
        read, _, spacing = read_case(case_of(tmp_path / name, label))
        np.testing.assert_array_equal(read, np.moveaxis(values, -1, 0))
        np.testing.assert_allclose(spacing, SPACING)


def test_nifti_and_itk_agree_on_directions(tmp_path):
    oblique = np.array([[0, -1, 0], [1, 0, 0], [0, 0, -1.0]])
    volume = marked(VOLUME)
    affine = np.eye(4)
    affine[:3, :3] = oblique * [0.5, 0.75, 3]
    nibabel.save(nibabel.Nifti1Image(volume.T.copy(), affine), tmp_path / "i.nii.gz")
    # ITK reads the same file by itself, and writes it in its own format and its own world.
    itk_image = SimpleITK.ReadImage(str(tmp_path / "i.nii.gz"))
    SimpleITK.WriteImage(itk_image, str(tmp_path / "l.mha"))
    read, stored, spacing = read_case(case_of(tmp_path / "i.nii.gz", tmp_path / "l.mha"))
    np.testing.assert_array_equal(read[0], stored.values)
    np.testing.assert_allclose(spacing, SPACING)
    np.testing.assert_allclose(read_file(tmp_path / "l.mha").direction, oblique, atol=1e-6)


def test_one_array_in_an_archive(tmp_path):
    np.savez(tmp_path / "i.npz", values=marked(SIZE))
    label = save(tmp_path / "label.png", mask())
    np.testing.assert_array_equal(read_case(case_of(tmp_path / "i.npz", label))[0][0], marked(SIZE))
    np.savez(tmp_path / "two.npz", a=marked(SIZE), b=marked(SIZE))
    with pytest.raises(InputError, match=r"two\.npz holds 2 arrays; expected one in each file"):
        read_file(tmp_path / "two.npz")


def test_pickled_arrays_do_not_run(tmp_path):
    np.save(tmp_path / "i.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match=r"i\.npy cannot be read \(Object arrays cannot be loaded"):
        read_file(tmp_path / "i.npy")


def test_values_that_are_no_numbers(tmp_path):
    for array, came in (
        (np.array([["a"]]), "type <U1"),
        (np.zeros((2, 2), complex), "type complex128"),
        (np.zeros((0, 2)), r"shape \(0, 2\)"),
    ):
        np.save(tmp_path / "i.npy", array)
        with pytest.raises(InputError, match=f"{came}.*; expected real numbers, at least one"):
            read_file(tmp_path / "i.npy")


@pytest.mark.parametrize("ending", [e for e in SUFFIXES if e != ".nhdr"])
def test_a_file_of_any_format_that_is_cut_short(tmp_path, ending):
    path = (
        save(tmp_path / f"i{ending}", np.stack([picture("cut", channels=0)] * 3)[0])
        if (ending != ".npz")
        else tmp_path / "i.npz"
    )
    if ending == ".npz":
        np.savez(path, picture("cut"))
    path.write_bytes(path.read_bytes()[: 2 * path.stat().st_size // 5])
    with pytest.raises(
        InputError, match=rf"i\{ending} cannot be read \(.*\); expected a whole \{ending} file"
    ):
        read_file(path)


def test_moving_and_turned_pictures(tmp_path):
    frames = [Image.fromarray(picture("frame", i, channels=0)) for i in range(3)]
    frames[0].save(tmp_path / "i.gif", save_all=True, append_images=frames[1:])
    with pytest.raises(InputError, match=r"i\.gif has 3 frames; expected one picture"):
        read_file(tmp_path / "i.gif")
    turned = Image.Exif()
    turned[0x0112] = 6
    frames[0].save(tmp_path / "i.jpg", exif=turned)
    with pytest.raises(InputError, match=r"i\.jpg is stored turned \(EXIF orientation\)"):
        read_file(tmp_path / "i.jpg")


def test_tiff_of_several_sizes(tmp_path):
    with tifffile.TiffWriter(tmp_path / "i.tif") as file:
        for size in (SIZE, (5, 6)):
            file.write(picture(size=size, channels=0))
    with pytest.raises(InputError, match=r"i\.tif holds 2 images of different sizes; expected one"):
        read_file(tmp_path / "i.tif")


def test_more_axes_than_channels_and_space(tmp_path):
    nibabel.save(nibabel.Nifti1Image(np.zeros((3, 4, 5, 2, 2), np.uint8), np.eye(4)), tmp_path / "i.nii")
    with pytest.raises(InputError, match=r"shape \(3, 4, 5, 2, 2\); expected \(X, Y, Z\) and channels"):
        read_file(tmp_path / "i.nii")
    series = SimpleITK.GetImageFromArray(np.zeros((2, 3, 4, 5, 2), np.uint8), isVector=True)
    SimpleITK.WriteImage(series, str(tmp_path / "i.mha"))
    with pytest.raises(InputError, match=r"shape \(2, 3, 4, 5, 2\); expected \(Z, Y, X\) and channels"):
        read_file(tmp_path / "i.mha")


def test_colours_of_nifti_and_times_of_itk_are_channels(tmp_path):
    label = save(tmp_path / "label.npy", mask((0, 1), VOLUME))
    values = picture("colour", size=VOLUME)
    rgb = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
    fields = np.ascontiguousarray(values.transpose(2, 1, 0, 3)).view(rgb)[..., 0]
    nibabel.save(nibabel.Nifti1Image(fields, np.eye(4)), tmp_path / "i.nii")
    SimpleITK.WriteImage(
        SimpleITK.GetImageFromArray(np.moveaxis(values, -1, 0), isVector=False), str(tmp_path / "i.mha")
    )
    for name in ("i.nii", "i.mha"):
        read, _, _ = read_case(case_of(tmp_path / name, label))
        np.testing.assert_array_equal(read, np.moveaxis(values, -1, 0))


@pytest.mark.parametrize(
    ("ending", "package"),
    [(".png", "PIL"), (".tif", "tifffile"), (".nii", "nibabel"), (".mha", "SimpleITK"), (".png", "monai")],
)
def test_a_missing_package_is_named(tmp_path, monkeypatch, ending, package):
    path = save(tmp_path / f"scan{ending}", mask())
    whole = importlib.import_module

    def without(name, *rest):
        if name.partition(".")[0] == package:
            raise ImportError(name)
        return whole(name, *rest)

    monkeypatch.setattr("topodl.evaluation.image_files.importlib.import_module", without)
    with pytest.raises(
        MissingDependencyError, match=rf"reading scan\{ending} needs {package}.*topodl\[eval\]"
    ):
        read_file(path)


def test_reading_loads_no_package_of_another_format(tmp_path, monkeypatch):
    path = save(tmp_path / "i.npy", mask())
    for name in ("tifffile", "nibabel", "SimpleITK"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    read_file(path)
    assert not {"tifffile", "nibabel", "SimpleITK"} & sys.modules.keys()


def test_endings():
    assert suffix_of(Path("a.NII.GZ")) == ".nii.gz"
    assert suffix_of(Path("a.gz")) == ""
    assert stem_of(Path("x/a.b.tif")) == "a.b"
