"""Persistence of images, point clouds and graphs: tensors in, `Diagrams` out, gathered from them."""
