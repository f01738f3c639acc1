"""What each position sees, by Jacobian: all before it and nothing else."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.nets.transformer import Transformer
from tests.nets.test_pixelcnn import random_params

T = 6


@pytest.mark.parametrize("layers,classes", [(1, 0), (2, 3)])
def test_a_position_depends_on_all_before_it_and_on_no_other(layers, classes):
  # Each position has a level of its own, so that a row of the table is a position's input.
  net = Transformer(T, T, width=8, layers=layers, heads=2, classes=classes)
  x, label = jnp.arange(T)[None], jnp.array([1]) if classes else None
  params = random_params(net, x, label)["params"]

  def logits(table, first):
    with_both = params | {"token": {"embedding": table}, "first": {"embedding": first}}
    return net.apply({"params": with_both}, x, label)[0]

  tables = params["token"]["embedding"], params["first"]["embedding"]
  by_token, by_first = jax.jit(jax.jacrev(logits, (0, 1)))(*tables)  # [T, K, rows, F]
  seen = np.abs(np.asarray(by_token)).sum((1, 3)) > 0
  np.testing.assert_array_equal(seen, np.tril(np.ones((T, T), bool), -1))
  # All see what stands before the first: the label's row, and no other label's.
  seen = np.abs(np.asarray(by_first)).sum((1, 3)) > 0
  want = np.zeros_like(seen)
  want[:, 1 if classes else 0] = True
  np.testing.assert_array_equal(seen, want)
