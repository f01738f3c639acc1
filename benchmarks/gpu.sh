#!/usr/bin/env bash
# The pairs on one GPU in bfloat16, within ten minutes:
#
#   benchmarks/gpu.sh PYTHON [cuda12|cuda13]
#
# PYTHON has the packages of benchmarks/peers.txt, with a PyTorch for this GPU. The table comes to
# runs/pairs-gpu; what ten minutes were not enough for is missing there.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
peers=${1:?usage: benchmarks/gpu.sh PYTHON [cuda12|cuda13]}
# The first start makes the environment.
./launch/run.sh --accelerator="${2:-cuda13}" --help > /dev/null
exec timeout 600 .venv/bin/python -m benchmarks.pairs --peers "$peers" --device gpu \
  --dtype bfloat16 --rounds 5 --workdir runs/pairs-gpu \
  --only unet,unet_sample,vae,iwae,wgan_gp,transformer_sample,realnvp,transformer,translate,translate_decode
