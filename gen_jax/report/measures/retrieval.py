"""Whether pictures are told to belong to their captions by the model's own encoders."""

from __future__ import annotations

from gen_jax.data import ArraySplit
from gen_jax.metrics import top_caption
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
