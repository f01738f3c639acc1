"""gen_jax: deep generative models as pure functions, in JAX."""


def load(workdir, *, checkpoint: str = "newest", builders=(), **options):
  """The model of a run and its state; see `gen_jax.run.load.load`."""
  from gen_jax.run.load import load as load_

  return load_(workdir, checkpoint=checkpoint, builders=builders, **options)


def train(program, arrays, *, steps, **settings):
  """Trains a program on arrays; see `gen_jax.run.door.train_on_arrays`."""
  from gen_jax.run.door import train_on_arrays

  return train_on_arrays(program, arrays, steps=steps, **settings)


def get_config(name, **changes):
  """The config of a system by its name: `get_config("vae:mnist", model=dict(latent=2))`.

  Args:
    name: NAME[:VARIANT] as `gen_jax --list` has them, or FILE[:VARIANT].
    **changes: fields of the config, of groups as dicts.

  Returns:
    A dict, complete; `gen_jax.run.setup.set_up` checks it.

  Raises:
    UserError: if there is no such config or variant.
  """
  from gen_jax.app.cli import load_config
  from gen_jax.schema import merge

  return merge(load_config(name).to_dict(), changes)
