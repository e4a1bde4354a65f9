"""
The same pipeline on a cluster
==============================

Layers compute in chunks, and hand the chunks to joblib. Whatever backend joblib has, they run on: processes
of this machine, or the workers of a Dask or Ray cluster. Here Dask starts a cluster of one worker on this
machine.
"""

import joblib
import matplotlib.pyplot as plt
import numpy as np
from dask.distributed import Client
from sklearn.pipeline import make_pipeline

from topodl.layers import BettiCurve, CubicalPersistence

images = np.random.default_rng(0).random((64, 24, 24), dtype=np.float32)
pipeline = make_pipeline(CubicalPersistence(chunk_size=16), BettiCurve(20, (0, 1), chunk_size=16))
here = pipeline.fit_transform(images)
print(here.shape)

# %%
# Nothing changes but where it runs. For a real cluster, `Client` takes the address of its scheduler.
with (
    Client(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None),
    joblib.parallel_config(backend="dask"),
):
    there = pipeline.transform(images)
np.testing.assert_array_equal(here, there)
print("the cluster's features are the same")

# %%
# What came back for the first image: how many components and holes there are at each threshold.
curves = there[0].reshape(2, 20)
figure, ax = plt.subplots(figsize=(5, 3), layout="constrained")
ax.plot(np.linspace(0, 1, 20), curves.T, label=["components", "holes"])
ax.set(xlabel="threshold", ylabel="number")
ax.legend()
plt.show()
