"""Masked diffusion with its network: likelihoods and samples against all orders there are."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.core import Spec, UserError, fold_each
from gen_jax.models import masked
from gen_jax.models.masked import Likelihood, Sampler
from gen_jax.nets.masked import MaskedTransformer

SMALL = dict(conditional=True, width=4, layers=1, heads=2, ema=0.0)
WORDS = Spec.of((3,), 2, 2)
IMAGES = Spec.of((4, 2, 2), 3, 2)


def build(spec, **how):
  return masked.build(spec, **SMALL | how).stages[0].model


def random_state(model, spec):
  """Random weights, without biases, which would outweigh what is seen."""
  batch = {"x": jnp.zeros((2, *spec.shape), jnp.uint8), "label": jnp.zeros(2, jnp.int32)}
  shapes = jax.eval_shape(model.init, jax.random.key(0), batch)
  rng = np.random.default_rng(0)

  def drawn(path, p):
    value = {"bias": 0, "scale": 1}.get(path[-1].key, rng.normal(size=p.shape))
    return jnp.full(p.shape, value, p.dtype)

  params = jax.tree_util.tree_map_with_path(drawn, shapes["params"])
  return {"params": params, "ema": {}}


def keys_of(n, seed=0):
  return fold_each(jax.random.key(seed), jnp.arange(n))


def in_every_order(state, label):
  """log p(x) of every x of WORDS in every order of its positions, [orders, 8], and every x."""
  net = MaskedTransformer(2, 3, 4, 1, 2, classes=2)
  seen = np.array(list(itertools.product(range(3), repeat=3)))
  apply = jax.jit(
    lambda x: net.apply({"params": state["params"]["masked"]}, x, label + 0 * x[:, 0])
  )
  log_p = np.asarray(jax.nn.log_softmax(apply(jnp.asarray(seen))))
  table = dict(zip(map(tuple, seen), log_p, strict=True))
  every = list(itertools.product(range(2), repeat=3))

  def of(x, order):
    shown, total = [2, 2, 2], 0.0
    for i in order:
      total += table[tuple(shown)][i, x[i]]
      shown[i] = x[i]
    return total

  orders = itertools.permutations(range(3))
  return np.array([[of(x, order) for x in every] for order in orders]), np.array(every)


def test_the_bound_and_samples_are_those_of_all_orders():
  model = build(WORDS)
  state = random_state(model, WORDS)
  log_prob, sample = jax.jit(model.log_prob), jax.jit(model.sample)
  for label in range(2):
    log_p, every = in_every_order(state, label)
    x = np.repeat(every, 1000, axis=0)
    cond = {"label": jnp.full(len(x), label)}
    found = np.asarray(log_prob(state, x, keys_of(len(x)), cond)).reshape(8, -1)
    error = found.std(1) / found.shape[1] ** 0.5
    assert (np.abs(found.mean(1) - log_p.mean(0)) < 5 * error + 1e-5).all()
    p = np.exp(log_p).mean(0)
    assert np.ptp(np.exp(log_p), axis=0).max() > 0.02  # it matters in which order
    drawn = np.asarray(sample(state, keys_of(len(x)), cond))
    share = np.bincount(drawn @ [4, 2, 1], minlength=8) / len(x)
    assert (np.abs(share - p) < 5 * np.sqrt(p * (1 - p) / len(x))).all()


def test_evaluate_is_minus_log_prob_and_the_film_ends_with_the_sample():
  model = build(IMAGES, sample=Sampler(steps=4), likelihood=Likelihood(counts=3))
  state, keys = random_state(model, IMAGES), keys_of(5)
  x = np.random.default_rng(0).integers(3, size=(5, 4, 2, 2)).astype(np.uint8)
  batch = {"x": x, "label": jnp.arange(5) % 2}
  terms, log_prob, film, drawn = jax.jit(
    lambda: (
      model.evaluate(state, batch, keys), model.log_prob(state, x, keys, batch),
      model.trajectory(state, keys, batch), model.sample(state, keys, batch),
    )
  )()  # fmt: skip
  np.testing.assert_allclose(terms["nll"], -log_prob, rtol=1e-6)
  np.testing.assert_allclose(terms["bits_per_dim"], np.log2(np.exp(1)) * terms["nll"] / 16, 1e-6)
  assert film.shape == (4, 5, 4, 2, 2) and film.dtype == drawn.dtype == np.uint8
  np.testing.assert_array_equal(film[-1], drawn)
  assert ((np.asarray(film[0]) == 1).sum((1, 2, 3)) >= 12).all()  # K // 2 where it is hidden


@pytest.mark.parametrize("hide", ["lower", "random"])
@pytest.mark.parametrize("spec", [IMAGES, Spec.of((8,), 3, 2)], ids=["images", "sequences"])
def test_completion_keeps_what_is_given_and_sees_nothing_else(spec, hide):
  how = Sampler(hide=hide, share=0.25, method="confidence")
  model = build(spec, sample=how, width=8)
  state, keys, cond = random_state(model, spec), keys_of(100), {"label": jnp.arange(100) % 2}
  x = np.random.default_rng(1).integers(3, size=(100, *spec.shape)).astype(spec.x.dtype)
  observe = jax.jit(model.observe)
  transform = jax.jit(model.transform)
  given = np.asarray(observe(state, x, keys, cond))
  hidden = given[..., -1] == 0 if spec is IMAGES else given == 3
  np.testing.assert_array_equal(hidden.sum((1, 2) if spec is IMAGES else 1), 2)
  same = (hidden == hidden[:1]).all()
  assert same == (hide == "lower") and (not same or hidden[:, -1].all())
  made = np.asarray(transform(state, given, keys, cond))
  assert made.dtype == x.dtype and made.max() < 3
  np.testing.assert_array_equal(made[~hidden], x[~hidden])
  assert (made[hidden] != x[hidden]).any()
  # What stood where it is hidden changes nothing; what is known does.
  elsewhere = np.where(hidden[..., None] if spec is IMAGES else hidden, 2 - x, x).astype(x.dtype)
  again = transform(state, observe(state, elsewhere, keys, cond), keys, cond)
  np.testing.assert_array_equal(again, made)
  other = np.asarray(transform(state, observe(state, 2 - x, keys, cond), keys, cond))
  assert (other[hidden] != made[hidden]).any()


def test_completion_refuses_pictures_without_alpha():
  model = build(IMAGES)
  with pytest.raises(UserError, match="4x2 with 3 channels.*below 2 where.*not of shape"):
    model.transform({}, jnp.zeros((1, 4, 2, 2)), keys_of(1), {"label": jnp.zeros(1, jnp.int32)})


def test_guidance_is_the_ratio_of_both_models():
  """p(x | c)^(1 + w) / p(x)^w of one position; and without a label it is p(x)."""
  spec, n, w = Spec.of((1,), 3, 2), 20_000, 3.0
  how = dict(condition_dropout=0.5, likelihood=Likelihood(1))
  guided = build(spec, **how, sample=Sampler(guidance=w))
  state, label = random_state(guided, spec), jnp.ones(3, jnp.int32)
  log_prob = jax.jit(guided.log_prob)
  p = lambda cond: np.exp(log_prob(state, jnp.arange(3)[:, None], keys_of(3), cond))
  with_label, without = p({"label": label}), p(None)
  np.testing.assert_allclose([with_label.sum(), without.sum()], 1, rtol=1e-5)
  want = with_label ** (1 + w) / without**w
  want /= want.sum()
  assert np.abs(want - with_label).max() > 0.05
  cond = {"label": jnp.ones(n, jnp.int32)}
  for model, given, law in ((guided, cond, want), (guided, None, without)):
    drawn = np.asarray(jax.jit(model.sample)(state, keys_of(n), given))[:, 0]
    share = np.bincount(drawn, minlength=3) / n
    assert (np.abs(share - law) < 5 * np.sqrt(law * (1 - law) / n)).all()


def test_the_loss_estimates_the_bound_and_leaves_out_the_padding():
  model = build(WORDS, dropout=0.0)
  first = {"x": jnp.zeros((1, 3), jnp.int32), "label": jnp.zeros(1, jnp.int32)}
  shapes = jax.eval_shape(model.init, jax.random.key(0), first)
  state = jax.tree.map(jnp.zeros_like, shapes) | random_state(model, WORDS)
  n, key = 6000, jax.random.key(2)
  x, mask = jnp.tile(jnp.array([[0, 1, 1]]), (n, 1)), jnp.arange(n) < 5000
  batch = {"x": jnp.where(mask[:, None], x, 0), "label": jnp.ones(n, jnp.int32), "mask": mask}
  stacked = jax.tree.map(lambda a: a[None], batch)
  metrics = jax.jit(model.update)(state, stacked, key, jnp.int32(0))[1]
  nll = np.asarray(jax.jit(model.evaluate)(state, {**batch, "x": x}, keys_of(n))["nll"])
  # One n of each example varies more than the mean over all of them.
  assert abs(metrics["loss"] - nll.mean()) < 0.05 < nll.std()
  np.testing.assert_allclose(metrics["bits_per_dim"], metrics["loss"] / np.log(8), rtol=1e-5)


@pytest.mark.parametrize("change,message", [
  (dict(spec=Spec.of((4, 4, 1))), "masked diffusion is of data of integer levels"),
  (dict(spec=Spec.of((4, 4, 1), 3)), "needs labels, and these data have none"),
  (dict(heads=3), "model.heads=3 must divide model.width=4"),
  (dict(conditional=False, condition_dropout=0.1), "needs model.conditional=True"),
  (dict(sample=Sampler(guidance=1.0)), "needs a model.condition_dropout above 0"),
  (dict(sample=Sampler(steps=17)), r"sample.steps must be 0 \(all\) or 1 to 16, the positions"),
  (dict(likelihood=Likelihood(17)), "likelihood.counts must be"),
  (dict(sample=Sampler(method="surest")), "sample.method must be one of ancestral, confidence"),
  (dict(sample=Sampler(top_k=4)), "top_k"),
])  # fmt: skip
def test_what_it_refuses(change, message):
  with pytest.raises(UserError, match=message):
    build(**{"spec": IMAGES, **change})
