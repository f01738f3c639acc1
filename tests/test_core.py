"""Key streams, masks and scales."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax import core


def test_streams_share_no_key():
  root = jax.random.key(3)
  keys = [
    core.stream(root, name, stage, attempt)
    for name, stage, attempt in itertools.product(core.STREAMS, range(3), range(3))
  ]
  seen = {tuple(np.asarray(jax.random.key_data(k)).tolist()) for k in keys}
  assert len(seen) == len(keys)


def test_an_unknown_stream_is_refused():
  with pytest.raises(KeyError, match="no stream 'noise'"):
    core.stream(jax.random.key(0), "noise")


def test_fold_each_depends_on_the_index_only():
  key = jax.random.key(1)
  together = jax.random.key_data(core.fold_each(key, jnp.arange(10)))
  alone = jax.random.key_data(core.fold_each(key, jnp.array([7])))
  np.testing.assert_array_equal(together[7], alone[0])


def test_masked_mean_ignores_padding_even_where_it_is_nan():
  value = jnp.array([1.0, 2.0, jnp.nan, jnp.inf])
  mask = jnp.array([True, True, False, False])
  assert core.masked_mean(value, mask) == 1.5
  gradient = jax.grad(lambda v: core.masked_mean(v, mask))(value)
  np.testing.assert_array_equal(gradient, [0.5, 0.5, 0, 0])


@pytest.mark.parametrize("levels", [2, 17, 256, 1000])
def test_centre_and_quantize_are_inverse(levels):
  k = jnp.arange(levels)
  x = core.centre(k, levels)
  assert x[0] == -1 and x[-1] == 1
  back = core.quantize(x, levels)
  np.testing.assert_array_equal(back, k)
  assert back.dtype == (jnp.uint8 if levels <= 256 else jnp.uint16)
  np.testing.assert_array_equal(core.quantize(jnp.array([-9.0, 9.0]), levels), [0, levels - 1])


def test_single_reads_the_state_of_the_only_stage():
  model = core.Model(init=None, update=None, evaluate=lambda s, b, k: (s, b, k))
  program = core.single(model)
  assert program.model.evaluate(["only"], 1, 2) == ("only", 1, 2)
  assert program.model.sample is None
