"""Classifiers after an autoencoder: which parts come from it, which learn, and what they see."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gen_jax
from gen_jax.core import Spec, UserError
from gen_jax.learn.optimizer import Optimizer
from gen_jax.models.pretrain import build

SPEC = Spec.of((4, 4, 1), 17, 3)
N = 12


def made(form, **how):
  how = dict(latent=3, hidden=(6,), head=(5,), labels=0) | how
  return build(SPEC, form=form, **how)


def batch_of():
  rng = np.random.default_rng(0)
  return {
    "x": rng.integers(17, size=(N, 4, 4, 1)).astype(np.uint8),
    "label": (np.arange(N) % 3).astype(np.int32),
    "mask": np.ones(N, bool),
    "last": np.zeros(N, bool),
  }


def begun(program):
  """The states as the last stage begins, and that of the autoencoder."""
  batch, key = batch_of(), jax.random.key(0)
  first = program.stages[0].model.init(key, batch)
  last = program.stages[-1]
  return last.carry((first,), last.model.init(jax.random.key(1), batch)), first


def learnt(program, state, steps=5):
  update = jax.jit(program.stages[-1].model.update)
  for step in range(steps):
    state, _ = update(state, jax.tree.map(lambda a: a[None], batch_of()), jax.random.key(2), step)
  return state


def encoder_of(state):
  held = {**state["params"]["classifier"], **state["mutable"]["classifier"]}
  return jax.tree.leaves(held["encoder"])


def equal(a, b):
  return all((x == y).all() for x, y in zip(a, b, strict=True))


def test_the_encoder_is_the_autoencoder_s_and_learns_on_where_it_is_fine_tuned():
  for form in ("code", "joined", "finetuned"):
    program = made(form)
    state, first = begun(program)
    own = jax.tree.leaves(first["params"]["ae"]["encoder"])
    assert equal(encoder_of(state), own)
    after = learnt(program, state)
    assert equal(encoder_of(after), own) == (form != "finetuned")
    code = program.model.encode([{}, state], batch_of()["x"])
    np.testing.assert_array_equal(
      code, program.stages[0].model.encode(first, batch_of()["x"], None, None)
    )


def test_fine_tuning_at_no_rate_is_the_frozen_form():
  states = {}
  for form, rate in (("code", 1.0), ("finetuned", 0.0)):
    program = made(form, encoder_rate=rate, classifier_optimizer=Optimizer("sgd", 0.1))
    states[form] = learnt(program, begun(program)[0])
  heads = [jax.tree.leaves(s["params"]["classifier"]["head"]) for s in states.values()]
  for a, b in zip(*heads, strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_joined_with_a_code_of_zeros_is_a_classifier_of_the_picture():
  program = made("joined")
  state, _ = begun(program)
  held = state["mutable"]["classifier"]["encoder"]
  state["mutable"]["classifier"]["encoder"] = jax.tree.map(jnp.zeros_like, held)
  after = learnt(program, state)
  head = after["params"]["classifier"]["head"]
  kernels = [a for a in jax.tree.leaves(head) if a.shape == (16 + 3, 5)]
  begin = [a for a in jax.tree.leaves(state["params"]["classifier"]["head"]) if a.shape == (19, 5)]
  np.testing.assert_array_equal(kernels[0][16:], begin[0][16:])  # no gradient from zeros
  x, logits = batch_of()["x"], program.model.predict([{}, after], batch_of()["x"])
  h = jax.nn.relu(x.reshape(N, -1) / 16 @ kernels[0][:16] + biases(head, 5))
  (last,) = (a for a in jax.tree.leaves(head) if a.shape == (5, 3))
  np.testing.assert_allclose(logits, h @ last + biases(head, 3), atol=1e-5)


def biases(head, width):
  return next(a for a in jax.tree.leaves(head) if a.shape == (width,))


def test_few_labels_are_of_the_second_stage_alone():
  program = made("finetuned", labels=2, labels_seed=7)
  assert program.stages[0].data is None
  assert program.stages[1].data == {"labels": 2, "labels_seed": 7}
  (only,) = made("scratch", labels=2).stages
  assert only.data == {"labels": 2, "labels_seed": 0} and only.carry is None
  assert made("code", labels=0).stages[1].data is None


def test_it_learns():
  arrays = {k: v for k, v in batch_of().items() if k in ("x", "label")}
  arrays["x"] = (arrays["x"] // 4 + 4 * arrays["label"][:, None, None, None]).astype(np.uint8)
  program = made(
    "finetuned", hidden=(16,), head=(16,), classifier_optimizer=Optimizer(learning_rate=0.02)
  )
  model, state = gen_jax.train(program, arrays, steps=(20, 200), batch_size=8, steps_per_call=20,
                               log_every=20)  # fmt: skip
  assert (model.predict(state, arrays["x"]).argmax(-1) == arrays["label"]).all()


def test_refusals():
  with pytest.raises(UserError, match="needs labels of 2 classes"):
    build(Spec.of((4, 4, 1), 17))
  with pytest.raises(UserError, match="model.form must be one of"):
    build(SPEC, form="other")
