"""Translation between two languages of which no pair of sentences is given.

Source: Lample, Conneau, Denoyer & Ranzato 2018 (arXiv:1711.00043): denoising within each language,
and back-translation. The default languages are made by rule: one grammar, every word of the second
written backwards, so that the right translation is known (`word_accuracy`). What is not built yet:
the dictionary that the source begins with. It has not been trained to its end.

  launch/run.sh --config configs/translate.py
"""

from gen_jax.config import experiment, tiny, variant

CIPHER = dict(
  model=dict(
    width=64, layers=2, heads=4, back_from=1000,
    optimizer=dict(learning_rate=2e-3, warmup=100, schedule="cosine", decay_steps=3000, clip=1.0),
  ),
  data=dict(name="text:cipher", batch_size=64),
  train=dict(
    steps=3000, log_every=100, validate_every=500, sample_every=500, checkpoint_every=500
  ),
  measures=("likelihood", "words"),
)  # fmt: skip

VARIANTS = {
  "cipher": CIPHER,
  "tiny": tiny(
    CIPHER,
    dict(
      model=dict(
        width=8, layers=1, heads=2, back_from=4, optimizer=dict(decay_steps=8, warmup=2)
      ),
      data=dict(batch_size=16),
    ),
  ),
}  # fmt: skip


def get_config(name: str = "cipher"):
  """The config of a variant."""
  return experiment("gen_jax.models.translate.build", **variant(name, VARIANTS))
