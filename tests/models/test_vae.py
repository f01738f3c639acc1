"""Variational autoencoders against models whose log p(x) is known, and against each other."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from scipy import stats

from gen_jax.core import Spec, UserError, fold_each
from gen_jax.learn.optimizer import Optimizer
from gen_jax.models import vae
from gen_jax.models.vae import Capacity, Likelihood, Sampler

# Linear and Gaussian: x = W' z + b + SIGMA eps, so that x ~ N(b, W' W + SIGMA^2 I); the rows of W
# are orthogonal, so that the posterior's covariance is diagonal.
D, Z, SIGMA = 4, 2, 0.5
W = np.linalg.qr(np.random.default_rng(0).normal(size=(D, D)))[0][:Z] * [[2.0], [0.7]]
B = np.arange(D) / 2.0
P_X = stats.multivariate_normal(B, W.T @ W + SIGMA**2 * np.eye(D))
X = P_X.rvs(5, random_state=1).astype(np.float32)
REAL = dict(observation="gaussian", scale=SIGMA, latent=Z, hidden=())

GREY = Spec.of((8, 8, 1), 17)


def keys_of(n, seed=0):
  return fold_each(jax.random.key(seed), jnp.arange(n))


def compiled(model):
  """The model with its functions under jit."""
  names = ("evaluate", "prior", "decode", "encode", "sample", "log_prob")
  return model._replace(**{name: jax.jit(getattr(model, name)) for name in names})


def initial(program, batch, seed=0):
  """The only stage's fresh state."""
  return jax.jit(program.stages[0].model.init)(jax.random.key(seed), batch)


def linear(wrong=0.0, **kwargs):
  """(model, state) of the linear model; its posterior is exact where `wrong` is 0."""
  model = compiled(vae.build(Spec.of((D,)), **(REAL | kwargs)).model)
  variance = 1 / (1 + (W**2).sum(1) / SIGMA**2)
  gain = (W.T / SIGMA**2) * variance  # x - b -> mean of z
  dense = lambda kernel, bias: {
    "MLP_0": {"Dense_0": {"kernel": jnp.float32(kernel), "bias": jnp.float32(bias)}}
  }
  encoder = dense(
    np.concatenate([gain * (1 - wrong), np.zeros((D, Z))], axis=1),
    np.concatenate([-B @ gain, np.log(variance) + 2 * wrong]),
  )
  params = {"encoder": encoder, "decoder": dense(W, B)}
  return model, [{"params": {"vae": params}, "ema": {}}]


def stack(batch):
  return jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], batch)


def fit(model, batch, steps, seed=0):
  """The state after some steps on one batch."""

  @jax.jit
  def run(batch):
    state = model.init(jax.random.key(seed), jax.tree.map(lambda leaf: leaf[0], batch))
    update = lambda state, step: model.update(
      state, batch, jax.random.fold_in(jax.random.key(seed + 1), step), step
    )
    return lax.scan(update, state, jnp.arange(steps))[0]

  return run(stack(batch))


def test_with_the_exact_posterior_every_bound_is_log_p():
  model, state = linear(kl="monte_carlo", bound="iwae", samples=3, likelihood=Likelihood(7, 2))
  terms = model.evaluate(state, {"x": X}, keys_of(5))
  assert set(terms) == {"negative_elbo", "kl", "reconstruction", "nll_3", "nll_7"}
  for name in ("negative_elbo", "nll_3", "nll_7"):
    np.testing.assert_allclose(terms[name], -P_X.logpdf(X), rtol=1e-4)
  total = terms["reconstruction"] + terms["kl"]
  np.testing.assert_allclose(total, terms["negative_elbo"], rtol=1e-5)


def test_elbo_iwae_and_log_p_are_in_order():
  model, state = linear(0.3, bound="iwae", samples=5, likelihood=Likelihood(300, 100))
  n = 2000
  many = np.repeat(X[:2], n, axis=0)
  terms = model.evaluate(state, {"x": many}, keys_of(2 * n))
  bounds = np.stack(
    [-np.asarray(terms[k], np.float64).reshape(2, n)
     for k in ("negative_elbo", "nll_5", "nll_300")]
  )  # fmt: skip
  mean, error = bounds.mean(axis=-1), bounds.std(axis=-1) / n**0.5
  log_p = P_X.logpdf(X[:2])
  assert (np.diff(mean, axis=0) > 4 * np.hypot(error[1:], error[:-1])).all()
  assert (abs(mean[-1] - log_p) < 0.04).all() and (log_p - mean[0] > 0.1).all()


