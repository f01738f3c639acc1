"""The configs travel with the package, as gen_jax/configs; pyproject.toml says everything else."""

from setuptools import find_packages, setup

setup(
  packages=[*find_packages(include=["gen_jax*"]), "gen_jax.configs"],
  package_dir={"gen_jax.configs": "configs"},
)
