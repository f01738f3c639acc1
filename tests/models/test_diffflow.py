"""DiffFlow's units, its probabilities of integers, and its paths."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.core import Spec, UserError, fold_each
from gen_jax.models.diffflow import Likelihood, build
from gen_jax.models.diffusion import Dense

SMALL = {"steps": 3, "dense": Dense(8, 1), "noise": (0.8, 1.2)}


def keys(n):
  return fold_each(jax.random.key(3), jnp.arange(n))


def test_bounds_are_densities_in_the_units_of_the_data():
  x = jax.random.normal(jax.random.key(0), (20, 2))
  model = build(Spec.of((2,)), **SMALL, likelihood=Likelihood(2)).stages[0].model
  of = jax.jit(model.evaluate)
  first, second = (
    of(model.init(jax.random.key(1), {"x": v}), {"x": v}, keys(20)) for v in (x, 3 * x + 1)
  )
  for name in ("bound", "iw_bound"):
    np.testing.assert_allclose(second[name] - first[name], 2 * np.log(3), rtol=1e-4)


def test_probabilities_of_integers_add_to_one():
  spec = Spec.of((1, 1, 1), 21)
  x = jnp.clip(jnp.round(10 + 2.5 * jax.random.normal(jax.random.key(0), (400, 1, 1, 1))), 0, 20)
  model = build(spec, **SMALL, likelihood=Likelihood(2000)).stages[0].model
  state = model.init(jax.random.key(1), {"x": x})
  every = jnp.arange(21).reshape(21, 1, 1, 1)
  terms = jax.jit(model.evaluate)(state, {"x": every}, keys(21))
  assert float(jnp.exp(-terms["iw_bound"]).sum()) == pytest.approx(1, abs=0.02)
  np.testing.assert_allclose(terms["bits_per_dim"], terms["bound"] / np.log(2), rtol=1e-6)
  drawn = jax.jit(model.sample)(state, keys(400))
  assert drawn.dtype == jnp.uint8 and float(drawn.mean()) == pytest.approx(10, abs=0.6)


def test_the_way_back_and_forth_passes_through_the_sample():
  model = build(Spec.of((2,)), **SMALL).stages[0].model
  state = model.init(jax.random.key(1), {"x": jax.random.normal(jax.random.key(0), (20, 2))})
  path = jax.jit(model.trajectory)(state, keys(5))
  assert path.shape == (7, 5, 2)
  np.testing.assert_allclose(path[3], jax.jit(model.sample)(state, keys(5)), rtol=1e-5)


def test_the_gradient_goes_through_the_path_into_the_forward_chain_unless_it_is_fixed():
  x = jax.random.normal(jax.random.key(0), (1, 20, 2))
  start = lambda model: model.init(jax.random.key(1), {"x": x[0]})
  of = lambda state: state["params"]["chains"]
  model = build(Spec.of((2,)), **SMALL).stages[0].model
  state, _ = jax.jit(model.update)(start(model), {"x": x}, jax.random.key(2), 1)
  assert float(jnp.abs(of(state)["drift"]["Dense_1"]["kernel"]).max()) > 0
  fixed = build(Spec.of((2,)), forward="fixed", **SMALL).stages[0].model
  assert set(of(start(fixed))) == {"score"}


@pytest.mark.parametrize(
  "spec,change,message",
  [
    (Spec.of((8, 8, 1)), {}, "not shape \\(8, 8, 1\\) of real values"),
    (Spec.of((3,), 5), {}, "not shape \\(3,\\) of integers"),
    (Spec.of((2,)), {"noise": (0.0, 1.0)}, "model.noise"),
  ],
)
def test_refusals(spec, change, message):
  with pytest.raises(UserError, match=message):
    build(spec, **change)
