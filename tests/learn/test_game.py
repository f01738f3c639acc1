"""Games whose every iterate is known."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gen_jax.core import Model, UserError, single
from gen_jax.learn.game import Player, averaged, game, minimise

RATE = 0.3


def sgd(rate=RATE):
  return optax.sgd(rate)


def init_of(**params):
  """init of players with those parameters and nothing else."""

  def init(key, batch):
    return {k: jnp.asarray(v, jnp.float32) for k, v in params.items()}, {k: {} for k in params}

  return init


def start(model):
  return model.init(jax.random.key(0), {})


def batch_of(*values):
  """Microbatches of one example each."""
  return {"v": jnp.asarray(values, jnp.float32)[:, None]}


def play(model, rounds, batch=None):
  """Parameters after each round: {player: [rounds]}, from the start."""
  batch = batch_of(*[0.0] * model.microbatches) if batch is None else batch
  body = lambda state, step: (model.update(state, batch, jax.random.key(1), step)[0],) * 2
  _, states = jax.jit(lambda s: jax.lax.scan(body, s, jnp.arange(rounds)))(start(model))
  return {name: np.asarray(value) for name, value in states["params"].items()}


def test_minimise_is_the_gradient_of_least_squares():
  rng = np.random.default_rng(0)
  x, y = rng.normal(size=(8, 3)), rng.normal(size=8)
  w, other = rng.normal(size=3), rng.normal(size=3)
  mask = np.arange(8) < 6
  x[6:] = 1e3  # whatever stands in the padding

  def loss(params, mutable, batch, key, step):
    residual = batch["x"] @ (params["own"] - params["other"]) - batch["y"]
    return residual**2, ("mine", {"error": jnp.abs(residual), "step": step})

  batch = {"x": jnp.asarray(x), "y": jnp.asarray(y), "mask": jnp.asarray(mask)}
  params = {"own": jnp.asarray(w), "other": jnp.asarray(other)}
  direction = minimise("own", loss)
  gradient, (mutable, metrics, value) = direction(
    params, {}, batch, jax.random.key(0), jnp.float32(3)
  )
  x, residual = x[:6], x[:6] @ (w - other) - y[:6]
  np.testing.assert_allclose(gradient, 2 * x.T @ residual / 6, rtol=1e-5)  # the normal equations
  np.testing.assert_allclose(value, np.mean(residual**2), rtol=1e-5)
  np.testing.assert_allclose(metrics["error"], np.mean(np.abs(residual)), rtol=1e-5)
  assert metrics["step"] == 3 and mutable == "mine"


@pytest.mark.parametrize("rows", [8, 6])
def test_accumulated_gradients_are_those_of_the_whole_batch(rows):
  """Whatever the parts: means over examples, those of the padding left out."""
  rng = np.random.default_rng(0)
  x = jnp.asarray(rng.normal(size=(8, 3)))
  mask = np.arange(8) < rows

  def loss(params, mutable, batch, key, step):
    error = (batch["x"] @ params["own"]) ** 2
    return error, (mutable["own"] + 1, {"error": error, "half": error.mean() / 2})

  args = {"own": jnp.ones(3)}, {"own": 0}, {"x": x, "mask": jnp.asarray(mask)}
  whole, (_, metrics, value) = minimise("own", loss)(*args, jax.random.key(0), 0)
  for parts in (2, 4, 8):
    direction = jax.jit(minimise("own", loss, parts))
    gradient, (passed, means, mean) = direction(*args, jax.random.key(0), 0)
    np.testing.assert_allclose(gradient, whole, rtol=1e-5)
    np.testing.assert_allclose(mean, value, rtol=1e-5)
    np.testing.assert_allclose(means["error"], metrics["error"], rtol=1e-5)
    assert passed == parts


def test_accumulated_parts_have_keys_of_their_own_and_take_less_memory():
  def loss(params, mutable, batch, key, step):
    noise = jax.random.normal(key, ())
    h = jnp.tanh(batch["x"] @ params["own"])
    for _ in range(8):
      h = jnp.tanh(h @ params["own"])
    return h.sum(-1) + noise, (mutable["own"], {"noise": noise, "squared": noise**2})

  args = {"own": jnp.eye(64)}, {"own": {}}, {"x": jnp.ones((512, 64))}, jax.random.key(0), 0
  _, (_, metrics, _) = minimise("own", loss, 4)(*args)
  assert metrics["squared"] > metrics["noise"] ** 2 + 1e-3  # not four times the same draw
  memory = [
    jax.jit(minimise("own", loss, n)).lower(*args).compile().memory_analysis().temp_size_in_bytes
    for n in (1, 8)
  ]
  assert memory[1] < memory[0] / 3


def test_a_batch_that_cannot_be_parted_is_refused():
  loss = lambda params, mutable, batch, key, step: (batch["x"] * params["own"], ({}, {}))
  with pytest.raises(UserError, match="accumulate=3 must divide the batch, which has 8"):
    minimise("own", loss, 3)({"own": 1.0}, {"own": {}}, {"x": jnp.ones(8)}, jax.random.key(0), 0)


def test_minimise_equals_jax_grad_where_the_loss_is_a_scalar():
  loss = lambda params, mutable, batch, key, step: (
    jnp.sum(jnp.sin(params["own"]) * params["other"]), ({}, {}),
  )  # fmt: skip
  own, other = jnp.array([0.1, 2.0]), jnp.array([1.5, -1.0])
  arguments = ({"own": own, "other": other}, {}, {"mask": jnp.array([True])}, None, 0)
  gradient, _ = minimise("own", loss)(*arguments)
  expected = jax.grad(lambda own: loss({"own": own, "other": other}, {}, {}, None, 0)[0])(own)
  np.testing.assert_array_equal(gradient, expected)


def bilinear(order):
  """min over a, max over b of a b."""
  players = {
    "a": Player(minimise("a", lambda p, m, batch, k, s: (p["a"] * p["b"], ({}, {}))), sgd()),
    "b": Player(minimise("b", lambda p, m, batch, k, s: (-p["a"] * p["b"], ({}, {}))), sgd()),
  }
  return game(players, init_of(a=1.0, b=0.5), order=order, evaluate=None)


def test_simultaneous_play_of_the_bilinear_game_spirals_outwards():
  # z = a + i b is multiplied by 1 + i rate.
  path = play(bilinear("simultaneous"), 12)
  z = (1 + 0.5j) * (1 + 1j * RATE) ** np.arange(1, 13)
  np.testing.assert_allclose(path["a"] + 1j * path["b"], z, rtol=1e-5)


def test_alternating_play_of_the_bilinear_game_stays_on_an_ellipse():
  # One round has determinant 1 and trace 2 - rate^2 = 2 cos(theta), so that its k-th power is a
  # combination of itself and the identity with Chebyshev's coefficients.
  path = play(bilinear((("a", 1), ("b", 1))), 40)
  a1, b1 = 1 - RATE * 0.5, 0.5 + RATE * (1 - RATE * 0.5)
  theta, k = np.arccos(1 - RATE**2 / 2), np.arange(1, 41)
  u, v = np.sin(k * theta) / np.sin(theta), np.sin((k - 1) * theta) / np.sin(theta)
  np.testing.assert_allclose(path["a"], u * a1 - v * 1.0, atol=2e-5)
  np.testing.assert_allclose(path["b"], u * b1 - v * 0.5, atol=2e-5)


def test_players_take_turns_each_on_its_own_microbatch():
  # A loss that is linear moves a player by the microbatches that it saw, and by no other.
  loss = lambda name: lambda p, m, batch, k, s: (
    p[name] * batch["v"], ({}, {f"seen_by_{name}": batch["v"]}),
  )  # fmt: skip
  players = {name: Player(minimise(name, loss(name)), sgd(1.0)) for name in "ab"}
  model = game(players, init_of(a=0.0, b=0.0), order=(("a", 2), ("b", 1)), evaluate=None)
  assert model.microbatches == 3
  batch = batch_of(1.0, 10.0, 100.0)
  state, metrics = model.update(start(model), batch, jax.random.key(0), 0)
  assert (float(state["params"]["a"]), float(state["params"]["b"])) == (-11.0, -100.0)
  assert (metrics["seen_by_a"], metrics["seen_by_b"]) == (10.0, 100.0)  # of the last turn of each
  at_once = game(players, init_of(a=0.0, b=0.0), evaluate=None)
  assert at_once.microbatches == 1
  state, _ = at_once.update(start(at_once), batch_of(1.0), jax.random.key(0), 0)
  assert (float(state["params"]["a"]), float(state["params"]["b"])) == (-1.0, -1.0)


def test_every_turn_and_player_has_a_key_of_its_own():
  def remember(name):
    def loss(params, mutable, batch, key, step):
      bits = jax.random.bits(key, (), "uint32")
      return params[name], ({"seen": jnp.append(mutable[name]["seen"][1:], bits)}, {})

    return loss

  def init(key, batch):
    seen = {"seen": jnp.zeros(2, jnp.uint32)}
    return {"a": jnp.float32(0), "b": jnp.float32(0)}, {"a": seen, "b": seen}

  players = {name: Player(minimise(name, remember(name)), sgd()) for name in "ab"}
  found = []
  for order in ((("a", 2), ("b", 2)), "simultaneous"):
    model = game(players, init, order=order, evaluate=None)
    batch = batch_of(*[0.0] * model.microbatches)
    state, _ = jax.jit(model.update)(start(model), batch, jax.random.key(0), 0)
    bits = np.concatenate([state["mutable"][name]["seen"] for name in "ab"])
    found.append(bits[bits != 0])
  assert [len(set(bits.tolist())) for bits in found] == [4, 2]


def test_many_turns_in_a_loop_are_the_turns_one_by_one(monkeypatch):
  loss = lambda name: lambda p, m, batch, k, s: (
    (p[name] - batch["v"]) ** 2 * jax.random.uniform(k), ({"n": m[name]["n"] + 1}, {})
  )  # fmt: skip
  init = lambda key, batch: (
    {"a": jnp.float32(0), "b": jnp.float32(0)}, {name: {"n": jnp.int32(0)} for name in "ab"},
  )  # fmt: skip
  players = {name: Player(minimise(name, loss(name)), sgd()) for name in "ab"}
  model = game(players, init, order=(("a", 5), ("b", 1), ("a", 4)), evaluate=None)
  batch = batch_of(*np.arange(10.0))
  found = []
  for most in (10, 2):
    monkeypatch.setattr("gen_jax.learn.game.UNROLLED", most)
    update = jax.jit(lambda *args: model.update(*args))
    found.append(update(start(model), batch, jax.random.key(0), 0))
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), *found)
  assert found[0][0]["mutable"]["a"]["n"] == 9


def test_metrics_carry_the_players_names_where_there_are_several():
  loss = lambda name: lambda p, m, batch, k, s: (
    jnp.sum(p[name] ** 2) / 2, ({}, {f"size_of_{name}": jnp.float32(p[name].size)}),
  )  # fmt: skip
  players = {name: Player(minimise(name, loss(name)), sgd()) for name in "ab"}
  both = game(players, init_of(a=[3.0, 4.0], b=[2.0]), evaluate=None)
  _, metrics = both.update(start(both), batch_of(0.0), jax.random.key(0), 0)
  assert {k: float(v) for k, v in metrics.items()} == {
    "a_loss": 12.5, "a_gradient_norm": 5.0, "size_of_a": 2.0,
    "b_loss": 2.0, "b_gradient_norm": 2.0, "size_of_b": 1.0,
  }  # fmt: skip
  alone = game({"a": players["a"]}, init_of(a=[3.0, 4.0]), evaluate=None)
  _, metrics = alone.update(start(alone), batch_of(0.0), jax.random.key(0), 0)
  assert set(metrics) == {"loss", "gradient_norm", "size_of_a"}


def test_only_named_players_are_averaged():
  loss = lambda name: lambda p, m, batch, k, s: (p[name], ({}, {}))
  players = {name: Player(minimise(name, loss(name)), sgd(1.0)) for name in "ab"}
  model = game(players, init_of(a=0.0, b=0.0), ema={"b": 0.5}, evaluate=None)
  state = start(model)
  assert set(state["ema"]) == set(state["updates"]) == {"b"}
  state, _ = model.update({**state, "updates": {"b": 1000}}, batch_of(0.0), jax.random.key(0), 0)
  assert state["updates"] == {"b": 1001}
  assert state["params"]["b"] == -1.0
  assert averaged(state, "b") == -0.5 and averaged(state, "a") == -1.0
  assert isinstance(model, Model) and set(model.weights) < set(state)


def test_a_player_returns_its_own_mutable_state_only():
  def loss(name):
    return lambda p, m, batch, k, s: (p[name], (m[name] + m["a"] + 1, {}))

  init = lambda key, batch: ({"a": jnp.zeros(()), "b": jnp.zeros(())}, {"a": 0, "b": 10})
  players = {name: Player(minimise(name, loss(name)), sgd()) for name in "ab"}
  state = {}
  for order in ("simultaneous", (("a", 1), ("b", 1))):
    model = game(players, init, order=order, evaluate=None)
    batch = batch_of(*[0.0] * model.microbatches)
    state[str(order)], _ = model.update(start(model), batch, jax.random.key(0), 0)
  # At once both see what was; in turns b sees what a has just left.
  assert [s["mutable"] for s in state.values()] == [{"a": 1, "b": 11}, {"a": 1, "b": 12}]


def test_the_value_reaches_the_optimiser():
  constant = lambda p, m, batch, k, s: (0 * p["a"] + batch["v"], ({}, {}))

  def update(updates, state, params=None, *, value, **extra):
    return updates, value

  recorder = optax.GradientTransformationExtraArgs(lambda params: jnp.float32(0), update)
  model = game({"a": Player(minimise("a", constant), recorder)}, init_of(a=1.0), evaluate=None)
  state, _ = model.update(start(model), batch_of(7.0), jax.random.key(0), 0)
  assert state["opt"]["a"] == 7.0

  plateau = optax.contrib.reduce_on_plateau(factor=0.5, patience=2)
  tx = optax.chain(optax.sgd(1.0), plateau)
  model = game({"a": Player(minimise("a", constant), tx)}, init_of(a=1.0), evaluate=None)
  state, scales = start(model), []
  update = jax.jit(model.update)
  for step in range(6):
    state, _ = update(state, batch_of(7.0), jax.random.key(0), step)
    scales.append(float(optax.tree.get(state["opt"], "scale")))
  # The first loss is the best so far; every second one after it fails to improve on it.
  assert scales == [1.0, 1.0, 0.5, 0.5, 0.25, 0.25]


# Four players on a line each, a pair against a pair: f = z^T M z / 2 has the gradient M z.
M = np.array([
  [1.0, 0.5, -0.7, 0.2], [0.5, 0.8, 0.3, -0.4], [-0.7, 0.3, 1.1, 0.6], [0.2, -0.4, 0.6, 0.9],
])  # fmt: skip


def quadratic(order, signs=(-1, -1, 1, 1), rate=0.2, **kwargs):
  """a and b climb f, c and d descend it."""

  def loss(i):
    def of(params, mutable, batch, key, step):
      z = jnp.stack([params[name] for name in "abcd"])
      return signs[i] * z @ jnp.asarray(M, jnp.float32) @ z / 2, ({}, {})

    return of

  players = {name: Player(minimise(name, loss(i)), sgd(rate)) for i, name in enumerate("abcd")}
  return game(players, init_of(a=1.0, b=-0.5, c=0.3, d=2.0), order=order, evaluate=None, **kwargs)


def test_a_group_moves_at_once_and_groups_move_in_turn():
  """A round is a product of linear maps: of each group one, in which its rows are all old."""
  model = quadratic(((("a", "b"), 2), (("c", "d"), 1)))
  assert model.microbatches == 3
  path = play(model, 5)
  move = lambda rows, sign: np.eye(4) - 0.2 * sign * np.isin(np.arange(4), rows)[:, None] * M
  climb, descend = move([0, 1], -1), move([2, 3], 1)
  z = np.array([1.0, -0.5, 0.3, 2.0])
  for k in range(5):
    z = descend @ climb @ climb @ z
    np.testing.assert_allclose([path[name][k] for name in "abcd"], z, rtol=1e-4)
  one_by_one = play(quadratic((("a", 2), ("b", 2), ("c", 1), ("d", 1))), 1)
  assert abs(one_by_one["b"][0] - path["b"][0]) > 1e-2


def test_a_group_shares_its_microbatch():
  loss = lambda name: lambda p, m, batch, k, s: (p[name] * batch["v"], ({}, {}))
  players = {name: Player(minimise(name, loss(name)), sgd(1.0)) for name in "abc"}
  order = ((("a", "b"), 2), ("c", 1))
  model = game(players, init_of(a=0.0, b=0.0, c=0.0), order=order, evaluate=None)
  state, _ = model.update(start(model), batch_of(1.0, 10.0, 100.0), jax.random.key(0), 0)
  assert {k: float(v) for k, v in state["params"].items()} == {"a": -11.0, "b": -11.0, "c": -100.0}


def test_a_response_is_one_step_of_one_player():
  """Repeated, it comes to the best response: here the root of one row of M z."""
  model = quadratic((("a", 1), ("c", 1)), signs=(1, 1, 1, 1), ema={"c": 0.5})
  before = start(model)
  respond = jax.jit(model.respond, static_argnames="player")
  after = respond(before, {}, jax.random.key(0), player="c")
  z = np.array([1.0, -0.5, 0.3, 2.0])
  np.testing.assert_allclose(after["params"]["c"], 0.3 - 0.2 * M[2] @ z, rtol=1e-5)
  others = lambda s: {**s, "params": {k: v for k, v in s["params"].items() if k != "c"}}
  jax.tree.map(np.testing.assert_array_equal, others(before), others(after))
  for _ in range(60):
    after = respond(after, {}, jax.random.key(0), player="c")
  best = -(M[2] @ z - M[2, 2] * 0.3) / M[2, 2]
  np.testing.assert_allclose(after["params"]["c"], best, rtol=1e-4)
  with pytest.raises(ValueError, match="'e' is not among the players"):
    model.respond(before, {}, jax.random.key(0), "e")


def test_a_response_goes_on_with_the_player_s_own_optimiser():
  loss = lambda p, m, batch, k, s: (p["a"] * batch["v"], (m["a"] + 1, {}))
  init = lambda key, batch: ({"a": jnp.float32(0)}, {"a": 0})
  model = game({"a": Player(minimise("a", loss), optax.sgd(1.0, momentum=0.5))}, init,
               evaluate=None)  # fmt: skip
  state = start(model)
  for _ in range(3):
    state = model.respond(state, {"v": jnp.ones(4)}, jax.random.key(0), "a")
  assert float(state["params"]["a"]) == -(1 + 1.5 + 1.75)  # velocities 1, 1 + 1/2, 1 + 1/2 + 1/4
  assert state["mutable"]["a"] == 3
  whole = single(model)
  assert whole.model.respond([{}, state], {"v": jnp.ones(4)}, jax.random.key(0), "a")[0] == {}


def test_a_response_may_be_to_more_than_the_game_s_own_loss():
  loss = lambda p, m, batch, k, s: (p["a"] * 2.0, ({}, {}))
  model = game({"a": Player(minimise("a", loss), sgd(0.1))}, init_of(a=3.0), evaluate=None)
  state = model.respond(
    start(model), {}, jax.random.key(0), "a", extra=lambda own: (own - 1) ** 2 / 2
  )
  assert float(state["params"]["a"]) == pytest.approx(3 - 0.1 * (2 + (3 - 1)))


@pytest.mark.parametrize("order", ["simultaneous", (("a", 1), ("b", 1)), (("a", 12), ("b", 1))])
def test_metrics_of_one_name_are_refused(order):
  loss = lambda name: lambda p, m, batch, k, s: (p[name], ({}, {"error": p[name]}))
  players = {name: Player(minimise(name, loss(name)), sgd()) for name in "ab"}
  model = game(players, init_of(a=0.0, b=0.0), order=order, evaluate=None)
  batch = batch_of(*[0.0] * model.microbatches)
  with pytest.raises(ValueError, match="'a' and 'b' both report the metric 'error'"):
    jax.eval_shape(model.update, start(model), batch, jax.random.key(0), 0)


def test_a_metric_cannot_take_the_place_of_the_loss():
  loss = lambda p, m, batch, k, s: (p["a"], ({}, {"loss": p["a"] + 1}))
  model = game({"a": Player(minimise("a", loss), sgd())}, init_of(a=0.0), evaluate=None)
  with pytest.raises(ValueError, match="'loss' of 'a' is the game's own"):
    model.update(start(model), batch_of(0.0), jax.random.key(0), 0)


@pytest.mark.parametrize("kwargs", [{"order": (("a", 1), ("c", 1))}, {"ema": {"c": 0.9}}])
def test_unknown_players_are_refused(kwargs):
  players = {"a": Player(minimise("a", lambda *_: None), sgd())}
  with pytest.raises(ValueError, match="'c' is not among the players"):
    game(players, init_of(a=0.0), evaluate=None, **kwargs)


@pytest.mark.parametrize(
  "order,message",
  [
    (((("a", "a"), 1),), "each once"),
    ((((), 1),), "must name players"),
    ((("a", 0),), "1 or more turns, not 0"),
  ],
)
def test_orders_that_are_none_are_refused(order, message):
  players = {"a": Player(minimise("a", lambda *_: None), sgd())}
  with pytest.raises(ValueError, match=message):
    game(players, init_of(a=0.0), order=order, evaluate=None)
