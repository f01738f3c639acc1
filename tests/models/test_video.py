"""Video: what a code may see, that actions cost nothing, and that frames are images."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.core import Field, Spec, UserError, fold_each
from gen_jax.models import video
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
  return jax.tree.map(lambda p: 0.3 * rng.normal(size=p.shape).astype(np.float32), tree)


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


@pytest.mark.parametrize(
  "spec,message",
  [
    (Spec.of((4, 4, 1), 17), "clips"),
    (SPEC._replace(fields={}), "needs 2 actions"),
    (SPEC._replace(fields={"action": Field((T,), A)}), "needs 2 actions"),
  ],
)
def test_refusals(spec, message):
  with pytest.raises(UserError, match=message):
    video.build(spec, **SMALL)
