"""An autoencoder for a classifier that has few labels: pretrained on pictures without them.

Source: Hinton & Salakhutdinov 2006; Vincent et al. 2010. Forms: `finetuned`, `code` (a classifier
of the frozen code), `joined` (of picture and code), `scratch` (no autoencoder, as many steps). The
table of all of them over labels and seeds, with label spreading beside, by
`python -m benchmarks.few_labels`; what has been measured so far stands in docs/representations.md.

  launch/run.sh --config configs/pretrain.py[:code|joined|scratch] --config.model.labels=5
"""

from gen_jax.config import experiment, merge, tiny, variant

PRETRAINING, LABELLED = 2000, 500

FINETUNED = dict(
  model=dict(form="finetuned", labels=5),
  data=dict(name="digits", batch_size=100),
  train=dict(
    steps=(PRETRAINING, LABELLED), steps_per_call=50, log_every=100, sample_every=0,
    checkpoint_every=500,
  ),
  measures=("likelihood",),
)  # fmt: skip

SCRATCH = merge(
  FINETUNED, dict(model=dict(form="scratch"), train=dict(steps=PRETRAINING + LABELLED))
)
MNIST = dict(
  model=dict(labels=10, latent=50, hidden=(500, 500), head=(200,)),
  data=dict(name="tfds:mnist", validation=0.0),
)

VARIANTS = {
  "finetuned": FINETUNED,
  "code": merge(FINETUNED, dict(model=dict(form="code"))),
  "joined": merge(FINETUNED, dict(model=dict(form="joined"))),
  "scratch": SCRATCH,
  "mnist": merge(FINETUNED, MNIST, dict(train=dict(steps=(12000, 1000), checkpoint_every=1000))),
  "mnist_code": merge(
    FINETUNED,
    MNIST,
    dict(model=dict(form="code"), train=dict(steps=(12000, 1000), checkpoint_every=1000)),
  ),
  "mnist_scratch": merge(SCRATCH, MNIST, dict(train=dict(steps=13000, checkpoint_every=1000))),
  "tiny": tiny(
    FINETUNED,
    dict(
      model=dict(latent=4, hidden=(8,), head=(4,), labels=2),
      data=dict(batch_size=16),
      train=dict(steps=(8, 8)),
    ),
  ),
}


def get_config(name: str = "finetuned"):
  """The config of a variant."""
  return experiment("gen_jax.models.pretrain.build", **variant(name, VARIANTS))
