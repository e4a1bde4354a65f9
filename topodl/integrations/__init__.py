"""topodl inside other libraries: one module for each, which imports it and is imported by name.

`topodl.integrations.lightning`, `.transformers`, `.ignite`, `.nnunet` and `.pyg` need no more than the
library that they are named after.
"""

__all__: list[str] = []
