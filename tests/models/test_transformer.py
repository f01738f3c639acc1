"""What the transformer refuses; the rest of it is tested in test_autoregressive.py."""

import pytest

from gen_jax.core import Spec, UserError
from gen_jax.models import transformer


@pytest.mark.parametrize("change", [dict(width=6), dict(layers=0), dict(heads=0)])
def test_what_it_refuses(change):
  with pytest.raises(UserError, match="heads divides width"):
    transformer.build(Spec.of((4, 4, 1), 3), **change)
