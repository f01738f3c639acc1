"""Translation: what each word may depend on, and that a language writes its own words only."""

import jax
import numpy as np
import pytest

from gen_jax.core import Field, Spec, UserError, fold_each
from gen_jax.models.translate import EOS, build

T, V, W = 6, 7, 9
SPEC = Spec(Field((T,), V), {"y": Field((T,), W)})
SMALL = dict(width=8, layers=1, heads=2, back_from=0)


def batch_of(n=5):
  rng = np.random.default_rng(0)
  make = lambda words: np.stack([
    np.r_[1, rng.integers(4, words, size=k), 2, np.zeros(T - k - 2)] for k in rng.integers(1, 5, n)
  ]).astype(np.int32)  # fmt: skip
  return {"x": make(V), "y": make(W), "mask": np.ones(n, bool)}


@pytest.fixture(scope="module")
def trained():
  model = build(SPEC, **SMALL).stages[0].model
  batch = batch_of()
  state = model.init(jax.random.key(0), batch)
  update, micro = jax.jit(model.update), jax.tree.map(lambda v: v[None], batch)
  for step in range(5):
    state, _ = update(state, micro, jax.random.key(step), step)
  return model, state, batch


def test_a_fresh_model_is_undecided_between_its_language_s_words():
  model, batch = build(SPEC, **SMALL).stages[0].model, batch_of()
  state = model.init(jax.random.key(0), batch)
  terms = model.evaluate(state, batch, fold_each(jax.random.key(1), np.arange(5)))
  np.testing.assert_allclose(terms["denoising_x"], np.log(V), rtol=1e-6)
  np.testing.assert_allclose(terms["denoising_y"], np.log(W), rtol=1e-6)


def test_translations_are_sentences_of_the_other_language(trained):
  model, state, batch = trained
  made = np.asarray(model.transform(state, batch["x"], None))
  assert made.shape == (5, T) and (made[:, 0] == 1).all()
  assert made.min() >= 0 and made.max() < W
  for row in made:  # nothing but padding behind <eos>
    ends = np.flatnonzero(row == EOS)
    if len(ends):
      assert (row[ends[0] + 1 :] == 0).all()
  # Each by itself.
  np.testing.assert_array_equal(made[1:3], model.transform(state, batch["x"][1:3], None))


def test_back_translation_learns_the_sentence_that_was_translated():
  batch = batch_of()
  micro = jax.tree.map(lambda v: v[None], batch)
  outcomes = []
  for back_from in (0, 1):
    model = build(SPEC, **SMALL | {"back_from": back_from}).stages[0].model
    state = model.init(jax.random.key(0), batch)
    outcomes.append(model.update(state, micro, jax.random.key(1), 0))
  # It is logged from the start, an undecided model's, and counts from back_from on.
  for _, metrics in outcomes:
    assert float(metrics["back_x"]) == pytest.approx(np.log(V), rel=1e-6)
    assert float(metrics["back_y"]) == pytest.approx(np.log(W), rel=1e-6)
  early, late = (metrics["loss"] for _, metrics in outcomes)
  np.testing.assert_allclose(early - late, np.log(V) + np.log(W), rtol=1e-5)


@pytest.mark.parametrize(
  ("spec", "how", "message"),
  [
    (Spec(Field((T,), V)), {}, "needs sentences x and y"),
    (Spec(Field((T,), V), {"y": Field((T + 1,), W)}), {}, "of one length in tokens"),
    (Spec.of((8, 8, 1), 17), {}, "needs sentences"),
    (SPEC, {"heads": 3}, "model.heads=3 must divide model.width=8"),
    (SPEC, {"drop": 1.5}, "model.drop must be in"),
  ],
)
def test_refusals(spec, how, message):
  with pytest.raises(UserError, match=message):
    build(spec, **(SMALL | how))
