"""Translation without pairs of sentences (Lample et al. 2018, arXiv:1711.00043).

  denoise     -log p(x | C(x)), within each language, C(x) with words left out and moved   (eq. 1)
  translate   -log p(x | M(x)), M(x) the model's own translation of x, through which no gradient
              flows                                                                        (eq. 2)

for sentences x of both languages, by one network (`nets.bilingual`). Words are of one joint
vocabulary, in which the second language's come behind the first's; a language's own words only are
ever written in it.
"""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp

from gen_jax.core import Program, Spec, UserError, fold_all, fold_each, single
from gen_jax.learn.game import Player, averaged, game, minimise
from gen_jax.learn.optimizer import Optimizer
from gen_jax.losses.sentences import noisy, word_nll
from gen_jax.nets.bilingual import Bilingual
from gen_jax.schema import Count, Decay, Dtype, Natural, NonNegative, Share, builder

PAD, BOS, EOS = range(3)  # of each language's own vocabulary


@builder
def build(
  spec: Spec,
  *,
  width: Count = 64,
  layers: Count = 2,
  heads: Count = 4,
  drop: Share = 0.1,
  shuffle: Natural = 3,
  back: NonNegative = 1.0,
  back_from: Natural = 1000,
  dtype: Dtype = "float32",
  ema: Decay = 0.99,
  optimizer: Optimizer = Optimizer(learning_rate=1e-3),
) -> Program:
  """Translator of sentences x of one language and y of another, both [T] tokens.

  `transform` writes x in the language of y, [B, T], the likeliest word after word. `evaluate` gives
  denoising_x and denoising_y in nats a word, each a mean over the sentence's own words.

  Args:
    spec: of the data, with y.
    width, layers, heads: of the network.
    drop: chance of a word to be left out by the noise.
    shuffle: places that the noise moves a word by at most.
    back: weight of the translations' loss, 0 for none.
    back_from: the step from which it counts: before, translations are noise.
    dtype: of the network's computation.
    ema: decay of the parameter average that translates.
    optimizer: see there.

  Raises:
    UserError: if the data are no sentences of two languages.
  """
  check(spec, width, heads)
  real, (length,) = jnp.promote_types(dtype, jnp.float32), spec.shape
  sizes = (spec.levels, spec.fields["y"].levels)
  begins, pads = (0, sizes[0]), (PAD, sizes[0] + PAD)
  net = Bilingual(sum(sizes), length, width, layers, heads, jnp.dtype(dtype))
  inside = [
    (jnp.arange(sum(sizes)) >= begin) & (jnp.arange(sum(sizes)) < begin + size)
    for begin, size in zip(begins, sizes, strict=True)
  ]

  def sentences(batch):
    """Both languages' tokens [B, T] in the joint vocabulary."""
    x, y = batch["x"], batch["y"]
    chex.assert_shape([x, y], (None, length))
    return x.astype(jnp.int32), y.astype(jnp.int32) + sizes[0]

  def logits_of(params, read, written, source, target):
    """Of the word after each, of the target language only."""
    logits = net.apply({"params": params}, read, written, source, target, pads)
    return jnp.where(inside[target], logits, -1e9)

  def init(key, batch):
    x, y = sentences(jax.tree.map(lambda leaf: leaf[:1], batch))
    return {"translator": net.init(key, x, y[:, :-1], 0, 1, pads)["params"]}, {"translator": {}}

  def nll(params, read, tokens, source, target):
    """-log p(tokens | read) [B] nats a word."""
    logits = logits_of(params, read, tokens[:, :-1], source, target)
    return word_nll(logits, tokens, pads[target])

  def damaged(keys, tokens, language):
    one = lambda key, row: noisy(key, row, drop, shuffle, pads[language], begins[language] + EOS)
    return jax.vmap(one)(keys, tokens)

  def written(params, read, source, target):
    """The likeliest word after word [B, T], padding behind <eos>."""
    pad, eos = pads[target], begins[target] + EOS

    def add(i, tokens):
      word = logits_of(params, read, tokens[:, :-1], source, target)[:, i - 1].argmax(-1)
      ended = (tokens[:, i - 1] == eos) | (tokens[:, i - 1] == pad)
      return tokens.at[:, i].set(jnp.where(ended, pad, word).astype(tokens.dtype))

    tokens = jnp.full((len(read), length), pad, jnp.int32).at[:, 0].set(begins[target] + BOS)
    return jax.lax.fori_loop(1, length, add, tokens)

  def loss(params, mutable, batch, key, step):
    own, pair, total, terms = params["translator"], sentences(batch), 0.0, {}
    for language, name in enumerate("xy"):
      other, tokens = 1 - language, pair[language]
      keys = fold_each(jax.random.fold_in(key, language), jnp.arange(len(tokens)))
      read = damaged(keys, tokens, language)
      terms[f"denoising_{name}"] = nll(own, read, tokens, language, language)
      total = total + terms[f"denoising_{name}"]
      if back:
        made = written(jax.lax.stop_gradient(own), tokens, language, other)
        terms[f"back_{name}"] = nll(own, made, tokens, other, language)
        total = total + jnp.where(step >= back_from, back, 0.0) * terms[f"back_{name}"]
    return total, (mutable["translator"], terms)

  def evaluate(state, batch, keys):
    """denoising_x and denoising_y [B], nats a word."""
    own, out = averaged(state, "translator"), {}
    for language, (name, tokens) in enumerate(zip("xy", sentences(batch), strict=True)):
      read = damaged(fold_all(keys, language), tokens, language)
      out[f"denoising_{name}"] = nll(own, read, tokens, language, language).astype(real)
    return out

  def transform(state, x, keys=None, cond=None):
    """x in the other language: tokens [B, T] of y's vocabulary."""
    del keys, cond
    chex.assert_shape(x, (None, length))
    made = written(averaged(state, "translator"), x.astype(jnp.int32), 0, 1)
    return made - sizes[0]

  model = game(
    {"translator": Player(minimise("translator", loss, optimizer.accumulate), optimizer.make())},
    init,
    ema={"translator": ema} if ema else {},
    evaluate=evaluate,
    transform=transform,
  )
  return single(model)


def check(spec: Spec, width: int, heads: int) -> None:
  """Refuses data that are no sentences of two languages."""
  y = spec.fields.get("y")
  tokens = lambda f: f is not None and len(f.shape) == 1 and f.levels and f.levels > EOS
  if not tokens(spec.x) or not tokens(y) or y.shape != spec.shape:
    raise UserError("translate needs sentences x and y of two languages, of one length in tokens")
  if width % heads:
    raise UserError(f"model.heads={heads} must divide model.width={width}")
