"""Translation: what each word may depend on, that a language writes its own words only, and that
the network begins from the dictionary."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.core import Field, Spec, UserError, fold_each
from gen_jax.models.dictionary import Dictionary
from gen_jax.models.translate import EOS, UNK, Objective, build, tabled
from gen_jax.nets.bilingual import Bilingual

T, V, W = 6, 7, 9
SPECIAL = ("<pad>", "<bos>", "<eos>", "<unk>")
SPEC = Spec(Field((T,), V, (*SPECIAL, *"abc")), {"y": Field((T,), W, (*SPECIAL, *"abcde"))})
SMALL = dict(
  width=8, layers=1, heads=2,
  dictionary=Dictionary(
    sentences=8, batch=5, dim=4, rounds=2, minings=1, pairs=4, steps=2, least=1
  ),
  objective=Objective(back_from=1),
)  # fmt: skip


def batch_of(n=5):
  rng = np.random.default_rng(0)
  make = lambda words: np.stack([
    np.r_[1, rng.integers(4, words, size=k), 2, np.zeros(T - k - 2)] for k in rng.integers(1, 5, n)
  ]).astype(np.int32)  # fmt: skip
  return {"x": make(V), "y": make(W), "mask": np.ones(n, bool)}


def micro(batch):
  return jax.tree.map(lambda v: v[None], batch)


@pytest.fixture(scope="module")
def trained():
  model, batch = build(SPEC, **SMALL).stages[1].model, batch_of()
  fresh = state = jax.jit(model.init)(jax.random.key(0), batch)
  update = jax.jit(model.update)
  for step in range(5):
    state, _ = update(state, micro(batch), jax.random.key(step), step)
  return model, fresh, state, batch, update


def test_translations_are_sentences_of_the_other_language(trained):
  model, _, state, batch, _ = trained
  transform = jax.jit(lambda x: model.transform(state, x, None))
  made = np.asarray(transform(batch["x"]))
  assert made.shape == (5, T) and (made[:, 0] == 1).all()
  assert made.min() >= 0 and made.max() < W and not (made == UNK).any()
  for row in made:  # nothing but padding behind <eos>
    ends = np.flatnonzero(row == EOS)
    if len(ends):
      assert (row[ends[0] + 1 :] == 0).all()
  # Each by itself.
  alone = np.concatenate([batch["x"][1:3], batch["x"][[0, 0, 0]]])
  np.testing.assert_array_equal(made[1:3], transform(alone)[:2])


def test_a_word_s_logits_are_those_of_the_whole_sentence_and_know_nothing_behind_it():
  net, batch = Bilingual((V, W), T, 8, 2, 2), batch_of()
  read, written = batch["x"], batch["y"][:, :-1]
  variables = jax.jit(lambda key: net.init(key, ((read, 0),), written, 1))(jax.random.key(1))
  apply = jax.jit(lambda read, written: net.apply(variables, ((read, 0),), written, 1))
  begin = jax.jit(lambda read: net.apply(variables, read, 0, T - 1, method="begin"))
  step = jax.jit(lambda m, i, before: net.apply(variables, m, read, i, before, 1, method="step"))
  whole, memories = apply(read, written), begin(read)
  for i in range(T - 1):
    logits, memories = step(memories, i, written[:, i])
    np.testing.assert_allclose(logits, whole[:, i], rtol=2e-4, atol=2e-5)
  # Nor does a word that is written later count, nor padding of what is read.
  changed = written.copy()
  changed[:, 3:] = 4
  np.testing.assert_allclose(apply(read, changed)[:, :3], whole[:, :3], rtol=1e-4, atol=1e-5)
  longer = np.pad(read[:, : T - 1], ((0, 0), (0, 1)))
  shorter = apply(longer[:, : T - 1], written)
  np.testing.assert_allclose(shorter, apply(longer, written), rtol=1e-4, atol=1e-5)


def test_translations_begin_word_by_word_and_are_the_model_s_own_from_then_on(trained):
  """At first M is the dictionary's: of other dictionaries other losses; later it is the model's."""
  _, fresh, _, batch, update = trained
  losses = {}
  for step in (0, 1):
    for shift in (0, 1):
      known = {
        "forward": jnp.arange(V).clip(0, 3).at[4:].set(4 + shift),
        "backward": jnp.arange(W).clip(0, 3).at[4:].set(4 + shift),
      }
      given = fresh | {"mutable": {"translator": {"dictionary": known}}}
      _, metrics = update(given, micro(batch), jax.random.key(1), step)
      losses[step, shift] = float(metrics["back_x"])
  assert losses[0, 0] != losses[0, 1]
  assert losses[1, 0] == losses[1, 1]


def test_the_network_begins_from_the_dictionary_s_vectors(trained):
  program, batch = build(SPEC, **SMALL), trained[3]
  first, second = program.stages
  assert first.steps == 2
  state, update = first.model.init(jax.random.key(0), batch), jax.jit(first.model.update)
  for step in range(2):
    state, metrics = update(state, micro(batch), jax.random.key(2), step)
  assert float(metrics["sentences"]) == 8 and float(metrics["entries"]) > 0
  found = state["params"]
  fresh = trained[1]
  begun = second.carry([state], fresh)
  pairs = np.flatnonzero(found["sure"])
  tables = begun["params"]["translator"]
  for w in pairs:
    np.testing.assert_allclose(
      tables["words_0"][w], tables["words_1"][found["forward"][w]], rtol=1e-5, atol=1e-6
    )
  np.testing.assert_array_equal(begun["ema"]["translator"]["words_0"], tables["words_0"])
  np.testing.assert_array_equal(tables["words_0"][:4], fresh["params"]["translator"]["words_0"][:4])
  # After the first stage it translates word by word, each way its own words.
  made = program.stages[0].so_far.transform([state], batch["x"], None, None)
  np.testing.assert_array_equal(made, np.asarray(found["forward"])[batch["x"]])
  terms = first.model.evaluate(state, batch, fold_each(jax.random.key(1), np.arange(5)))
  assert float(terms["covered_x"].min()) >= 0 and float(terms["covered_x"].max()) <= 1


def test_a_table_takes_the_first_columns_and_keeps_words_without_vectors():
  found = tabled(np.array([[3.0, 4, 9], [0, 0, 0]]), np.array([[1, 1], [2, 2]], np.float32))
  np.testing.assert_allclose(found, [[0.6, 0.8], [2, 2]])
  wider = tabled(np.array([[3.0, 4]]), np.ones((1, 4), np.float32))
  np.testing.assert_allclose(wider, [[0.6, 0.8, 0, 0]])


@pytest.mark.parametrize(
  ("spec", "how", "message"),
  [
    (Spec(Field((T,), V)), {}, "needs sentences x and y"),
    (Spec(Field((T,), V), {"y": Field((T + 1,), W)}), {}, "of one length in tokens"),
    (Spec.of((8, 8, 1), 17), {}, "needs sentences"),
    (Spec(Field((T,), 20000), {"y": Field((T,), 20000)}), {}, "raise data.minimum"),
    (Spec(Field((T,), V), {"y": Field((T,), W)}), {}, "whose names the data lack"),
    (SPEC, {"objective": Objective(denoise=0, denoise_last=0, back=0)}, "the weight 0"),
    (SPEC, {"heads": 3}, "model.heads=3 must divide model.width=8"),
    (SPEC, {"objective": Objective(drop=1.5)}, "model.objective.drop must be in"),
  ],
)
def test_refusals(spec, how, message):
  with pytest.raises(UserError, match=message):
    build(spec, **(SMALL | how))
