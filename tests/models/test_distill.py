"""Students and teachers of a run of stages: who is frozen, who draws, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.core import Spec, UserError, fold_each
from gen_jax.learn.optimizer import Optimizer
from gen_jax.models import diffusion, distill, reflow
from gen_jax.models.denoisers import Dense, own_draws, units_of

PLANE = Spec.of((2,))
SMALL = dict(dense=Dense(8, 1, 1), ema=0.9)


def keys(n=20):
  return fold_each(jax.random.key(3), jnp.arange(n))


def points(n=40, seed=0):
  return {"x": 3 + jax.random.normal(jax.random.key(seed), (n, 2))}


def equal(a, b):
  return all(map(np.array_equal, jax.tree.leaves(a), jax.tree.leaves(b)))


def trained(program, updates=3):
  """The states of all stages, each after some updates, and those that they began with."""
  states, began = [], []
  for i, stage in enumerate(program.stages):
    state = stage.model.init(jax.random.key(i), points())
    state = state if stage.carry is None else stage.carry(states, state)
    began.append(state)
    update = jax.jit(stage.model.update)
    for j in range(updates):
      batch = {"x": points(seed=j)["x"][None]}
      state, _ = update(state, batch, jax.random.key(j), jnp.int32(j))
    states.append(state)
  return states, began


QUICK = dict(
  optimizer=Optimizer(learning_rate=1e-2), student_optimizer=Optimizer(learning_rate=1e-2)
)


@pytest.fixture(scope="module")
def distilled():
  program = distill.build(PLANE, teacher_steps=4, final_steps=1, **SMALL, **QUICK)
  return program, *trained(program)


@pytest.fixture(scope="module")
def straightened():
  program = reflow.build(PLANE, rounds=2, pairs=reflow.Pairs(steps=2), **SMALL, **QUICK)
  return program, *trained(program)


@pytest.mark.parametrize("which", ["distilled", "straightened"])
def test_a_student_begins_as_its_teacher_which_stays_as_it_was(which, request):
  _, states, began = request.getfixturevalue(which)
  assert len(states) == 3
  for before, first, last in zip(states, began[1:], states[1:], strict=False):
    teacher = before["ema"].get("net", before["params"]["net"])
    for kept in (first["params"]["net"], first["mutable"]["teacher"], last["mutable"]["teacher"]):
      assert equal(kept, teacher)
    assert all(equal(average, teacher) for average in first["ema"].values())
    assert not equal(last["params"]["net"], teacher)
    # The units are those of the teacher's first batch too.
    assert equal(last["mutable"]["net"], states[0]["mutable"]["net"])
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(first["opt"]))


def test_the_first_loss_is_the_teacher_s_one_step_beside_its_two(distilled):
  """With a network that is 0, DDIM's steps from t to s multiply x_t by cos(pi (t - s) / 2)."""
  program, _, began = distilled
  state, batch = began[1], points()
  still = jax.tree.map(jnp.zeros_like, state["params"])
  frozen = {**state["mutable"], "teacher": still["net"]}
  state = {**state, "params": still, "mutable": frozen}
  terms = jax.jit(program.stages[1].model.evaluate)(state, batch, keys(40))
  assert list(terms) == ["distillation_loss"]
  x0 = units_of(PLANE, jnp.float32).scaled(batch["x"], frozen["net"])
  t, eps = own_draws(keys(40), lambda u: u, PLANE.shape, jnp.float32)
  t = np.ceil(2 * np.asarray(t)) / 2  # of two steps
  assert set(t) == {0.5, 1.0}
  now, then = np.pi / 2 * t, np.pi / 2 * (t - 0.5)
  z = np.cos(now)[:, None] * x0 + np.sin(now)[:, None] * eps
  ratio = np.sin(then) / np.sin(now)
  target = (np.cos(np.pi / 8) ** 2 - ratio) / (np.cos(then) - ratio * np.cos(now))
  weight = np.maximum(1 / np.tan(now) ** 2, 1)
  wanted = weight * (target - np.cos(now)) ** 2 * (z**2).mean(1)
  np.testing.assert_allclose(terms["distillation_loss"], wanted, rtol=1e-4)


def test_any_student_draws_and_the_teacher_in_any_number_of_steps(distilled):
  program, states, _ = distilled
  build = lambda **sample: (
    distill.build(
      PLANE, teacher_steps=4, final_steps=1, sample=distill.Sampler(**sample), **SMALL
    ).model
  )
  draw = lambda model: np.asarray(jax.jit(model.sample)(states, keys()))
  for i, steps in enumerate((4, 2, 1)):
    model = build(steps=steps)
    own = jax.jit(program.stages[i].model.sample)(states[i], keys())
    np.testing.assert_array_equal(draw(model), own)
    assert model.calls == steps
    path = jax.jit(model.trajectory)(states, keys())
    assert path.shape == (steps + 1, 20, 2)
    np.testing.assert_allclose(path[-1], own, rtol=1e-5, atol=1e-5)
  np.testing.assert_array_equal(draw(program.model), draw(build(steps=1)))
  np.testing.assert_array_equal(draw(build(teacher=True)), draw(build(steps=4)))
  other = build(teacher=True, steps=3)
  assert other.calls == 3 and not np.allclose(draw(other), draw(build(steps=4)))
  assert program.model.log_prob is None


def test_a_straightened_flow_has_the_density_and_sampler_of_any(straightened):
  program, states, _ = straightened
  assert [stage.release for stage in program.stages] == [(), (0,), (1,)]
  model = (
    diffusion.build(PLANE, **SMALL, sample=diffusion.Sampler(solver="euler", steps=1))
    .stages[0]
    .model
  )
  for name, given in (("sample", keys()), ("log_prob", points()["x"])):
    found = jax.jit(getattr(program.model, name))(states, given)
    wanted = jax.jit(getattr(model, name))(states[-1], given)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)
  assert program.model.calls == 1


@pytest.mark.parametrize(
  "build,message",
  [
    (lambda: distill.build(PLANE, teacher_steps=48, final_steps=4), "such as 64"),
    (lambda: distill.build(PLANE, teacher_steps=4, final_steps=4), "such as 8"),
    (lambda: distill.build(PLANE, teacher_steps=2, final_steps=4), "such as 8"),
    (lambda: distill.build(PLANE, sample=distill.Sampler(12)), "take one of 64, 32, 16, 8, 4"),
    (lambda: distill.build(Spec.of((3,), 5)), "not shape \\(3,\\) of integers"),
    (lambda: distill.build(PLANE, weight="snr"), "model.weight must be one of truncated_snr"),
    (lambda: distill.build(PLANE, conditional=True), "needs labels"),
    (lambda: reflow.build(PLANE, rounds=0), "model.rounds must be 1 or more"),
    (lambda: reflow.build(PLANE, pairs=reflow.Pairs("ddim")), "model.pairs.solver must be one of"),
    (lambda: reflow.build(Spec.of((3,), 5)), "not shape \\(3,\\) of integers"),
  ],
)
def test_refusals(build, message):
  with pytest.raises(UserError, match=message):
    build()


def test_other_powers_of_two():
  assert distill.halvings(48, 3) == (48, 24, 12, 6, 3)
  assert len(distill.build(PLANE, teacher_steps=8, final_steps=2, **SMALL).stages) == 3
