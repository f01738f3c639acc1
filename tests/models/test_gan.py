"""GANs small enough that a round can be computed by hand."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.core import Spec, UserError, fold_each
from gen_jax.learn.optimizer import Optimizer
from gen_jax.learn.replicas import replicas
from gen_jax.losses.penalties import PENALTIES, Penalties
from gen_jax.metrics import mode_coverage
from gen_jax.models import gan, players
from gen_jax.run import loop, signals
from tests.conformance.systems import build, one_device

PLANE = Spec.of((2,), classes=3)
SGD = Optimizer(name="sgd", learning_rate=0.1, b1=0.0)
STILL = Optimizer(name="sgd", learning_rate=1e-30, b1=0.0)
G, C = gan.GeneratorNet((), (5,)), gan.CriticNet((), (4,))
NO_HIDDEN = gan.CriticNet((), ())
SMALL = dict(
  generator=G, critic=C, latent=3, init_std=0.0, critic_optimizer=SGD, generator_optimizer=SGD,
)  # fmt: skip
B = 8


def batch_of(seed=0, size=B):
  rng = np.random.default_rng(seed)
  return {
    "x": jnp.asarray(rng.normal(size=(size, 2)), jnp.float32),
    "label": jnp.asarray(rng.integers(3, size=size), jnp.int32),
    "mask": jnp.ones(size, bool),
  }


def model_of(**kwargs):
  return gan.build(PLANE, **{**SMALL, **kwargs}).stages[0].model


def start(model, batch):
  return jax.jit(model.init)(jax.random.key(0), batch)


def step(model, state, batch, seed=1):
  stacked = jax.tree.map(lambda a: jnp.stack([a] * model.microbatches), batch)
  return jax.jit(model.update)(state, stacked, jax.random.key(seed), jnp.int32(0))


LINEAR = dict(loss="wgan", critic=NO_HIDDEN, generator_optimizer=STILL)


def g(**options):
  return dataclasses.replace(G, **options)


def c(**options):
  return dataclasses.replace(C, **options)


@pytest.mark.parametrize("penalty", ["wgan_gp", "dragan", "r1", "r2"])
def test_the_penalty_moves_the_critic_by_its_gradient(penalty):
  # D(x) = <w, x>: the penalty is (|w| - 1)^2, or |w|^2 / 2, wherever it is taken.
  after = {}
  for weight in (0.0, 10.0):
    model = model_of(**LINEAR, penalties=Penalties(**{penalty: weight}))
    state = start(model, batch_of())
    w = np.asarray(state["params"]["critic"]["Dense_0"]["kernel"], np.float64)
    after[weight], metrics = step(model, state, batch_of())
  moved = [np.asarray(s["params"]["critic"]["Dense_0"]["kernel"]) for s in after.values()]
  norm = np.linalg.norm(w)
  squared = penalty in ("r1", "r2")
  gradient = w if squared else 2 * (norm - 1) * w / norm
  np.testing.assert_allclose(moved[1] - moved[0], -0.1 * 10 * gradient, rtol=1e-4, atol=1e-5)
  expected = norm**2 / 2 if squared else (norm - 1) ** 2
  np.testing.assert_allclose(metrics[f"penalty_{penalty}"], expected, rtol=1e-5)


def test_penalties_add_up_each_with_its_weight():
  # D(x) = <w, x> + b: with drift there is a bias, and the loss's gradient by it is 2 eps E D(x).
  drift, r1 = 0.3, 2.0
  model = model_of(**LINEAR, penalties=Penalties(r1=r1, drift=drift))
  state, batch = start(model, batch_of()), batch_of()
  state["params"]["critic"]["Dense_0"]["bias"] = jnp.float32([0.7])
  after, metrics = step(model, state, batch)
  x, w = np.asarray(batch["x"], np.float64), weights(state["params"])[:, 0]
  logits = x @ w + 0.7
  np.testing.assert_allclose(metrics["penalty_r1"], w @ w / 2, rtol=1e-5)
  np.testing.assert_allclose(metrics["penalty_drift"], np.mean(logits**2), rtol=1e-5)
  value = metrics["critic_on_fake"] - metrics["critic_on_real"]
  total = value + r1 * w @ w / 2 + drift * np.mean(logits**2)
  np.testing.assert_allclose(metrics["critic_loss"], total, rtol=1e-5)
  bias = after["params"]["critic"]["Dense_0"]["bias"]
  np.testing.assert_allclose(bias - 0.7, -0.1 * drift * 2 * logits.mean(), rtol=1e-3)


def test_a_penalty_without_weight_is_not_computed(monkeypatch):
  def fail(*_):
    raise AssertionError("computed")

  monkeypatch.setattr("gen_jax.losses.penalties.PENALTIES", dict.fromkeys(PENALTIES, fail))
  model = model_of()
  _, metrics = step(model, start(model, batch_of()), batch_of())
  assert not any(name.startswith("penalty") for name in metrics)


def test_relativistic_players_see_differences_only():
  """A constant on all logits changes neither player's step; at equal logits each loses log 2."""
  model = model_of(loss="rp", order="simultaneous")
  assert "bias" not in start(model, batch_of())["params"]["critic"]["Dense_1"]
  state = start(model, batch_of())
  flat = jax.tree.map(jnp.zeros_like, state["params"]["critic"])
  _, metrics = step(model, {**state, "params": {**state["params"], "critic": flat}}, batch_of())
  np.testing.assert_allclose(metrics["critic_loss"], np.log(2), rtol=1e-6)
  np.testing.assert_allclose(metrics["generator_loss"], np.log(2), rtol=1e-6)
  # With D(x) = <w, x>, the generator's output bias b has the gradient -E sigmoid(-d) w of
  # -log sigmoid(d), d = D(y) - D(x).
  model = model_of(loss="rp", critic=NO_HIDDEN, order="simultaneous")
  state, batch = start(model, batch_of()), batch_of()
  w = weights(state["params"])[:, 0]
  state["params"]["generator"] = jax.tree.map(jnp.zeros_like, state["params"]["generator"])
  after, _ = step(model, state, batch)
  d = -np.asarray(batch["x"], np.float64) @ w  # all fakes are 0
  slope = np.mean(1 / (1 + np.exp(d)))
  np.testing.assert_allclose(
    after["params"]["generator"]["Dense_1"]["bias"], 0.1 * slope * w, rtol=1e-4
  )


