"""A tiny stand-in for the published archive: the same layout with small pictures, and sums to match."""

import hashlib
import io
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

TOP = "TopoMortar-0123abc"


def png(values: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, format="PNG")
    return buffer.getvalue()


def small_data_set() -> dict[str, bytes]:
    """Return path -> content: 3 training, 1 validation and 4 test pictures of 8x8."""
    rng = np.random.default_rng(0)
    ids = {"train": ["001", "002", "003"], "val": ["004"], "test": ["005", "006", "007", "008"]}
    groups = dict.fromkeys(["001", "002", "003", "004", "005", "006"], "indistr") | {
        "007": "angles",
        "008": "shadows",
    }
    files = {"dataset_types.txt": "ID,group\n" + "".join(f"{i},{g}\n" for i, g in groups.items())}
    for name, train in (("splits.yaml", ids["train"]), ("splits_small.yaml", ids["train"][1:2])):
        lines = ["1:"]
        for split, members in (("test", ids["test"]), ("train", train), ("val", ids["val"])):
            lines += [f"  {split}:", *(f"  - dataset/{split}/images/{i}.png" for i in members)]
        files[name] = "\n".join(lines) + "\n"
    content = {path: text.encode() for path, text in files.items()}
    content["betti_numbers.csv"] = b"ID,Betti0,Betti1,Betti2\n"
    for split, members in ids.items():
        for i in members:
            content[f"{split}/images/{i}.png"] = png(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
            for kind in ("accurate", "noisy", "pseudo") if split != "test" else ("accurate",):
                label = rng.choice(np.array([0, 8, 255], dtype=np.uint8), (8, 8))
                content[f"{split}/{kind}/{i}.png"] = png(label)
    return content


def write_folder(root: Path, content: dict[str, bytes]) -> None:
    for path, data in content.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)


def write_archive(path: Path, content: dict[str, bytes], extra: list[tarfile.TarInfo] | None = None) -> str:
    """Write a .tar.gz as GitHub lays it out, with files that are no data, and return its file:// address."""
    members = {f"{TOP}/README.md": b"read me", f"{TOP}/lib/losses.py": b"pass"}
    members |= {f"{TOP}/dataset/{name}": data for name, data in content.items()}
    with tarfile.open(path, "w:gz") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        for info in extra or []:
            tar.addfile(info, io.BytesIO(b"x" * info.size))
    return path.as_uri()


def sums_text(content: dict[str, bytes]) -> str:
    return "".join(
        f"{hashlib.sha256(data).hexdigest()} {len(data)} {path}\n" for path, data in content.items()
    )
