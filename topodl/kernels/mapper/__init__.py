"""Mapper: cover elements of points, clusters of preimages, links between nodes, layouts of graphs."""
