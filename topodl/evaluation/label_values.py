"""What the values in label files mean: looked at in all files first, then said in a line, or refused."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from topodl._checks import fail
from topodl.errors import InputError
from topodl.evaluation.case_types import IGNORE, DeclaredLabels, LabelScheme
from topodl.evaluation.image_files import FUNCTION, JPEG, StoredImage, read_file, suffix_of

__all__ = [
    "StoredLabel",
    "check_colours",
    "check_foreground",
    "class_indices",
    "count_values",
    "find_scheme",
    "parse_classes",
    "read_label",
    "without_single_axes",
]

_MOST_ONE_HOT = 32  # channels; no volume has one voxel of foreground in each of its shortest columns
_STRAY = 1e-3  # of the pixels of the one file that has a value
_MOST_UNNAMED = 32  # more values than these are noise or probabilities unless somebody names them
_MOST_CLASSES = 254
_INTEGER_TOLERANCE = 1e-3  # what scaling in a file's header may leave
_LARGEST = 2.0**31
_SMALL = 1 << 16
_PART = 1 << 20
_IGNORE_NAME = "ignore"

FileCounts = Mapping[Path, Mapping[int, int]]


@dataclass(frozen=True, eq=False)
class StoredLabel:
    """The integers (*S) of a label file, with the geometry and the colours (K, 3) that it states."""

    values: NDArray[np.integer]
    spacing: tuple[float, ...] | None
    direction: NDArray[np.float64] | None
    palette: NDArray[np.integer] | None


def read_label(path: Path) -> StoredLabel:
    """Return the values of a label file, axes of size 1 left out where more than two are there.

    Raises
    ------
    InputError
        If it has colours, fractions, or other than two or three axes.
    """
    stored = read_file(path, is_label=True)
    _reject_one_hot(stored, path)
    values = _grey(stored, path) if stored.has_channels else stored.values
    values, spacing = without_single_axes(values, stored.spacing)
    if values.ndim not in (2, 3):
        raise InputError(f"{FUNCTION}: label {path} has shape {values.shape}; expected two or three axes")
    return StoredLabel(_integers(values, path), spacing, stored.direction, stored.palette)


def _reject_one_hot(stored: StoredImage, path: Path) -> None:
    """Raise an error for a channel a class, which a format that names no axes may keep as a volume."""
    values = stored.values
    if values.ndim < 3 or not (stored.has_channels or suffix_of(path) in (".npy", ".npz")):
        return
    for axis in (0,) if stored.has_channels else (0, values.ndim - 1):
        if 2 <= values.shape[axis] <= _MOST_ONE_HOT and values.max() > 0:
            marked = values == values.max()
            if bool(((values == 0) | marked).all()) and bool((marked.sum(axis) == 1).all()):
                raise InputError(
                    f"{FUNCTION}: label {path} has shape {values.shape} with one of {values.shape[axis]} "
                    "marked at each place (one-hot); expected the number of the class, as argmax gives it"
                )


def _grey(stored: StoredImage, path: Path) -> NDArray[np.generic]:
    """Return the one channel that all others equal; colours say no class."""
    first, others = stored.values[0], stored.values[1:]
    if not np.array_equal(others, np.broadcast_to(first, others.shape)):
        colours = np.unique(stored.values.reshape(len(stored.values), -1).T, axis=0)
        shown = ", ".join(str(tuple(colour.tolist())) for colour in colours[:4])
        raise InputError(
            f"{FUNCTION}: label {path} has colours ({shown}{', …' if len(colours) > 4 else ''}); "
            "expected one value a pixel, as grey levels or a palette"
        )
    return first


def without_single_axes(
    values: NDArray[np.generic], spacing: tuple[float, ...] | None, least: int = 2
) -> tuple[NDArray[np.generic], tuple[float, ...] | None]:
    """Return an array and its spacing without axes of size 1, as long as it keeps `least` axes."""
    while values.ndim > least and 1 in values.shape:
        axis = values.shape.index(1)
        values = values.squeeze(axis)
        spacing = spacing and spacing[:axis] + spacing[axis + 1 :]
    return values, spacing


def _integers(values: NDArray[np.generic], path: Path) -> NDArray[np.integer]:
    if values.dtype.kind == "b":
        return values.astype(np.uint8)
    if values.dtype.kind != "f":
        return values  # type: ignore[return-value]
    rounded = np.rint(values)
    with np.errstate(invalid="ignore"):  # the difference of infinities
        wrong = ~(np.abs(values - rounded) <= _INTEGER_TOLERANCE) | (np.abs(rounded) >= _LARGEST)
    if wrong.any():
        place = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise InputError(f"{FUNCTION}: label {path} has {values[place]} at {place}; expected integers")
    return rounded.astype(np.int64)


def count_values(values: NDArray[np.integer]) -> dict[int, int]:
    """Return how often each value occurs.

    Examples
    --------
    >>> count_values(np.array([[0, 255], [255, 255]], np.uint8))
    {0: 1, 255: 3}
    """
    if values.min() < 0 or values.max() >= _SMALL:
        present, counts = np.unique(values, return_counts=True)
        return dict(zip(present.tolist(), counts.tolist(), strict=True))
    every = np.zeros(int(values.max()) + 1, np.int64)
    for part in _parts(values):
        every += np.bincount(part, minlength=len(every))
    return {value: int(every[value]) for value in np.flatnonzero(every).tolist()}


def _parts(values: NDArray[np.integer]) -> Iterator[NDArray[np.integer]]:
    """Yield the values in order, a million at a time: NumPy makes indices of eight bytes of each."""
    flat = values.reshape(-1)
    for start in range(0, flat.size, _PART):
        yield flat[start : start + _PART]


def check_colours(
    label: StoredLabel, values: Iterable[int], path: Path, known: dict[int, tuple[list[int], Path]]
) -> None:
    """Raise an error if a palette gives an index another colour than those before; `known` keeps them.

    Programs that make files smaller renumber palettes, so that an index may mean another class in each file.
    """
    if label.palette is None:
        return
    for value in values:
        if value < len(label.palette):
            colour = label.palette[value].tolist()
            first, other = known.setdefault(value, (colour, path))
            if first != colour:
                raise InputError(
                    f"{FUNCTION}: label {path} has the colour {tuple(colour)} for the value {value}, and "
                    f"{other} {tuple(first)}; expected one palette in all labels"
                )


def parse_classes(text: str) -> DeclaredLabels:
    """Return what "0=background,1=artery,2=vein" says; values of one name are one class.

    Values with a plus between them share a name, "0=background,1+2=whole,2=core", as do those of a range,
    "0-127=background,128-255=vessel". Where a value has several names, these are regions that overlap. The
    class named "background" is the background, else the first (with regions, it has to be named); the value
    of "ignore" counts nowhere.

    Examples
    --------
    >>> parse_classes("0=background, 1=artery, 2=vein").names
    {0: 'background', 1: 'artery', 2: 'vein'}
    >>> parse_classes("0=background,1+2=whole,2=core").regions
    {'whole': (1, 2), 'core': (2,)}
    """
    parts = [_named_values(part) for part in text.split(",")]
    if any(len(values) > 1 for values, _ in parts):
        twice = [value for value, n in Counter(v for values, _ in parts for v in values).items() if n > 1]
        if twice:
            return _regions(parts)
    names: dict[int, str] = {}
    for value, name in ((value, name) for values, name in parts for value in values):
        if value in names:
            raise _bad_classes(f"names the value {value} twice")
        names[value] = name
    ignored = [value for value, name in names.items() if name == _IGNORE_NAME]
    if len(ignored) > 1:
        raise _bad_classes(f"ignores the values {ignored}")
    names = {value: name for value, name in names.items() if value not in ignored}
    if len(set(names.values())) < 2:
        raise _bad_classes(f"is {text!r}, less than two classes")
    return DeclaredLabels(names, "--classes", ignored[0] if ignored else None)


def _named_values(part: str) -> tuple[tuple[int, ...], str]:
    texts, equals, name = part.partition("=")
    ranges = [re.fullmatch(r"\s*(-?\d{1,9})\s*(?:-\s*(\d{1,9})\s*)?", text) for text in texts.split("+")]
    if not equals or not name.strip() or None in ranges:
        raise _bad_classes(f"has the part {part!r}")
    ends = [(int(match[1]), int(match[2] or match[1])) for match in ranges if match]
    if any(not low <= high < low + _SMALL for low, high in ends):
        raise _bad_classes(f"has the range {texts.strip()!r}")
    return tuple(value for low, high in ends for value in range(low, high + 1)), name.strip()


def _regions(parts: Sequence[tuple[tuple[int, ...], str]]) -> DeclaredLabels:
    """Return what parts say of which several have the same value: regions that overlap."""
    regions: dict[str, tuple[int, ...]] = {}
    for values, name in parts:
        if name in regions:
            raise _bad_classes(f"names the region {name!r} twice")
        regions[name] = values
    background, ignored = regions.pop("background", ()), regions.pop(_IGNORE_NAME, ())
    if not background:
        raise _bad_classes("has regions that overlap, and no background")
    if len(ignored) > 1:
        raise _bad_classes(f"ignores the values {list(ignored)}")
    for values, name in parts:
        for alone, own in (("background", background), (_IGNORE_NAME, ignored)):
            shared = set(values).intersection(own)
            if shared and name != alone:
                raise _bad_classes(f"has the value {min(shared)} in {alone!r} and in {name!r}")
    names = dict.fromkeys(background, "background")
    return DeclaredLabels(names, "--classes", ignored[0] if ignored else None, regions)


def _bad_classes(came: str) -> InputError:
    expected = 'values and names, as "0=background,1=artery,2=vein" or "0=background,1+2=whole,2=core"'
    return fail(FUNCTION, "classes", came, expected)


def find_scheme(
    files: FileCounts, declared: DeclaredLabels | None, ignore: int | None, usual: int | None = None
) -> tuple[LabelScheme, str]:
    """Return what the values that occur in label files mean, and one line that says it.

    Parameters
    ----------
    files : mapping of Path to mapping of int to int
        How often each value occurs in each file.
    declared : DeclaredLabels or None
        What is known of the values; None takes two values for background and foreground, several for classes.
    ignore : int or None
        The value that counts nowhere, in place of the declared one.
    usual : int or None
        The value that counts nowhere if nobody says anything and there are two others at least.

    Raises
    ------
    InputError
        If a value is not accounted for, or the values cannot be those of labels.
    """
    counts: Counter[int] = Counter()
    for each in files.values():
        counts.update(each)
    if declared is None:
        if ignore is None and usual in counts and len(counts) > 2:
            ignore = usual
        declared = _taken_for_classes(files, counts, ignore)
    scheme = _scheme(declared, ignore)
    _reject_strays(files, scheme, declared.source)
    return scheme, _line(scheme, declared, counts)


def _taken_for_classes(files: FileCounts, counts: Counter[int], ignore: int | None) -> DeclaredLabels:
    values = sorted(set(counts) - {ignore})
    if len(values) < 2:
        came = f"only the value {values[0]}" if values else f"only the ignored value {ignore}"
        raise InputError(f"{FUNCTION}: the labels have {came}; expected background and foreground")
    if len(values) > 2:
        _reject_noise(files, values)
        _reject_mixtures(files, values)
        _reject_rarities(files, values)
    if values[0] < 0:
        with_it = next(path for path in files if values[0] in files[path])
        raise InputError(
            f"{FUNCTION}: the labels have the negative value {values[0]}, as in {with_it}; expected "
            f"--ignore-label {values[0]}, or names of all values by --classes"
        )
    names = ["background", "foreground"] if len(values) == 2 else ["background"]
    names += [f"class_{value}" for value in values[len(names) :]]
    return DeclaredLabels(dict(zip(values, names, strict=True)), "")


def _reject_noise(files: FileCounts, values: list[int]) -> None:
    compressed = [path for path in files if suffix_of(path) in JPEG and len(files[path]) > 2]
    if compressed:
        shown = ", ".join(map(str, sorted(files[compressed[0]])[:8]))
        raise InputError(
            f"{FUNCTION}: label {compressed[0]} has the values {shown}, as JPEG's compression leaves them; "
            "expected a format without losses, such as PNG, or "
            '--classes "0-127=background,128-255=foreground"'
        )
    if len(values) > _MOST_UNNAMED:
        most = max(files, key=lambda path: len(files[path]))
        raise InputError(
            f"{FUNCTION}: the labels have {len(values)} different values, {len(files[most])} of them "
            f"in {most}; expected at most {_MOST_UNNAMED}, or names of all by --classes"
        )


def _reject_mixtures(files: FileCounts, values: list[int]) -> None:
    """Raise an error where 255 may as well be the foreground of some files, or a value to ignore."""
    if values[-1] != IGNORE or values[:-1] != list(range(len(values) - 1)):
        return
    with_255 = next(path for path in files if IGNORE in files[path])
    with_1 = next((path for path in files if 1 in files[path] and IGNORE not in files[path]), None)
    if len(values) == 3 and with_1 and not any({1, IGNORE} <= counts.keys() for counts in files.values()):
        raise InputError(
            f"{FUNCTION}: label {with_1} has the values 0 and 1, and {with_255} 0 and {IGNORE}; expected the "
            'same in all, or --classes "0=background,1=foreground,255=foreground"'
        )
    raise InputError(
        f"{FUNCTION}: the labels have the values {', '.join(map(str, values))}, and {with_255} has {IGNORE}, "
        "which may be a class or not count; expected --ignore-label 255, or names of all values by --classes"
    )


def _reject_rarities(files: FileCounts, values: list[int]) -> None:
    """Raise an error for a value that is rather a slip of the hand than a class: a few pixels of one file."""
    for value in values if len(files) > 2 else ():
        having = [path for path, counts in files.items() if value in counts]
        n = files[having[0]][value]
        if len(having) == 1 and n < _STRAY * sum(files[having[0]].values()):
            found = read_label(having[0]).values
            place = tuple(int(i) for i in np.argwhere(found == value)[0])
            many = f"{n} pixel{'s' * (n > 1)}"
            raise InputError(
                f"{FUNCTION}: label {having[0]} has the value {value} at {place}, {many} and no other label "
                "has it; expected names of all values by --classes, if it is a class"
            )


def _scheme(declared: DeclaredLabels, ignore: int | None) -> LabelScheme:
    ignore = declared.ignore if ignore is None else ignore
    if ignore is not None and ignore in declared.names:
        named = f"is {ignore}, which {declared.source} names {declared.names[ignore]!r}"
        raise fail(FUNCTION, "ignore_label", named, "a value that is no class")
    names = list(dict.fromkeys(declared.names.values()))
    names.sort(key=lambda name: name != "background")  # a stable sort: all others keep their order
    if declared.regions is not None:
        names = [names[0], *declared.regions]
    if len(names) > _MOST_CLASSES:
        raise InputError(
            f"{FUNCTION}: {declared.source} has {len(names)} classes; expected at most {_MOST_CLASSES}"
        )
    if declared.regions is None:
        values = {value: names.index(name) for value, name in declared.names.items()}
        return LabelScheme(tuple(names), values, ignore)
    regions = tuple(declared.regions.values())
    first = {value: index for index, region in reversed([*enumerate(regions, 1)]) for value in region}
    values = {value: first.get(value, 0) for value in {**declared.names, **first}}
    return LabelScheme(tuple(names), values, ignore, regions)


def _reject_strays(files: FileCounts, scheme: LabelScheme, source: str) -> None:
    known = {*scheme.values, scheme.ignore}
    for path, counts in files.items():
        if not known.issuperset(counts):
            class_indices(read_label(path).values, scheme, path, source)


def _line(scheme: LabelScheme, declared: DeclaredLabels, counts: Counter[int]) -> str:
    total = sum(n for value, n in counts.items() if value != scheme.ignore)
    ignored = "" if scheme.ignore is None else f"; {scheme.ignore} counts nowhere"
    if scheme.regions is not None:
        parts = [
            f"{name} = {'+'.join(run for run, _ in _runs(dict.fromkeys(values, name)))}"
            for name, values in zip(scheme.classes[1:], scheme.regions, strict=True)
        ]
        return f"labels, as {declared.source} says: regions {', '.join(parts)}{ignored}"
    if declared.source:
        parts = [f"{values} {name}" for values, name in _runs(declared.names)]
        present = {name for value, name in declared.names.items() if value in counts}
        is_short = len(declared.names) <= _MOST_UNNAMED  # a range need not occur in full
        missing = {
            value: name
            for value, name in declared.names.items()
            if value not in counts and (is_short or name not in present)
        }
        absent = f" (no pixel has {', '.join(values for values, _ in _runs(missing))})" if missing else ""
        return f"labels, as {declared.source} says: {', '.join(parts)}{absent}{ignored}"
    low, *others = sorted(scheme.values)
    shares = [f"{value} ({100 * counts[value] / total:.3g} % of the pixels)" for value in others]
    if len(others) > 1:
        return (
            f"labels: {low} is taken for background, {', '.join(shares)} for {len(others)} classes{ignored}"
        )
    rarer = ", though it is the rarer one" if counts[low] < counts[others[0]] else ""
    return f"labels: {low} is taken for background{rarer}, {shares[0]} for foreground{ignored}"


def _runs(names: Mapping[int, str]) -> list[tuple[str, str]]:
    """Return values with their name, more than two that follow each other as a range."""
    runs: list[tuple[int, int, str]] = []
    for value, name in names.items():
        if runs and runs[-1][1:] == (value - 1, name):
            runs[-1] = (runs[-1][0], value, name)
        else:
            runs.append((value, value, name))
    return [
        (text, name)
        for low, high, name in runs
        for text in ([f"{low}-{high}"] if high - low > 1 else map(str, range(low, high + 1)))
    ]


def check_foreground(files: FileCounts, scheme: LabelScheme) -> None:
    """Raise an error if the files of training labels have no foreground at all."""
    if not any(scheme.values.get(value, 0) for counts in files.values() for value in counts):
        raise InputError(
            f"{FUNCTION}: none of the {len(files)} training labels has foreground; "
            "expected some in at least one of them"
        )


def class_indices(
    values: NDArray[np.integer], scheme: LabelScheme, path: Path, source: str = ""
) -> NDArray[np.uint8]:
    """Return the index of each value's class, of shape (*S), or (R, *S) of 0 and 1 for regions.

    Parameters
    ----------
    values : ndarray of int, shape (*S)
        Values as in the file.
    scheme : LabelScheme
        What they mean.
    path : Path
        The file, for messages.
    source : str
        Who says what they mean, for messages.

    Raises
    ------
    InputError
        If a value has no meaning; the message names the file and the place.
    """
    known = sorted({*scheme.values, *([] if scheme.ignore is None else [scheme.ignore])})
    keys = np.array(known, np.int64)
    table = _table(scheme, known)
    indices = np.empty((len(table), values.size), np.uint8)
    done = 0
    for part in _parts(values):
        positions = np.searchsorted(keys, part).clip(max=len(keys) - 1)
        stray = keys[positions] != part
        if stray.any():
            place = np.unravel_index(done + int(stray.argmax()), values.shape)
            raise _stray(path, int(values[place]), tuple(map(int, place)), known, source)
        indices[:, done : done + part.size] = table[:, positions]
        done += part.size
    indices = indices.reshape(len(table), *values.shape)
    return indices[0] if scheme.regions is None else indices


def _table(scheme: LabelScheme, known: list[int]) -> NDArray[np.uint8]:
    """Return the index of each known value, in one row, or a row of 0 and 1 for each region."""
    if scheme.regions is None:
        rows = [[scheme.values.get(value, 0) for value in known]]
    else:
        rows = [[int(value in region) for value in known] for region in scheme.regions]
    table = np.array(rows, np.uint8)
    if scheme.ignore is not None:
        table[:, known.index(scheme.ignore)] = IGNORE
    return table


def _stray(path: Path, value: int, place: tuple[int, ...], known: list[int], source: str) -> InputError:
    by = f" (by {source})" if source else ""
    return InputError(
        f"{FUNCTION}: label {path} has the value {value} at {place}; expected one of "
        f"{', '.join(map(str, known))}{by}, or --classes and --ignore-label that account for it"
    )
