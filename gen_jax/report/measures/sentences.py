"""Translations of sentences, where the right ones are known.

Words are those of the texts as they came, where the source keeps them: one that no vocabulary holds
is never right. Figures of a corpus are ratios of sums over its sentences.
"""

from __future__ import annotations

import numpy as np

from gen_jax import config as configs
from gen_jax import ibm1, metrics
from gen_jax.data import SPECIAL, Source, Vocabulary
from gen_jax.report.lexicon import entries, first_of
from gen_jax.report.measures.table import measure
from gen_jax.report.measures.translation import Way, each_way, of_domain, translated, ways
from gen_jax.report.scene import Record, Scene
from gen_jax.run.system import System

UNK = len(SPECIAL) - 1
FREQUENT = (200, 500)  # words whose translations are judged
SURE = 0.1  # least (t(v | w) t(w | v))^{1/2} of a pair that counts as known
EM_STEPS = 5


@measure("word_accuracy", "sentence_accuracy", needs=("transform",), fields=("y",))
def words(scene: Scene) -> dict[str, Record]:
  """Share of the words of the known translations that stand in their places in the model's: a
  ratio over the split. Besides, the share of sentences that are right as a whole."""
  to = {"x": "y", "y": "x"}[scene.model.given]
  made, wanted = scene.transformed, scene.real[to]
  word = wanted >= len(SPECIAL)
  right, count = (made == wanted) & word, int(word.sum())
  missing = {} if count else {"why": "the translations hold no word"}
  return {
    "word_accuracy": scene.of_split(
      right.sum() / count if count else np.nan, words=count, **missing
    ),
    "sentence_accuracy": scene.of_split(np.mean((made == wanted).all(1))),
  }


def said(scene: Scene, tokens: np.ndarray, field: str) -> list[list[str]]:
  """The words of sentences [B, T] of the field's language."""
  vocabulary = Vocabulary(scene.spec.field(field).names)
  return [vocabulary.decode(row).split() for row in tokens]


def texts(scene: Scene, field: str) -> list[list[str]]:
  """The words of the split's own sentences, as they came where they are kept."""
  kept = scene.source.notes.get("texts", {}).get(scene.settings.split)
  if kept is not None:
    return [text.split() for text in kept[field]]
  unknown = f"{SPECIAL[UNK]} as it came"  # which is no word that a model writes
  of_tokens = said(scene, scene.real[field], field)
  return [[unknown if word == SPECIAL[UNK] else word for word in line] for line in of_tokens]


def score(scene: Scene, made: np.ndarray, field: str) -> Record:
  """BLEU of sentences [N, T] made of all of the split, in the field's language."""
  ours, wanted = said(scene, made, field), texts(scene, field)
  lengths = {"words": sum(map(len, ours)), "words_wanted": sum(map(len, wanted))}
  return scene.of_split(metrics.bleu(ours, wanted), **lengths)


@measure("bleu", needs=("transform",), fields=("y",), notes=("counterparts",))
def bleu(scene: Scene) -> dict[str, Record]:
  """BLEU in 0..100 of translations, of words as they are tokenised, see `metrics.bleu`."""
  return each_way(
    scene, "bleu", lambda way: score(scene, translated(scene, way, scene.split), way.to)
  )


@measure("round_trip_bleu", needs=("transform",), fields=("y",))
def round_trip(scene: Scene) -> dict[str, Record]:
  """BLEU of sentences translated there and back, for which no pair is needed; a model that leaves
  sentences as they are has 100."""
  there = ways(scene)
  back = {way.start: way for way in there}

  def take(way: Way) -> Record:
    if way.to not in back:
      return {"value": None, "why": "this model goes one way", "split": scene.settings.split}
    model = back[way.to].model

    def made(states, batch, keys):
      cond = scene.cond(batch)
      middle = way.model.transform(states, batch[way.start], keys, cond)
      return {"x": model.transform(states, middle, keys, cond)}

    return score(scene, scene.terms(made)["x"], way.start)

  return each_way(scene, "round_trip_bleu", take)