def test_log_prob_is_the_bound_that_its_options_name():
  for kwargs, name in (
    (dict(), "negative_elbo"),
    (dict(bound="iwae", samples=4), "nll_4"),
    (dict(bound="iwae", samples=4, likelihood=Likelihood(9)), "nll_9"),
  ):
    model, state = linear(0.3, **kwargs)
    both = lambda state, x, keys, model=model: (
      model.log_prob(state, x, keys), model.evaluate(state, {"x": x}, keys)
    )  # fmt: skip
    log_p, terms = jax.jit(both)(state, X, keys_of(5))
    np.testing.assert_allclose(log_p, -terms[name], rtol=1e-6, err_msg=name)


def test_chunks_do_not_show():
  values = []
  for chunk in (3, 50):
    model, state = linear(0.3, likelihood=Likelihood(7, chunk))
    values.append(model.evaluate(state, {"x": X}, keys_of(5))["nll_7"])
  np.testing.assert_allclose(values[0], values[1], rtol=1e-5)


def test_codes_are_draws_from_the_posterior():
  model, state = linear()
  mean = model.encode(state, X, None)
  exact = (X - B) @ (W.T / SIGMA**2) / (1 + (W**2).sum(1) / SIGMA**2)
  np.testing.assert_allclose(mean, exact, rtol=1e-4, atol=1e-5)
  n = 4000
  z = np.asarray(model.encode(state, np.repeat(X[:1], n, axis=0), keys_of(n)))
  std = (1 + (W**2).sum(1) / SIGMA**2) ** -0.5
  np.testing.assert_allclose(z.std(axis=0), std, rtol=0.05)
  assert (abs(z.mean(axis=0) - exact[0]) < 4.5 * std / n**0.5).all()


def test_samples_have_the_moments_of_the_model():
  n = 20_000
  model, state = linear()
  x = np.asarray(model.sample(state, keys_of(n)))
  np.testing.assert_allclose(x.mean(axis=0), B, atol=0.06)
  np.testing.assert_allclose(np.cov(x.T), P_X.cov, atol=0.12)
  model, state = linear(sample=Sampler("mean", 0.5))
  x = np.asarray(model.sample(state, keys_of(n)))
  np.testing.assert_allclose(np.cov(x.T), 0.25 * W.T @ W, atol=0.03)
  z = model.prior(state, keys_of(9))
  np.testing.assert_allclose(model.decode(state, z), x[:9], rtol=1e-5)


def test_a_linear_vae_learns_probabilistic_pca():
  # Lucas et al. 2019: the ELBO of a linear VAE has no optimum but the maximum of the likelihood,
  # which scikit-learn knows in closed form.
  from sklearn.decomposition import PCA

  x = P_X.rvs(400, random_state=2).astype(np.float32)
  optimizer = Optimizer(learning_rate=0.05, schedule="cosine", decay_steps=1500)
  program = vae.build(
    Spec.of((D,)), **REAL, learn_scale=True, kl="monte_carlo", samples=4, optimizer=optimizer
  )
  state = fit(program.stages[0].model, {"x": x}, 1500)
  terms = jax.jit(program.model.evaluate)([state], {"x": x}, keys_of(400))
  best = -PCA(Z).fit(x.astype(np.float64)).score(x)
  np.testing.assert_allclose(np.mean(terms["negative_elbo"]), best, atol=0.01)


def test_iwae_of_one_sample_is_the_vae():
  batch = {"x": X}
  how = dict(REAL, hidden=(3,))
  states = [
    fit(vae.build(Spec.of((D,)), **how, **kwargs).stages[0].model, batch, 5)
    for kwargs in (dict(bound="iwae"), dict(kl="monte_carlo"), dict(bound="iwae", samples=2))
  ]
  for a, b in zip(jax.tree.leaves(states[0]["params"]), jax.tree.leaves(states[1]["params"])):
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
  kernel = lambda s: s["params"]["vae"]["decoder"]["MLP_0"]["Dense_0"]["kernel"]
  assert abs(kernel(states[0]) - kernel(states[2])).max() > 1e-4


