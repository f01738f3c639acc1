"""Flow matching and EDM of few steps, and what their functions owe each other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.core import Spec, UserError, fold_each
from gen_jax.data import toy2d
from gen_jax.diffusion import coupling
from gen_jax.learn.optimizer import Optimizer
from gen_jax.models.denoisers import Convolutional, Dense, Transformer
from gen_jax.models.diffusion import Likelihood, Sampler, build

PIXELS = Spec.of((6, 6, 1), 17)
PLANE = Spec.of((2,), classes=8)
QUICK = Optimizer(learning_rate=4e-3, warmup=20, schedule="cosine", decay_steps=600, clip=1.0)
POINTS = toy2d.draw("8gaussians", 40_000, np.random.default_rng(0))


def keys(n, seed=0):
  return fold_each(jax.random.key(seed), jnp.arange(n))


def fitted(steps=600, **options):
  """A model and its state after some steps of 256 points."""
  options = {"dense": Dense(64, 2, 1), "optimizer": QUICK, "ema": 0.98, **options}
  model = build(PLANE, **options).stages[0].model
  batch = lambda i: {
    name: jax.lax.dynamic_slice_in_dim(jnp.asarray(v), 256 * (i % 150), 256)
    for name, v in POINTS.items()
  }

  @jax.jit
  def train(state):
    def step(i, state):
      one = jax.tree.map(lambda a: a[None], batch(i))
      return model.update(state, one, jax.random.fold_in(jax.random.key(1), i), i)[0]

    return jax.lax.fori_loop(0, steps, step, state)

  return model, train(model.init(jax.random.key(0), batch(0)))


@pytest.fixture(scope="module")
def flow_matching():
  return fitted(conditional=True, label_dropout=0.5)


def densities(model, state, n=1500):
  """The model's and the true log p of as many other points."""
  held = toy2d.draw("8gaussians", n, np.random.default_rng(5))["x"]
  of = jax.jit(lambda state, x: model.log_prob(state, x))
  return np.asarray(of(state, jnp.asarray(held))), toy2d.log_density("8gaussians", held)


def test_the_likelihood_leaves_the_gaussian_fit(flow_matching):
  q, p = densities(*flow_matching)
  kl = (p - q).mean()
  plateau = 4.257 - toy2d.ENTROPY["8gaussians"]  # of a Gaussian with the data's moments
  assert 0 < kl < 0.5 * plateau


def test_the_density_integrates_to_one(flow_matching):
  model, state = flow_matching
  axis = jnp.arange(-5, 5, 0.2) + 0.1
  grid = jnp.stack(jnp.meshgrid(axis, axis), -1).reshape(-1, 2)
  q = jnp.exp(jax.jit(model.log_prob)(state, grid))
  assert float(q.sum()) * 0.2**2 == pytest.approx(1, abs=0.02)


def test_samples_are_of_the_density_and_of_their_labels(flow_matching):
  model, state = flow_matching
  label = jnp.arange(400) % 8
  draw = jax.jit(lambda state, keys, label: model.sample(state, keys, {"label": label}))
  x = np.asarray(draw(state, keys(400), label))
  centres, _ = toy2d.MODES["8gaussians"]
  nearest = np.linalg.norm(x[:, None] - centres, axis=-1).argmin(1)
  assert (nearest == np.asarray(label)).mean() > 0.9
  path = jax.eval_shape(model.trajectory, state, keys(3), None)
  assert path.shape == (19, 3, 2)


def test_evaluate_is_the_log_probability_with_its_error(flow_matching):
  model, state = flow_matching
  batch = {name: jnp.asarray(v[:50]) for name, v in POINTS.items()}
  terms = jax.jit(model.evaluate)(state, batch, keys(50))
  given = jax.jit(model.log_prob)(state, batch["x"], None, {"label": batch["label"]})
  np.testing.assert_allclose(terms["nll"], -given, rtol=1e-4, atol=1e-4)
  assert terms["ode_error"].shape == (50,) and float(terms["ode_error"].mean()) < 0.02
  assert float(terms["denoising_loss"].mean()) < 2.0


def test_codes_are_the_noise_that_samples_are_made_of(flow_matching):
  _, state = flow_matching
  options = {"dense": Dense(64, 2, 1), "conditional": True, "ema": 0.98}
  model = build(PLANE, **options, sample=Sampler("heun", 60)).stages[0].model
  cond = {"label": jnp.arange(8) % 2}
  code = model.prior(state, keys(8), cond)
  made = jax.jit(model.decode)(state, code, cond)
  np.testing.assert_array_equal(made, jax.jit(model.sample)(state, keys(8), cond))
  np.testing.assert_allclose(jax.jit(model.encode)(state, made, None, cond), code, atol=0.05)
  # Of another label they are other points: the condition tells the two flows apart.
  other = model.decode(state, code, {"label": 1 - cond["label"]})
  assert not np.allclose(other, made, atol=0.1)
  random = build(PLANE, **options, sample=Sampler("sde_2m", 8, "rho")).stages[0].model
  assert random.decode is None and random.encode is None and random.prior is None


