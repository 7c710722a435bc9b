#!/usr/bin/env bash
# Simulate training data for the memory writer, train an adapter, measure it against its base, use it.
#
#   bash train_rmm.sh gsm8k_train.jsonl [OUTPUT_FOLDER]
#
# Sizes, with the defaults of a quick look; for an adapter worth keeping, take hundreds of problems:
#   MODEL=qwen2.5-coder-0.5b-instruct SAMPLES=20 HOLDOUT=0.2 CANDIDATES=3 WORKERS=4 EPOCHS=3
#   LABELS=chosen (add "unlabelled" where too few are chosen)
# REASONER solves, TEACHER writes the decisions to learn from: any model spec; default: MODEL.
# SOLVER gives right solutions of what failed; default: with SIBLINGS, the rows' own.
# SIMULATE_OPTIONS, TRAIN_OPTIONS and MEASURE_OPTIONS are further options of `vitarmm simulate`, `train` and
# `eval rmm`, such as "--lora-r 8 --max-steps 50".
# SIBLINGS=2 tries entries on as many siblings of each row of GSM8K, beside a placebo, and tries the rule
# as well; SIBLINGS=0 takes other rows, and tries entries on their own problem and the most similar one.
# ORACLE=1 lets feedback see the gold answers; without it few attempts get a verdict.
# Killed, it goes on by the same command: what is finished is kept.
set -euo pipefail

rows=${1:?usage: train_rmm.sh GSM8K_TRAINING_ROWS [OUTPUT_FOLDER]}
out=${2:-rmm}
model=${MODEL:-qwen2.5-coder-0.5b-instruct}
reasoner=${REASONER:-local:$model}
siblings=${SIBLINGS:-2}
read -ra labels <<<"${LABELS:-chosen}"
mkdir -p "$out"

cat >&2 <<TEXT
$(basename "$0"): ${SAMPLES:-20} problems of $rows, ${HOLDOUT:-0.2} of them held out to measure; everything goes to $out/.
  $reasoner solves and judges, ${TEACHER:-$reasoner} writes, local:$model is trained and measured.
  Four steps: simulate (some 20 model calls a problem), train (${EPOCHS:-3} epochs), measure three writers, solve
  one problem. Minutes with a GPU or a server, hours on a CPU. Interrupted, the same command goes on.
TEXT

resume() { if [ -e "$1" ]; then echo --resume; fi; }

vitarmm simulate \
    --gsm8k-path "$rows" --output-dir "$out/data" \
    --reasoner "$reasoner" --judge "$reasoner" --rmm "${TEACHER:-$reasoner}" \
    --sample-size "${SAMPLES:-20}" --holdout "${HOLDOUT:-0.2}" --candidates "${CANDIDATES:-3}" \
    --on-siblings "$siblings" ${SOLVER:+--teacher "$SOLVER"} \
    --workers "${WORKERS:-4}" ${ORACLE:+--oracle} ${SIMULATE_OPTIONS:-} $(resume "$out/data/config.json")

if [ ! -e "$out/adapter/adapter_model.safetensors" ]; then
    vitarmm train \
        --model-name "$model" --data "$out/data" --output-dir "$out/adapter" \
        --num-epochs "${EPOCHS:-3}" "${labels[@]/#/--labels=}" ${TRAIN_OPTIONS:-} \
        $(resume "$out/adapter/training.json")
fi

vitarmm eval rmm \
    --data "$out/data" --output-dir "$out/measured" --reasoner "$reasoner" \
    --rmm "local:$model" --rmm rule --rmm "local:$model+$out/adapter" \
    --workers "${WORKERS:-4}" ${MEASURE_OPTIONS:-} $(resume "$out/measured/writers")

vitarmm solve "A square has a perimeter of 20 cm. What is its area in square centimeters?" \
    --reasoner "$reasoner" --rmm "local:$model+$out/adapter" --memory "$out/memory"