def test_players_have_activations_and_widths_of_their_own():
  generator, critic = g(hidden=(6, 7), activation="tanh", norm="none"), c(activation="elu")
  model = model_of(loss="wgan", generator=generator, critic=critic)
  state, batch = start(model, batch_of()), batch_of()
  keys = fold_each(jax.random.key(5), jnp.arange(B))
  made, judge = (
    jax.tree.map(lambda v: np.asarray(v, np.float64), state["params"][name])
    for name in ("generator", "critic")
  )
  z = np.asarray(model.prior(state, keys), np.float64)
  h = np.tanh(np.tanh(z @ made["Dense_0"]["kernel"]) @ made["Dense_1"]["kernel"])
  assert h.shape == (B, 7)
  np.testing.assert_allclose(model.sample(state, keys), h @ made["Dense_2"]["kernel"], rtol=1e-4,
                             atol=1e-5)  # fmt: skip
  h = np.asarray(batch["x"], np.float64) @ judge["Dense_0"]["kernel"]
  logits = np.where(h > 0, h, np.expm1(np.minimum(h, 0))) @ judge["Dense_1"]["kernel"]
  found = model.evaluate(state, batch, keys)["critic_on_real"]
  np.testing.assert_allclose(found, logits[:, 0], rtol=1e-4, atol=1e-5)


def test_a_player_responds_to_the_other():
  """One step of the critic alone: of WGAN's linear critic, E y - E x along its weights."""
  model = model_of(loss="wgan", critic=NO_HIDDEN)
  state, batch = start(model, batch_of()), batch_of()
  after = jax.jit(model.respond, static_argnames="player")(
    state, batch, jax.random.key(3), player="critic"
  )
  moved = jax.tree.map(lambda a, b: bool((a != b).any()), state, after)
  assert moved["params"]["critic"]["Dense_0"]["kernel"]
  for rest in (moved["params"]["generator"], moved["mutable"], moved["ema"], moved["updates"]):
    assert not any(jax.tree.leaves(rest))
  # The next fakes of a generator that makes nothing but its bias are that bias.
  constant = jax.tree.map(jnp.zeros_like, state["params"]["generator"])
  constant["Dense_1"]["bias"] = jnp.float32([3.0, -1.0])
  state["params"] = {**state["params"], "generator": constant}
  after = model.respond(state, batch, jax.random.key(3), "critic")
  gradient = (weights(state["params"]) - weights(after["params"]))[:, 0] / 0.1
  np.testing.assert_allclose(
    gradient, np.array([3.0, -1.0]) - np.asarray(batch["x"]).mean(axis=0), rtol=1e-4
  )


def test_an_opening_s_averages_go_on_as_if_it_were_one_stage():
  """Parameters' average and batch statistics alike, bit for bit."""
  opening = gan.Opening(n_critic=2, rounds=3)
  program = gan.build(PLANE, **{**SMALL, "n_critic": 2, "ema": 0.999, "opening": opening})
  first, second = program.stages
  update = jax.jit(first.model.update)
  stacked = jax.tree.map(lambda a: jnp.stack([a] * 3), batch_of())
  key = lambda i: jax.random.fold_in(jax.random.key(1), i)
  whole = halves = start(first.model, batch_of())
  for i in range(6):
    whole, _ = update(whole, stacked, key(i), jnp.int32(i))
  for i in range(3):
    halves, _ = update(halves, stacked, key(i), jnp.int32(i))
  halves = second.carry([halves], start(second.model, batch_of()))
  for i in range(3):
    halves, _ = update(halves, stacked, key(3 + i), jnp.int32(i))  # a stage counts from 0
  jax.tree.map(np.testing.assert_array_equal, whole, halves)
  assert whole["mutable"]["generator"]["updates"] == whole["updates"]["generator"] == 6


def test_each_player_moves_its_own_way():
  model = model_of(loss="wgan", critic=NO_HIDDEN)
  state = start(model, batch_of())
  w = state["params"]["critic"]["Dense_0"]["kernel"]
  after, metrics = step(model, state, batch_of())
  # The critic's gradient is E y - E x; a critic without a bias has no other parameter.
  assert set(state["params"]["critic"]["Dense_0"]) == {"kernel"}
  fake_mean = (w - after["params"]["critic"]["Dense_0"]["kernel"]) / 0.1 + batch_of()["x"].mean(
    axis=0
  )[:, None]
  np.testing.assert_allclose(fake_mean.T @ w, metrics["critic_on_fake"][None, None], rtol=1e-3)
  np.testing.assert_allclose(
    metrics["critic_loss"], metrics["critic_on_fake"] - metrics["critic_on_real"], rtol=1e-5
  )
  # The generator's output bias b has the gradient -w' of -<w', G(z)>.
  bias = after["params"]["generator"]["Dense_1"]["bias"]
  new = after["params"]["critic"]["Dense_0"]["kernel"]
  np.testing.assert_allclose(bias, 0.1 * new[:, 0], rtol=1e-4)


