"""What the tests of compiled persistence need of PyTorch."""

from collections.abc import Iterator

import pytest


@pytest.fixture
def dynamic_shapes() -> Iterator[None]:
    """Let operators whose values decide how much they return into a graph, as later torch does unasked."""
    import torch._dynamo

    with torch._dynamo.config.patch(capture_dynamic_output_shape_ops=True):
        yield
