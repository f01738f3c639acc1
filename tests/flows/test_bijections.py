"""Every bijection against its own Jacobian, and back again."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from gen_jax.flows.actnorm import actnorm
from gen_jax.flows.autoregressive import autoregressive, invert
from gen_jax.flows.bijection import (
  chain,
  flatten,
  permute,
  repeat,
  reverse,
  split,
  squeeze,
)  # fmt: skip
from gen_jax.flows.coupling import alternating, channels, checkerboard
from gen_jax.flows.coupling import coupling as coupling_of
from gen_jax.flows.dequantize import logit, noise, normal_cdf
from gen_jax.flows.elementwise import additive, affine, gated
from gen_jax.flows.linear import lu
from gen_jax.flows.spline import rational_quadratic
from gen_jax.nets.coupling import Conditioner
from gen_jax.nets.made import MADE

IMAGE = (4, 4, 2)
SMALL = (2, 2, 8)


def quick_jit(function):
  """Compiled without optimisation: these functions run once."""
  return jax.jit(function, compiler_options={"xla_backend_optimization_level": 0})


def coupling(mask, features, blocks=0, map=affine):
  out = map.size * features
  net = Conditioner(out, width=4, blocks=blocks, activation=jnp.tanh, dtype=jnp.float64)
  return coupling_of(mask, net, map)


def compact(mask, map=affine):
  out = map.size * int((~mask).sum())
  net = Conditioner(out, width=4, blocks=0, activation=jnp.tanh, dtype=jnp.float64)
  return coupling_of(mask, net, map, compact=True)


def masked(map=affine):
  return autoregressive(MADE(map.size, width=6, activation=jnp.tanh, dtype=jnp.float64), map)


def step(mask, features):
  return chain(actnorm(), coupling(mask, features))


def plane(couplings=2):
  pair = chain(*(step(alternating((2,), parity), 2) for parity in (0, 1)))
  return repeat(pair, couplings)


def multiscale():
  rest = chain(step(checkerboard((2, 2, 4)), 4), flatten((2, 2, 4)))
  deep = step(channels(SMALL), 8)
  return chain(step(checkerboard(IMAGE, 1), 2), squeeze(), deep, split(rest, SMALL))


# name: (bijection, event shape, shape of cond or None)
BIJECTIONS = {
  "actnorm": (actnorm(), IMAGE, None),
  "alternating": (coupling(alternating((5,), 1), 5, blocks=1), (5,), None),
  "checkerboard, given labels": (coupling(checkerboard(IMAGE), 2), IMAGE, (3,)),
  "checkerboard, given images": (coupling(checkerboard(IMAGE), 2), IMAGE, (4, 4, 1)),
  "gated": (coupling(alternating((5,)), 5, map=gated), (5,), None),
  "spline": (coupling(alternating((5,)), 5, map=rational_quadratic(3, 20.0)), (5,), None),
  "compact, given labels": (compact(alternating((5,), 1)), (5,), (3,)),
  "compact, of images": (compact(channels((2,), 1)), IMAGE, None),
  "linear": (lu(), IMAGE, None),
  "autoregressive, given labels": (chain(actnorm(), masked()), (4,), (3,)),
  "autoregressive spline": (masked(rational_quadratic(3, 20.0)), (4,), None),
  "inverse autoregressive": (chain(actnorm(), invert(masked())), (4,), None),
  "additive": (coupling(alternating((5,)), 5, map=additive), (5,), None),
  "half, given labels": (coupling(channels((5,)), 5), (5,), (3,)),
  "logit": (logit(17), (5,), None),
  "normal distribution function": (chain(actnorm(), normal_cdf()), (5,), None),
  "flatten": (flatten(IMAGE), IMAGE, None),
  "reverse": (reverse(), (5,), None),
  "permute": (permute((2, 0, 3, 1)), (4,), None),
  "squeeze": (squeeze(), IMAGE, None),
  "odd split": (split(coupling(alternating((2,)), 2), (5,)), (5,), None),
  "split": (split(flatten((2, 2, 4)), SMALL), SMALL, None),
  "noise": (noise(plane()), (2,), None),
  "repeat": (plane(2), (2,), None),
  "multiscale": (chain(logit(256), multiscale()), IMAGE, None),
}


@pytest.fixture(autouse=True)
def float64():
  with jax.enable_x64(True):
    yield


def scramble(params, key):
  """Params with noise: away from a start at the identity."""
  flat, back = ravel_pytree(params)
  return back(flat + 0.3 * jax.random.normal(key, flat.shape))


def case(name):
  """(bijection, scrambled params, x [2, ...], cond), in one compilation."""
  bijection, shape, cond_shape = BIJECTIONS[name]

  @quick_jit
  def make():
    x_key, cond_key, init_key, key = jax.random.split(jax.random.key(0), 4)
    x = jax.random.uniform(x_key, (2, *shape), jnp.float64, 0.1, 16.9)
    cond = None if cond_shape is None else jax.random.normal(cond_key, (2, *cond_shape))
    params, _ = bijection.init(init_key, x, None, cond)
    return scramble(params, key), x, cond

  return bijection, *make()


@pytest.mark.parametrize("name", BIJECTIONS)
def test_log_determinant_is_that_of_the_jacobian_and_inverse_undoes_forward(name):
  bijection, params, x, cond = case(name)

  @quick_jit
  def run(params, x, cond):
    f = lambda x, c: bijection.forward(params, x[None], None if c is None else c[None])[0].ravel()
    jacobian = jax.vmap(jax.jacfwd(f))(x, cond).reshape(len(x), x[0].size, x[0].size)
    y, log_det = bijection.forward(params, x, cond)
    return jnp.linalg.slogdet(jacobian)[1], log_det, *bijection.inverse(params, y, cond)

  want, log_det, back, inverse_log_det = run(params, x, cond)
  assert log_det.shape == (2,)
  close = {"rtol": 1e-9, "atol": 1e-9}
  np.testing.assert_allclose(log_det, want, **close)
  np.testing.assert_allclose(back, x, **close)
  np.testing.assert_allclose(inverse_log_det, -want, **close)


@pytest.mark.parametrize("name", [name for name in BIJECTIONS if "given" in name])
def test_a_condition_is_seen(name):
  bijection, params, x, cond = case(name)
  forward = quick_jit(bijection.forward)
  y, other = (forward(params, x, c)[0] for c in (cond, cond + 1))
  assert jnp.abs(y - other).max() > 1e-3


def test_a_coupling_leaves_alone_what_its_mask_says():
  for name, mask in (
    ("checkerboard, given labels", checkerboard(IMAGE)),
    ("half, given labels", channels((5,))),
  ):
    bijection, params, x, cond = case(name)
    y, _ = quick_jit(bijection.forward)(params, x, cond)
    mask = np.broadcast_to(mask, x.shape)
    np.testing.assert_array_equal(y[mask], x[mask])
    assert (y[~mask] != x[~mask]).all()


@pytest.mark.parametrize("name", [name for name in BIJECTIONS if "autoregressive" in name])
def test_an_autoregressive_map_has_a_triangular_jacobian(name):
  bijection, params, x, cond = case(name)
  f = lambda x, c: bijection.forward(params, x[None], None if c is None else c[None])[0][0]
  jacobian = quick_jit(jax.vmap(jax.jacfwd(f)))(x, cond)
  above = ~np.tri(4, dtype=bool)
  assert (jacobian[:, above] == 0).all() and (jacobian[:, ~above] != 0).all()


def test_masks():
  np.testing.assert_array_equal(checkerboard((2, 3, 1))[..., 0], [[1, 0, 1], [0, 1, 0]])
  np.testing.assert_array_equal(checkerboard((2, 3, 1), 1)[..., 0], [[0, 1, 0], [1, 0, 1]])
  np.testing.assert_array_equal(channels((2, 2, 4)), [1, 1, 0, 0])
  np.testing.assert_array_equal(channels((5,), 1), [0, 0, 1, 1, 1])
  np.testing.assert_array_equal(alternating((4,)), [1, 0, 1, 0])


def test_squeeze_keeps_squares_together():
  x = jnp.arange(16).reshape(1, 4, 4, 1)
  y = squeeze().forward({}, x)[0]
  np.testing.assert_array_equal(y[0, 0, 1], [2, 3, 6, 7])
  np.testing.assert_array_equal(y[0, 1, 0], [8, 9, 12, 13])


def test_permute_names_where_entries_come_from():
  y, _ = permute((2, 0, 1)).forward({}, jnp.array([[5, 6, 7]]))
  np.testing.assert_array_equal(y, [[7, 5, 6]])
  with pytest.raises(ValueError, match="no permutation"):
    permute((0, 0, 1))


def test_split_factors_half_out_unchanged():
  x = jax.random.normal(jax.random.key(0), (2, *SMALL))
  params, y = BIJECTIONS["split"][0].init(jax.random.key(1), x)
  np.testing.assert_array_equal(y[:, :16], x[..., 4:].reshape(2, 16))
  assert y.shape == (2, 32) and params == {}


def test_repeat_is_the_chain_of_its_copies():
  bijection, params, x, _ = case("repeat")
  single = chain(*(step(alternating((2,), parity), 2) for parity in (0, 1)))
  copies = tuple(jax.tree.map(lambda a, i=i: a[i], params) for i in range(2))
  whole = chain(single, single)
  for a, b in ((bijection.forward, whole.forward), (bijection.inverse, whole.inverse)):
    for left, right in zip(quick_jit(a)(params, x), quick_jit(b)(copies, x), strict=True):
      np.testing.assert_allclose(left, right, rtol=1e-9)
  kernels = params[1][1]["net"]["Normed_0"]["v"]
  assert len(np.unique(kernels)) == kernels.size  # every copy has a key of its own


@pytest.mark.parametrize("shape", [(3,), IMAGE])
def test_actnorm_begins_with_zero_mean_and_unit_variance_and_ignores_padding(shape):
  bijection = actnorm()
  x = 5 + 3 * jax.random.normal(jax.random.key(0), (64, *shape))
  mask = jnp.arange(64) < 50
  garbage = jnp.where(mask.reshape(-1, *[1] * len(shape)), x, 1e6)
  params, y = bijection.init(jax.random.key(1), garbage, mask)
  axes = tuple(range(x.ndim - 1))
  np.testing.assert_allclose(y[:50].mean(axes), 0, atol=1e-9)
  np.testing.assert_allclose(y[:50].var(axes), 1, rtol=1e-9)
  alone, _ = bijection.init(jax.random.key(1), x[:50])
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9), params, alone)


def test_padding_does_not_reach_any_actnorm_of_a_flow():
  bijection = chain(plane(), split(step(alternating((1,)), 1), (2,)))
  x = jax.random.normal(jax.random.key(0), (8, 2))
  mask = jnp.arange(8) < 5
  garbage = jnp.where(mask[:, None], x, 99.0)
  a, b = (quick_jit(bijection.init)(jax.random.key(1), v, mask)[0] for v in (x, garbage))
  jax.tree.map(np.testing.assert_array_equal, a, b)


def test_actnorm_of_a_constant_is_finite():
  params, y = actnorm().init(jax.random.key(0), jnp.ones((4, 2)))
  assert jnp.isfinite(y).all() and all(jnp.isfinite(a).all() for a in params.values())


def test_the_density_of_a_flow_integrates_to_one():
  bijection = plane()
  x_key, init_key, key = jax.random.split(jax.random.key(2), 3)
  x = jax.random.normal(x_key, (64, 2), jnp.float64)
  params = scramble(quick_jit(bijection.init)(init_key, x)[0], key)
  side, reach = 320, 16.0
  axis = (jnp.arange(side) + 0.5) * (2 * reach / side) - reach
  points = jnp.stack(jnp.meshgrid(axis, axis), -1).reshape(-1, 2)
  y, log_det = quick_jit(bijection.forward)(params, points)
  density = jnp.exp(jax.scipy.stats.norm.logpdf(y).sum(-1) + log_det)
  np.testing.assert_allclose(density.sum() * (2 * reach / side) ** 2, 1, atol=1e-3)
  assert density.std() > 1e-3 and jnp.abs(y - points).max() > 0.5


def test_the_logit_carries_the_uniform_density_of_grey_levels():
  levels = 17
  v = jnp.linspace(0, levels, 100_001)[1:-1, None]
  y, log_det = logit(levels).forward({}, v)
  # A density of v, of which the cell [k, k + 1) has the mass of level k.
  density = jnp.exp(jax.scipy.stats.norm.logpdf(y[:, 0]) + log_det)
  mass = density.reshape(-1).sum() * levels / 100_000
  low, high = (jax.scipy.stats.norm.cdf(jnp.log(a / (1 - a))) for a in (0.05, 0.95))
  np.testing.assert_allclose(mass, high - low, atol=1e-4)


def test_the_logit_keeps_its_digits_near_black_and_white():
  alpha, v = 1e-6, np.float32([0, 1e-4, 0.5, 128, 255.5, 255.9999])
  p = alpha + (1 - 2 * alpha) * v.astype(np.float64) / 256
  y, _ = logit(256, alpha).forward({}, jnp.asarray(v)[:, None])
  assert y.dtype == jnp.float32
  np.testing.assert_allclose(y[:, 0], np.log(p) - np.log(1 - p), atol=3e-6)