def firsts(scene: Scene) -> dict[str, Way]:
  """The ways of `ways`, by where they start, of the system as it stands after its first stage."""
  found = {}
  for way in ways(scene):
    program = scene.system.program
    if way.start != scene.model.given:
      change = {"sample": {"direction": way.name}}
      program = configs.build(configs.merge(scene.system.config, change), scene.spec)
    found[way.start] = way._replace(model=first_of(program))
  return found


def no_first(system: System) -> str:
  """An obstacle where the first of several stages does not translate."""
  stages = len(system.program.stages)
  if stages > 1 and first_of(system.program).transform is not None:
    return ""
  return "needs a model whose first stage translates word by word"


@measure(
  "bleu_word_by_word", needs=("transform",), fields=("y",), notes=("counterparts",),
  obstacle=no_first,
)  # fmt: skip
def word_by_word(scene: Scene) -> dict[str, Record]:
  """BLEU of the first stage's translations, word by word."""
  first = firsts(scene)

  def take(way: Way) -> Record:
    return score(scene, translated(scene, first[way.start], scene.split), way.to)

  return each_way(scene, "bleu_word_by_word", take)


def known_words(scene: Scene, way: Way) -> tuple[np.ndarray, str]:
  """(the right translation of each word [V], -1 where none is known; where from)."""
  source: Source = scene.source
  fields = {name: scene.spec.field(name) for name in "xy"}
  if "translate" in source.notes:
    index = {word: i for i, word in enumerate(fields["y"].names)}
    given = fields["x"].names[len(SPECIAL) :]
    right = np.array([index.get(source.notes["translate"](word), -1) for word in given])
    of_x = np.r_[np.full(len(SPECIAL), -1), right]
    if way.start == "x":
      return of_x, "the source's own"
    of_y = np.full(len(fields["y"].names), -1)
    of_y[right[right >= 0]] = len(SPECIAL) + np.flatnonzero(right >= 0)
    return of_y, "the source's own"
  pairs = source.splits["validation"].arrays()
  e, f = pairs[way.start], pairs[way.to]
  sizes, weight = (fields[way.start].levels, fields[way.to].levels), np.ones(len(e), np.float32)
  t = ibm1.fit(e, f, weight, sizes, len(SPECIAL), EM_STEPS)
  back = ibm1.fit(f, e, weight, sizes[::-1], len(SPECIAL), EM_STEPS)
  both = np.sqrt(np.asarray(t) * np.asarray(back).T)[:, len(SPECIAL) :]
  found = np.where(both.max(1) > SURE, len(SPECIAL) + both.argmax(1), -1)
  found[: len(SPECIAL)] = -1
  return found, f"IBM Model 1 of {len(e)} pairs of validation"


@measure(
  "dictionary_precision", needs=("transform",), fields=("y",), notes=("counterparts",),
  obstacle=lambda system: no_first(system)
  or ("" if {"translate"} & system.source.notes.keys() or "validation" in system.source.splits
      else "needs a validation split"),
)  # fmt: skip
def dictionary(scene: Scene) -> dict[str, Record]:
  """Share of the 500 most frequent words, as far as their translations are known, that the first
  stage translates so; and of the 200 most frequent. `known` says where from."""
  first = firsts(scene)

  def take(way: Way) -> Record:
    made, (right, gold) = (
      entries(first[way.start].model, scene.states, scene.spec.field(way.start)),
      known_words(scene, way),
    )
    train = of_domain(scene.source.splits["train"], way.start).arrays()[way.start]
    counts = np.bincount(train.ravel(), minlength=len(made))
    counts[: len(SPECIAL)] = 0
    order = np.argsort(-counts, kind="stable")

    def share(n: int) -> tuple[float, int]:
      judged = [word for word in order[:n] if right[word] >= 0 and counts[word]]
      return float(np.mean(made[judged] == right[judged])) if judged else np.nan, len(judged)

    few, (value, count) = share(FREQUENT[0])[0], share(FREQUENT[1])
    return {
      "value": value, "examples": count, "split": scene.settings.split, "known": gold,
      "of_200": few, "says": f"{count} words, known by {gold}",
    }  # fmt: skip

  return each_way(scene, "dictionary_precision", take)