def test_beta_and_capacity_change_what_is_learnt_and_not_what_is_reported():
  steps = jnp.array([0, 99])

  def metrics(**kwargs):
    model = vae.build(Spec.of((D,)), **REAL, **kwargs).stages[0].model

    @jax.jit
    def run(batch):
      state = model.init(jax.random.key(0), {"x": X})
      return jax.vmap(lambda t: model.update(state, batch, jax.random.key(1), t)[1])(steps)

    return run(stack({"x": X}))

  plain, heavy = metrics(), metrics(beta=4.0)
  held = metrics(capacity=Capacity(100.0, 10, gamma=7.0))
  for name in ("negative_elbo", "kl", "reconstruction"):
    np.testing.assert_allclose([heavy[name], held[name]], [plain[name]] * 2, rtol=1e-5)
  np.testing.assert_allclose(plain["loss"], plain["negative_elbo"], rtol=1e-5)
  np.testing.assert_allclose(heavy["loss"] - plain["loss"], 3 * plain["kl"], rtol=1e-4)
  distance = abs(plain["kl"] - np.array([0, 100]))  # below, then above the KL of every example
  np.testing.assert_allclose(held["loss"], plain["reconstruction"] + 7 * distance, rtol=1e-4)

  # Between the examples' KLs the two capacities part: E|KL - C| and |E KL - C|.
  middle = float(plain["kl"][1])
  each = metrics(capacity=Capacity(middle, 10, gamma=7.0))
  batch = metrics(capacity=Capacity(middle, 10, gamma=7.0, kl="batch"))
  np.testing.assert_allclose(batch["loss"][1], plain["reconstruction"][1], rtol=1e-4)
  assert each["loss"][1] > batch["loss"][1] + 0.1


@pytest.mark.parametrize(
  "shape,levels,kwargs",
  [
    ((1, 3, 1), 2, dict(observation="bernoulli")),
    ((1, 1, 2), 5, dict(observation="logistic", scale=0.2)),
  ],
)
def test_the_probabilities_of_all_pictures_sum_to_one(shape, levels, kwargs):
  spec = Spec.of(shape, levels)
  program = vae.build(spec, latent=1, hidden=(8,), **kwargs, likelihood=Likelihood(3000, 500))
  pictures = np.array(list(itertools.product(range(levels), repeat=int(np.prod(shape)))), np.uint8)
  pictures = pictures.reshape(-1, *shape)
  state = initial(program, {"x": pictures}, 3)
  log_p = jax.jit(program.model.log_prob)([state], pictures, keys_of(len(pictures)))
  assert np.std(log_p) > 0.02
  np.testing.assert_allclose(np.exp(np.asarray(log_p, np.float64)).sum(), 1, atol=0.01)


@functools.cache
def constant_bernoulli(**kwargs):
  """(model, state) whose every pixel has logit 1.5, on 5-level images of 20 pixels."""
  program = vae.build(Spec.of((4, 5, 1), 5), latent=1, hidden=(), **kwargs)
  program = program._replace(model=compiled(program.model))
  state = initial(program, {"x": np.zeros((1, 4, 5, 1), np.uint8)})
  dense = state["params"]["vae"]["decoder"]["MLP_0"]["Dense_0"]
  dense |= {"kernel": 0 * dense["kernel"], "bias": 0 * dense["bias"] + 1.5}
  return program, state


