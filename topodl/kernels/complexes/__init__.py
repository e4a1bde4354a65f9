"""Cell complexes of graphs: cliques, rings, tables of faces and their transposes, cohomology."""
