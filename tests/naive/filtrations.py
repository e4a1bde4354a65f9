"""Filtrations of clouds and graphs by their definitions."""

import networkx as nx
import numpy as np
from scipy.optimize import linprog
from scipy.spatial.distance import cdist


def nearest(points, i, count):
    """Return the `count` smallest distances of a point, that to itself included."""
    return np.sort(cdist(points[i : i + 1], points)[0])[:count]


def mean_distance(points, k):
    return np.array([nearest(points, i, k).mean() for i in range(len(points))])


def distance_to_measure(points, mass):
    count = int(mass * len(points)) + 1
    return np.array([np.sqrt((nearest(points, i, count) ** 2).mean()) for i in range(len(points))])


def graph_of(n, edges, weights=None):
    """Return the graph of NetworkX in which the first of several copies of an edge counts."""
    graph = nx.Graph()
    graph.add_nodes_from(range(n))
    for i, (u, v) in enumerate(edges):
        if u != v and not graph.has_edge(u, v):
            graph.add_edge(u, v, weight=1.0 if weights is None else weights[i])
    return graph


def heat_signature(graph, t):
    laplacian = nx.normalized_laplacian_matrix(graph).toarray()
    values, vectors = np.linalg.eigh(laplacian)
    return (vectors**2) @ np.exp(-t * values)


def forman(graph, u, v):
    weight = graph.edges[u, v]["weight"]
    others = [graph.edges[e]["weight"] for end in (u, v) for e in graph.edges(end) if set(e) != {u, v}]
    return 2 - sum(np.sqrt(weight / other) for other in others)


def ollivier(graph, u, v, alpha):
    """Return 1 − W1 by linear programming over plans between the two measures."""
    nodes = list(graph)
    measures = []
    for end in (u, v):
        total = sum(data["weight"] for _, _, data in graph.edges(end, data=True))
        measure = np.zeros(len(nodes))
        measure[end] = alpha
        for _, other, data in graph.edges(end, data=True):
            measure[other] += (1 - alpha) * data["weight"] / total
        measures.append(measure)
    steps = dict(nx.all_pairs_shortest_path_length(graph))
    n = len(nodes)
    cost = np.array([[steps[x].get(y, n) for y in nodes] for x in nodes], float)
    rows = np.kron(np.eye(n), np.ones(n))
    columns = np.kron(np.ones(n), np.eye(n))
    plan = linprog(cost.ravel(), A_eq=np.vstack([rows, columns]), b_eq=np.concatenate(measures))
    return 1 - plan.fun
