"""What kernels of every room share: compilation, the pool of threads, union-find, sorting."""
