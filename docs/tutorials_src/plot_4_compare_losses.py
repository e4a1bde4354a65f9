"""
4. Which loss helps on your data?
=================================

``topodl evaluate`` trains one network with several losses and tests whether they differ. Here the same
study runs from Python, on drawn walls and far too briefly to rank anything, so that a report can be looked
at. The command for your own images is ``topodl evaluate --data path/to/images``.
"""

from pathlib import Path
from tempfile import mkdtemp

import matplotlib.pyplot as plt
from PIL import Image

from topodl.evaluation import StudySettings, build_report, comparison_table, run_study

# %%
# **The study.** Losses have the names of ``topodl evaluate --losses``; options follow a colon. Everything
# that is not named comes from a protocol, here "quick".
settings = StudySettings.of_protocol(
    "quick", losses=["ce_dice", "skeleton_recall"], seeds=[1, 2], iterations=40, image_size=64
)
folder = run_study(settings, Path(mkdtemp()) / "walls")
print(*sorted(path.name for path in folder.root.iterdir()))

# %%
# **The table.** Means and standard deviations over images and seeds. A star marks what is better than CE +
# Dice by a paired permutation test with Holm's correction. Below the table are the same findings in words,
# with a warning where there are too few seeds.
print(comparison_table([folder.root]))

# %%
# **The report** is one HTML file with these tables, box plots, learning curves, costs, and pictures of the
# errors.
report = build_report([folder.root])
print(report.name, f"{report.stat().st_size / 1e6:.1f} MB")

# %%
# The files below it are plain: one CSV of measurements and one folder of masks for each loss and seed.
prediction = next(iter(sorted((folder.root / "predictions" / "skeleton_recall" / "1").glob("*.png"))))
figure, axes = plt.subplots(1, 3, figsize=(9, 3.2), layout="constrained")
for ax, kind in zip(axes, ("inputs", "labels", "predictions"), strict=True):
    file = prediction if kind == "predictions" else folder.root / kind / prediction.name
    ax.imshow(Image.open(file), cmap="gray")
    ax.set(title=kind, xticks=[], yticks=[])
plt.show()

# %%
# **Next.** :doc:`/evaluation` says what is trained and how to bring your data; :doc:`/report` how to read
# the tables.
