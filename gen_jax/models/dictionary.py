"""A dictionary of two languages from sentences of either, of which no pair is given.

  vectors     of words, from positive pointwise mutual information       (learn.cooccurrence)
  first pairs words spelt alike; where spelling has no weight, words used alike often and in like
              places of sentences
  rounds      map both languages into one space by the pairs; score all words for each other; the
              pairs that choose each other are the next ones, among ever more of the frequent words
              (self-learning: Artetxe et al. 2018, arXiv:1805.06297, section 3.3)
  mining      sentences that say about the same, by the dictionary; which word stands for which in
              them, by IBM Model 1 both ways, t; and the rounds again
  score       csls(w, v) + a spelling(w, v) - b |log f(w) - log f(v)| - c |place(w) - place(v)|
              + m (t(v | w) t(w | v))^{1/2}

Vectors alone fail on some ten thousand sentences: what carries the dictionary is that languages use
words of one meaning alike often, and in like places. An update keeps the sentences of its batch;
the one that completes them makes the dictionary.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from gen_jax import ibm1
from gen_jax.core import Array, Model, Spec, UserError
from gen_jax.learn import alignment, cooccurrence, mining, spelling
from gen_jax.schema import Count, Natural, NonNegative, Share

MOST = 2**28  # numbers of a table of all words by all words: 1 GiB in float32
LOWEST = -1e9  # of a word that is no translation
LETTERS = 4  # of shorter words, alike by chance, the first pairs have none
FIRST = 4  # tokens below it stand for no word: <pad>, <bos>, <eos>, <unk>
AXES = "xy"


@dataclasses.dataclass(frozen=True)
class Dictionary:
  """How the dictionary is made.

  sentences: of each language that are kept, the first in the run's order; where there are fewer,
    some are kept twice.
  batch: sentences that are read in one step.
  window: of words that stand together.
  dim: of the vectors.
  spelling, frequency, place, mined: a, b, c and m of the score. Without spelling, strings are never
    compared.
  cognate: least likeness in spelling of the first pairs, of words of four letters or more.
  least: how often a word must occur to be paired, or to be the translation of another.
  rounds: of self-learning.
  start: how many of the most frequent words the first round pairs; the last round pairs all.
  neighbours: k of csls.
  minings: how often sentences are mined.
  pairs: of sentences that are mined.
  steps: of EM.
  """

  sentences: Count = 4000
  batch: Count = 512
  window: Count = 5
  dim: Count = 200
  spelling: NonNegative = 0.3
  frequency: NonNegative = 0.2
  place: NonNegative = 0.1
  mined: NonNegative = 0.5
  cognate: Share = 0.5
  least: Count = 5
  rounds: Count = 12
  start: Count = 200
  neighbours: Count = 10
  minings: Natural = 2
  pairs: Count = 5000
  steps: Count = 5


class Language(NamedTuple):
  """What is known of the words of one language [V]: vectors [V, F], marks, which occur, and which
  often enough to be paired."""

  vectors: Array
  marks: cooccurrence.Marks
  there: Array
  often: Array


def language_of(tokens: Array, words: int, how: Dictionary, dtype: Any, key: Array) -> Language:
  """Of the sentences [N, T] of one language."""
  counts = cooccurrence.cooccurrences(tokens, words, how.window, FIRST, dtype)
  seen = jnp.zeros(words, jnp.int32).at[tokens].add(1)
  seen = jnp.where(jnp.arange(words) >= FIRST, seen, 0)
  there, often = seen > 0, seen >= how.least
  vectors = cooccurrence.vectors(cooccurrence.ppmi(counts), how.dim, key)
  return Language(
    alignment.normalised(vectors, there),
    cooccurrence.marks(tokens, words, FIRST, dtype),
    there,
    often,
  )


def usage(x: Language, y: Language, how: Dictionary) -> Array:
  """-b |log f(w) - log f(v)| - c |place(w) - place(v)|, [V, V'], places in standard deviations."""
  both = jnp.concatenate([x.marks.place, y.marks.place])
  known = jnp.concatenate([x.there, y.there])[:, None]
  mean = jnp.where(known, both, 0).sum(0) / jnp.maximum(known.sum(), 1)
  variance = jnp.where(known, (both - mean) ** 2, 0).sum(0) / jnp.maximum(known.sum(), 1)
  a, b = (m.marks.place / jnp.sqrt(variance + 1e-6) for m in (x, y))
  apart = sum((a[:, None, i] - b[:, i]) ** 2 for i in range(a.shape[1]))
  often = jnp.abs(x.marks.frequency[:, None] - y.marks.frequency)
  return -how.frequency * often - how.place * jnp.sqrt(apart)


class Pairs(NamedTuple):
  """The partner of each word of the first language [V], and how much the pair counts [V]."""

  partner: Array
  weight: Array


def mapped(x: Language, y: Language, *sets: Pairs) -> tuple[Array, Array]:
  """The vectors of both in one space, by pairs of words."""
  left = jnp.concatenate([x.vectors] * len(sets))
  right = jnp.concatenate([y.vectors[pairs.partner] for pairs in sets])
  weight = jnp.concatenate([pairs.weight for pairs in sets])
  u, v = alignment.procrustes(left, right, weight)
  sides = (x.vectors, u), (y.vectors, v)
  return tuple(alignment.unit(alignment.matmul(vectors, turn)) for vectors, turn in sides)


def self_learned(
  x: Language, y: Language, seed: Pairs, bonus: Array, how: Dictionary
) -> tuple[tuple[Array, Array], Array]:
  """(the vectors of both in one space, scores [V, V']) after the rounds; all keep the seed."""
  dtype, sizes = bonus.dtype, bonus.shape
  rank = [
    jnp.argsort(jnp.argsort(-jnp.where(m.often, m.marks.frequency, -jnp.inf))) for m in (x, y)
  ]

  def scored(pairs):
    space = mapped(x, y, seed, pairs)
    return space, alignment.csls(*space, how.neighbours, (x.often, y.often)) + bonus

  def one(i, pairs):
    grown = max(max(sizes) / how.start, 1) ** (i / max(how.rounds - 1, 1))
    among = tuple(m.often & (r < how.start * grown) for m, r in zip((x, y), rank, strict=True))
    partner, sure = alignment.mutual(scored(pairs)[1], among)
    return Pairs(partner, sure.astype(dtype))

  nothing = Pairs(seed.partner, jnp.zeros_like(seed.weight))
  return scored(jax.lax.fori_loop(0, how.rounds, one, nothing))


class Strings(NamedTuple):
  """How words are spelt: likeness in spelling [V, V'], and of the words that count as cognates."""

  spelt: Array
  cognate: Array


def learnt(
  x_tokens: Array, y_tokens: Array, strings: Strings | None, sizes: tuple[int, int],
  how: Dictionary, dtype: Any, key: Array,
) -> dict[str, Array]:  # fmt: skip
  """The dictionary of sentences [N, T] and [N', T]; strings: None where spelling does not count.

  Returns:
    x, y: vectors [V, F] and [V', F] in one space, of length 1, of pairs the same; forward [V] and
    backward [V'], the best word for each; sure [V], whether it is a pair that chooses each other.
  """
  x, y = (
    language_of(tokens, n, how, dtype, jax.random.fold_in(key, i))
    for i, (tokens, n) in enumerate(zip((x_tokens, y_tokens), sizes, strict=True))
  )
  often, bonus = (x.often, y.often), usage(x, y, how)

  def chosen(score, least=-jnp.inf):
    partner, sure = alignment.mutual(score, often)
    sure &= jnp.take_along_axis(score, partner[:, None], 1)[:, 0] >= least
    return Pairs(partner, sure.astype(dtype))

  if strings is None:
    seed = chosen(bonus)
  else:
    bonus, seed = bonus + how.spelling * strings.spelt, chosen(strings.cognate, how.cognate)

  def mined(score):
    """(t(v | w) t(w | v))^{1/2} in sentences that the scores make similar."""
    found = mining.mine(x_tokens, y_tokens, score, FIRST, how.pairs)
    e, f = x_tokens[found.first], y_tokens[found.second]
    t = ibm1.fit(e, f, found.similarity, sizes, FIRST, how.steps)
    back = ibm1.fit(f, e, found.similarity, sizes[::-1], FIRST, how.steps)
    return jnp.sqrt(t * back.T)

  space, score = self_learned(x, y, seed, bonus, how)

  def again(i, found):
    score = jnp.where(often[1], found[1], LOWEST)
    together = mined(score)
    return self_learned(x, y, chosen(score), bonus + how.mined * together, how)

  if how.minings:
    space, score = jax.lax.fori_loop(0, how.minings, again, (space, score))
  return entries(space, score, (x.there, y.there), often)


def entries(
  space: tuple[Array, Array], score: Array, there: tuple[Array, Array], often: tuple[Array, Array]
) -> dict[str, Array]:
  """What `learnt` returns, from scores [V, V']. Words that never occur stand for <unk>, tokens of
  no word for themselves."""
  partner, sure = alignment.mutual(score, often)

  def best(scores, known, wanted):
    own = jnp.minimum(jnp.arange(len(scores)), FIRST - 1)
    word = jnp.where(wanted, alignment.settled(scores), -jnp.inf).argmax(1)
    return jnp.where(known & wanted.any(), word, own).astype(jnp.int32)

  x, y = (alignment.unit(side) for side in space)
  mean = alignment.unit(x + y[partner])
  x = jnp.where(sure[:, None], mean, x)
  # Behind the table, where it is dropped: rows of words without a pair.
  y = y.at[jnp.where(sure, partner, len(y))].set(mean, mode="drop")
  return {
    "x": x, "y": y, "sure": sure.astype(x.dtype),
    "forward": best(score, there[0], often[1]), "backward": best(score.T, there[1], often[0]),
  }  # fmt: skip


def word_by_word(params: dict, tokens: Array, start: str) -> Array:
  """Sentences [B, T] of the language `start`, each word by the best for it."""
  return params["forward" if start == "x" else "backward"][tokens]


def model_of(spec: Spec, how: Dictionary, start: str, dtype: Any) -> Model:
  """What learns the dictionary of sentences x and y; `transform` translates those of `start` word
  by word. `evaluate` gives covered_x and covered_y: the share of a sentence's words whose best
  translations are translated back to them.

  Raises:
    UserError: for more words than a table of all by all can hold, or words without names to spell.
  """
  (length,), fields = spec.shape, {"x": spec.x, "y": spec.fields["y"]}
  sizes = tuple(field.levels for field in fields.values())
  if sizes[0] * sizes[1] > MOST:
    raise UserError(
      f"a dictionary of {sizes[0]} by {sizes[1]} words needs a table of as many numbers, above"
      f" {MOST}: raise data.minimum"
    )
  names = [field.names for field in fields.values()]
  if how.spelling and any(len(words) < n for words, n in zip(names, sizes, strict=True)):
    raise UserError("model.dictionary.spelling compares words, whose names the data lack: set it 0")
  pairs = spelling.alike(*(words[FIRST:] for words in names)) if how.spelling else None
  long = [np.array([len(word) >= LETTERS for word in words]) for words in names]

  def strings():
    if pairs is None:
      return None
    at = pairs.rows + FIRST, pairs.columns + FIRST
    spelt = jnp.zeros(sizes, dtype).at[at].set(pairs.cosine)
    return Strings(spelt, jnp.where(long[0][:, None] & long[1], spelt, 0))

  def init(key, batch):
    del key, batch
    zeros = lambda *shape: jnp.zeros(shape, dtype)
    corpus = {name: jnp.zeros((how.sentences, length), jnp.int32) for name in AXES}
    whole = lambda n: jnp.minimum(jnp.arange(n), FIRST - 1).astype(jnp.int32)
    params = {
      "x": zeros(sizes[0], how.dim), "y": zeros(sizes[1], how.dim), "sure": zeros(sizes[0]),
      "forward": whole(sizes[0]), "backward": whole(sizes[1]),
    }  # fmt: skip
    return {"params": params, "corpus": corpus, "seen": jnp.int32(0)}

  def update(state, batch, key, step):
    del step
    rows = {name: batch[name][0].astype(jnp.int32) for name in AXES}
    chex.assert_shape(list(rows.values()), (None, length))
    mask = batch["mask"][0] if "mask" in batch else jnp.ones(len(rows["x"]), bool)
    # Behind the corpus, where it is dropped: padding, and more than is kept.
    place = jnp.where(mask, state["seen"] + jnp.cumsum(mask) - 1, how.sentences)
    corpus = {
      name: kept.at[place].set(rows[name], mode="drop") for name, kept in state["corpus"].items()
    }
    seen = jnp.minimum(state["seen"] + mask.sum(dtype=jnp.int32), how.sentences)
    complete = (seen == how.sentences) & (state["seen"] < how.sentences)
    params = jax.lax.cond(
      complete,
      lambda: learnt(corpus["x"], corpus["y"], strings(), sizes, how, dtype, key),
      lambda: state["params"],
    )
    metrics = {"sentences": seen.astype(dtype), "entries": params["sure"].sum()}
    return {"params": params, "corpus": corpus, "seen": seen}, metrics

  def evaluate(state, batch, keys):
    del keys
    chex.assert_shape([batch["x"], batch["y"]], (None, length))
    out, params = {}, state["params"]
    for name, (there, back) in {"x": ("forward", "backward"), "y": ("backward", "forward")}.items():
      tokens, word = batch[name], batch[name] >= FIRST
      returns = (params[back][params[there][tokens]] == tokens) & word
      out[f"covered_{name}"] = returns.sum(1).astype(dtype) / jnp.maximum(word.sum(1), 1)
    return out

  def transform(state, x, keys=None, cond=None):
    del keys, cond
    chex.assert_shape(x, (None, length))
    return word_by_word(state["params"], x.astype(jnp.int32), start)

  return Model(
    init=init, update=update, evaluate=evaluate, transform=transform, given=start,
    weights=("params",),
  )  # fmt: skip


def reading_steps(how: Dictionary) -> int:
  """How many steps it takes to read all sentences."""
  return -(-how.sentences // how.batch)
