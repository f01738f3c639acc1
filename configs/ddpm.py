"""DDPM: denoising diffusion probabilistic models, class-conditional, with the variational bound.

Source: Ho, Jain & Abbeel 2020 (arXiv:2006.11239); `cifar10` is the paper's setting.

  ./launch/run.sh --config configs/ddpm.py   8 minutes on two busy cores
      in a fresh clone, the environment and all measures included: 3.06 bits/dim (359 test digits,
      100 timesteps each); of 1500 samples: sample_accuracy 0.988, trained_on_samples_accuracy
      0.992, precision 0.982, recall 0.908, density 1.16, coverage 1.00, frechet_distance 3.79,
      nearest_train_ratio 0.938; of the same run, with --mode=evaluate --config.likelihood.first=20,
      1.81 bits/dim: the grey levels' decoder takes over where noise is far below their spacing;
      1.74 if it is given their shares among the training pixels (docs/learn/diffusion.md)

  --config configs/ddpm.py:folder --config.data.path=att_faces.zip   400 grey faces at 32x32, 1500
      steps, 25 minutes on two busy cores (20 to 60 images/s): clear faces, most of them like
      photographs; nearest_train_ratio 1.28 (128 samples, 40 test faces)
  --config configs/ddpm.py:mnist   has been tried on two cores only, at half the width, half the
      batch and 1500 steps of learning rate 2e-3 (1.8 epochs, 100 to 120 images/s on free cores):
      most samples are clean digits, some of another class or none; 1.90 bits/dim (10,000 test
      images, 10 timesteps each); of 2000 samples: sample_accuracy 0.706,
      trained_on_samples_accuracy 0.866, precision 0.79, recall 0.96, coverage 0.35, Frechet
      distance 20.8, nearest_train_ratio 1.14

  --config configs/ddpm.py:improved   learns the variances of its steps too, from the bound
      (Nichol & Dhariwal 2021, arXiv:2102.09672): bounds and samples of few steps gain

  --config configs/ddpm.py:captions   16 minutes of one core: sprites from sentences; afterwards
      --mode=sample --cond.caption="a large red heart at the top"

`mnist` at its own length and `cifar10` want a GPU and have not been trained.
"""

from gen_jax.config import experiment, merge, tiny, variant

LABELLED = (
  "likelihood", "frechet", "prdc", "sample_accuracy", "trained_on_samples", "memorisation",
  "function_evaluations",
)  # fmt: skip

SMALL = dict(
  model=dict(
    schedule="cosine", condition="label", width=32, multipliers=(1, 2), blocks=1, attention=(),
    dropout=0.0, ema=0.999,
    optimizer=dict(learning_rate=2e-3, warmup=100, schedule="cosine", decay_steps=1800, clip=1.0),
  ),
  data=dict(name="digits", batch_size=128),
  train=dict(
    steps=1800, log_every=50, validate_every=600, sample_every=600, checkpoint_every=300,
    best="bits_per_dim",
  ),
  sample=dict(method="ddim", steps=50, eta=1.0),
  likelihood=dict(times=100),
  evaluate=dict(samples=1500),
  measures=LABELLED,
)  # fmt: skip

PAPER = dict(
  data=dict(name="tfds:cifar10", batch_size=128, augment=("flip",)),
  train=dict(
    steps=800_000, log_every=100, validate_every=50_000, sample_every=10_000,
    checkpoint_every=10_000, best="bits_per_dim",
  ),
  likelihood=dict(times=100),
  evaluate=dict(samples=10_000, classifier_steps=6000),
  measures=("likelihood", "frechet", "prdc", "memorisation", "function_evaluations"),
)  # fmt: skip

CAPTIONS = merge(
  SMALL,
  dict(
    model=dict(
      condition="caption", prediction="v", attention=(8,),
      optimizer=dict(learning_rate=1e-3, decay_steps=1500),
    ),
    data=dict(name="shapes", resolution=16, batch_size=64),
    train=dict(steps=1500, validate_every=0, sample_every=500, best=""),
    sample=dict(guidance=1.0),
    likelihood=dict(times=20),
    evaluate=dict(samples=1000),
    measures=("caption_faithful", "sprites", "frechet", "prdc", "memorisation"),
  ),
)  # fmt: skip

IMPROVED = merge(
  SMALL,
  dict(
    model=dict(learned_variance=True),
    sample=dict(method="ancestral", variance="learned"),
    likelihood=dict(variance="learned"),
  ),
)

VARIANTS = {
  "digits": SMALL,
  "mnist": merge(
    SMALL,
    dict(
      model=dict(
        width=64,
        multipliers=(1, 2, 2),
        attention=(7,),
        dropout=0.1,
        ema=0.9995,
        optimizer=dict(learning_rate=1e-3, warmup=500, decay_steps=20_000),
      ),
      data=dict(name="tfds:mnist"),
      train=dict(
        steps=20_000, log_every=100, validate_every=5000, sample_every=2500, checkpoint_every=2500
      ),
      likelihood=dict(times=20),
      evaluate=dict(samples=20_000, batch_size=100, classifier_steps=4000),
    ),
  ),
  "improved": IMPROVED,
  "cifar10": PAPER,
  "folder": merge(
    PAPER,
    dict(
      model=dict(
        schedule="cosine",
        width=32,
        multipliers=(1, 2, 2),
        blocks=1,
        attention=(8,),
        dropout=0.0,
        ema=0.998,
        optimizer=dict(
          learning_rate=2e-3, warmup=100, schedule="cosine", decay_steps=1500, clip=1.0
        ),
      ),
      data=dict(name="folder", resolution=32, batch_size=32, test=0.1, strict=True),
      train=dict(
        steps=1500, log_every=50, validate_every=0, sample_every=500, checkpoint_every=500, best=""
      ),
      sample=dict(method="ddim", steps=50, eta=1.0),
      likelihood=dict(times=20, variance="small"),
      evaluate=dict(samples=128, batch_size=64),
      measures=("likelihood", "memorisation"),
    ),
  ),
  "tiny": tiny(
    SMALL,
    dict(
      model=dict(timesteps=20, width=8, multipliers=(1,), optimizer=dict(warmup=2, decay_steps=8)),
      data=dict(batch_size=16),
      sample=dict(steps=4),
      likelihood=dict(times=2),
    ),
  ),
  "tiny_improved": tiny(
    IMPROVED,
    dict(
      model=dict(timesteps=20, width=8, multipliers=(1,), optimizer=dict(warmup=2, decay_steps=8)),
      data=dict(batch_size=16),
      sample=dict(steps=4),
      likelihood=dict(times=2),
      measures=("likelihood",),
    ),
  ),
  "captions": CAPTIONS,
  "tiny_captions": tiny(
    CAPTIONS,
    dict(
      model=dict(
        timesteps=20,
        width=8,
        multipliers=(1,),
        attention=(),
        text=dict(width=8, heads=2),
        optimizer=dict(warmup=2, decay_steps=8),
      ),
      data=dict(resolution=8, batch_size=16, validation=0.003, test=0.003),
      sample=dict(steps=4),
      likelihood=dict(times=2),
      measures=("memorisation",),
    ),
  ),  # fmt: skip
}


def get_config(name: str = "digits"):
  """The config of a variant."""
  return experiment("gen_jax.models.ddpm.build", **variant(name, VARIANTS))
