"""What the builders of few-step models refuse, and what their functions owe each other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.core import Spec, UserError, fold_each
from gen_jax.models import consistency, meanflow, shortcut
from gen_jax.models.diffusion import Dense

PLANE = Spec.of((2,))


def test_a_consistency_model_begins_as_the_best_linear_denoiser():
  # EDM's preconditioning, with a network that is 0: of the noise 80 hardly anything is left.
  model = consistency.build(PLANE, dense=Dense(8, 1)).stages[0].model
  x = 3 + 2 * jax.random.normal(jax.random.key(0), (500, 2))
  state = model.init(jax.random.key(1), {"x": x})
  drawn = model.sample(state, fold_each(jax.random.key(2), jnp.arange(500)))
  assert np.abs(np.asarray(drawn) - np.asarray(x.mean(0))).max() < 0.15


@pytest.mark.parametrize(
  "build,message",
  [
    (lambda: consistency.build(Spec.of((3,), 5)), "not shape \\(3,\\) of integers"),
    (lambda: consistency.build(Spec.of((8, 8, 1))), "images with integer grey levels, not shape"),
    (lambda: consistency.build(PLANE, conditional=True), "needs labels"),
    (lambda: consistency.build(PLANE, sample=consistency.Sampler((0.5, 0.8))), "must fall"),
    (lambda: consistency.build(PLANE, sample=consistency.Sampler((90.0,))), "from below 80"),
    (lambda: consistency.build(PLANE, halvings=0), "model.halvings must be 1 or more"),
    (lambda: meanflow.build(Spec.of((8, 8, 1), 17)), "vectors of real values"),
    (lambda: meanflow.build(PLANE, share=1.5), "model.share must be in"),
    (lambda: shortcut.build(Spec.of((8, 8, 1), 17)), "shortcut models vectors of real values"),
    (lambda: shortcut.build(PLANE, sample=meanflow.Sampler(3)), "one of 1, 2, 4, 8, 16, 32, 64"),
  ],
)
def test_refusals(build, message):
  with pytest.raises(UserError, match=message):
    build()