def test_clipped_weights_stay_inside():
  model = model_of(loss="wgan", clip=0.01, n_critic=3)
  state, _ = step(model, start(model, batch_of()), batch_of())
  leaves = np.concatenate([np.abs(v).ravel() for v in jax.tree.leaves(state["params"]["critic"])])
  assert leaves.max() <= 0.01 * (1 + 1e-5) and np.isclose(leaves, 0.01).any()
  assert max(jnp.abs(v).max() for v in jax.tree.leaves(state["params"]["generator"])) > 0.01


def test_a_schedule_is_as_long_as_the_training_for_both_players():
  decaying = dataclasses.replace(SGD, schedule="linear", decay_steps=2)
  model = model_of(n_critic=3, critic_optimizer=decaying, generator_optimizer=decaying)
  state = start(model, batch_of())
  for moves in (True, True, False):
    before = state["params"]
    state, _ = step(model, state, batch_of())
    for name in ("critic", "generator"):
      changed = jax.tree.map(lambda a, b: jnp.any(a != b), before[name], state["params"][name])
      assert any(jax.tree.leaves(changed)) == moves, name


def test_began_keeps_k():
  began = gan.Began(gamma=0.7, lambda_k=0.2, code=2)
  model = model_of(loss="began", began=began, noise="uniform", generator=g(norm="none"))
  state, k = start(model, batch_of()), 0.0
  for seed in range(3):
    state, metrics = step(model, state, batch_of(), seed)
    real, fake = float(metrics["critic_on_real"]), float(metrics["critic_on_fake"])
    np.testing.assert_allclose(metrics["critic_loss"], real - k * fake, rtol=1e-4, atol=1e-6)
    k = min(max(k + 0.2 * (0.7 * real - fake), 0), 1)
    np.testing.assert_allclose(state["mutable"]["critic"]["k"], k, rtol=1e-5)
    np.testing.assert_allclose(metrics["convergence"], real + abs(0.7 * real - fake), rtol=1e-5)
  assert k > 0


@pytest.mark.parametrize(
  "kwargs",
  [
    dict(loss="ns", penalties=Penalties(dragan=10.0)),
    dict(loss="wgan", penalties=Penalties(wgan_gp=10.0), critic=c(norm="layer"), n_critic=2),
    dict(loss="rp", penalties=Penalties(r1=1.0, r2=1.0, drift=0.1)),
    dict(
      loss="ns",
      penalties=Penalties(r1=1.0),
      critic=c(minibatch=players.Minibatch("discrimination", 4, 3, 2)),
    ),
    dict(loss="mm", critic=c(hidden=(4, 3), norm="batch"), unroll=2),
    dict(loss="began", began=gan.Began(code=2)),
    dict(loss="began", began=gan.Began(code=2), critic=c(hidden=(4, 3), norm="batch")),
  ],
  ids=lambda k: k["loss"],
)
def test_what_stands_in_the_padding_changes_nothing(kwargs):
  model = model_of(conditional=True, **kwargs)
  batch = batch_of() | {"mask": jnp.arange(B) < 5}
  other_label = jnp.where(batch["mask"], batch["label"], (batch["label"] + 1) % 3)
  garbage = batch | {"x": batch["x"].at[5:].set(1e3), "label": other_label}
  state = start(model, batch)
  a, b = step(model, state, batch), step(model, state, garbage)
  for p, q in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
    np.testing.assert_array_equal(p, q)
  other = batch | {"x": batch["x"].at[0].set(1e3)}
  c, _ = step(model, state, other)
  assert any(
    jnp.any(p != q) for p, q in zip(jax.tree.leaves(a[0]), jax.tree.leaves(c), strict=True)
  )


def restored(params, x, statistics=None):
  """What an autoencoder of widths 4, 3, code 2, 3, 4 makes of x [B, 2], and its statistics.

  In float64, by the batch's own statistics or the ones given, [mean, var] of each normalised layer.
  """
  params = jax.tree.map(lambda p: np.asarray(p, np.float64), params)
  encoder, decoder = params["encoder"], params["decoder"]
  found = []

  def normalised(h, scaling):
    own = [h.mean(axis=0), h.var(axis=0)]
    mean, var = own if statistics is None else statistics[len(found)]
    found.append(own)
    return (h - mean) / np.sqrt(var + 1e-5) * scaling["scale"] + scaling["bias"]

  leaky, relu = lambda h: np.where(h > 0, h, 0.2 * h), lambda h: np.maximum(h, 0)
  h = leaky(x @ encoder["Dense_0"]["kernel"] + encoder["Dense_0"]["bias"])
  h = leaky(normalised(h @ encoder["Dense_1"]["kernel"], encoder["BatchNorm_0"]))
  h = h @ encoder["Dense_2"]["kernel"] + encoder["Dense_2"]["bias"]
  for i in range(2):
    h = relu(normalised(h @ decoder[f"Dense_{i}"]["kernel"], decoder[f"BatchNorm_{i}"]))
  return h @ decoder["Dense_2"]["kernel"] + decoder["Dense_2"]["bias"], found


