"""
Spheres inside a sphere: topological autoencoders
=================================================

The data of the topological autoencoder's paper in small: ten spheres inside a large one. Principal components
lay the small ones over each other; the topological autoencoder keeps them inside the large one and apart. The
command ``topodl spheres`` runs the experiment at full size.
"""

import matplotlib.pyplot as plt
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from topodl.datasets import make_spheres
from topodl.representations import TopologicalAutoencoder, embedding_quality

spheres = make_spheres(60)
X = StandardScaler().fit_transform(spheres.points)

# %%
# The estimator is a scikit-learn transformer. Weight 0 makes it a plain autoencoder.
settings = {"batch_size": 28, "max_epochs": 60, "early_stopping": None, "learning_rate": 1e-3}
methods = {
    "PCA": PCA(2),
    "autoencoder": TopologicalAutoencoder(topology_weight=0.0, **settings),
    "topological autoencoder": TopologicalAutoencoder(topology_weight=0.43, **settings),
}
embeddings = {name: method.fit_transform(X) for name, method in methods.items()}

# %%
# The divergence of densities (lower is better) and continuity (higher is better) are measures of the paper.
figure, axes = plt.subplots(1, 3, figsize=(10, 3.4), layout="constrained")
for ax, (name, Z) in zip(axes, embeddings.items(), strict=True):
    quality = embedding_quality(X, Z)
    print(f"{name}: KL {quality['kl_0.1']:.3f}, continuity {quality['continuity']:.3f}")
    outer = spheres.labels == 10
    ax.scatter(*Z[outer].T, s=3, color="0.8")
    ax.scatter(*Z[~outer].T, s=3, c=spheres.labels[~outer], cmap="tab10")
    ax.set(title=f"{name}\nKL {quality['kl_0.1']:.2f}", xticks=[], yticks=[])
plt.show()
