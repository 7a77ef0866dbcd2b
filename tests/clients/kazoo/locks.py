"""Holds kazoo's locks as it is told: HOST:PORT, then commands on standard input, each with one line of answer.

acquire KIND PATH SECONDS   yes, or no when it could not in this time; KIND: mutex, read, write
release PATH                done
"""

import sys

from kazoo.client import KazooClient
from kazoo.exceptions import LockTimeout

# The names of contenders that other libraries make.
KINDS = {
    "mutex": ("Lock", ["-lock-"]),
    "read": ("ReadLock", ["__WRIT__"]),
    "write": ("WriteLock", ["__READ__", "__WRIT__"]),
}


def main():
    client = KazooClient(hosts=sys.argv[1], timeout=10)
    client.start()
    held = {}
    for line in sys.stdin:
        command, *words = line.split()
        if command == "acquire":
            kind, path, seconds = words
            recipe, patterns = KINDS[kind]
            lock = getattr(client, recipe)(path, "kazoo", extra_lock_patterns=patterns)
            try:
                acquired = lock.acquire(timeout=float(seconds))
            except LockTimeout:
                acquired = False
            if acquired:
                held[path] = lock
            print("yes" if acquired else "no", flush=True)
        elif command == "release":
            held.pop(words[0]).release()
            print("done", flush=True)
        else:
            sys.exit(f"unknown command {line!r}")
    client.stop()


main()
