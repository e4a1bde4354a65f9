"""One image or label file as an array, whatever its format: axes in the order (C, D, H, W), values as stored.

MONAI's readers open pictures and NIfTI; its others run pickled code (NumPy) or need all of ITK (MHA, NRRD).
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from topodl._files import regular_file
from topodl.errors import InputError, MissingDependencyError

__all__ = ["FUNCTION", "JPEG", "SUFFIXES", "StoredImage", "read_file", "stem_of", "suffix_of"]

FUNCTION = "topodl evaluate"
JPEG = (".jpg", ".jpeg")
_PNG_HEADER = 26  # bytes up to the bit depth and the colour type
_PNG_GREY, _PNG_PALETTE = 0, 3
_PLAIN_TIFF = (1, 8, 32773, 32946)  # none, deflate twice, PackBits: decoded without another package
_OPACITY = (1, 2)  # of TIFF's extra samples


@dataclass(frozen=True, eq=False)
class StoredImage:
    """What a file holds.

    Attributes
    ----------
    values : ndarray
        (C, *S) if `has_channels`, else (*S); if `ambiguous`, there may be an axis of channels anywhere.
    has_channels : bool
        Whether the first axis counts channels.
    ambiguous : bool
        Whether only the label's shape can tell which axis, if any, counts channels.
    spacing : tuple of float or None
        Size of a pixel along each axis of S; None where the file does not say.
    direction : ndarray of shape (3, 3) or None
        In its columns the unit vectors of the axes X, Y and Z in the world (right, anterior, superior).
    palette : ndarray of int, shape (K, 3), or None
        Colours of the values, where they are indices.
    """

    values: NDArray[Any]
    has_channels: bool = False
    ambiguous: bool = False
    spacing: tuple[float, ...] | None = None
    direction: NDArray[np.float64] | None = None
    palette: NDArray[np.integer] | None = None


def suffix_of(path: Path) -> str:
    """Return the ending that says the format, ".nii.gz" included; empty where topodl does not read it.

    Examples
    --------
    >>> suffix_of(Path("scan.NII.gz")), suffix_of(Path("notes.txt"))
    ('.nii.gz', '')
    """
    name = path.name.lower()
    return max((suffix for suffix in SUFFIXES if name.endswith(suffix)), key=len, default="")


def stem_of(path: Path) -> str:
    """Return the file's name without the ending that says its format.

    Examples
    --------
    >>> stem_of(Path("a/scan.1.nii.gz"))
    'scan.1'
    """
    return path.name[: len(path.name) - len(suffix_of(path))]


def read_file(path: Path, *, is_label: bool = False) -> StoredImage:
    """Return what `path` holds; a palette is kept as indices in a label and becomes colours in an image.

    Raises
    ------
    InputError
        If the file is missing or damaged, or its format is unknown.
    MissingDependencyError
        If the package that reads its format is not installed.
    """
    reader = _READERS.get(suffix_of(path))
    if reader is None:
        raise InputError(
            f"{FUNCTION}: {path} is of a format that is not read; expected one of {', '.join(SUFFIXES)}"
        )
    try:
        stored = reader(regular_file(path), is_label)
    except (InputError, MissingDependencyError):
        raise
    except Exception as error:  # each reader has its own errors for damaged files
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(
            f"{FUNCTION}: {path} cannot be read ({reason}); expected a whole {suffix_of(path)} file"
        ) from error
    if stored.values.dtype.kind not in "biuf" or stored.values.size == 0:
        kind = f"values of type {stored.values.dtype} and shape {stored.values.shape}"
        raise InputError(f"{FUNCTION}: {path} has {kind}; expected real numbers, at least one")
    return stored


def _package(name: str, module: str, path: Path) -> ModuleType:
    try:
        importlib.import_module(name)
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingDependencyError(name, extra="eval", purpose=f"reading {path.name}") from error


def _read_picture(path: Path, is_label: bool) -> StoredImage:
    if _has_deep_colours(path):  # which Pillow cuts to eight bits
        values = _read_itk(path, is_label).values
        return StoredImage(
            _without_opaque_alpha(values) if len(values) in (2, 4) else values, has_channels=True
        )

    palette = None

    def decoded(picture: Any) -> Any:
        nonlocal palette
        with picture:
            if getattr(picture, "n_frames", 1) > 1:
                raise InputError(f"{FUNCTION}: {path} has {picture.n_frames} frames; expected one picture")
            if picture.getexif().get(0x0112, 1) != 1:
                raise InputError(
                    f"{FUNCTION}: {path} is stored turned (EXIF orientation); expected an upright picture"
                )
            if picture.mode not in ("P", "PA"):
                return picture.copy()
            if is_label and suffix_of(path) != ".gif":  # whose writers order the palette as they like
                palette = np.reshape(picture.getpalette("RGB"), (-1, 3))
                return picture.convert("P") if picture.mode == "PA" else picture.copy()
            return picture.convert("RGBA" if "transparency" in picture.info else "RGB")

    _package("PIL", "PIL.Image", path)
    reader = _package("monai", "monai.data.image_reader", path).PILReader(decoded, reverse_indexing=False)
    values, header = reader.get_data(reader.read(path))
    values = np.asarray(values)
    if values.ndim == 2:
        return StoredImage(values, palette=palette)
    values = np.moveaxis(values, -1, 0)
    if header["mode"] in ("LA", "RGBA"):
        values = _without_opaque_alpha(values)
    return StoredImage(values, has_channels=True)


def _has_deep_colours(path: Path) -> bool:
    with path.open("rb") as file:
        header = file.read(_PNG_HEADER)
    is_png = header.startswith(b"\x89PNG") and len(header) == _PNG_HEADER
    return is_png and header[24] == 16 and header[25] not in (_PNG_GREY, _PNG_PALETTE)


def _without_opaque_alpha(values: NDArray[Any]) -> NDArray[Any]:
    """Return channels without the last one, the opacity, if it hides nothing."""
    return values[:-1] if bool(np.all(values[-1] == np.iinfo(values.dtype).max)) else values


def _read_tiff(path: Path, is_label: bool) -> StoredImage:
    tifffile = _package("tifffile", "tifffile", path)
    with tifffile.TiffFile(path) as file:
        if len(file.series) != 1:
            raise InputError(
                f"{FUNCTION}: {path} holds {len(file.series)} images of different sizes; expected one"
            )
        series, page = file.series[0], file.series[0].keyframe
        axes = series.axes
        if page.compression not in _PLAIN_TIFF:
            _package("imagecodecs", "imagecodecs", path)
        values = series.asarray()
        spacing = _tiff_spacing(file, tifffile)
        if page.photometric == tifffile.PHOTOMETRIC.PALETTE and axes == "YX":
            colours = np.asarray(page.colormap)  # (3, K)
            if is_label:
                return StoredImage(values, palette=colours.T)
            return StoredImage(colours[:, values], has_channels=True)
        has_opacity = bool(page.extrasamples) and page.extrasamples[-1] in _OPACITY
    if axes.endswith("S"):  # red, green, blue side by side; another axis before them counts slices
        values = np.moveaxis(values, -1, 0)
        if has_opacity:
            values = _without_opaque_alpha(values)
        return StoredImage(values, has_channels=True, spacing=spacing and spacing[1 - values.ndim :])
    if axes in ("YX", "ZYX"):
        return StoredImage(values, spacing=spacing and spacing[-values.ndim :])
    if axes in ("ZCYX", "CZYX"):
        channel = axes.index("C")
        return StoredImage(np.moveaxis(values, channel, 0), has_channels=True, spacing=spacing)
    return StoredImage(values, ambiguous=True)


def _tiff_spacing(file: Any, tifffile: ModuleType) -> tuple[float, ...] | None:
    """Return the size of a voxel as ImageJ or OME wrote it; the dots per inch of other files mean nothing."""
    if file.is_ome:
        images = tifffile.xml2dict(file.ome_metadata)["OME"]["Image"]
        pixels = (images if isinstance(images, dict) else images[0])["Pixels"]
        return tuple(float(pixels.get(f"PhysicalSize{axis}", 1)) for axis in "ZYX")
    metadata = file.imagej_metadata or {}
    if metadata.get("unit", "pixel") == "pixel":
        return None
    tags = file.pages[0].tags
    resolutions = [tags[f"{axis}Resolution"].value for axis in "YX"]  # pixels in a unit, as fractions
    sides = [denominator / numerator for numerator, denominator in resolutions]
    return (float(metadata.get("spacing", 1)), *sides)


def _read_numpy(path: Path, is_label: bool) -> StoredImage:
    with path.open("rb") as file:
        loaded = np.load(file, allow_pickle=False)
        if not isinstance(loaded, np.ndarray):
            if len(loaded.files) != 1:
                raise InputError(
                    f"{FUNCTION}: {path} holds {len(loaded.files)} arrays; expected one in each file"
                )
            loaded = loaded[loaded.files[0]]
    return StoredImage(loaded, ambiguous=not is_label)


def _read_nifti(path: Path, is_label: bool) -> StoredImage:
    _package("nibabel", "nibabel", path)
    reader = _package("monai", "monai.data.image_reader", path).NibabelReader()
    values, header = reader.get_data(reader.read(path))
    values = np.asarray(values)
    if values.dtype.fields:  # colours
        values = np.stack([values[name] for name in values.dtype.names or ()], axis=-1)
    if sum(size > 1 for size in values.shape[3:]) > 1:
        raise InputError(
            f"{FUNCTION}: {path} has shape {values.shape}; expected (X, Y, Z) and channels, if any"
        )
    affine = header["affine"][:3, :3]
    spacing, direction = _geometry(affine)
    if values.ndim <= 3:
        return StoredImage(values.T, spacing=spacing[-values.ndim :], direction=direction)
    values = values.reshape(*values.shape[:3], -1).transpose(3, 2, 1, 0)
    return StoredImage(values, has_channels=True, spacing=spacing, direction=direction)


def _geometry(affine: NDArray[Any]) -> tuple[tuple[float, ...], NDArray[np.float64]]:
    """Return spacing and directions of the axes (Z, Y, X) from the matrix of (X, Y, Z) to the world."""
    lengths = np.linalg.norm(affine, axis=0)
    lengths = np.where(lengths > 0, lengths, 1.0)
    return tuple(float(length) for length in lengths[::-1]), np.asarray(affine / lengths, np.float64)


def _read_itk(path: Path, is_label: bool) -> StoredImage:
    sitk = _package("SimpleITK", "SimpleITK", path)
    image = sitk.ReadImage(str(path))
    values = sitk.GetArrayFromImage(image)  # (T, Z, Y, X, components) as far as there are such axes
    ndim = image.GetDimension()
    spacing = tuple(float(size) for size in image.GetSpacing()[:3][::-1])
    direction = None
    if ndim > 2:
        to_world = np.reshape(image.GetDirection(), (ndim, ndim))[:3, :3]
        direction = np.diag([-1.0, -1.0, 1.0]) @ to_world  # ITK's axes point left and posterior
    if ndim > 3 and image.GetNumberOfComponentsPerPixel() > 1:
        raise InputError(f"{FUNCTION}: {path} has shape {values.shape}; expected (Z, Y, X) and channels")
    if image.GetNumberOfComponentsPerPixel() > 1:
        values = np.moveaxis(values, -1, 0)
        return StoredImage(values, has_channels=True, spacing=spacing, direction=direction)
    return StoredImage(values, has_channels=ndim > 3, spacing=spacing, direction=direction)


_READERS: dict[str, Callable[[Path, bool], StoredImage]] = {
    **dict.fromkeys((".png", *JPEG, ".bmp", ".gif"), _read_picture),
    **dict.fromkeys((".tif", ".tiff"), _read_tiff),
    **dict.fromkeys((".npy", ".npz"), _read_numpy),
    **dict.fromkeys((".nii", ".nii.gz"), _read_nifti),
    **dict.fromkeys((".mha", ".mhd", ".nrrd", ".nhdr"), _read_itk),
}
SUFFIXES = tuple(_READERS)
