"""What is found again by the model's own encoders: the caption of a picture, a person."""

from __future__ import annotations

import numpy as np

from gen_jax.data import ArraySplit
from gen_jax.metrics import rank_1, top_caption
from gen_jax.report.measures.table import measure
from gen_jax.report.scene import Record, Scene


@measure("retrieval", "sample_retrieval", needs=("sample", "embed"), cond=("caption",))
def retrieval(scene: Scene) -> dict[str, Record]:
  """How often a picture's caption is the one of a hundred that it matches best, of real pictures
  and of samples (R-precision). A model that learns from these encoders knows what they look at:
  the second says more of how it follows them than of how good its pictures are."""
  embed = scene.model.embed

  def vectors(states, batch, keys):
    u, v = embed(states, batch["x"], keys, scene.cond(batch))
    return {"u": u, "v": v}

  def taken(arrays, split):
    terms = scene.terms(vectors, of=split)
    found, share = top_caption(terms["u"], terms["v"], arrays["caption"])
    candidates = min(100, len(found))
    return found.mean(), {"candidates": candidates, "by_chance": float(share.mean())}

  real, facts = taken(scene.real, scene.split)
  samples, sampled = taken(scene.samples, ArraySplit(scene.samples))
  return {
    "retrieval": scene.of_split(real, **facts),
    "sample_retrieval": scene.record(samples, **sampled, of_real_data=float(real)),
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