def test_began_s_autoencoder_is_normalised_by_batches_in_training_and_for_itself_out_of_it():
  model = model_of(
    loss="began", began=gan.Began(code=2), critic=c(hidden=(4, 3), norm="batch"),
    critic_optimizer=STILL, generator_optimizer=STILL,
  )  # fmt: skip
  batch = batch_of() | {"mask": jnp.arange(B) < 6}
  state = start(model, batch)
  x = np.asarray(batch["x"][:6], np.float64)
  after, metrics = step(model, state, batch)
  made, statistics = restored(state["params"]["critic"], x)
  np.testing.assert_allclose(metrics["critic_on_real"], abs(made - x).mean(), rtol=1e-4)

  # The average's first update: a tenth of what it began with, mean 0 and variance 1.
  running = after["mutable"]["critic"]["running"]
  found = [
    [running[net]["batch_stats"][name][v] for v in ("mean", "var")]
    for net, name in (
      ("encoder", "BatchNorm_0"), ("decoder", "BatchNorm_0"), ("decoder", "BatchNorm_1")
    )
  ]  # fmt: skip
  for now, (mean, var) in zip(found, statistics, strict=True):
    np.testing.assert_allclose(now[0], 0.9 * mean, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(now[1], 0.9 * var + 0.1, rtol=1e-4, atol=1e-6)

  # Out of training an error is its example's own, whatever else is in the batch.
  keys = jax.random.split(jax.random.key(5), B)
  a = model.evaluate(after, batch, keys)
  made, _ = restored(after["params"]["critic"], x, found)
  np.testing.assert_allclose(a["critic_on_real"][:6], abs(made - x).mean(axis=1), rtol=1e-4)
  other = model.evaluate(after, batch | {"x": batch["x"].at[1:].set(1e3)}, keys)
  for name in ("critic_on_real", "critic_on_fake", "generator_loss"):
    np.testing.assert_allclose(a[name][0], other[name][0], rtol=1e-6)


def test_running_statistics_are_those_of_the_averaged_generator():
  model = model_of(generator_optimizer=STILL, ema=0.5)
  batch = batch_of(size=64)
  state = start(model, batch)
  doubled = jax.tree.map(lambda p: 2 * p, state["params"]["generator"])
  own = {**state["mutable"]["generator"], "updates": jnp.int32(10**6)}  # behind the ramps
  state = {**state, "updates": {"generator": jnp.int32(10**6)}}
  state["mutable"] = {**state["mutable"], "generator": own}
  stacked = jax.tree.map(lambda a: jnp.stack([a] * model.microbatches), batch)

  @jax.jit
  def run(state):
    def body(i, state):
      key = jax.random.fold_in(jax.random.key(3), i)
      return model.update({**state, "ema": {"generator": doubled}}, stacked, key, i)[0]

    return jax.lax.fori_loop(0, 600, body, state)

  stats = run(state)["mutable"]["generator"]["batch_stats"]["BatchNorm_0"]
  # Each round begins at twice the parameters and ends at 2 - 0.5 (2 - 1) = 1.5 times them, and
  # with z ~ N(0, I) an activation <v, z> has mean 0 and variance |v|^2.
  v = 1.5 * np.asarray(state["params"]["generator"]["Dense_0"]["kernel"], np.float64)
  spread = np.sum(v**2, axis=0)
  np.testing.assert_allclose(stats["mean"] / spread**0.5, 0, atol=0.06)
  np.testing.assert_allclose(stats["var"] / spread, 1, atol=0.1)


def weights(params, name="Dense_0"):
  return np.asarray(params["critic"][name]["kernel"], np.float64)


@pytest.mark.parametrize("packing", [2, 4])
def test_a_packed_linear_critic_sees_the_examples_of_a_pack_side_by_side(packing):
  # l_D = D(y) - D(x) with D linear: the gradient of the j-th block of weights is the mean fake less
  # the mean of the examples j, m + j, 2 m + j, ... of the batch.
  model = model_of(**LINEAR, packing=packing)
  batch = batch_of()
  state = start(model, batch)
  w = weights(state["params"])
  assert w.shape == (2 * packing, 1)
  after, metrics = step(model, state, batch)
  moved = (w - weights(after["params"])) / 0.1
  x = np.asarray(batch["x"])
  blocks = np.concatenate([x[j::packing].mean(axis=0) for j in range(packing)])
  fake = moved[:, 0] + blocks
  np.testing.assert_allclose(blocks @ w[:, 0], metrics["critic_on_real"], rtol=1e-3)
  np.testing.assert_allclose(fake @ w[:, 0], metrics["critic_on_fake"], rtol=1e-3)


def test_packs_with_padding_are_left_out_whole():
  model = model_of(loss="ns", packing=2, conditional=True)
  batch = batch_of() | {"mask": jnp.arange(B) < 5}  # the third pack is half padding
  garbage = batch | {"x": batch["x"].at[5:].set(1e3)}
  state = start(model, batch)
  a, b = step(model, state, batch), step(model, state, garbage)
  for p, q in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
    np.testing.assert_array_equal(p, q)
  # Four examples are two whole packs: the fifth is in the batch for the generator only.
  fifth = batch | {"x": batch["x"].at[4].set(1e3)}
  np.testing.assert_array_equal(step(model, state, fifth)[1]["critic_on_real"],
                                a[1]["critic_on_real"])  # fmt: skip


def test_packing_refuses_a_batch_that_it_does_not_divide():
  model = model_of(packing=3)
  state = start(model, batch_of())
  with pytest.raises(UserError, match="model.packing=3 must divide the batch, which has 8"):
    step(model, state, batch_of())


def test_a_packed_critic_is_evaluated_on_each_example_and_those_that_follow():
  model = model_of(loss="wgan", critic=NO_HIDDEN, packing=2)
  state, batch = start(model, batch_of()), batch_of()
  w = weights(state["params"])[:, 0]
  terms = model.evaluate(state, batch, fold_each(jax.random.key(5), jnp.arange(B)))
  x = np.asarray(batch["x"], np.float64)
  np.testing.assert_allclose(
    terms["critic_on_real"], x @ w[:2] + np.roll(x, -1, axis=0) @ w[2:], rtol=1e-4, atol=1e-5
  )
  again = model.evaluate(state, batch, fold_each(jax.random.key(5), jnp.arange(B)))
  np.testing.assert_array_equal(terms["critic_on_fake"], again["critic_on_fake"])
  assert len(set(np.asarray(terms["critic_on_fake"]).tolist())) == B


def test_the_projection_adds_an_inner_product_of_the_label_and_the_features():
  # Without hidden layers the features are x: D(x, c) = <w, x> + <V c, x>.
  model = model_of(loss="wgan", critic=c(hidden=(), projection=True), conditional=True)
  state, batch = start(model, batch_of()), batch_of()
  critic = state["params"]["critic"]
  w, v = (np.asarray(critic[f"Dense_{i}"]["kernel"], np.float64) for i in range(2))
  assert w.shape == (2, 1) and v.shape == (3, 2)
  terms = model.evaluate(state, batch, fold_each(jax.random.key(5), jnp.arange(B)))
  x = np.asarray(batch["x"], np.float64)
  exact = x @ w[:, 0] + (v[batch["label"]] * x).sum(axis=1)
  np.testing.assert_allclose(terms["critic_on_real"], exact, rtol=1e-4, atol=1e-5)


def test_spectral_norms_go_on_in_the_critic_s_turns_only():
  model = model_of(loss="wgan", critic=c(hidden=(), spectral=True), n_critic=1)
  state = start(model, batch_of())
  own = lambda state: state["mutable"]["critic"]["batch_stats"]["SpectralNorm_0"]
  sigma = lambda state: float(own(state)["Dense_0/kernel/sigma"])
  w = np.asarray(state["params"]["critic"]["Dense_0"]["kernel"])
  after, metrics = step(model, state, batch_of())
  # A vector's only singular value is its norm, and one iteration finds it.
  np.testing.assert_allclose(sigma(after), np.linalg.norm(w), rtol=1e-5)
  unit = w[:, 0] / np.linalg.norm(w)
  np.testing.assert_allclose(
    metrics["critic_on_real"], (np.asarray(batch_of()["x"]) @ unit).mean(), rtol=1e-3, atol=1e-5
  )
  # The gradient goes through the norm: with respect to a weight along itself it is 0.
  moved = np.asarray(after["params"]["critic"]["Dense_0"]["kernel"]) - w
  np.testing.assert_allclose((moved * w).sum(), 0, atol=1e-6)
  assert np.abs(moved).max() > 1e-3
  keys = fold_each(jax.random.key(5), jnp.arange(B))
  steep = {**after, "params": {**after["params"], "critic": jax.tree.map(lambda p: 100 * p, after["params"]["critic"])}}  # fmt: skip  # noqa: E501
  a, b = (model.evaluate(s, batch_of(), keys)["critic_on_real"] for s in (after, steep))
  np.testing.assert_allclose(a, b, rtol=1e-4)


def test_the_spectral_norm_of_a_layer_is_its_largest_singular_value():
  model = model_of(
    loss="hinge", critic=c(spectral=True), critic_optimizer=STILL, generator_optimizer=STILL
  )
  state, norms = start(model, batch_of()), None
  stacked = jax.tree.map(lambda a: jnp.stack([a] * model.microbatches), batch_of())
  update = jax.jit(model.update)
  for i in range(60):
    state, _ = update(state, stacked, jax.random.key(i), jnp.int32(0))
  norms = state["mutable"]["critic"]["batch_stats"]
  for i in range(2):
    kernel = state["params"]["critic"][f"Dense_{i}"]["kernel"]
    found = norms[f"SpectralNorm_{i}"][f"Dense_{i}/kernel/sigma"]
    np.testing.assert_allclose(found, np.linalg.svd(kernel)[1][0], rtol=1e-3)


def test_simultaneous_players_both_see_what_was():
  # Critic <w, x> and generator with an output bias: neither gradient knows of the other's move.
  model = model_of(loss="wgan", critic=NO_HIDDEN, order="simultaneous")
  assert model.microbatches == 1
  state = start(model, batch_of())
  w = weights(state["params"])
  after, _ = step(model, state, batch_of())
  bias = after["params"]["generator"]["Dense_1"]["bias"]
  np.testing.assert_allclose(bias, 0.1 * w[:, 0], rtol=1e-4)  # the old weights, not the new ones


def test_the_opening_is_a_stage_whose_state_goes_on():
  opening = gan.Opening(n_critic=12, rounds=2)
  program = gan.build(PLANE, **{**SMALL, "loss": "wgan", "n_critic": 2, "opening": opening})
  first, second = program.stages
  assert (first.steps, first.model.microbatches) == (2, 13)
  assert (second.steps, second.model.microbatches) == (None, 3)
  state, _ = step(first.model, start(first.model, batch_of()), batch_of())
  carried = jax.jit(second.carry)([state], start(second.model, batch_of(1)))
  jax.tree.map(np.testing.assert_array_equal, carried, state)
  after, _ = step(second.model, carried, batch_of())
  moved = jax.tree.map(lambda a, b: jnp.any(a != b), after["params"], state["params"])
  assert any(jax.tree.leaves(moved))
  keys = lambda: fold_each(jax.random.key(5), jnp.arange(4))
  np.testing.assert_array_equal(
    program.model.sample([state, after], keys()), second.model.sample(after, keys())
  )


@pytest.mark.slow
def test_a_run_with_an_opening_resumes_in_either_stage(tmp_path):
  built = build("gan:tiny_wgan", {"train": {"checkpoint_every": 2}})

  def run(folder, stop_at=None):
    folder.mkdir(exist_ok=True)
    stop = lambda step: step == stop_at and signals.signal.raise_signal(signals.signal.SIGTERM)
    return loop.train(
      built.program, built.source, built.experiment, mesh=one_device(), workdir=folder,
      on_step=stop,
    )  # fmt: skip

  whole = run(tmp_path / "whole")
  for stop_at in (2, 5):
    with pytest.raises(signals.Stopped):
      run(tmp_path / "halves", stop_at)
  resumed = run(tmp_path / "halves")
  assert whole.step == 8 and whole.compilations == [1, 1]
  jax.tree.map(np.testing.assert_array_equal, whole.states, resumed.states)


@pytest.mark.parametrize("noise,variance", [("normal", 1.0), ("uniform", 1 / 3)])
def test_samples_are_decoded_draws_of_the_prior_by_the_average(noise, variance):
  model = model_of(noise=noise, ema=0.9)
  state = start(model, batch_of())
  keys = lambda n=4: fold_each(jax.random.key(5), jnp.arange(n))
  z = model.prior(state, keys(4000))
  np.testing.assert_allclose(z.mean(axis=0), 0, atol=0.08)
  np.testing.assert_allclose(z.var(axis=0), variance, rtol=0.1)
  x = model.sample(state, keys())
  np.testing.assert_array_equal(x, model.decode(state, model.prior(state, keys())))
  assert x.shape == (4, 2) and x.dtype == jnp.float32
  moved = jax.tree.map(lambda p: p + 1, state["params"]["generator"])
  unaveraged = {**state, "params": {**state["params"], "generator": moved}}
  np.testing.assert_array_equal(model.sample(unaveraged, keys()), x)
  averaged = {**state, "ema": {"generator": moved}}
  assert not np.allclose(model.sample(averaged, keys()), x)


def test_images_are_whole_grey_levels():
  spec = Spec.of((8, 8, 1), 17)
  nets = {"generator": g(widths=(4, 3)), "critic": c(widths=(3,))}
  model = gan.build(spec, **{**SMALL, **nets}).stages[0].model
  batch = {"x": jnp.asarray(np.random.default_rng(0).integers(17, size=(2, 8, 8, 1)), jnp.uint8)}
  state = start(model, batch)
  big = jax.tree.map(lambda p: 30 * p, state["ema"])
  x = model.sample({**state, "ema": big}, fold_each(jax.random.key(5), jnp.arange(6)))
  assert x.shape == (6, 8, 8, 1) and x.dtype == jnp.uint8
  assert x.min() == 0 and x.max() == 16


def test_the_label_reaches_both_players():
  model = model_of(conditional=True)
  state, batch = start(model, batch_of()), batch_of()
  other = batch | {"label": (batch["label"] + 1) % 3}
  keys = lambda: fold_each(jax.random.key(5), jnp.arange(B))
  assert model.cond == ("label",)
  a, b = (model.evaluate(state, v, keys()) for v in (batch, other))
  assert a["critic_on_real"].shape == (B,) and (a["critic_on_real"] != b["critic_on_real"]).all()
  x, y = (model.sample(state, keys(), {"label": v["label"]}) for v in (batch, other))
  assert (x != y).any(axis=1).all()


@pytest.mark.parametrize(
  "kwargs,message",
  [
    (dict(penalties=Penalties(r1=1.0), clip=0.1), "model.penalties (r1) take the place"),
    (dict(loss="began", penalties=Penalties(drift=1.0)), "model.loss=began has none"),
    (dict(loss="began", critic=c(maxout=2)), "autoencoder"),
    (dict(loss="began", critic=c(spectral=True)), "autoencoder"),
    (dict(loss="began", critic=c(norm="layer")), "autoencoder"),
    (dict(critic=c(norm="batch"), penalties=Penalties(r1=1.0)), "model.critic.norm=batch lets a"),
    (dict(critic=c(norm="batch", spectral=True)), "spectral takes the place of norm=batch"),
    (dict(critic=c(norm="batch"), loss="ns", unroll=2, clip=0.1), "model.unroll is of a critic"),
    (dict(unroll=2, critic_optimizer=Optimizer(name="rmsprop")), "give adam or sgd"),
    (dict(unroll=2, critic_optimizer=Optimizer(name="muon")), "give adam or sgd"),
    (dict(critic=c(blocks="fixup", widths=(4,))), "model.critic.blocks=fixup has initial weights"),
    (dict(critic=c(blocks="bottleneck")), "model.critic.blocks=bottleneck is of convolutions"),
    (dict(critic=c(depth=(1,))), "model.critic.depth is of blocks=bottleneck or fixup"),
    (dict(critic=c(cardinality=2)), "model.critic.cardinality is of blocks=fixup"),
    (dict(critic=c(activation="gated", maxout=2)), "takes the place of activation=gated"),
    (dict(loss="began", critic=c(minibatch=players.Minibatch("deviation"))), "autoencoder"),
    (dict(critic=c(projection=True)), "set model.conditional=True"),
    (dict(generator=g(widths=(4,))), "model.generator.widths halve an image"),
    (dict(critic=c(widths=(4,))), "the data have shape (2,)"),
    (dict(critic=c(blocks="residual")), "model.critic.blocks=residual is of convolutions"),
    (dict(order="simultaneous", n_critic=2), "one turn of both"),
    (dict(order="simultaneous", opening=gan.Opening(n_critic=2)), "one turn of both"),
    # Ranges, as the signature has them.
    (dict(loss="wgan-gp"), "model.loss must be one of mm, ns, wgan, ls, hinge, rp, began"),
    (dict(penalties=Penalties(r1=-1.0)), "model.penalties.r1 must be 0 or more"),
    (dict(n_critic=0), "model.n_critic must be 1 or more, not 0"),
    (dict(clip=-1.0), "model.clip must be 0 or more"),
    (dict(ema=1.0), "model.ema must be in [0, 1)"),
    (dict(critic=c(hidden=(0,))), "model.critic.hidden[0] must be 1 or more"),
    (dict(began=gan.Began(gamma=0.0)), "model.began.gamma must be in (0, 1]"),
    (dict(packing=0), "model.packing must be 1 or more"),
    (dict(opening=gan.Opening(n_critic=-1)), "model.opening.n_critic must be 0 or more"),
    (dict(critic_optimizer=Optimizer(b1=2.0)), "model.critic_optimizer.b1 must be in [0, 1)"),
  ],
)
def test_what_cannot_be_is_refused(kwargs, message):
  with pytest.raises(UserError, match=re.escape(message)):
    model_of(**kwargs)


def test_a_conditional_model_without_a_condition_is_refused_in_one_line():
  model = model_of(conditional=True)
  state, keys = start(model, batch_of()), fold_each(jax.random.key(5), jnp.arange(B))
  unlabelled = {"x": batch_of()["x"]}
  for use in (
    lambda: model.sample(state, keys, None),
    lambda: model.sample(state, keys),
    lambda: model.decode(state, model.prior(state, keys, None), {}),
    lambda: model.evaluate(state, unlabelled, keys),
    lambda: model.init(jax.random.key(0), unlabelled),
  ):
    with pytest.raises(UserError, match=r"^this model is conditioned on label: give cond="):
      use()


def test_labels_that_the_data_lack_are_refused():
  with pytest.raises(UserError, match="these data have none"):
    gan.build(Spec.of((2,)), **SMALL, conditional=True)


@pytest.mark.parametrize(
  "kwargs",
  [
    dict(loss="wgan", penalties=Penalties(wgan_gp=10.0), critic=c(norm="layer")),
    dict(loss="hinge", critic=c(spectral=True, projection=True), conditional=True),
  ],
)
def test_residual_players_both_learn(kwargs):
  spec = Spec.of((8, 8, 1), 17, 3)
  blocks = dict(widths=(4,), blocks="residual", activation="relu")
  nets = {"generator": g(**blocks), "critic": dataclasses.replace(kwargs["critic"], **blocks)}
  model = gan.build(spec, **{**SMALL, **kwargs, **nets}).model
  x = np.random.default_rng(0).integers(0, 17, (B, 8, 8, 1), np.uint8)
  batch = batch_of() | {"x": jnp.asarray(x), "label": jnp.arange(B) % 3}
  before = start(model, batch)
  after, metrics = step(model, before, batch)
  assert all(jnp.isfinite(v) for v in metrics.values())
  moved = jax.tree.map(lambda a, b: bool((a != b).any()), before["params"], after["params"])
  assert any(jax.tree.leaves(moved["generator"])) and any(jax.tree.leaves(moved["critic"]))
  if kwargs["critic"].spectral:
    norms = after["mutable"]["critic"]["batch_stats"]
    # Three layers of the block, two of each plain one, hidden, logit, projection.
    assert len(norms) == 10


def test_learning_on_the_duality_gap():
  """The losses are the zero-sum value against each rival, which more steps make worse."""
  found = {}
  for steps in (1, 30):
    duality = gan.Duality(steps, Optimizer(name="sgd", learning_rate=0.05, b1=0.0))
    model = model_of(loss="mm", order="simultaneous", duality=duality)
    state = model.init(jax.random.key(0), batch_of(size=256))
    batch = jax.tree.map(lambda leaf: leaf[None], batch_of(size=256))
    _, metrics = jax.jit(model.update)(state, batch, jax.random.key(1), 0)
    found[steps] = float(metrics["critic_loss"] + metrics["generator_loss"])
  assert found[30] > found[1] + 0.05


@pytest.mark.slow
def test_on_the_duality_gap_three_seeds_find_three_gaussians_on_a_line():
  """Modes at -1, 0 and 1, of deviation 0.1, and players of Grnarova et al. 2019's code."""
  deep = dict(hidden=(100,) * 3, norm="none")
  adam = Optimizer(learning_rate=1e-3, b1=0.9)
  program = gan.build(
    Spec.of((1,)), loss="mm", order="simultaneous", latent=10, init_std=0.0, ema=0.0,
    generator=gan.GeneratorNet((), **deep), critic=gan.CriticNet((), maxout=0, **deep),
    critic_optimizer=adam, generator_optimizer=adam,
    duality=gan.Duality(10, Optimizer(learning_rate=1e-3)),
  )  # fmt: skip
  model, n = replicas(program.stages[0].model, 3), 100
  centres = jnp.array([[-1.0], [0.0], [1.0]])

  def draw(key):
    mode, noise = jax.random.split(key)
    x = centres[jax.random.randint(mode, (model.microbatches, n), 0, 3)]
    return {"x": x + 0.1 * jax.random.normal(noise, x.shape), "mask": jnp.ones(x.shape[:2], bool)}

  def update(state, step):
    data, key = jax.random.split(jax.random.fold_in(jax.random.key(1), step))
    return model.update(state, draw(data), key, step)

  state = model.init(jax.random.key(0), jax.tree.map(lambda v: v[0], draw(jax.random.key(2))))
  state, metrics = jax.jit(lambda s: jax.lax.scan(update, s, jnp.arange(2000)))(state)
  gap = np.asarray(metrics["critic_loss"] + metrics["generator_loss"])
  assert gap[-100:].mean() < 0.05 * gap[:100].max()
  keys = jax.random.split(jax.random.key(3), 2500)
  for seed in range(3):
    own = jax.tree.map(lambda leaf, seed=seed: leaf[seed], state)
    found = mode_coverage(np.asarray(program.model.sample([own], keys)), np.asarray(centres), 0.1)
    assert found.modes_covered == 3 and found.reverse_kl < 0.02, found


@pytest.mark.parametrize(
  "changes, words",
  [
    ({"order": "alternating"}, "is of model.order=simultaneous"),
    ({"penalties": Penalties(r1=1.0)}, "a loss of logits alone"),
    ({"critic": gan.CriticNet((), (4,), spectral=True)}, "a loss of logits alone"),
  ],
)
def test_the_duality_gap_refuses_what_it_has_no_use_for(changes, words):
  with pytest.raises(UserError, match=words):
    model_of(**{"order": "simultaneous", "duality": gan.Duality(3), **changes})


def test_a_logit_critic_is_normalised_by_batches_in_training_and_for_itself_out_of_it():
  """Real examples and fakes each by their own batch; running statistics are of real ones."""
  model = model_of(
    loss="wgan", critic=c(hidden=(4, 3), norm="batch"), order="simultaneous",
    critic_optimizer=STILL, generator_optimizer=STILL,
  )  # fmt: skip
  batch = batch_of() | {"mask": jnp.arange(B) < 6}
  state = start(model, batch)
  judge = jax.tree.map(lambda v: np.asarray(v, np.float64), state["params"]["critic"])
  leaky = lambda h: np.where(h > 0, h, 0.2 * h)
  x = np.asarray(batch["x"][:6], np.float64)
  h = leaky(x @ judge["Dense_0"]["kernel"]) @ judge["Dense_1"]["kernel"]
  logits = lambda mean, var: leaky((h - mean) / np.sqrt(var + 1e-5)) @ judge["Dense_2"]["kernel"]
  mean, var = h.mean(axis=0), h.var(axis=0)
  after, metrics = step(model, state, batch)
  np.testing.assert_allclose(metrics["critic_on_real"], logits(mean, var).mean(), rtol=1e-3)
  # The average's first update: a tenth of what it began with, mean 0 and variance 1.
  mean, var = 0.9 * mean, 0.9 * var + 0.1
  found = after["mutable"]["critic"]["batch_stats"]["BatchNorm_0"]
  np.testing.assert_allclose(found["mean"], mean, rtol=1e-4, atol=1e-6)
  np.testing.assert_allclose(found["var"], var, rtol=1e-4, atol=1e-6)
  keys = jax.random.split(jax.random.key(5), B)
  terms = model.evaluate(after, batch, keys)
  np.testing.assert_allclose(
    terms["critic_on_real"][:6], logits(mean, var)[:, 0], rtol=1e-3, atol=1e-5
  )


def test_an_unrolled_generator_descends_what_the_critic_will_be():
  """WGAN's linear critic: w_K = w + K eta (E x - E y), and the loss -<w_K, E y'> has by the output
  bias the gradient -w_K + K eta E y', of another draw y'."""
  steps, eta = 3, 0.1
  model = model_of(loss="wgan", critic=NO_HIDDEN, order="simultaneous", unroll=steps)
  state, batch = start(model, batch_of()), batch_of()
  state["params"]["generator"] = jax.tree.map(jnp.zeros_like, state["params"]["generator"])
  made = np.array([0.5, -0.2])  # all that it makes is its bias
  state["params"]["generator"]["Dense_1"]["bias"] = jnp.asarray(made, jnp.float32)
  w = weights(state["params"])[:, 0]
  after, metrics = step(model, state, batch)
  ahead = w + steps * eta * (np.asarray(batch["x"], np.float64).mean(axis=0) - made)
  np.testing.assert_allclose(metrics["generator_loss"], -ahead @ made, rtol=1e-4)
  moved = np.asarray(after["params"]["generator"]["Dense_1"]["bias"]) - made
  np.testing.assert_allclose(moved, 0.1 * (ahead - steps * eta * made), rtol=1e-3, atol=1e-6)


def test_groups_that_do_not_divide_a_batch_are_refused():
  model = model_of(critic=c(minibatch=players.Minibatch("deviation", 3)))
  with pytest.raises(UserError, match=r"model.critic.minibatch.size=3 must divide the batch"):
    step(model, start(model, batch_of()), batch_of())
