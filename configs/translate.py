"""Translation between two languages of which no pair of sentences is given.

Source: Lample, Conneau, Denoyer & Ranzato 2018 (arXiv:1711.00043): a dictionary, denoising within
each language, and back-translation; the dictionary is found from the sentences themselves, where
the source has vectors of Wikipedia's. The default languages are made by rule: one grammar, every
word of the second written backwards, which the dictionary takes no notice of.

  launch/run.sh --config configs/translate.py   7 minutes of a busy core
  --mode=dictionary                             each word and its translation
  --mode=transform --input=FILE.txt             one sentence a line
  --config.sample.direction=y_to_x              the other way, with any mode

  --config configs/translate.py:multi30k --config.data.path=PATH   92 minutes of one core
      English and French of Multi30k, tokenised (train.en, train.fr, val..., test..., .gz too): of
      the 29,000 pairs to train, 14,500 sentences of each language and no pair. Other languages:
      --config.data.languages="('en','de')"
  --config configs/translate.py:multi30k_pairs --config.data.path=PATH   47 minutes of one core
      The same network told all the pairs.
"""

from gen_jax.config import experiment, merge, tiny, variant

CIPHER = dict(
  model=dict(
    width=64, layers=2, heads=4,
    dictionary=dict(sentences=4000, batch=400, dim=16, spelling=0.0, start=50, minings=0),
    objective=dict(back_from=200),
    optimizer=dict(learning_rate=2e-3, warmup=50, schedule="cosine", decay_steps=600, clip=1.0),
  ),
  data=dict(name="text:cipher", batch_size=64),
  train=dict(steps=600, log_every=20, validate_every=200, sample_every=200, checkpoint_every=200),
  measures=("likelihood", "bleu", "word_by_word", "round_trip", "dictionary", "words"),
)  # fmt: skip

MULTI30K = dict(
  model=dict(
    width=128, layers=3, heads=4, dropout=0.2,
    dictionary=dict(sentences=14500),
    objective=dict(denoise_last=0.1, denoise_steps=4000, back_from=1000),
    ema=0.999,
    optimizer=dict(learning_rate=1e-3, warmup=200, schedule="cosine", decay_steps=5000, clip=1.0),
  ),
  data=dict(
    name="text", languages=("en", "fr"), unpaired=True, tokens="spaces", minimum=3, length=28,
    batch_size=32,
  ),
  train=dict(
    steps=5000, log_every=50, validate_every=500, sample_every=500, checkpoint_every=250,
    best="round_trip",
  ),
  measures=CIPHER["measures"],
)  # fmt: skip

VARIANTS = {
  "cipher": CIPHER,
  "multi30k": MULTI30K,
  "multi30k_pairs": merge(
    MULTI30K,
    dict(
      model=dict(objective=dict(denoise=0.0, denoise_last=0.0, back=0.0, pairs=1.0)),
      data=dict(unpaired=False),
    ),
  ),
  "tiny": tiny(
    CIPHER,
    dict(
      model=dict(
        width=8, layers=1, heads=2, objective=dict(back_from=4),
        dictionary=dict(
          sentences=60, batch=16, dim=8, rounds=3, pairs=20, minings=1, steps=2, least=1
        ),
        optimizer=dict(decay_steps=8, warmup=2),
      ),
      data=dict(batch_size=16),
    ),
  ),
}  # fmt: skip


def get_config(name: str = "cipher"):
  """The config of a variant."""
  return experiment("gen_jax.models.translate.build", **variant(name, VARIANTS))
