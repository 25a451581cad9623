#!/bin/bash
# What each objective and group setting does to a judge: GRPO from rejection-sampled judges of three seeds, then the test split in both orders.
# Writes outputs/compare/<setting>-<seed>; a run that is there already is left alone. Prints one table, every setting against the judge it started from.
# Two steps on each rollout, or every ratio is 1 and clipping, GSPO and CISPO do nothing. 33 runs: JOBS=2 bash apps/compare_objectives.sh
# takes about an hour on two cores, and twice the memory of one run.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-python}
declare -A settings=(
    [grpo]=""
    [dr_grpo]="objective=dr_grpo"
    [dapo]="objective=dapo"
    [gspo]="objective=gspo"
    [cispo]="objective=cispo"
    [both_orders]="grpo.orders=both"
    [both_orders_own_baseline]="grpo.orders=both grpo.order_baseline=given"
    [pair_consistency]="grpo.orders=both grpo.pair_consistency=1.0"
    [stratified]="grpo.candidates_per_prompt=4"
    [without_consistency]="grpo.rewards.consistency=0"
    [gdpo]="grpo.normalize_parts=true"
)
order=(grpo dr_grpo dapo gspo cispo both_orders both_orders_own_baseline pair_consistency stratified without_consistency gdpo)

run() {  # setting, seed, overrides
    local from="outputs/seed-$2/tiny" to="outputs/compare/$1-$2"
    [ -d "$to/tiny/evaluation/grpo/test" ] && return
    local common=(recipe=tiny seed="$2" output_root="$to" data.hard="$from/data/hard" data.test="$from/data/test")
    common+=(trainer.num_threads=1 trainer.progress_bar=false)
    "$python" -m urt_train stage=grpo grpo.initial="$from/rejection_sampling/model" grpo.steps_per_rollout=2 grpo.max_steps=24 "${common[@]}" $3
    "$python" -m urt_train evaluate checkpoint="$to/tiny/grpo/model" evaluation.orders=both "${common[@]}" >"$to/evaluation.txt"
}
export -f run
export python

for seed in 0 1 2; do
    [ -d "outputs/seed-$seed/tiny/rejection_sampling/model" ] || OMP_NUM_THREADS=2 "$python" -m urt_train pipeline seed=$seed output_root=outputs/seed-$seed
done
for name in "${order[@]}"; do
    for seed in 0 1 2; do printf '%s\0%s\0%s\0' "$name" "$seed" "${settings[$name]}"; done
done | OMP_NUM_THREADS=1 xargs -0 -n 3 -P "${JOBS:-1}" bash -euc 'run "$@"' run

seeds() { printf "$1," 0 1 2 | sed 's/,$//'; }  # a path with %s for the seed
table=("rejection_sampling=$(seeds outputs/seed-%s/tiny/evaluation/rejection_sampling/test)")
for name in "${order[@]}"; do
    table+=("$name=$(seeds "outputs/compare/$name-%s/tiny/evaluation/grpo/test")")
done
"$python" apps/compare.py "${table[@]}"
