"""kazoo changes the servers of an ensemble: HOST:PORT, then the requests as JSON.

Each request is [joining, leaving, new_members, from_config]. Printed is a line for each: the new
configuration with blanks between its lines, or the name of the error; and at the end how often a
watch of the configuration was told.
"""

import json
import sys

from kazoo.client import KazooClient
from kazoo.exceptions import KazooException

hosts, requests = sys.argv[1], json.loads(sys.argv[2])
CONFIG = "/zookeeper/config"


def connect(**more):
    client = KazooClient(hosts=hosts, timeout=30, **more)
    client.start(timeout=60)
    return client


def ask(client, request):
    try:
        data, stat = client.reconfig(*request[:3], from_config=request[3])
    except KazooException as error:
        return type(error).__name__
    # ZooKeeper gives the lines in an order of their own each time.
    lines = sorted(data.decode().split("\n"))
    assert lines == sorted(client.get(CONFIG)[0].decode().split("\n"))
    return " ".join(lines)


nobody = connect()
print("nobody:", ask(nobody, requests[0]))
nobody.stop()

zk = connect(auth_data=[("digest", "super:test")])
told = []


@zk.DataWatch(CONFIG)
def watch(data, _stat):
    told.append(data)


for request in requests:
    print(ask(zk, request))
# A sync makes sure that what the watch is told has come.
zk.sync(CONFIG)
zk.get(CONFIG)
zk.stop()
print("told:", len(set(told)))
