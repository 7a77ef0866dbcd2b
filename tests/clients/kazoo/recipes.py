"""kazoo's recipes, one action per run, for the tests of other clients that share their nodes.

Usage: recipes.py HOSTS ACTION [ARGUMENT...]. Prints what came of it, a line each.
"""
import sys

from kazoo.client import KazooClient


def counter(zk, path, kind, delta):
    counter = zk.Counter(path, support_curator=kind == "curator")
    counter += int(delta)
    print(counter.value)


def put(zk, path, priority, item):
    zk.Queue(path).put(item.encode(), int(priority))


def get(zk, path):
    print(zk.Queue(path).get().decode())


def locking_put(zk, path, priority, item):
    zk.LockingQueue(path).put(item.encode(), int(priority))


def locking_get(zk, path):
    """Takes one element, is done with it, and takes another, which it keeps until its session ends."""
    queue = zk.LockingQueue(path)
    print(queue.get(10).decode())
    print(queue.consume())
    print(queue.get(10).decode())


def double_barrier(zk, path, members):
    barrier = zk.DoubleBarrier(path, int(members))
    barrier.enter()
    print("entered", barrier.participating, flush=True)
    barrier.leave()
    print("left")


def party(zk, path, identifier):
    party = zk.Party(path, identifier)
    party.join()
    print(*sorted(party), flush=True)
    sys.stdin.readline()


def partitioner(zk, path, identifier, *items):
    """Joins, prints its first share, and keeps it until there is a line on standard input."""
    member = zk.SetPartitioner(path, items, identifier=identifier, time_boundary=0.2)
    while not member.acquired:
        if member.failed:
            print("failed")
            return
        if member.release:
            member.release_set()
        member.wait_for_acquire(0.1)
    print(*member, flush=True)
    sys.stdin.readline()
    member.finish()
    print("finished")


def main():
    hosts, action, *arguments = sys.argv[1:]
    zk = KazooClient(hosts)
    zk.start()
    globals()[action](zk, *arguments)
    zk.stop()


main()
