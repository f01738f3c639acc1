"""What the transformer refuses; the rest of it is tested in test_autoregressive.py."""

import pytest

from gen_jax.core import Spec, UserError
from gen_jax.models import transformer


@pytest.mark.parametrize("change,message", [
  (dict(width=6), "model.heads=4 must divide model.width=6"),
  (dict(layers=0), "model.layers must be 1 or more, not 0"),
  (dict(heads=0), "model.heads must be 1 or more"),
])  # fmt: skip
def test_what_it_refuses(change, message):
  with pytest.raises(UserError, match=message):
    transformer.build(Spec.of((4, 4, 1), 3), **change)
