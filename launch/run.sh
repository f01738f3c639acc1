#!/usr/bin/env bash
# Runs gen_jax, in an environment that the first start builds:
#
#   launch/run.sh [--accelerator=cpu|cuda12|cuda13|tpu] --config configs/ddpm.py ...
#
# It may be called from anywhere; relative paths, such as those of --config and --workdir, start at
# the root of the repository.
if [ -z "${BASH_VERSION-}" ]; then exec bash "$0" "$@"; fi # sh launch/run.sh
set -euo pipefail +o posix

self=$(readlink -f "${BASH_SOURCE[0]:?start launch/run.sh by its path}")
# shellcheck source-path=SCRIPTDIR source=environment.sh
source "$(dirname "$self")/environment.sh"

while (($#)) && eat_option "$1"; do shift; done
environment .venv ""
exec "$python" -m gen_jax.main "$@"
