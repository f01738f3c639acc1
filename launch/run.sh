#!/usr/bin/env bash
# Runs gen_jax, in an environment that the first start builds:
#
#   launch/run.sh [--accelerator=cpu|cuda12|cuda13|tpu] --config configs/ddpm.py ...
#
# It may be called from anywhere; relative paths, such as those of --config and --workdir, start at
# the root of the repository.
set -euo pipefail

# shellcheck source-path=SCRIPTDIR source=environment.sh
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

while (($#)) && eat_option "$1"; do shift; done
environment .venv ""
exec "$python" -m gen_jax.main "$@"