def test_fresh_binarisation_is_drawn_anew_from_the_keys():
  program, state = constant_bernoulli(binarize="fresh")
  n = 3000
  x = np.full((n, 4, 5, 1), 1, np.uint8)  # a quarter of full intensity
  x[0], x[1] = 0, 4
  cost = lambda keys: np.asarray(program.model.evaluate([state], {"x": x}, keys)["reconstruction"])
  off, on = np.log1p(np.exp(1.5)), np.log1p(np.exp(-1.5))
  ones = (20 * off - cost(keys_of(n))) / (off - on)  # pixels that are 1
  np.testing.assert_allclose(ones, np.round(ones), atol=1e-4)
  assert round(ones[0]) == 0 and round(ones[1]) == 20
  assert abs(ones[2:].mean() - 5) < 4.5 * (20 * 3 / 16 / n) ** 0.5
  np.testing.assert_allclose(ones[2:].var(), 20 * 3 / 16, rtol=0.15)
  np.testing.assert_array_equal(cost(keys_of(n)), cost(keys_of(n)))
  assert (cost(keys_of(n)) != cost(keys_of(n, 1))).mean() > 0.7
  # In training, the update's key draws; soft intensities would cost their mean each time.
  update = jax.jit(program.stages[0].model.update)
  costs = [
    float(update(state, stack({"x": x[2:7]}), jax.random.key(i), 0)[1]["reconstruction"])
    for i in range(3)
  ]
  assert len(set(costs)) == 3
  soft, state = constant_bernoulli()
  mean = soft.model.evaluate([state], {"x": x[2:7]}, keys_of(5))["reconstruction"]
  np.testing.assert_allclose(mean, 5 * on + 15 * off, rtol=1e-5)


def test_samples_of_grey_data_are_in_levels():
  chance = 1 / (1 + np.exp(-1.5))  # 0.8176: of 0..4, the nearest is 3
  program, state = constant_bernoulli()
  x = np.asarray(program.model.sample([state], keys_of(500)))
  assert x.dtype == np.uint8 and set(np.unique(x)) == {0, 4}
  assert abs((x == 4).mean() - chance) < 4.5 * (chance * (1 - chance) / 10_000) ** 0.5
  program, state = constant_bernoulli(sample=Sampler("mean"))
  assert set(np.unique(program.model.sample([state], keys_of(9)))) == {3}
  code = program.model.prior([state], keys_of(2))
  np.testing.assert_allclose(program.model.decode([state], code), 4 * chance, rtol=1e-5)


def test_the_label_conditions_encoder_and_decoder():
  program = vae.build(Spec.of((2, 2, 1), 2, classes=3), conditional=True, latent=2, hidden=(6,))
  assert program.model.cond == ("label",)
  x, label = np.ones((3, 2, 2, 1), np.uint8), np.array([0, 1, 1], np.int32)
  state = initial(program, {"x": x, "label": label})
  cond, z = {"label": label}, jnp.ones((3, 2))
  for value in (
    program.model.encode([state], x, None, cond), program.model.decode([state], z, cond)
  ):  # fmt: skip
    flat = np.asarray(value).reshape(3, -1)
    assert abs(flat[0] - flat[1]).max() > 1e-3
    np.testing.assert_allclose(flat[1], flat[2], rtol=1e-6)


@pytest.mark.parametrize(
  "spec,kwargs,message",
  [
    (Spec.of((2,)), dict(), "bernoulli is of grey levels"),
    (Spec.of((2,)), dict(observation="logistic"), "logistic is of grey levels"),
    (GREY, dict(conditional=True), "needs labels"),
    (
      GREY,
      dict(observation="logistic", binarize="fresh"),
      "observation=bernoulli",
    ),
    (GREY, dict(bound="iwae", beta=2.0), "bound=elbo"),
    (
      GREY,
      dict(beta=2.0, capacity=Capacity(5.0)),
      "takes the place of model.beta",
    ),
    (
      GREY,
      dict(capacity=Capacity(5.0, kl="batch"), optimizer=Optimizer(accumulate=2)),
      "model.capacity.kl=batch is of the whole batch's mean, which optimizer.accumulate=2",
    ),
    (GREY, dict(samples=0), "model.samples must be 1 or more, not 0"),
    (GREY, dict(latent=0), "model.latent must be 1 or more"),
    (GREY, dict(beta=-1.0), "model.beta must be 0 or more"),
    (GREY, dict(scale=0.0), "model.scale must be positive"),
    (GREY, dict(widths=(4, 4, 4, 4)), "multiples of 16"),
    (
      GREY,
      dict(likelihood=Likelihood(-1)),
      "importance_samples must be 0 or more",
    ),
    (GREY, dict(likelihood=Likelihood(5, 0)), "chunk must be 1 or more"),
    (
      GREY,
      dict(sample=Sampler(temperature=-1.0)),
      "temperature must be 0 or more",
    ),
  ],
)
def test_refusals(spec, kwargs, message):
  with pytest.raises(UserError, match=message):
    vae.build(spec, **kwargs)
