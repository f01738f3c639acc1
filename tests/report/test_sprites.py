"""What is read in samples of sprites, for samples of which it is known."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.core import Model, Spec, UserError
from gen_jax.data import shapes
from gen_jax.report.measures import sprites

KNOWN = shapes.sprites(8)
RNG = np.random.default_rng(0)


def scene_of(x, caption=None, real=None):
  record = lambda value, **facts: {"value": float(value), **facts}
  return types.SimpleNamespace(
    spec=Spec.of((8, 8, 3), 256), record=record,
    source=types.SimpleNamespace(notes={"sprites": KNOWN}),
    samples={"x": x, "caption": caption}, real={"x": x if real is None else real},
  )  # fmt: skip


def positions(n=400, **fixed):
  factors = np.stack([RNG.integers(count, size=n) for count in KNOWN.counts.values()], 1)
  for name, value in fixed.items():
    factors[:, list(KNOWN.counts).index(name)] = value
  return shapes.index_of(factors)


def test_sprites_are_legible_and_nothing_else_is():
  x = KNOWN.draw(positions())
  half = np.where(np.arange(400)[:, None, None, None] % 2, x, RNG.integers(256, size=x.shape))
  found = sprites.sprites(scene_of(half.astype(np.uint8), real=x))
  assert found["legible"]["value"] == 0.5 and found["legible"]["of_real_data"] == 1
  black = sprites.sprites(scene_of(np.zeros_like(x)))
  assert black["legible"]["value"] == 0 and black["smallest_factor_share"]["value"] == 0


def test_a_value_that_is_lost_is_a_share_of_zero():
  even = sprites.sprites(scene_of(KNOWN.draw(positions(2000))))["smallest_factor_share"]
  assert 0.6 < even["value"] <= 1 and even["colour_evenness"] > 0.9
  red = sprites.sprites(scene_of(KNOWN.draw(positions(colour=0))))["smallest_factor_share"]
  assert red["value"] == red["smallest_colour_share"] == 0 and red["smallest_scale_share"] > 0.5
  assert red["colour_evenness"] == pytest.approx(1 / 6)


def test_captions_are_held_against_what_is_read():
  where = positions(scale=3)
  x, captions = KNOWN.draw(where), KNOWN.captions_of(where)
  right = sprites.caption_faithful(scene_of(x, captions))
  assert right["caption_accuracy"]["value"] > 0.95
  assert right["caption_accuracy"]["of_other_captions"] < 0.05
  assert right["caption_accuracy_colour"]["of_other_captions"] == pytest.approx(1 / 6, abs=0.07)
  factors = KNOWN.factors_of(where)
  factors[:, 1] = (factors[:, 1] + 1) % 6
  other = sprites.caption_faithful(scene_of(KNOWN.draw(shapes.index_of(factors)), captions))
  assert other["caption_accuracy"]["value"] == other["caption_accuracy_colour"]["value"] == 0
  assert other["caption_accuracy_row"]["value"] > 0.95 and set(other) == {
    "caption_accuracy",
    *(f"caption_accuracy_{kind}" for kind in ("size", "colour", "shape", "row", "column")),
  }


def test_what_is_not_legible_is_read_all_the_same_but_for_an_empty_picture():
  where = positions(scale=3)
  x, captions = KNOWN.draw(where), KNOWN.captions_of(where)
  noise = np.random.default_rng(0).normal(0, 0.2 * 255, x.shape)
  found = sprites.caption_faithful(scene_of(x + noise, captions))["caption_accuracy"]
  assert found["value"] > 0.8 and found["legible_and_right"] == 0
  black = sprites.caption_faithful(scene_of(np.zeros_like(x), captions))
  assert {f["value"] for f in black.values()} == {0}


def test_a_caption_that_names_no_row_wants_none():
  where = positions(y=3, scale=3)
  captions = KNOWN.captions_of(where)
  same = sprites.caption_faithful(scene_of(KNOWN.draw(where), captions))
  low = sprites.caption_faithful(scene_of(KNOWN.draw(positions(y=7, scale=3)), captions))
  assert same["caption_accuracy_row"]["value"] > 0.95 and low["caption_accuracy_row"]["value"] == 0


def test_captions_of_pairs_that_are_left_out():
  where = positions(shape=2, colour=0, scale=3)
  x, captions = KNOWN.draw(where), KNOWN.captions_of(where)
  factors = KNOWN.factors_of(where[:100])
  factors[:, 0] = 0
  x[:100] = KNOWN.draw(shapes.index_of(factors))  # a quarter are squares
  scene = scene_of(None)
  scene.drawn = {"left_out": {"x": x, "caption": captions}}.get
  (found,) = sprites.captions_left_out(scene).values()
  assert found["value"] == found["shape"] == 0.75 and found["colour"] == found["legible"] == 1
  assert found["split"] == "left_out"


def test_captions_of_what_codes_leave_of_real_pictures():
  """Of codes without the blue channel: blue is black, cyan green and magenta red."""
  where = positions(scale=3)
  scene = scene_of(None, real=KNOWN.draw(where))
  scene.real["caption"] = KNOWN.captions_of(where)
  scene.cond, scene.of_split = lambda batch: None, scene.record
  scene.terms = lambda function: function([], scene.real, None)
  kept = np.array([1.0, 1, 0], np.float32)
  scene.model = types.SimpleNamespace(
    encode=lambda states, x, keys, cond: x * kept, decode=lambda states, code, cond: code + 0.3
  )
  (found,) = sprites.captions_reconstructed(scene).values()
  colour = KNOWN.factors_of(where)[:, 1]
  assert found["value"] == found["colour"] == np.isin(colour, (0, 1, 3)).mean()
  assert found["legible"] == (colour != 2).mean()


def test_a_line_reads_the_place_out_of_a_code_that_has_it_and_not_out_of_noise():
  where = positions()
  pictures = jnp.asarray(KNOWN.draw(where))
  columns = [list(KNOWN.counts).index(name) for name in ("scale", "x", "y")]
  mixed = KNOWN.factors_of(where)[:, columns] @ np.array([[2.0, 1, 0], [1, 1, 1], [0, 1, 3]])
  pick = lambda z: z[:, 0].astype(int)
  model = Model(
    init=None, update=None, evaluate=None,
    prior=lambda states, keys, cond: jax.vmap(
      lambda key: jax.random.randint(key, (1,), 0, 400).astype(jnp.float32)
    )(keys),
    decode=lambda states, z, cond: pictures[pick(z)],
    styles=lambda states, z, cond: jnp.asarray(mixed)[pick(z)],
  )  # fmt: skip
  scene = scene_of(np.zeros((1, 8, 8, 3)))
  scene.model, scene.states, scene.key = model, [], jax.random.key(0)
  scene.settings = types.SimpleNamespace(samples=400, split="test")
  scene.source.splits = {"train": None}
  found = sprites.read_out(scene)
  assert found["read_out_styles"]["value"] > 0.95 and found["read_out"]["value"] < 0.1
  model = model._replace(decode=lambda states, z, cond: 0 * pictures[pick(z)])
  scene.model = model
  with pytest.raises(UserError, match="0 of 400 draws"):
    sprites.read_out(scene)
