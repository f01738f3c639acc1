"""Training from Python: the same run as by a config, and what is refused."""

import jax
import numpy as np
import pytest

import gen_jax
from gen_jax.core import UserError
from tests.run import toy


def test_it_is_the_run_that_a_config_makes():
  x = toy.source().splits["train"].arrays()["x"]
  parsed = toy.experiment({"noise": 0.5})
  program = toy.program_of(parsed)
  # On all devices, as the command line trains.
  result = toy.go(None, parsed)
  model, states = gen_jax.train(program, {"x": x}, steps=12, batch_size=8, log_every=4)
  toy.equal(states, result.states)
  keys = jax.random.split(jax.random.key(0), 3)
  assert np.asarray(model.sample(states, keys, None)).shape == (3, toy.D)


def test_another_seed_is_another_run():
  x = {"x": toy.source().splits["train"].arrays()["x"]}
  program = toy.program_of(toy.experiment({"noise": 0.5}))
  a, b = (gen_jax.train(program, x, steps=8, batch_size=8, seed=s)[1] for s in (0, 1))
  assert not np.array_equal(a[0]["params"]["mean"]["w"], b[0]["params"]["mean"]["w"])


@pytest.mark.parametrize(
  ("settings", "message"),
  [
    ({"batch_sise": 8}, "no setting 'batch_sise'; did you mean batch_size"),
    ({"batch_size": 0}, "data.batch_size must be 1 or more, not 0"),
    ({"keep": 0}, "train.keep must be 1 or more, not 0"),
  ],
)
def test_refusals(settings, message):
  program = toy.program_of(toy.experiment())
  with pytest.raises(UserError, match=message):
    gen_jax.train(program, {"x": np.zeros((8, toy.D), np.float32)}, steps=8, **settings)
