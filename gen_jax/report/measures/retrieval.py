"""What is found again by the model's own encoders: the caption of a picture, a person."""

from __future__ import annotations

import numpy as np

from gen_jax.data import ArraySplit
from gen_jax.metrics import rank_1, told_from_neighbours, top_caption
from gen_jax.report.measures.table import measure
from gen_jax.report.scene import Record, Scene


@measure(
  "retrieval", "retrieval_one_word", "sample_retrieval", needs=("sample", "embed"),
  cond=("caption",),
)  # fmt: skip
def retrieval(scene: Scene) -> dict[str, Record]:
  """How often a picture's caption is the one of a hundred that it matches best, of real pictures
  and of samples (R-precision). A model that learns from these encoders knows what they look at:
  the second says more of how it follows them than of how good its pictures are. And how often it
  is the best of those that differ from it in one word, of real pictures that have such a caption:
  what encoders do not see there, a model that is told of captions by them alone cannot draw."""
  embed = scene.model.embed

  def vectors(states, batch, keys):
    u, v = embed(states, batch["x"], keys, scene.cond(batch))
    return {"u": u, "v": v}

  def encoded(arrays, split):
    terms = scene.terms(vectors, of=split)
    return terms["u"], terms["v"], arrays["caption"]

  real, samples = (
    encoded(scene.real, scene.split),
    encoded(scene.samples, ArraySplit(scene.samples)),
  )
  (found, share), (again, again_share) = top_caption(*real), top_caption(*samples)
  told, chance = told_from_neighbours(*real)
  asked = chance < 1
  facts = lambda found, share: {
    "candidates": min(100, len(found)), "by_chance": float(share.mean())
  }  # fmt: skip
  one_word = {"value": None, "why": "no two captions differ in one word alone"}
  if asked.any():
    one_word = {"value": float(told[asked].mean()), "by_chance": float(chance[asked].mean())}
  return {
    "retrieval": scene.of_split(found.mean(), **facts(found, share)),
    "retrieval_one_word": one_word | {"examples": int(asked.sum()), "split": scene.settings.split},
    "sample_retrieval": scene.record(
      again.mean(), **facts(again, again_share), of_real_data=float(found.mean())
    ),
  }


@measure("rank_1", needs=("encode",), fields=("label", "session"))
def rank(scene: Scene) -> dict[str, Record]:
  """How often the nearest code of the other session, by cosine, is of the same person: pictures of
  either session are asked, those of the other are the gallery. Beside it the same of the pixels, of
  the pixels without their colour, and by chance."""
  real = scene.real
  second = real["session"] == 1

  def found(v):
    v = v.reshape(len(v), -1)
    ways = (second, ~second), (~second, second)
    shares = [rank_1(v[a], real["label"][a], v[b], real["label"][b]) for a, b in ways]
    return float(np.average(shares, weights=[a.sum() for a, _ in ways]))

  x = real["x"].astype(np.float64)
  facts = {
    "of_pixels": found(x),
    "of_grey": found(x.max(-1)),
    "by_chance": 1 / len(np.unique(real["label"])),
  }
  return {"rank_1": scene.of_split(found(scene.encoded()), **facts)}
