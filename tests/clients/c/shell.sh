#!/usr/bin/env bash
# Types into the C client's command-line program and looks for its answers: HOST:PORT.
set -euo pipefail

expect() { # TEXT: the answers contain it
  grep -qF -- "$1" <<<"$answers" || { echo "missing: $1"; echo "$answers"; exit 1; }
}

# It takes commands while it is still connecting, so the first ones only make it wait.
answers=$(printf '%s\n' 'sync /' 'create /cshell' 'set /cshell first' 'get /cshell' 'create +e /cshell/e' \
  'create +s /cshell/s-' 'ls /cshell' 'exists /cshell' 'delete /cshell/e' 'delete /missing' 'quit' |
  while read -r line; do echo "$line"; sleep 0.2; done | /usr/lib/zookeeper/bin/cli_mt "$1" 2>&1) || true

expect 'Creating [/cshell] node'
expect 'value_len = 5'
expect 'first'
expect '/cshell/s-0000000001'
expect 's-0000000001'
expect 'ephemeralOwner'
expect 'rc = -101'
echo "all answers are there"
