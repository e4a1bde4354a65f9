"""Persistence of images, point clouds and graphs: tensors in, `Diagrams` out, which are gathered from them."""
