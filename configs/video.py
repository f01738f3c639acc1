"""Video given actions: a VQ-VAE of frames and a transformer of their codes.

Source: van den Oord et al. 2017 (arXiv:1711.00937), section 4.4; IRIS (Micheli et al. 2023); codes
by finite scalar quantisation (Mentzer et al. 2023).

  ./launch/run.sh --config configs/video.py         90 minutes of a core
      clips of 8 frames, 32x32, of one sprite that moves, grows and turns; the first frame is given
  --config configs/video.py:maze                    20 minutes: the same of walks through a maze
  --config configs/video.py:maze_many               of 200, and tested on others; the first 8 of 16
      frames are given
  --config configs/video.py:mnist                   Moving MNIST of tfds:mnist, 10 frames after 10,
      32x32 (in the source 64x64); of your own digits: --config.data.path=FILE.npz
  --config configs/video.py:maze_blind              29 minutes: the maze without the actions
  --config configs/video.py --mode=sample --cond.action=right,right,up,up,grow,turn,stay
"""

from gen_jax.config import experiment, merge, tiny, variant

MOVING = dict(
  model=dict(
    context=1, frames_per_clip=2, factor=8, codebook="finite", levels=(8, 5, 5, 5),
    width=64, blocks=3, residual=64,
    optimizer=dict(learning_rate=2e-3, schedule="cosine", decay_steps=20000),
    transformer=dict(
      width=160, layers=3, heads=5, dropout=0.0, ema=0.999,
      optimizer=dict(
        name="muon", learning_rate=0.02, other_rate=3e-3, schedule="cosine", decay_steps=12000,
        warmup=200,
      ),
    ),
  ),
  data=dict(name="moving", frames=8, resolution=32, batch_size=16, clips=200_000),
  # What happens is certain, but for mistakes: the likeliest code is the best.
  sample=dict(temperature=0.0),
  train=dict(
    steps=(20000, 12000), log_every=50, validate_every=1000, sample_every=1000,
    checkpoint_every=500,
  ),
  evaluate=dict(samples=500),
  measures=("likelihood", "code_use", "poses_restored", "poses", "counterfactual"),
)  # fmt: skip

# 140 views, of which each is seen often.
ADAM = dict(name="adam", learning_rate=3e-3, other_rate=0.0, decay_steps=3000)
MAZE = merge(
  MOVING,
  dict(
    model=dict(
      optimizer=dict(decay_steps=2000), transformer=dict(width=128, heads=4, optimizer=ADAM)
    ),
    data=dict(name="maze", clips=40_000),
    train=dict(steps=(2000, 3000), validate_every=500, sample_every=500, checkpoint_every=250),
  ),
)
BLIND = dict(
  model=dict(actions=False), measures=("likelihood", "code_use", "poses_restored", "poses")
)

# What was never seen cannot be known: only of poses that the given frames show more than chance.
MANY = merge(
  MOVING,
  dict(
    model=dict(context=8), data=dict(name="maze:many", frames=16, clips=40_000),
    measures=("likelihood", "code_use", "poses_restored", "poses"),
  ),
)  # fmt: skip
MNIST = merge(
  MOVING,
  dict(
    model=dict(context=10, actions=False, transformer=dict(dropout=0.1)),
    data=dict(name="moving:mnist", frames=20, clips=40_000),
    evaluate=dict(samples=200),
    measures=("likelihood", "code_use", "frames"),
  ),
)  # fmt: skip

VARIANTS = {
  "moving": MOVING,
  "maze": MAZE,
  "maze_blind": merge(MAZE, BLIND),
  "maze_many": MANY,
  "mnist": MNIST,
  "tiny": tiny(
    MOVING,
    dict(
      model=dict(
        frames_per_clip=1,
        levels=(3, 3),
        width=8,
        blocks=0,
        residual=4,
        optimizer=dict(decay_steps=8),
        transformer=dict(
          width=8,
          layers=1,
          heads=2,
          optimizer=dict(decay_steps=8, warmup=2),
        ),
      ),
      data=dict(frames=3, resolution=16, batch_size=16, clips=200),
      sample=dict(temperature=1.0),
    ),
  ),  # fmt: skip
}


def get_config(name: str = "moving"):
  """The config of a variant."""
  return experiment("gen_jax.models.video.build", **variant(name, VARIANTS))
