"""PixelCNN: an exact likelihood of grey levels, one pixel after another, gated and conditional.

Source: van den Oord et al. 2016 (arXiv:1601.06759, 1606.05328). `mnist_binary` is scored in nats
(81.30 in the first paper), on pixels that are Bernoulli-sampled once; `mnist` on 8-bit pixels, in
bits/dim (0.820 in the UvA deep learning tutorials, with 64 channels and 150 epochs). Both are sized
for an hour of two CPU cores, six epochs; `..._wide` are what a GPU has time for. `rgb` is for a
folder or zip of colour images: red, then green, then blue.

  launch/run.sh --config configs/pixelcnn.py   1.7 minutes of CPU time
  launch/run.sh --config configs/pixelcnn.py:mnist_binary
  launch/run.sh --config configs/pixelcnn.py:mnist
  launch/run.sh --config configs/pixelcnn.py:rgb --config.data.path=IMAGES.zip

`digits`: 1.65 bits/dim of the test digits, 98.7% of 1500 samples read as their class.

`mnist_binary` with --config.train.steps=5000 --config.model.optimizer.decay_steps=5000: 83.5 nats
of 10,000 test digits (81.30 in the paper), in 37 minutes of CPU time, 2.7 epochs. `mnist` with the
same: 1.066 bits/dim, in an hour of one core.

Sampling computes each pixel once: 16 images of 28x28 with the network of `mnist_binary` take 0.15
seconds of CPU time, and 32.6 with a pass of the network for each pixel (the same draws).
"""

from gen_jax.config import experiment, merge, tiny, variant

DIGITS = dict(
  model=dict(
    conditional=True, width=32, dilations=(1, 2, 1, 2), first_kernel=5, head=64, dropout=0.3,
    ema=0.995, optimizer=dict(learning_rate=2e-3, schedule="cosine", decay_steps=1250),
  ),
  data=dict(name="digits", batch_size=64),
  train=dict(
    steps=1250, log_every=50, validate_every=250, sample_every=500, checkpoint_every=250,
    best="nll",
  ),
  evaluate=dict(samples=1500),
  measures=("likelihood", "frechet", "prdc", "sample_accuracy", "memorisation"),
)  # fmt: skip

MNIST = merge(
  DIGITS,
  dict(
    model=dict(
      conditional=False, width=32, dilations=(1, 2, 1, 4, 1, 2, 1), dropout=0.0, ema=0.999,
      optimizer=dict(decay_steps=11_000, warmup=200),
    ),
    data=dict(name="tfds:mnist", batch_size=32, validation=0.02),
    train=dict(
      steps=11_000, log_every=100, validate_every=1000, sample_every=1000, checkpoint_every=1000
    ),
    evaluate=dict(samples=1000, batch_size=200, classifier_steps=2000),
    measures=("likelihood", "frechet", "prdc", "memorisation"),
  ),
)  # fmt: skip

WIDE = dict(
  model=dict(
    width=64, dilations=(1, 2, 1, 4, 1, 2, 1, 4, 1), dropout=0.1, ema=0.9995,
    optimizer=dict(learning_rate=1e-3, decay_steps=60_000, warmup=1000),
  ),
  data=dict(batch_size=128),
  train=dict(steps=60_000, validate_every=5000, sample_every=5000, checkpoint_every=5000),
)  # fmt: skip

BINARY = dict(data=dict(binarize="static"), measures=("likelihood",))

VARIANTS = {
  "digits": DIGITS,
  "mnist": MNIST,
  "mnist_wide": merge(MNIST, WIDE),
  "mnist_binary": merge(MNIST, BINARY),
  "mnist_binary_wide": merge(MNIST, BINARY, WIDE),
  "rgb": merge(
    MNIST,
    WIDE,
    dict(
      data=dict(name="folder", resolution=32, channels=3, batch_size=32),
      measures=("likelihood", "memorisation"),
    ),
  ),
  "tiny": tiny(
    DIGITS,
    dict(
      model=dict(width=8, dilations=(1,), first_kernel=3, head=8, optimizer=dict(decay_steps=8)),
      data=dict(batch_size=16),
    ),
  ),
}


def get_config(name: str = "digits"):
  """The config of a variant."""
  return experiment("gen_jax.models.pixelcnn.build", **variant(name, VARIANTS))
