#!/usr/bin/env bash
# Measures how long an ensemble of three takes no writes after its leader is killed: failover.sh TOOL [ROUNDS]
#
# Runs `TOOL PORT,PORT,PORT PIDFILE` at fresh ensembles of Quorate and of ZooKeeper in turn (see compare.sh). The tool kills the
# leader and says how long it took; its numbers are taken together in medians.
set -euo pipefail
tool=${1:?the path of a tool that kills the leader}
rounds=${2:-7}
source "$(dirname "$0")/servers.sh"

for ((round = 1; round <= rounds; round++)); do
  for subject in "${subjects[@]}"; do
    start "$subject" 3
    tr ',' '\n' <<<"$pids" >"$work/pids"
    result=$("$tool" "$ports" "$work/pids" | tail -n 1)
    echo "== $subject, round $round: $result"
    printf '%s\t%s\n' "$subject" "$result" >>"$work/results"
    stop
  done
done
echo "== medians"
medians <"$work/results"
