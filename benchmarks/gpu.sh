#!/usr/bin/env bash
# All that a GPU is wanted for: the tests on CUDA, the benchmarks, then training. Figures go to
# benchmarks/results/ (or $RESULTS). It may be cut at any minute: a stage whose result is there is
# skipped, and training goes on from its last checkpoint.
#
#   STGRAPH_DATA=/path/to/data benchmarks/gpu.sh                 # everything
#   MINUTES=9 STAGES="tests benchmarks" benchmarks/gpu.sh        # some, no longer than that
set -uo pipefail
cd "$(dirname "$0")/.."
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
export COMMIT=${COMMIT:-$(git rev-parse --short=12 HEAD 2> /dev/null)}
PYTHON=${PYTHON:-python3}
RESULTS=${RESULTS:-benchmarks/results}
RUNS=${RUNS:-runs/gpu}
STAGES=${STAGES:-tests benchmarks dyreg_full dyreg_grid rstg_5}
end=$(($(date +%s) + 60 * ${MINUTES:-600}))
mkdir -p "$RESULTS" "$RUNS"

# A measurement is of one commit: another one measures again. Training is kept.
measured() { [ -e "$1" ] && grep -q "${COMMIT:-no commit}" "$1"; }

left() { echo $((end - $(date +%s))); }

tests() {
  measured "$RESULTS/tests-cuda.txt" && return
  # Those for CUDA; and those on other people's CNNs, whose packages such machines often have.
  timeout "$(left)" "$PYTHON" -m pytest -q -m cuda -p no:cacheprovider tests \
    > "$RESULTS/tests-cuda.part" 2>&1 &&
    timeout "$(left)" "$PYTHON" -m pytest -q -p no:cacheprovider tests/insertion/test_elsewhere.py \
      >> "$RESULTS/tests-cuda.part" 2>&1
  local status=$?
  echo "commit $COMMIT" >> "$RESULTS/tests-cuda.part"
  [ "$status" = 0 ] && mv "$RESULTS/tests-cuda.part" "$RESULTS/tests-cuda.txt"
  tail -n 15 "$RESULTS"/tests-cuda.*
}

benchmarks() {
  timeout "$(left)" "$PYTHON" benchmarks/suite.py --device cuda --resume --out "$RESULTS"
  "$PYTHON" benchmarks/pages.py
}

# train NAME CONFIG OPTION...: fit, or go on, in what time is left; at its end test and keep the
# figures. Where the time does not suffice there are none, and the next call goes on.
train() {
  local name=$1 config=$2
  shift 2
  [ -e "$RESULTS/$name.json" ] && return
  local last="$RUNS/$name/checkpoints/last.ckpt" resume=()
  [ -e "$last" ] && resume=(--ckpt_path last)
  local seconds=$(($(left) - 40))
  [ "$seconds" -lt 60 ] && return
  "$PYTHON" -m stgraph fit --config "$config" --runs "$RUNS" --run "$name" \
    --trainer.max_time "00:$(printf '%02d:%02d:%02d' $((seconds / 3600)) $((seconds / 60 % 60)) $((seconds % 60)))" \
    --trainer.precision bf16-mixed --trainer.enable_progress_bar false "$@" "${resume[@]}" || return
  "$PYTHON" benchmarks/result.py --run "$RUNS/$name" --json "$RESULTS/$name.json"
}

rstg_5() { train rstg_5 configs/sync_mnist_5_rstg.yaml; }
dyreg_full() { train dyreg_full configs/multi_sync_mnist_dyreg.yaml; }
dyreg_grid() {
  train dyreg_grid configs/multi_sync_mnist_dyreg.yaml \
    --model.model.init_args.nodes stgraph.nodes.GridNodes \
    --model.model.init_args.nodes.channels 32 --model.model.init_args.nodes.scales '[3]' \
    --model.model.init_args.nodes.edges stgraph.edges.FullEdges
}

for stage in $STAGES; do
  [ "$(left)" -gt 30 ] || break
  echo "== $stage ($(left) s left)"
  "$stage"
done
