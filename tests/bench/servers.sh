# Starts servers to be measured, for the scripts beside it: one alone, or an ensemble on this machine. Sourced, not run.
#
# `subjects` are the kinds there are: quorate, and zookeeper where tests/clients/install has put it. `start KIND COUNT` starts
# COUNT servers with empty data and synced writes, waits until all serve, and sets `hosts`
# (HOST:PORT,...), `ports` and `pids`. `stop` ends them.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
jars=$root/target/foreign/zookeeper/jars
work=$(mktemp -d)
running=()
trap 'stop; rm -rf "$work"' EXIT

subjects=(quorate)
if [[ -e $root/target/foreign/zookeeper/complete ]]; then subjects=(zookeeper quorate); fi
cargo build --quiet --release --manifest-path "$root/Cargo.toml" --bin quorate-server

stop() {
  local pid
  for pid in "${running[@]}"; do kill "$pid" 2>/dev/null || true; done
  for pid in "${running[@]}"; do wait "$pid" 2>/dev/null || true; done
  running=()
}

start() { # KIND COUNT
  local kind=$1 count=$2 dir i j
  running=() hosts='' ports='' pids=''
  for ((i = 1; i <= count; i++)); do
    dir=$work/$kind$i
    rm -rf "$dir" && mkdir -p "$dir/data"
    echo "$i" >"$dir/data/myid"
    {
      printf 'tickTime=2000\ninitLimit=10\nsyncLimit=5\nclientPort=%s\nclientPortAddress=127.0.0.1\ndataDir=%s\n' $((21810 + i)) "$dir/data"
      printf 'maxClientCnxns=0\nadmin.enableServer=false\n4lw.commands.whitelist=*\n'
      if ((count > 1)); then
        for ((j = 1; j <= count; j++)); do printf 'server.%s=127.0.0.1:%s:%s\n' "$j" $((22810 + j)) $((23810 + j)); done
      fi
    } >"$dir/zoo.cfg"
    case $kind in
    quorate) "$root/target/release/quorate-server" "$dir/zoo.cfg" >"$dir/log" 2>&1 & ;;
    zookeeper)
      java -Xmx1g -cp "$jars:$jars/*" org.apache.zookeeper.server.quorum.QuorumPeerMain "$dir/zoo.cfg" >"$dir/log" 2>&1 &
      ;;
    esac
    running+=($!)
    hosts+=${hosts:+,}127.0.0.1:$((21810 + i)) ports+=${ports:+,}$((21810 + i)) pids+=${pids:+,}$!
  done
  for ((i = 1; i <= count; i++)); do wait_until_serving "$kind" "$i"; done
}

wait_until_serving() { # KIND NUMBER
  local answer
  for _ in {1..300}; do
    answer=$({ exec 3<>"/dev/tcp/127.0.0.1/$((21810 + $2))" && printf srvr >&3 && timeout 1 cat <&3; } 2>/dev/null || true)
    [[ $answer == *Mode:* ]] && return
    kill -0 "${running[$2 - 1]}" || break
    sleep 0.1
  done
  cat "$work/$1$2/log" >&2
  echo "$1 $2 does not serve" >&2
  exit 1
}

# Reads lines `KIND<tab>OUTPUT` of several rounds, whose numbers stand at the same places, and prints for each kind one with the
# medians of the numbers, and a last one with what quorate's numbers are to zookeeper's.
medians() {
  awk -F '\t' '
    function median(kind, at,   n, i, j, t, list) {
      n = rounds[kind]
      for (i = 1; i <= n; i++) list[i] = value[kind, i, at] + 0
      for (i = 2; i <= n; i++) for (j = i; j > 1 && list[j - 1] > list[j]; j--) { t = list[j]; list[j] = list[j - 1]; list[j - 1] = t }
      return n % 2 ? list[(n + 1) / 2] : (list[n / 2] + list[n / 2 + 1]) / 2
    }
    {
      if (!($1 in rounds)) kinds[++known] = $1
      round = ++rounds[$1]
      words = split($2, word, " ")
      for (i = 1; i <= words; i++) value[$1, round, i] = word[i]
      if (words > longest) longest = words
    }
    function line(title, how,   out, i, w, of) {
      for (i = 1; i <= longest; i++) {
        w = value[kinds[known], 1, i]
        if (w ~ /^-?[0-9]+(\.[0-9]+)?$/) {
          if (how != "ratio") w = median(how, i)
          else { of = median("zookeeper", i); w = of ? sprintf("%.3f", median("quorate", i) / of) : "-" }
        }
        out = out (i > 1 ? " " : "") w
      }
      printf "%s: %s\n", title, out
    }
    END {
      for (k = 1; k <= known; k++) line("median of " kinds[k], kinds[k])
      if (known == 2) line("quorate / zookeeper", "ratio")
    }'
}
