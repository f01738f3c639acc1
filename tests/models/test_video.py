"""Video: what a code may see, that actions cost nothing, and that frames are images."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.core import Field, Model, Spec, UserError, fold_each
from gen_jax.models import video
from gen_jax.models.autoregressive import Sampler
from gen_jax.models.vqvae import Transformer
from gen_jax.nets.video import FrameTransformer

T, M, K, A, B = 3, 4, 5, 3, 2
NET = FrameTransformer(K, T * M, width=8, layers=1, heads=2, actions=A, codes=M)
SPEC = Spec.of((T, 4, 4, 1), 17, action=Field((T - 1,), A))
SMALL = dict(
  factor=2, codes=K, dim=2, width=4, blocks=0, residual=2,
  transformer=Transformer(width=8, layers=1, heads=2, ema=0.0, dropout=0.0),
)  # fmt: skip


def random(tree):
  rng = np.random.default_rng(0)
  return jax.tree.map(lambda p: jnp.asarray(0.3 * rng.normal(size=p.shape), jnp.float32), tree)


@pytest.fixture(scope="module")
def params():
  x, action = jnp.zeros((1, T * M), jnp.int32), jnp.zeros((1, T - 1), jnp.int32)
  return random(jax.eval_shape(NET.init, jax.random.key(0), x, action)["params"])


def inputs():
  x = jax.random.randint(jax.random.key(1), (1, T * M), 0, K)
  return x, jnp.array([[0, 2]])


def test_a_code_sees_codes_before_it_and_actions_that_led_to_its_frame(params):
  x, action = inputs()
  apply = jax.jit(lambda x, action: NET.apply({"params": params}, x, action)[0])
  plain = apply(x, action)
  for i in range(T * M):
    changed = np.abs(apply(x.at[0, i].add(1) % K, action) - plain).max(-1) > 1e-6
    assert not changed[: i + 1].any() and changed[i + 1 :].all()
  for t in range(T - 1):
    changed = np.abs(apply(x, action.at[0, t].set(1)) - plain).max(-1) > 1e-6
    assert not changed[: (t + 1) * M].any() and changed[(t + 1) * M :].all()


def test_one_code_after_another_gives_the_same_logits(params):
  x, action = inputs()
  whole, bound = NET.apply({"params": params}, x, action), {"params": params}
  cache = NET.apply(bound, NET.apply(bound, 1, method="start"), T * M, method="grow")
  for i in range(T * M):
    logits, cache = NET.apply(bound, cache, i, x[:, i - 1], action, method="step")
    np.testing.assert_allclose(logits, whole[:, i], rtol=1e-4, atol=1e-5)


def batch():
  x = np.random.default_rng(1).integers(0, 17, (B, T, 4, 4, 1), np.uint8)
  yes = jnp.ones(B, bool)
  action = jnp.arange(B * (T - 1), dtype=jnp.int32).reshape(B, T - 1) % A
  return {"x": jnp.asarray(x), "action": action, "mask": yes, "last": yes, "index": jnp.arange(B)}


@pytest.fixture(scope="module")
def system():
  """The program, and the states of its stages before any training."""
  program, states = video.build(SPEC, **SMALL), []
  for stage in program.stages:
    seen = stage.view(states, batch()) if stage.view else batch()
    states.append(stage.model.init(jax.random.key(0), seen))
  return program, states


def keys():
  return fold_each(jax.random.key(0), jnp.arange(B))


def test_actions_cost_nothing(system):
  # Logits are zero at first: the entropy of a uniform model is that of the codes alone.
  program, states = system
  seen = program.stages[1].view(states, batch())
  nll = program.stages[1].model.evaluate(states[1], seen, keys())["nll"]
  np.testing.assert_allclose(nll, T * 2 * 2 * np.log(K), rtol=1e-5)


def test_frames_are_coded_each_on_its_own(system):
  program, states = system
  x = batch()["x"]
  code = program.model.encode(states, x)
  assert code.shape == (B, T, 2, 2)
  assert program.model.decode(states, code).shape == x.shape
  np.testing.assert_array_equal(program.model.encode(states, x[:, ::-1]), code[:, ::-1])
  turned = {**batch(), "x": x[:, ::-1]}
  value, other = (
    program.stages[0].model.evaluate(states[0], b, keys())["reconstruction_mse"]
    for b in (batch(), turned)
  )
  assert value.shape == (B,)
  np.testing.assert_allclose(value, other, rtol=1e-5)


def test_samples_are_clips_given_their_actions(system):
  program, states = system
  cond = {"action": batch()["action"]}
  x = program.model.sample(states, keys(), cond)
  assert x.shape == (B, T, 4, 4, 1) and x.dtype == jnp.uint8
  frames = program.model.trajectory(states, keys(), cond)
  np.testing.assert_array_equal(frames, x.swapaxes(0, 1))
  with pytest.raises(UserError, match="conditioned on action"):
    program.model.sample(states, keys())


@pytest.fixture(scope="module")
def going_on():
  """A program that is given two frames, and random states."""
  program = video.build(SPEC, **SMALL, context=2, sample=Sampler(temperature=0.0))
  states = []
  for stage in program.stages:
    seen = stage.view(states, batch()) if stage.view else batch()
    states.append(stage.model.init(jax.random.key(0), seen))
  states[1] = {**states[1], "params": random(states[1]["params"])}
  return program, states


def test_clips_go_on_from_the_frames_that_are_given(going_on):
  program, states = going_on
  assert program.model.cond == ("x", "action")
  cond = {name: batch()[name] for name in ("x", "action")}
  sample = jax.jit(program.model.sample)
  x = sample(states, keys(), cond)
  np.testing.assert_array_equal(x[:, :2], cond["x"][:, :2])
  later = {**cond, "x": cond["x"].at[:, 2:].set(0)}
  np.testing.assert_array_equal(sample(states, keys(), later), x)
  # The likeliest codes are those of a whole pass over the codes given and drawn.
  code = program.model.prior(states, keys(), cond)
  np.testing.assert_array_equal(code[:, :2], program.model.encode(states, cond["x"])[:, :2])
  params = {"params": states[1]["params"]["transformer"]}
  logits = NET.apply(params, code.reshape(B, T * M), cond["action"])
  np.testing.assert_array_equal(code.reshape(B, -1)[:, 2 * M :], logits.argmax(-1)[:, 2 * M :])
  made = program.model.decode(states, code)
  np.testing.assert_array_equal(x[:, 2:], np.round(made[:, 2:]).astype(np.uint8))


def test_given_frames_cost_nothing(going_on):
  program, states = going_on
  code = program.stages[1].view(states, batch())["x"].reshape(B, T * M)
  logits = NET.apply({"params": states[1]["params"]["transformer"]}, code, batch()["action"])
  p = np.exp(np.asarray(logits, np.float64))
  p = np.take_along_axis(p / p.sum(-1, keepdims=True), np.asarray(code)[..., None], 2)[..., 0]
  found = program.model.evaluate(states, batch(), keys())["nats_per_code"]
  np.testing.assert_allclose(found, -np.log(p[:, 2 * M :]).mean(1), rtol=1e-5)


def test_without_actions_none_is_told():
  bare = SPEC._replace(fields={})
  program = video.build(bare, **SMALL, context=1, actions=False)
  assert program.model.cond == ("x",)
  fields = {name: value for name, value in batch().items() if name != "action"}
  first = program.stages[0].model.init(jax.random.key(0), fields)
  seen = program.stages[1].view([first], fields)
  states = [first, program.stages[1].model.init(jax.random.key(0), seen)]
  assert program.model.sample(states, keys(), {"x": fields["x"]}).shape == (B, T, 4, 4, 1)


def test_some_frames_of_each_clip_are_learnt_from():
  fake = Model(None, lambda state, batch, key, step: (batch, {}), None)
  x = jnp.arange(2 * 5 * T).reshape(2, 5, T, 1)
  mask = jnp.arange(10).reshape(2, 5) % 3 > 0
  seen = []
  for i in range(20):
    batch = {"x": x, "mask": mask, "action": x}
    found, _ = video.of_clips(fake, T, 2).update(None, batch, jax.random.key(i), 0)
    clip, frame = np.divmod(found["x"][..., 0], T)
    assert found["x"].shape == (2, 10, 1) and found.keys() == {"x", "mask"}
    np.testing.assert_array_equal(clip, np.arange(10).repeat(2).reshape(2, 10))
    np.testing.assert_array_equal(found["mask"], mask.repeat(2, 1))
    assert (frame[:, ::2] != frame[:, 1::2]).all()
    seen.append(frame)
  assert (np.bincount(np.ravel(seen), minlength=T) > 90).all()  # of 133 each


@pytest.mark.parametrize(
  "spec,message",
  [
    (Spec.of((4, 4, 1), 17), "clips"),
    (SPEC._replace(fields={}), "needs 2 actions"),
    (SPEC._replace(fields={"action": Field((T,), A)}), "needs 2 actions"),
  ],
)
def test_refusals_of_data(spec, message):
  with pytest.raises(UserError, match=message):
    video.build(spec, **SMALL)


@pytest.mark.parametrize(
  "option,message", [("context", "nothing to predict"), ("frames_per_clip", "has 3")]
)
def test_refusals_of_options(option, message):
  with pytest.raises(UserError, match=message):
    video.build(SPEC, **SMALL, **{option: T + 1})
