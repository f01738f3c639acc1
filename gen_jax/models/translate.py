"""Translation without pairs of sentences (Lample et al. 2018, arXiv:1711.00043).

  stage 1     a dictionary, from how each language uses its words            (models.dictionary)
  stage 2     denoise     -log p(x | C(x)), within each language, C(x) with words left out and moved
                                                                                        (eq. 1)
              translate   -log p(x | C(M(x))), M(x) a translation of x through which no gradient
                          flows: at first word by word, from `back_from` on the model's own (eq. 2)

for sentences x of both languages, by one network (`nets.bilingual`), whose vectors of words begin
as the dictionary's: words of a pair are one. There is no critic of what is read, which the source
has; vectors, and what is not told of the language that is read, bring the two together.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

import chex
import jax
import jax.numpy as jnp

from gen_jax.core import Model, Program, Spec, Stage, UserError, fold_all, fold_each, over_states
from gen_jax.learn.game import Player, averaged, game, minimise
from gen_jax.learn.optimizer import Optimizer
from gen_jax.losses.sentences import noisy, word_nll
from gen_jax.models import dictionary as lexicon
from gen_jax.models.dictionary import Dictionary
from gen_jax.nets.bilingual import Bilingual
from gen_jax.schema import Count, Decay, Dtype, Natural, NonNegative, Share, builder

PAD, BOS, EOS, UNK = range(4)  # of each language's vocabulary
DICTIONARY, TRANSLATOR = range(2)  # the stages
NAME = "translator"


@dataclasses.dataclass(frozen=True)
class Direction:
  """direction: x_to_y takes sentences of the language x, y_to_x those of the language y."""

  direction: Literal["x_to_y", "y_to_x"] = "x_to_y"


@dataclasses.dataclass(frozen=True)
class Objective:
  """What is learnt of the sentences of each language.

  drop: chance of a word to be left out by the noise.
  shuffle: places that the noise moves a word by at most.
  denoise, denoise_last: weight of denoising, at first and from `denoise_steps` on; a straight line
    between.
  denoise_steps: see there; 0 for the last weight from the start.
  back: weight of translations' loss.
  back_from: the step from which translations are the model's own.
  pairs: weight of -log p(x | C(y)) and -log p(y | C(x)) for x and y of a batch that are pairs, as
    those of data that are not `unpaired`: what the same network learns from an interpreter.
  """

  drop: Share = 0.1
  shuffle: Natural = 3
  denoise: NonNegative = 1.0
  denoise_last: NonNegative = 1.0
  denoise_steps: Natural = 0
  back: NonNegative = 1.0
  back_from: Natural = 1000
  pairs: NonNegative = 0.0


@builder
def build(
  spec: Spec,
  *,
  width: Count = 64,
  layers: Count = 2,
  heads: Count = 4,
  dropout: Share = 0.0,
  dictionary: Dictionary = Dictionary(),
  objective: Objective = Objective(),
  dtype: Dtype = "float32",
  ema: Decay = 0.99,
  optimizer: Optimizer = Optimizer(learning_rate=1e-3),
  sample: Direction = Direction(),
) -> Program:
  """Translator of sentences x of one language and y of another, both [T] tokens, in two stages.

  `transform` writes a sentence of the language that `sample.direction` starts from in the other,
  [B, T], the likeliest word after word, never <unk>; after stage 1 word by word. `evaluate` gives
  in nats a word, each a mean over the sentence's own words: denoising_x and denoising_y;
  round_trip_x and round_trip_y, -log p(x | M(x)), and round_trip, their mean, which says without
  any pair which model is best.

  Args:
    spec: of the data, with y.
    width, layers, heads, dropout: of the network.
    dictionary, objective: see there.
    dtype: of the network's computation; the dictionary's is float32 or wider.
    ema: decay of the parameter average that translates.
    optimizer: see there.
    sample: see there.

  Raises:
    UserError: if the data are no sentences of two languages, or options do not fit each other.
  """
  check(spec, width, heads, objective)
  real = jnp.promote_types(dtype, jnp.float32)
  start = sample.direction[0]
  first = lexicon.model_of(spec, dictionary, start, real)
  sizes = (spec.levels, spec.fields["y"].levels)
  net = Bilingual(sizes, spec.shape[0], width, layers, heads, dropout, jnp.dtype(dtype))
  second = translator(net, objective, optimizer, ema, start)

  def carry(previous, state):
    """The state that begins from the dictionary."""
    found = previous[DICTIONARY]["params"]
    tables = {
      f"words_{i}": tabled(found[name], state["params"][NAME][f"words_{i}"])
      for i, name in enumerate("xy")
    }
    begun = lambda group: {**group, NAME: {**group[NAME], **tables}} if NAME in group else group
    known = {name: found[name] for name in ("forward", "backward")}
    return state | {
      "params": begun(state["params"]), "ema": begun(state["ema"]),
      "mutable": {NAME: {"dictionary": known}},
    }  # fmt: skip

  steps = lexicon.reading_steps(dictionary)
  stages = (
    Stage(first, steps, {"batch_size": dictionary.batch}, so_far=over_states(first)),
    Stage(second, carry=carry),
  )
  return Program(stages, over_states(second))


def tabled(vectors: jax.Array, fresh: jax.Array) -> jax.Array:
  """The vectors [V, F] of a dictionary as a table [V, width] in place of a fresh one: their first
  columns, in which the languages agree most, at length 1. Words without any keep the fresh one."""
  width = fresh.shape[1]
  vectors = vectors[:, :width]
  vectors = jnp.pad(vectors, ((0, 0), (0, width - vectors.shape[1])))
  norm = jnp.linalg.norm(vectors, axis=1, keepdims=True)
  return jnp.where(norm > 0, vectors / jnp.where(norm > 0, norm, 1), fresh).astype(fresh.dtype)


def translator(
  net: Bilingual, objective: Objective, optimizer: Optimizer, ema: float, start: str
) -> Model:
  """What learns to denoise and to translate."""
  o, length = objective, net.length
  real = jnp.promote_types(net.dtype, jnp.float32)

  def sentences(batch):
    chex.assert_shape([batch["x"], batch["y"]], (None, length))
    return batch["x"].astype(jnp.int32), batch["y"].astype(jnp.int32)

  def init(key, batch):
    x, y = sentences(jax.tree.map(lambda leaf: leaf[:1], batch))
    own = lambda i: jnp.minimum(jnp.arange(net.words[i]), UNK).astype(jnp.int32)
    params = net.init(key, ((x, 0),), y[:, :-1], 1)["params"]
    return {NAME: params}, {NAME: {"dictionary": {"forward": own(0), "backward": own(1)}}}

  def nll(params, reads, tokens, target, key=None):
    """{name: -log p(tokens | read) [B] nats a word} of {name: (read [B, T], its language)}; with
    units dropped where there is a key."""
    how = {} if key is None else {"train": True, "rngs": {"dropout": key}}
    again = jnp.concatenate([tokens] * len(reads))
    logits = net.apply({"params": params}, tuple(reads.values()), again[:, :-1], target, **how)
    values = word_nll(logits, again, PAD).reshape(len(reads), -1)
    return dict(zip(reads, values, strict=True))

  def damaged(keys, tokens):
    one = lambda key, row: noisy(key, row, o.drop, o.shuffle, PAD, EOS)
    return jax.vmap(one)(keys, tokens)

  def written(params, read, source, target):
    """The likeliest word after word [B, T], padding behind <eos>."""
    variables = {"params": params}
    none = jnp.isin(jnp.arange(net.words[target]), jnp.array([PAD, BOS, UNK]))

    def add(i, carry):
      tokens, memories = carry
      before = tokens[:, i - 1]
      logits, memories = net.apply(variables, memories, read, i - 1, before, target, method="step")
      word = jnp.where(none, -jnp.inf, logits).argmax(-1)
      ended = (before == EOS) | (before == PAD)
      return tokens.at[:, i].set(jnp.where(ended, PAD, word).astype(tokens.dtype)), memories

    tokens = jnp.full((len(read), length), PAD, jnp.int32).at[:, 0].set(BOS)
    memories = net.apply(variables, read, source, length - 1, method="begin")
    return jax.lax.fori_loop(1, length, add, (tokens, memories))[0]

  def translated(own, known, tokens, language, step):
    """M(tokens): word by word, or the model's own."""
    by_word = known["forward" if language == 0 else "backward"][tokens]
    fixed = jax.lax.stop_gradient(own)
    model = lambda: written(fixed, tokens, language, 1 - language)
    return jax.lax.cond(step >= o.back_from, model, lambda: by_word)

  def loss(params, mutable, batch, key, step):
    own, kept, total, terms = params[NAME], mutable[NAME], 0.0, {}
    passed = jnp.minimum(step / o.denoise_steps, 1) if o.denoise_steps else 1.0
    weight = o.denoise + (o.denoise_last - o.denoise) * passed
    weights = {"denoising": weight, "back": o.back, "pairs": o.pairs}
    both = sentences(batch)
    for language, (name, tokens) in enumerate(zip("xy", both, strict=True)):
      keys = [jax.random.fold_in(key, 4 * language + i) for i in range(4)]
      noisy_of = lambda tokens, i, keys=keys: damaged(
        fold_each(keys[i], jnp.arange(len(tokens))), tokens
      )
      reads = {}
      if o.denoise or o.denoise_last:
        reads["denoising"] = noisy_of(tokens, 0), language
      if o.back:
        made = translated(own, kept["dictionary"], tokens, language, step)
        reads["back"] = noisy_of(made, 1), 1 - language
      if o.pairs:
        reads["pairs"] = noisy_of(both[1 - language], 2), 1 - language
      values = nll(own, reads, tokens, language, keys[3] if net.dropout else None)
      for term, value in values.items():
        terms[f"{term}_{name}"] = value
        total = total + weights[term] * value
    return total, (kept, terms)

  def evaluate(state, batch, keys):
    """denoising_x, denoising_y, round_trip_x, round_trip_y and round_trip [B], nats a word."""
    own, out = averaged(state, NAME), {}
    for language, (name, tokens) in enumerate(zip("xy", sentences(batch), strict=True)):
      reads = {
        "denoising": (damaged(fold_all(keys, language), tokens), language),
        "round_trip": (written(own, tokens, language, 1 - language), 1 - language),
      }
      values = nll(own, reads, tokens, language)
      out |= {f"{term}_{name}": value for term, value in values.items()}
    out["round_trip"] = (out["round_trip_x"] + out["round_trip_y"]) / 2
    return {name: value.astype(real) for name, value in out.items()}

  def transform(state, x, keys=None, cond=None):
    """Sentences [B, T] of the language that is started from in the other."""
    del keys, cond
    chex.assert_shape(x, (None, length))
    source = "xy".index(start)
    return written(averaged(state, NAME), x.astype(jnp.int32), source, 1 - source)

  return game(
    {NAME: Player(minimise(NAME, loss, optimizer.accumulate), optimizer.make())},
    init,
    ema={NAME: ema} if ema else {},
    evaluate=evaluate,
    transform=transform,
    given=start,
  )


def check(spec: Spec, width: int, heads: int, o: Objective) -> None:
  """Refuses data that are no sentences of two languages, and options that do not fit."""
  y = spec.fields.get("y")
  tokens = lambda f: f is not None and len(f.shape) == 1 and f.levels and f.levels > UNK
  if not tokens(spec.x) or not tokens(y) or y.shape != spec.shape:
    raise UserError("translate needs sentences x and y of two languages, of one length in tokens")
  if width % heads:
    raise UserError(f"model.heads={heads} must divide model.width={width}")
  if not (o.denoise or o.denoise_last or o.back or o.pairs):
    raise UserError("model.objective gives every loss the weight 0")
