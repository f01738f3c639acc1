"""AE: deep autoencoder with squared error.

Source: Hinton & Salakhutdinov 2006; `mnist` is its 784-1000-500-250-30 network, with GELU and Adam
instead of logistic units and layers trained one by one. Errors are summed over an image, pixels in
[0, 1].

  python -m gen_jax.main --config configs/ae.py         15 s on two cores
      squared_error 1.04 (5 numbers for 64 pixels; 359 test digits)
  python -m gen_jax.main --config configs/ae.py:mnist   7 minutes
      squared_error 3.83 (10,000 test digits; 3.00 in the paper, 13.87 by PCA)
  python -m gen_jax.main --config configs/ae.py:outliers --sweep data.only='(0,),(1,),...,(9,)'
      one digit is learnt, the other nine are outliers; 8 minutes for all ten:
      mean auroc_error 0.966, of single digits 0.879 (8) to 0.999 (1); 0.957 by PCA

`plane`, `perceptual` and `random_features` restore digits from two numbers by the squared error, by
the features of a classifier that a first stage learns (Johnson et al. 2016), and by those of a
random net, the control. The classifier saw labels: the loss hands on what it learnt of them. Beside
the squared error stands how often a classifier of its own training reads a restored digit as its
class, and the distance in that one's features over their variance (three seeds, half a minute each;
of real digits it reads 0.994):

  python -m gen_jax.main --config configs/ae.py --sweep variant=plane,perceptual,random_features \\
    --sweep seed=0,1,2
                     squared_error  restored_accuracy  feature_error
    plane              2.58 +- 0.10    0.703 +- 0.066           0.47
    perceptual         2.70 +- 0.22    0.937 +- 0.007           0.23
    random_features    2.84 +- 0.07    0.685 +- 0.006           0.50

`random_features` with --config.model.perceptual.features=vgg16 takes those of a VGG, given
--config.model.perceptual.path=FILE.safetensors, with torchvision's tensors, and its sha256.
"""

from gen_jax.config import experiment, merge, tiny, variant

DIGITS = dict(
  model=dict(
    latent=5, hidden=(256, 128), optimizer=dict(schedule="cosine", decay_steps=3000)
  ),
  data=dict(name="digits", batch_size=128),
  train=dict(
    steps=3000, steps_per_call=50, log_every=100, validate_every=500, checkpoint_every=500,
    best="squared_error",
  ),
  measures=("likelihood",),
)  # fmt: skip

MNIST = merge(
  DIGITS,
  dict(
    model=dict(
      latent=30, hidden=(1000, 500, 250), activation="gelu",
      optimizer=dict(learning_rate=2e-3, decay_steps=15_000),
    ),
    data=dict(name="tfds:mnist", validation=0.0),
    train=dict(steps=15_000, log_every=500, validate_every=0, checkpoint_every=2500, best=""),
    evaluate=dict(batch_size=200),
  ),
)  # fmt: skip

# Two numbers for a digit: the same net by three losses.
PLANE = merge(
  DIGITS,
  dict(
    model=dict(latent=2, optimizer=dict(decay_steps=1500)),
    train=dict(
      steps=1500, steps_per_call=1, validate_every=250, sample_every=500, checkpoint_every=250
    ),
    measures=("likelihood", "restored_accuracy"),
  ),
)
PERCEPTUAL = merge(
  PLANE,
  dict(
    model=dict(
      perceptual=dict(features="classifier", optimizer=dict(schedule="cosine", decay_steps=600)),
    ),
    train=dict(steps=(600, 1500), best="feature_error"),
  ),
)

VARIANTS = {
  "digits": DIGITS,
  "plane": PLANE,
  "perceptual": PERCEPTUAL,
  "random_features": merge(
    PERCEPTUAL,
    dict(model=dict(perceptual=dict(features="random")), train=dict(steps=1500)),
  ),
  "mnist": MNIST,
  "conv": merge(
    MNIST,
    dict(
      model=dict(widths=(32, 64), hidden=(256,), optimizer=dict(decay_steps=4000)),
      train=dict(steps=4000, steps_per_call=1),
    ),
  ),
  "outliers": merge(
    MNIST,
    dict(
      model=dict(hidden=(500, 250), optimizer=dict(decay_steps=1500)),
      data=dict(only=(0,)),
      train=dict(steps=1500, checkpoint_every=1500),
      measures=("likelihood", "outliers_by_error"),
    ),
  ),
  "tiny": tiny(
    DIGITS,
    dict(
      model=dict(latent=3, hidden=(8,), optimizer=dict(decay_steps=8)),
      data=dict(batch_size=16),
    ),
  ),
}
VARIANTS["tiny_perceptual"] = merge(
  VARIANTS["tiny"],
  dict(
    model=dict(perceptual=dict(
      features="classifier", style=0.1, pixels=0.1, width=2, hidden=4,
      optimizer=dict(decay_steps=8),
    )),
    train=dict(steps=(8, 8), best="feature_error"),
    measures=("likelihood", "restored_accuracy"),
  ),
)  # fmt: skip


def get_config(name: str = "digits"):
  """The config of a variant."""
  return experiment("gen_jax.models.ae.build", **variant(name, VARIANTS))