@pytest.mark.parametrize("hide,share", [("lower", 0.5), ("random", 0.25)])
def test_what_is_known_of_a_picture_stays_and_the_rest_is_drawn(hide, share):
  sample = Sampler("euler", 3, hide=hide, share=share)
  model = build(PIXELS, unet=Convolutional(8, (1,)), sample=sample).stages[0].model
  x = jnp.asarray(np.random.default_rng(0).integers(0, 17, (4, *PIXELS.shape)), jnp.uint8)
  state = model.init(jax.random.key(0), {"x": x})
  given = model.observe(state, x, keys(4))
  hidden = np.asarray(given[..., -1:] == 0)
  assert hidden.mean((1, 2, 3)).tolist() == [share] * 4
  fill = jax.jit(model.transform)
  made, other = fill(state, given, keys(4)), fill(state, given, keys(8)[4:])
  assert made.dtype == x.dtype and made.shape == x.shape
  np.testing.assert_array_equal(np.where(hidden, 0, made), np.where(hidden, 0, x))
  assert not np.array_equal(made, other)


def test_hutchinsons_trace_scatters_about_the_exact_one(flow_matching):
  _, state = flow_matching
  x, n = jnp.asarray(POINTS["x"][:8]), 100
  options = {"dense": Dense(64, 2, 1), "conditional": True, "ema": 0.98}
  model = build(PLANE, **options, likelihood=Likelihood(20, "hutchinson")).stages[0].model
  exact = build(PLANE, **options, likelihood=Likelihood(20)).stages[0].model
  estimates = jax.jit(model.log_prob)(state, jnp.repeat(x, n, 0), keys(8 * n)).reshape(8, n)
  wanted, error = jax.jit(exact.log_prob)(state, x), estimates.std(1) / n**0.5
  assert (error > 1e-3).all() and (np.abs(estimates.mean(1) - wanted) < 5 * error).all()
  with pytest.raises(UserError, match="log_prob needs keys"):
    model.log_prob(state, x)


def test_optimal_pairs_are_near_and_the_plan_is_one():
  x, eps = jax.random.normal(jax.random.key(0), (2, 64, 2))
  mask = jnp.arange(64) < 50
  cost = ((x[:, None] - eps) ** 2).sum(-1)
  plan = 50 * jnp.exp(coupling.plan(cost, mask))
  np.testing.assert_allclose(plan.sum(1), mask, atol=1e-5)
  np.testing.assert_allclose(plan.sum(0), mask, atol=0.1)
  other = coupling.paired(jax.random.key(1), x, eps, mask)
  far = ((x - eps) ** 2).sum(-1)[:50].mean()
  assert ((x - other) ** 2).sum(-1)[:50].mean() < 0.3 * far
  np.testing.assert_array_equal(other[50:], eps[50:])


def test_optimal_pairs_on_a_line_are_in_order():
  # In one dimension the optimal transport is monotone.
  x, eps = jax.random.normal(jax.random.key(3), (2, 200, 1))
  plan = 200 * jnp.exp(coupling.plan((x - eps.T) ** 2, jnp.ones(200, bool)))
  mean = plan @ eps
  order = np.argsort(np.asarray(x[:, 0]))
  ideal = np.sort(np.asarray(eps[:, 0]))
  assert np.abs(np.asarray(mean[:, 0])[order] - ideal).mean() < 0.15


@pytest.mark.parametrize(
  "change,message",
  [
    (dict(spec=Spec.of((8, 8))), "not shape \\(8, 8\\) of real values"),
    (dict(spec=Spec.of((3,), 5)), "not shape \\(3,\\) of integers"),
    (dict(spec=Spec.of((2,)), conditional=True), "needs labels"),
    (dict(conditional=True, coupling="optimal"), "pairs across classes"),
    (dict(sample=Sampler(guidance=1.0)), "guidance needs model.conditional"),
    (dict(path="edm", times="logit_normal"), "times in 0..1"),
    (dict(sample=Sampler(solver="euler", churn=1.0)), "churn is of sample.solver=heun"),
    (dict(path="edm", prediction="edm"), "sample.grid=uniform"),
    (dict(sample=Sampler(solver="euler_maruyama")), "has none of the data: take heun"),
    (dict(prediction="eps"), "0 at an end of model.path=linear"),
    (dict(spec=Spec.of((6, 6, 1), 17), unet=Convolutional(8, (1, 1, 1))), "multiples of 4"),
    (dict(spec=PIXELS, network_of_images="dit", dit=Transformer(4)), "multiples of 4"),
    (dict(spec=PIXELS, network_of_images="dit", dit=Transformer(2, 10)), "multiple of 4 and of"),
    (dict(likelihood=Likelihood(0)), "likelihood.steps must be 1 or more"),
  ],
)
def test_refusals(change, message):
  with pytest.raises(UserError, match=message):
    build(change.pop("spec", PLANE), **change)
