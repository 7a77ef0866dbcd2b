"""Writes down what is said on a port of this machine, each direction of each connection in a file.

    python3 sniff.py PORT STOP OUT    until the file STOP exists; writes OUT.N.up and OUT.N.down
"""
import os, select, socket, struct, sys

PORT, STOP, OUT = int(sys.argv[1]), sys.argv[2], sys.argv[3]
device = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
device.bind(('lo', 0))
device.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 20)
begins, segments = {}, {}
while not os.path.exists(STOP):
    if not select.select([device], [], [], 0.2)[0]: continue
    ip = device.recv(1 << 17)[14:]
    if ip[0] >> 4 != 4 or ip[9] != 6: continue
    tcp = ip[(ip[0] & 15) * 4:struct.unpack('>H', ip[2:4])[0]]
    source, target, sequence = struct.unpack('>HHI', tcp[:8])
    if PORT not in (source, target): continue
    way, data = (source, target), tcp[(tcp[12] >> 4) * 4:]
    if tcp[13] & 2:
        begins[way], segments[way] = sequence + 1, {}
    elif data and way in begins:
        segments[way][(sequence - begins[way]) % 2**32] = data
clients = [source for source, target in begins if target == PORT]
for n, client in enumerate(clients):
    for name, way in (('up', (client, PORT)), ('down', (PORT, client))):
        stream = b''
        for offset, data in sorted(segments[way].items()):
            assert offset <= len(stream), 'something was not heard'
            stream += data[len(stream) - offset:]
        open(f'{OUT}.{n}.{name}', 'wb').write(stream)
