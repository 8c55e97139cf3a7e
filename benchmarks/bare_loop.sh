#!/usr/bin/env bash
# Keep and discard in turn, by a shell loop: bare_loop.sh plumbing|porcelain ITERATIONS
# Prints for each iteration how it ended, the microseconds that it took and those of them that were the runner's.
# `plumbing` asks of git what the package asks; `porcelain` is add, commit and reset, as most such loops do.
set -euo pipefail
kind=$1 iterations=$2
settings=(-c user.name=bare -c user.email=bare@localhost -c gc.auto=0 -c maintenance.auto=false)
if [ "$kind" = plumbing ]; then
    settings+=(-c core.fsync=objects,reference -c core.fsyncMethod=batch -c fastimport.unpackLimit=100)
fi
branch=$(git symbolic-ref HEAD)
ref=refs/bare/${branch##*/}
tip=$(git rev-parse HEAD)
chain=$(git rev-parse --verify --quiet "$ref" || echo "$tip")
incumbent=$(<solution.sh)
score=$(bash -c 'bash solution.sh')
score=${score#score: }

now() { printf -v "$1" %s "${EPOCHREALTIME/[.,]/}"; }
g() { git "${settings[@]}" "$@"; }

commits() {
    printf 'feature done\ncommit %s\nmark :1\ncommitter b <b@b> 1 +0000\ndata 0\nfrom %s\nM 100644 %s solution.sh\n' \
        "$ref" "$tip" "$blob"
    printf 'commit %s\nmark :2\ncommitter b <b@b> 1 +0000\ndata 0\nfrom %s\nmerge :1\nget-mark :1\nget-mark :2\ndone\n' \
        "$ref" "$chain"
}

plumbing_commit() {
    blob=$(g hash-object -w --stdin --path solution.sh <solution.sh)
    mapfile -t made < <(commits | g fast-import --quiet --date-format=raw)
    commit=${made[0]} chain=${made[1]}
}

plumbing_keep() {
    g update-ref "$branch" "$commit" "$tip"
    g update-index --add --cacheinfo "100644,$blob,solution.sh"
    g update-index -q --refresh -- solution.sh
    tip=$commit incumbent=$(<solution.sh)
}

plumbing_discard() { printf '%s\n' "$incumbent" >solution.sh; }

porcelain_commit() {
    g add solution.sh
    g commit --quiet --message "experiment $number"
    commit=$(g rev-parse HEAD)
}

porcelain_keep() { :; }

porcelain_discard() { g reset --quiet --hard HEAD~1; }

for ((number = 1; number <= iterations; number++)); do
    now begin
    next=$((number % 2 ? score - 1 : score + 1))
    printf 'echo score: %s\n# experiment %s of %s\n' "$next" "$number" "$begin" >solution.sh
    "${kind}_commit"
    now started
    bash -c 'bash solution.sh' >run.log 2>&1
    now ended
    found=$(grep '^score: ' run.log)
    found=${found#score: }
    if ((found < score)); then status=keep score=$found; else status=discard; fi
    printf '%s\t%s\t%s\texperiment %s\n' "$commit" "$found" "$status" "$number" >>results.tsv
    "${kind}_$status"
    now finished
    echo "$status" $((finished - begin)) $((ended - started))
done
