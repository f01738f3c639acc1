"""The two stages: what the codebook becomes, what is frozen, and what the whole makes of both."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.core import Spec, UserError, fold_each
from gen_jax.learn.optimizer import Optimizer
from gen_jax.models import vqvae
from gen_jax.models.masked import Decoding, Likelihood
from gen_jax.models.relaxation import Gumbel

SPEC = Spec.of((4, 4, 1), 5, 3)
SMALL = dict(
  factor=2, codes=6, dim=3, width=4, blocks=0, variance=0.25,
  optimizer=Optimizer("sgd", 0.1, b1=0.0), conditional=True,
  pixelcnn=vqvae.PixelCNN(width=3, dilations=(1,), first_kernel=3, head=4),
  transformer=vqvae.Transformer(width=4, layers=1, heads=2),
  masked=vqvae.Masked(width=4, layers=1, heads=2),
)  # fmt: skip


def images(n=8, seed=0):
  rng = np.random.default_rng(seed)
  return {
    "x": jnp.asarray(rng.integers(0, 5, (n, 4, 4, 1)), jnp.uint8),
    "label": jnp.asarray(rng.integers(0, 3, n), jnp.int32),
    "index": jnp.arange(n),
    "mask": jnp.ones(n, bool),
    "last": jnp.zeros(n, bool),
  }


def stage(**changes):
  """The program, its first stage, and a state of that with random parameters and codebook."""
  program = vqvae.build(SPEC, **SMALL | changes)
  model = program.stages[0].model
  return program, model, random_state(model, images())


def random_state(model, batch):
  shapes = jax.eval_shape(model.init, jax.random.key(0), batch)
  rng = np.random.default_rng(0)
  state = jax.tree.map(lambda p: jnp.asarray(rng.normal(0, 0.2, p.shape), p.dtype), shapes)
  known = {
    "count": jnp.full(6, 32 / 6), "moved": jnp.zeros((6, 3)), "epoch": jnp.zeros(6),
    "last_epoch": jnp.zeros(6), "pixels": {"n": jnp.float32(0), "moments": jnp.zeros(2)},
  }  # fmt: skip
  kept = {name: known.get(name, leaf) for name, leaf in state["mutable"].get("vqvae", {}).items()}
  return {**state, "mutable": {"vqvae": kept}} if kept else state


def step(model, state, batch):
  stacked = jax.tree.map(lambda a: a[None], batch)
  return jax.jit(model.update)(state, stacked, jax.random.key(1), jnp.int32(0))


def vectors_and_codes(state, batch):
  """z [N, D] and codes [N] of stage 1's state, with NumPy's arg min."""
  from gen_jax.nets.vqvae import Encoder

  params = {"params": state["params"]["vqvae"]["encoder"]}
  z = np.asarray(jax.jit(Encoder(3, 1, 4, 0).apply)(params, batch["x"] / 4 - 0.5)).reshape(-1, 3)
  table = np.asarray(state["mutable"]["vqvae"]["codebook"])
  return z, np.linalg.norm(z[:, None] - table, axis=-1).argmin(1), table


def test_restored_pictures_begin_at_the_mean_colour():
  model = vqvae.build(SPEC, **SMALL | {"codebook": "finite", "levels": (3, 3)}).stages[0].model
  batch = images() | {"mask": jnp.arange(8) < 5}
  state = model.init(jax.random.key(0), batch)
  middle = jnp.full((1, 2, 2), 4)  # of the grid: the vector 0, which no kernel sees
  mean = np.asarray(batch["x"][:5], np.float32).mean()
  np.testing.assert_allclose(model.decode(state, middle), np.full((1, 4, 4, 1), mean), rtol=1e-5)


@pytest.mark.parametrize("start", ["kmeans", "data"])
def test_the_codebook_begins_as_centres_of_the_first_batch(start):
  _, model, _ = stage(start=start)
  batch = {**images(seed=2), "mask": jnp.arange(8) < 3}
  state = jax.jit(model.init)(jax.random.key(0), batch)
  z, code, table = vectors_and_codes(state, batch)
  z, code = z[: 3 * 4], code[: 3 * 4]  # the rest is padding
  if start == "data":
    gaps = np.linalg.norm(table[:, None] - z, axis=-1)
    np.testing.assert_allclose(gaps.min(1), 0, atol=1e-6)
  else:
    means = [z[code == k].mean(0) for k in range(6)]
    np.testing.assert_allclose(table, means, atol=1e-6)
  np.testing.assert_allclose(state["mutable"]["vqvae"]["count"], 12 / 6)


def test_the_codebook_moves_to_the_means_of_its_vectors_and_padding_does_not_count():
  _, model, state = stage(decay=0.0, restart=0.0)
  batch = {**images(seed=1), "mask": jnp.arange(8) < 5}
  z, code, table = vectors_and_codes(state, batch)
  real = np.arange(len(z)) < 5 * 4
  after, metrics = step(model, state, batch)
  for k in range(6):
    members = z[real & (code == k)]
    want = members.mean(0) if len(members) else table[k]
    np.testing.assert_allclose(after["mutable"]["vqvae"]["codebook"][k], want, atol=1e-6)
  share = np.bincount(code[real], minlength=6) / real.sum()
  want = np.exp(-sum(p * np.log(p) for p in share if p))
  np.testing.assert_allclose(metrics["perplexity"], want, rtol=1e-5)
  garbage = {**batch, "x": jnp.where(batch["mask"][:, None, None, None], batch["x"], 4)}
  again, same = step(model, state, garbage)
  assert jax.tree.all(jax.tree.map(lambda a, b: (a == b).all(), (after, metrics), (again, same)))


@pytest.mark.parametrize("codebook", ["ema", "loss"])
def test_dead_codes_come_back_to_vectors_of_the_batch(codebook):
  _, model, state = stage(codebook=codebook, decay=0.0, restart=0.5)
  kept = state["mutable"]["vqvae"]
  batch = images(seed=1)
  # Two entries that nothing is near to.
  if codebook == "ema":
    kept = {**kept, "codebook": kept["codebook"].at[:2].add(1e3)}
  else:
    kept = {**kept, "moved": kept["moved"].at[:2].add(1e3)}
  state = {**state, "mutable": {"vqvae": kept}}
  after, metrics = step(model, state, batch)
  assert metrics["restarted"] >= 2
  kept, params = after["mutable"]["vqvae"], state["params"]["vqvae"]
  table = kept["codebook"] if codebook == "ema" else params["codebook"] + kept["moved"]
  z = vectors_and_codes({**state, "mutable": {"vqvae": {"codebook": table}}}, batch)[0]
  gaps = np.linalg.norm(z[:, None] - np.asarray(table)[:2], axis=-1).min(0)
  # Moving an entry of the loss by an offset of 1000 costs digits.
  np.testing.assert_allclose(gaps, 0, atol=1e-3)
  assert (np.asarray(kept["count"])[:2] == 32 / 6).all()


def test_codebook_by_its_loss_goes_down_its_gradient():
  _, model, state = stage(codebook="loss", restart=0.0)
  batch = images(seed=1)
  table = state["params"]["vqvae"]["codebook"]
  z, code, _ = vectors_and_codes({**state, "mutable": {"vqvae": {"codebook": table}}}, batch)
  gradient = np.zeros((6, 3))
  # Mean over 4 positions and 3 dimensions of an image, and over 8 images.
  np.add.at(gradient, code, 2 * (np.asarray(table)[code] - z) / (4 * 3 * 8))
  after, _ = step(model, state, batch)
  np.testing.assert_allclose(
    after["params"]["vqvae"]["codebook"], table - 0.1 * gradient, atol=1e-6
  )


def test_use_of_the_codebook_is_counted_over_epochs_and_the_variance_over_all_pixels():
  _, model, state = stage(decay=0.0, restart=0.0, variance=0.0, optimizer=Optimizer("sgd", 1e-9))
  use, pixels, counts = np.zeros(6), [], []
  for seed, last in ((1, False), (2, True), (3, False), (4, True)):
    batch = {**images(seed=seed), "mask": jnp.arange(8) < 5, "last": jnp.full(8, last)}
    use += np.bincount(vectors_and_codes(state, batch)[1][: 5 * 4], minlength=6)
    state, metrics = step(model, state, batch)
    pixels.append(np.asarray(batch["x"][:5]) / 4)
    if last:
      counts.append(use)
      use = np.zeros(6)
    if not counts:
      assert (metrics["epoch_perplexity"], metrics["epoch_codes_used"]) == (1, 0)
      continue
    p = counts[-1][counts[-1] > 0] / counts[-1].sum()
    perplexity = np.exp(-(p * np.log(p)).sum())
    np.testing.assert_allclose(metrics["epoch_perplexity"], perplexity, rtol=1e-5)
    assert metrics["epoch_codes_used"] == len(p)
  keys = fold_each(jax.random.key(0), jnp.arange(8))
  terms = jax.jit(model.evaluate)(state, images(), keys)
  variance = np.concatenate(pixels).var()
  np.testing.assert_allclose(
    terms["mse_over_variance"], terms["reconstruction_mse"] / variance, rtol=1e-5
  )


def test_the_pictures_are_the_codes_alone_the_most_used_first():
  program, model, state = stage()
  kept = state["mutable"]["vqvae"]
  used = {**kept, "last_epoch": jnp.array([3.0, 0, 9, 1, 4, 0])}
  states = [{**state, "mutable": {"vqvae": used}}, {}]
  (picture,) = program.model.pictures(states).values()
  code = jnp.broadcast_to(jnp.array([2, 4, 0, 3, 1, 5])[:, None, None], (6, 2, 2))
  np.testing.assert_allclose(picture, program.model.decode(states, code), rtol=1e-5)
  assert picture.shape == (6, 4, 4, 1) and np.asarray(picture).std(0).max() > 0.01


@pytest.mark.parametrize("prior_net", ["pixelcnn", "transformer", "masked"])
def test_the_first_stage_is_frozen_in_the_second_which_sees_its_codes(prior_net):
  program, _, state = stage(prior=prior_net)
  own = state["params"]["vqvae"]
  # Small, so that pixels stay between the levels and decode clips none.
  faint = {**own, "decoder": jax.tree.map(lambda p: 0.3 * p, own["decoder"])}
  state = {**state, "params": {"vqvae": faint}}
  batch = images()
  codes = jax.jit(program.model.encode)([state, {}], batch["x"])
  assert codes.shape == (8, 2, 2) and codes.dtype == jnp.int32
  z, want, _ = vectors_and_codes(state, batch)
  np.testing.assert_array_equal(codes.reshape(-1), want)
  seen = jax.jit(program.stages[1].view)([state], batch, jax.random.key(0))
  np.testing.assert_array_equal(seen["x"][..., 0], codes)
  np.testing.assert_array_equal(seen["label"], batch["label"])
  prior = random_state(program.stages[1].model, seen)
  assert list(prior["params"]) == [prior_net]
  keys = fold_each(jax.random.key(0), jnp.arange(8))
  terms = jax.jit(program.model.evaluate)([state, prior], batch, keys)
  nll = -jax.jit(program.stages[1].model.log_prob)(prior, seen["x"], keys, seen)
  np.testing.assert_allclose(terms["nats_per_code"], nll / 4, rtol=1e-5)
  decode = jax.jit(program.model.decode)
  x = np.asarray(decode([state, prior], codes))
  assert (x > 0).all() and (x < 4).all() and x.std() > 0.01
  error = np.mean((x - batch["x"]) ** 2, (1, 2, 3)) / 16
  np.testing.assert_allclose(terms["reconstruction_mse"], error, rtol=1e-4)
  np.testing.assert_allclose(terms["mse_over_variance"], error / 0.25, rtol=1e-4)
  distinct = [len(set(row)) for row in np.asarray(codes).reshape(8, -1)]
  np.testing.assert_array_equal(terms["distinct_codes"], distinct)
  cond = {"label": batch["label"]}
  drawn = jax.jit(program.model.prior)([state, prior], keys, cond)
  assert drawn.shape == (8, 2, 2) and len(np.unique(drawn)) > 1
  x = jax.jit(program.model.sample)([state, prior], keys, cond)
  np.testing.assert_array_equal(x, np.rint(decode([state, prior], drawn)))


def test_a_discrete_vae_learns_from_mixtures_and_is_judged_by_its_likeliest_codes():
  """Cold, the mixture that it learns from is of one entry: it has the loss of those codes, and the
  divergence at its weight of that step."""
  how = Gumbel(first=1e-5, last=1e-5, steps=1, kl=0.5, kl_steps=4)
  program, model, state = stage(codebook="gumbel", gumbel=how)
  assert state["params"]["vqvae"]["codebook"].shape == (6, 3)
  # Sure of their codes, which Gumbel noise then leaves as they are.
  encoder = state["params"]["vqvae"]["encoder"]
  sure = {**encoder, "Conv_2": jax.tree.map(lambda p: 1e4 * p, encoder["Conv_2"])}
  state["params"]["vqvae"]["encoder"] = sure
  batch, keys = images(), fold_each(jax.random.key(0), jnp.arange(8))
  terms = jax.jit(model.evaluate)(state, batch, keys)
  np.testing.assert_allclose(terms["kl"], np.log(6), rtol=1e-3)
  stacked = jax.tree.map(lambda a: a[None], batch)
  update = jax.jit(model.update)
  after, metrics = update(state, stacked, jax.random.key(1), jnp.int32(2))
  np.testing.assert_allclose(
    metrics["reconstruction_mse"], terms["reconstruction_mse"].mean(), 1e-4
  )
  np.testing.assert_allclose(
    metrics["loss"], terms["reconstruction_mse"].mean() / 0.25 + 0.25 * np.log(6), rtol=1e-3
  )
  assert metrics["codes_used"] == len(np.unique(model.encode(state, batch["x"])))
  codes = jax.jit(program.model.encode)([state, {}], batch["x"])
  decoded = jax.jit(program.model.decode)([state, {}], codes)
  assert codes.dtype == jnp.int32 and decoded.shape == batch["x"].shape
  # Warm, it decodes even mixtures of all entries.
  warm = stage(codebook="gumbel", gumbel=Gumbel(first=1e9, last=1e9))[1]
  _, mixed = jax.jit(warm.update)(state, stacked, jax.random.key(1), jnp.int32(0))
  own = state["params"]["vqvae"]
  even = jnp.broadcast_to(own["codebook"].mean(0), (6, 3))
  state["params"]["vqvae"] = own | {"codebook": even}
  want = jax.jit(model.evaluate)(state, batch, keys)["reconstruction_mse"].mean()
  np.testing.assert_allclose(mixed["reconstruction_mse"], want, rtol=1e-5)
  assert abs(metrics["reconstruction_mse"] / want - 1) > 1e-3


@pytest.mark.parametrize("change,message", [
  (dict(codebook="vq"), "model.codebook must be one of ema, loss, gumbel"),
  (dict(factor=3), "power of 2"),
  (dict(factor=8), "multiples of 8, not 4x4"),
  (dict(pixelcnn=vqvae.PixelCNN(kernel=1)), "model.pixelcnn.kernel must be 3 or more"),
  (dict(sample=Decoding(steps=2)), "sample.steps=2 is of model.prior=masked, and this is pixelcnn"),
  (dict(likelihood=Likelihood(2)), "likelihood.counts=2 is of model.prior=masked"),
  (dict(codes=1), "model.codes must be 2 or more"),
  (dict(decay=1.0), r"model.decay must be in \[0, 1\)"),
  (dict(spec=Spec.of((4, 4, 1), 5), conditional=True), "labels"),
])  # fmt: skip
def test_what_it_refuses(change, message):
  with pytest.raises(UserError, match=message):
    vqvae.build(**{"spec": SPEC, **SMALL, **change})
