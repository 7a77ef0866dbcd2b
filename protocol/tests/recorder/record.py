"""Records what real clients and a real ZooKeeper say to one another. See README.md."""

import collections
import pathlib
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading

HERE = pathlib.Path(__file__).resolve().parent
GOLDEN = HERE.parent / "golden"

OPS = {
    -11: "closeSession", 1: "create", 2: "delete", 3: "exists", 4: "getData", 5: "setData",
    6: "getACL", 7: "setACL", 8: "getChildren", 9: "sync", 11: "ping", 12: "getChildren2",
    14: "multi", 15: "create2", 16: "reconfig", 17: "checkWatches", 18: "removeWatches",
    19: "createContainer", 21: "createTTL", 22: "multiRead", 100: "auth", 101: "setWatches",
    102: "sasl", 103: "getEphemerals", 104: "getAllChildrenNumber", 105: "setWatches2",
    106: "addWatch", 107: "whoAmI",
}
EVENT, PING = -1, -2


class Recorder:
    """A proxy that writes down the frames of all connections made through it."""

    def __init__(self, server):
        self.server = server
        self.lines = []
        self.lock = threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            client, _ = self.listener.accept()
            Connection(self, client).start()

    def note(self, arrow, name, frame):
        with self.lock:
            self.lines.append(f"{arrow} {name} {frame.hex()}")

    def write(self, file, title):
        head = [f"# {title}", "# Recorded by ../recorder/record.py; what a line means is in ../recorder/README.md."]
        (GOLDEN / file).write_text("\n".join(head + self.lines) + "\n")


class Connection:
    """A client's connection and the server's behind it."""

    def __init__(self, recorder, client):
        self.recorder = recorder
        self.client = client
        self.server = socket.create_connection(recorder.server)
        self.pending = collections.deque()
        self.cut_after = None

    def start(self):
        for pump in (self.requests, self.replies):
            threading.Thread(target=pump, daemon=True).start()

    def requests(self):
        name = "connect"
        for frame in frames(self.client):
            if name is None:
                xid, op = struct.unpack(">ii", frame[:8])
                name = OPS[op]
                if op == 3 and b"/cut" in frame:
                    self.cut_after = xid
                if xid != PING:
                    self.pending.append((xid, name))
            self.recorder.note(">", name, frame)
            name = None
            send(self.server, frame)
        self.close()

    def replies(self):
        connected = False
        for frame in frames(self.server):
            xid = struct.unpack(">i", frame[:4])[0]
            if not connected:
                connected, name = True, "connect"
            elif xid in (EVENT, PING):
                name = "event" if xid == EVENT else "ping"
            else:
                # ZooKeeper may answer auth ahead of older requests.
                place = next(i for i, (sent, _) in enumerate(self.pending) if sent == xid)
                name = self.pending[place][1]
                del self.pending[place]
            self.recorder.note("<", name, frame)
            send(self.client, frame)
            if connected and xid == self.cut_after:
                break
        self.close()

    def close(self):
        for end in (self.client, self.server):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def frames(end):
    while (length := exactly(end, 4)) is not None:
        frame = exactly(end, struct.unpack(">i", length)[0])
        if frame is None:
            return
        yield frame


def exactly(end, n):
    data = b""
    while len(data) < n:
        try:
            part = end.recv(n - len(data))
        except OSError:
            return None
        if not part:
            return None
        data += part
    return data


def send(end, frame):
    try:
        end.sendall(struct.pack(">i", len(frame)) + frame)
    except OSError:
        pass


def record(server, file, title, *command, cwd=None):
    recorder = Recorder(server)
    subprocess.run([*command, recorder.address], check=True, timeout=120, cwd=cwd)
    recorder.write(file, title)
    print(f"{file}: {len(recorder.lines)} frames")


def main():
    host, port = sys.argv[1].split(":")
    classpath = sys.argv[2]
    server = (host, int(port))
    GOLDEN.mkdir(exist_ok=True)

    record(server, "kazoo.txt", "kazoo 2.11.0 and ZooKeeper 3.9.5", sys.executable, HERE / "kazoo_client.py")

    java = ["java", "-cp", classpath]
    record(server, "java.txt", "ZooKeeper's Java client 3.9.5 and ZooKeeper 3.9.5", *java, HERE / "JavaClient.java")
    login = f"-Djava.security.auth.login.config={HERE / 'jaas.conf'}"
    record(server, "java-sasl.txt", "ZooKeeper's Java client 3.9.5 and ZooKeeper 3.9.5, with DIGEST-MD5",
           *java, login, "-Dzookeeper.fips-mode=false", HERE / "JavaClient.java", "sasl")

    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(HERE / "go_client.go", pathlib.Path(folder) / "main.go")
        for command in (["go", "mod", "init", "golden"], ["go", "get", "github.com/go-zookeeper/zk@v1.0.4"],
                        ["go", "build", "-o", "golden", "."]):
            subprocess.run(command, check=True, cwd=folder, stderr=subprocess.DEVNULL)
        record(server, "go.txt", "go-zookeeper 1.0.4 and ZooKeeper 3.9.5", pathlib.Path(folder) / "golden")


main()
