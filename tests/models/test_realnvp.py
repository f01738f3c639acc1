"""RealNVP against change of variables done by hand, quadrature and closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from gen_jax.core import Spec, UserError, fold_each
from gen_jax.models.flow import Likelihood, Sampler
from gen_jax.models.realnvp import build

PLANE = Spec.of((2,))


@pytest.fixture(autouse=True)
def float64():
  with jax.enable_x64(True):
    yield


def model_of(spec, **how):
  small = {"couplings": 2, "width": 4, "blocks": 0, "activation": "silu", "dtype": "float64"}
  return build(spec, **(small | how)).stages[0].model


def quick_jit(function):
  """Compiled without optimisation: these functions run once."""
  return jax.jit(function, compiler_options={"xla_backend_optimization_level": 0})


def keys_of(n, seed=0):
  return fold_each(jax.random.key(seed), jnp.arange(n))


def started(model, batch):
  return quick_jit(model.init)(jax.random.key(1), batch)


def scrambled(state):
  """A state away from its start, so that no coupling is the identity."""
  flat, back = ravel_pytree(state["params"])
  noise = 0.3 * jax.random.normal(jax.random.key(2), flat.shape)
  return {**state, "params": back(flat + noise)}


def normal(z):
  return jax.scipy.stats.norm.logpdf(z).sum(-1)


def test_log_prob_of_a_sample_is_that_of_its_code_over_the_jacobian_of_decode():
  spec = Spec.of((2,), classes=3)
  model = model_of(spec, conditional=True)
  label = jnp.array([0, 1, 2, 2])
  batch = {"x": 2 + jax.random.normal(jax.random.key(0), (4, 2)), "label": label}
  state, cond = scrambled(started(model, batch)), {"label": label}
  z = model.prior(state, keys_of(4), cond)

  @quick_jit
  def run(z):
    decode = lambda z, y: model.decode(state, z[None], {"label": y[None]})[0]
    jacobian = jax.vmap(jax.jacfwd(decode))(z, label)
    x = model.decode(state, z, cond)
    same = model.sample(state, keys_of(4), cond)
    log_p = [model.log_prob(state, x, None, c) for c in (cond, {"label": (label + 1) % 3})]
    return x, same, jacobian, *log_p, model.encode(state, x, None, cond)

  x, same, jacobian, log_p, others, code = run(z)
  want = normal(z) - jnp.linalg.slogdet(jacobian)[1]
  np.testing.assert_allclose(log_p, want, atol=1e-5)  # samples are float32
  np.testing.assert_allclose(code, z, atol=1e-5)
  np.testing.assert_allclose(same, x, rtol=1e-6)
  assert jnp.abs(others - log_p).min() > 1e-3


@pytest.mark.parametrize("shape,how", [((3,), {}), ((4, 4, 1), {"scales": 2, "couplings": 1})])
def test_bits_per_dim_of_uniform_data_at_the_start(shape, how):
  """Couplings begin as the identity, and an ActNorm makes N(m, s^2) of the logits y = logit(p)."""
  levels, alpha, n = 256, 0.05, 12_000 // int(np.prod(shape))
  model = model_of(Spec.of(shape, levels), alpha=alpha, **how)
  x = np.random.default_rng(0).integers(0, levels, (n, *shape), np.uint8)
  batch = {"x": jnp.asarray(x)}

  @quick_jit
  def run(key):
    state = model.init(key, batch)
    return model.evaluate(state, batch, keys_of(len(x), 1))

  terms = run(jax.random.key(1))
  p = alpha + (1 - 2 * alpha) * (np.arange(100_000) + 0.5) / 100_000
  y = np.log(p / (1 - p))
  # -log N(y; m, s^2) - log |dy/dp| - log |dp/dx|, of p uniform between alpha and 1 - alpha.
  gaussian = 0.5 * np.log(2 * np.pi * y.var()) + 0.5
  nats = gaussian + np.log(p * (1 - p)).mean() - np.log((1 - 2 * alpha) / levels)
  assert nats / np.log(2) > 8  # no model codes uniform bytes in less
  np.testing.assert_allclose(terms["bits_per_dim"].mean(), nats / np.log(2), atol=0.02)
  np.testing.assert_allclose(terms["nll"], terms["bits_per_dim"] * x[0].size * np.log(2))
  assert terms["inverse_error"].shape == (n,) and terms["inverse_error"].max() < 1e-9


def test_importance_samples_approach_the_integral_of_the_density_over_a_cell():
  levels, spec = 3, Spec.of((2,), 3)
  x = jnp.stack(jnp.meshgrid(jnp.arange(levels), jnp.arange(levels)), -1).reshape(-1, 2)
  bound = {k: model_of(spec, likelihood=Likelihood(k)) for k in (1, 2000)}
  state = scrambled(started(bound[1], {"x": x}))
  log_p = quick_jit(lambda keys: bound[2000].log_prob(state, x, keys))(keys_of(len(x)))
  # P(x): how likely a draw from the prior is to fall into the cell.
  z = jax.random.normal(jax.random.key(5), (400_000, 2), jnp.float64)
  drawn = quick_jit(bound[1].decode)(state, z)
  v = drawn[:, 0] + levels * drawn[:, 1].astype(int)
  frequency = np.bincount(np.asarray(v), minlength=9)
  # Draws outside all cells are clipped into the outer ones; only the middle cell has none of them.
  middle = 4
  assert 0.002 < frequency[middle] / len(z) < 0.9
  np.testing.assert_allclose(np.exp(log_p[middle]), frequency[middle] / len(z), rtol=0.05)
  assert np.exp(log_p).sum() < 1.02
  many = quick_jit(lambda keys: bound[1].log_prob(state, jnp.repeat(x, 500, 0), keys))
  mean = many(keys_of(len(x) * 500)).reshape(len(x), 500).mean(1)
  assert (mean < log_p).all()


def test_learnt_noise_bounds_the_same_probability():
  spec, n = Spec.of((2, 2, 1), 2), 4
  how = {"likelihood": Likelihood(2000)}
  learnt, uniform = (model_of(spec, dequantization=d, **how) for d in ("variational", "uniform"))
  x = jnp.array([[0, 0, 0, 0], [1, 0, 0, 1], [0, 1, 1, 1], [1, 1, 1, 1]]).reshape(n, 2, 2, 1)
  start = started(learnt, {"x": jnp.concatenate([x, x])})
  state = scrambled(start)
  # Not far from uniform: the weights p / q must have a variance.
  near = lambda a, b: a + 0.2 * (b - a)
  mine = state["params"]["flow"]
  mine["noise"] = jax.tree.map(near, start["params"]["flow"]["noise"], mine["noise"])
  a, b = (quick_jit(lambda k, m=m: m.log_prob(state, x, k))(keys_of(n)) for m in (learnt, uniform))
  np.testing.assert_allclose(a, b, atol=0.1)
  assert (a != b).all()


def test_integers_come_back_from_their_codes():
  spec = Spec.of((4, 4, 1), 17)
  model = model_of(spec, scales=2, couplings=1, dtype="float32")
  x = jax.random.randint(jax.random.key(0), (32, 4, 4, 1), 0, 17).astype(jnp.uint8)
  state = scrambled(started(model, {"x": x}))
  code, back = quick_jit(
    lambda x: (z := model.encode(state, x, keys_of(32)), model.decode(state, z))
  )(x)
  assert code.shape == (32, 16) and back.dtype == jnp.uint8
  np.testing.assert_array_equal(back, x)


def test_without_keys_integers_are_encoded_from_the_middle_of_their_cells():
  x = jnp.arange(12).reshape(4, 3)
  grey, real = model_of(Spec.of((3, 1, 1), 12)), model_of(Spec.of((3, 1, 1)))
  x = x.reshape(4, 3, 1, 1)
  state = scrambled(started(grey, {"x": x}))
  middle = x + 0.5
  p = 0.05 + 0.9 * middle / 12
  logits = {"x": jnp.log(p / (1 - p))}
  # The same flow without the logit in front of it.
  after = {"flow": {"flow": state["params"]["flow"]["flow"][1]}}
  want = quick_jit(real.encode)({**state, "params": after}, logits["x"])
  got = quick_jit(grey.encode)(state, x)
  np.testing.assert_allclose(got, want, rtol=1e-9)
  np.testing.assert_array_equal(quick_jit(grey.decode)(state, got), x)


def test_temperature_scales_the_prior():
  z = {t: model_of(PLANE, sample=Sampler(t)).prior({}, keys_of(5)) for t in (0.0, 0.5, 1.0)}
  np.testing.assert_allclose(z[0.5], 0.5 * z[1.0])
  assert (z[0.0] == 0).all() and jnp.abs(z[1.0]).min() > 0


@pytest.mark.parametrize(
  "spec,how,says",
  [
    (Spec.of((1,)), {}, "vectors of 2 or more"),
    (PLANE, {"couplings": 3}, "even number"),
    (PLANE, {"scales": 2}, "scales=1"),
    (Spec.of((6, 6, 1), 2), {"scales": 3}, "multiples of 4"),
    (Spec.of((6, 6, 1), 2), {"alpha": 0.5}, r"model.alpha must be in \(0, 0.5\), not 0.5"),
    (PLANE, {"dequantization": "variational"}, "integer grey levels"),
    (PLANE, {"conditional": True}, "labels"),
    (PLANE, {"likelihood": Likelihood(2)}, "exact"),
    (PLANE, {"sample": Sampler(-1.0)}, "temperature"),
  ],
)
def test_refusals(spec, how, says):
  with pytest.raises(UserError, match=says):
    model_of(spec, **how)
