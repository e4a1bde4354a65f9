"""
The attention graph of a vision transformer
===========================================

Attention maps of a vision transformer as graphs over the image, their topological features as a step of a
pipeline, and a topological penalty that trains the model. The model is small and untrained.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from transformers import ViTConfig, ViTModel

from topodl.attention import AttentionFeatures, AttentionTopology, record
from topodl.attention.plotting import plot_attention_graph

torch.manual_seed(0)
config = ViTConfig(
    image_size=8,
    patch_size=1,
    num_channels=1,
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=64,
    initializer_range=0.5,
)
model = ViTModel(config, add_pooling_layer=False).eval()
digits = load_digits()
images = torch.tensor(digits.images[:200] / 16, dtype=torch.float32)[:, None]

# %%
# One head over one image: edges at or above the threshold in blue, the maximum spanning tree in red.
# Token 0 is [CLS], which has no place in the image.
with torch.no_grad(), record(model) as recorder:
    model(images[:1])
figure, ax = plt.subplots(figsize=(5, 5))
maps = recorder.attention()[0, 1, 2]
plot_attention_graph(maps, image=images[0, 0], skip=1, threshold=0.3, title="layer 1, head 2", ax=ax)
plt.show()

# %%
# The same maps as features: even an untrained transformer's attention graphs tell digits apart.
step = AttentionFeatures(model, AttentionTopology(("barcode.h0", "graph.components", "sink")))
classifier = make_pipeline(step, StandardScaler(), LogisticRegression(max_iter=2000))
scores = cross_val_score(classifier, images.numpy(), digits.target[:200], cv=3)
print(f"accuracy {np.mean(scores):.2f}, chance 0.10")

# %%
# Barcode features carry gradients: lengthen the bars of dimension 0, so that attention spreads.
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
for step_number in range(10):
    with record(model, features=AttentionTopology("barcode.h0.mean")) as recorder:
        model(images[:16])
    penalty = -recorder.features().mean()
    optimizer.zero_grad()
    penalty.backward()
    optimizer.step()
    if step_number in (0, 9):
        print(f"step {step_number}: mean bar {-penalty.item():.4f}")
