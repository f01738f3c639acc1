"""The measure of checkerboards, of models that leave a known one."""

import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.core import Field, Model, Spec
from gen_jax.data import ArraySplit, Source
from gen_jax.report import measures
from gen_jax.report.measures import checkerboard
from tests.report import made

SPEC = Spec.of((16, 24, 3), 256)
I, J = jnp.meshgrid(jnp.arange(16), jnp.arange(24), indexing="ij")
BOARD = (1.0 - 2.0 * ((I + J) % 2))[..., None]


def taken(transform, observe=None):
  x = np.random.default_rng(0).integers(60, 190, size=(20, *SPEC.shape)).astype(np.uint8)
  source = Source("made", SPEC, {name: ArraySplit({"x": x}) for name in ("train", "test")}, {})
  model = Model(init=None, update=None, evaluate=None, transform=transform, observe=observe)
  records = measures.take(("checkerboard",), made.scene(model, source))
  return {name: record["value"] for name, record in records.items()}


def test_a_board_of_a_tenth_of_the_colour():
  found = taken(lambda states, x, keys, cond: x * (1 + 0.1 * BOARD))
  # sqrt(0.1^2 / (1 + 0.1^2)) of flat pictures.
  assert found["checkerboard_flat"] == pytest.approx(0.1 / 1.01**0.5, rel=1e-5)
  # The error x board: the mean of x is on the lattice, its variance is not.
  mean, var = 124.5, (130**2 - 1) / 12
  assert found["checkerboard_lattice"] == pytest.approx(mean**2 / (mean**2 + var), rel=0.02)
  # 0.01 (e + 127.5^2) more than e, the energy of what is smooth, all at high frequencies.
  assert 0.5 < found["checkerboard_replicas"] < 1


def test_an_exact_copy_has_none_and_no_error_to_share_out():
  found = taken(lambda states, x, keys, cond: x)
  assert set(found.values()) == {None}
  found = taken(lambda states, x, keys, cond: x + (x > 100))
  assert found["checkerboard_flat"] == 0
  assert found["checkerboard_replicas"] < 0.01


def test_what_is_given_is_what_is_observed():
  halved = lambda states, x, keys, cond: x[:, ::2, ::2]
  enlarged = lambda states, x, keys, cond: jnp.repeat(jnp.repeat(x, 2, 1), 2, 2)
  found = taken(enlarged, halved)
  assert found["checkerboard_flat"] == 0 and 0 < found["checkerboard_lattice"] < 1
  missing = taken(halved)
  assert set(missing.values()) == {None}


def test_flat_pictures_are_flat_and_differ():
  flat = checkerboard.flat_pictures(SPEC)
  assert flat.shape == (27, 16, 24, 3) and flat.dtype == np.uint8
  assert (flat == flat[:, :1, :1]).all() and len(np.unique(flat[:, 0, 0], axis=0)) == 27
  assert set(np.unique(flat)) == {64, 128, 191}


@pytest.mark.parametrize(
  "spec,cond,words",
  [
    (Spec.of((15, 16, 3), 256), (), "even height"),
    (Spec.of((2,)), (), "even height"),
    (Spec.of((16, 16, 3), 256, y=Field((16, 16, 3), 256)), (), "translates"),
    (SPEC, ("label",), "conditions"),
  ],
)
def test_what_it_cannot_be_taken_of(spec, cond, words):
  model = Model(init=None, update=None, evaluate=None, transform=lambda *a: None, cond=cond)
  system = made.trained(model, spec=spec).system
  assert words in checkerboard.unfit(system)
