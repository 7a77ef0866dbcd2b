"""Drives a fresh ZooKeeper with raw requests and writes down each with its transaction and its reply.

    PEER_CFG='extendedTypesEnabled=true\\nenforceQuota=true\\nreconfigEnabled=true' peer-zookeeper start DIR 1 PORT
    python3 record.py PORT DIR/data1 zookeeper-3.9.5.requests
    python3 record.py PORT DIR/data1 zookeeper-3.9.5.random.requests SEED COUNT

What is random keeps clear of what ZooKeeper gets wrong under load: `/` and ACLs written while other requests are outstanding.
"""
import base64, glob, hashlib, random, socket, struct, sys

PORT, DATA, OUT = int(sys.argv[1]), sys.argv[2], sys.argv[3]
i32 = lambda n: struct.pack('>i', n)
i64 = lambda n: struct.pack('>q', n)
def s(x): 
    if x is None: return i32(-1)
    b = x.encode() if isinstance(x, str) else x
    return i32(len(b)) + b
def acl(entries):
    if entries is None: return i32(-1)
    return i32(len(entries)) + b''.join(i32(p) + s(sc) + s(i) for p, sc, i in entries)
OPEN = acl([(31, 'world', 'anyone')])
def create(path, data=b'', a=OPEN, flags=0): return s(path) + s(data) + a + i32(flags)
def ttl(path, data=b'', a=OPEN, flags=5, t=100000): return create(path, data, a, flags) + i64(t)
def delete(path, v=-1): return s(path) + i32(v)
def setd(path, data=b'', v=-1): return s(path) + s(data) + i32(v)
def seta(path, a, v=-1): return s(path) + a + i32(v)
def check(path, v): return s(path) + i32(v)
def multi(*ops): return b''.join(i32(t) + b'\0' + i32(-1) + b for t, b in ops) + i32(-1) + b'\1' + i32(-1)
CREATE, DELETE, SET, SETACL, CHECK, MULTI, CREATE2, RECONFIG, CONT, DELC, TTL = 1, 2, 5, 7, 13, 14, 15, 16, 19, 20, 21

class Conn:
    def __init__(self, rec, timeout=30000):
        self.rec = rec
        self.sock = socket.create_connection(('127.0.0.1', PORT))
        self.ids = [('ip', '127.0.0.1')]
        self.xid = 0
        self.frame(i32(0) + i64(0) + i32(timeout) + i64(0) + s(b'\0' * 16))
        r = self.read()
        _, to, self.session = struct.unpack('>iiq', r[:16])
        rec.requests.append((self.session, 0, -10, [], i32(to), None))
    def frame(self, b): self.sock.sendall(i32(len(b)) + b)
    def read(self):
        n = struct.unpack('>i', self.exactly(4))[0]
        return self.exactly(n)
    def exactly(self, n):
        b = b''
        while len(b) < n:
            c = self.sock.recv(n - len(b))
            if not c: raise EOFError
            b += c
        return b
    def auth(self, user, password):
        self.frame(i32(-4) + i32(100) + i32(0) + s('digest') + s(f'{user}:{password}'))
        assert self.read()[12:16] == i32(0)
        h = base64.b64encode(hashlib.sha1(f'{user}:{password}'.encode()).digest()).decode()
        self.ids.append(('digest', f'{user}:{h}'))
        return f'{user}:{h}'
    def send(self, op, body):
        self.xid += 1
        self.frame(i32(self.xid) + i32(op) + body)
        return self.xid
    def do(self, op, body=b''):
        return self.burst((op, body))[0]
    def burst(self, *requests):
        """Pipelined, so that they meet each other while outstanding."""
        out = b''
        xids = []
        for op, body in requests:
            self.xid += 1
            xids.append(self.xid)
            f = i32(self.xid) + i32(op) + body
            out += i32(len(f)) + f
        self.sock.sendall(out)
        replies = []
        for (op, body), xid in zip(requests, xids):
            r = self.read()
            assert r[:4] == i32(xid), (op, r)
            self.rec.requests.append((self.session, xid, op, list(self.ids), body, r))
            if self.rec.wrong_digest: self.rec.wrong_digests.add(len(rec.requests) - 1)
            if self.rec.settled: self.rec.settles.add(len(rec.requests) - 1)
            replies.append(r)
        return replies

class Recorder:
    def __init__(self):
        self.requests = []
        self.settled = False
        self.settles = set()
        self.wrong_digest = False
        self.wrong_digests = set()
    def txns(self):
        all = []
        for f in sorted(glob.glob(DATA + '/version-2/log.*'), key=lambda f: int(f.split('.')[-1], 16)):
            b = open(f, 'rb').read()
            at = 16
            while at + 12 <= len(b):
                n = struct.unpack('>i', b[at + 8:at + 12])[0]
                if n == 0: break
                all.append(b[at + 12:at + 12 + n])
                assert b[at + 12 + n] == 0x42
                at += 13 + n
        return all
    def write(self, skip):
        txns = self.txns()[skip:]
        lines = []
        assert len(txns) == len(self.requests), (len(txns), len(self.requests))
        for i, ((session, xid, op, ids, body, reply), txn) in enumerate(zip(self.requests, txns)):
            if i in self.settles: lines.append('settle')
            c, cx = struct.unpack('>qi', txn[:12])
            assert (c, cx) == (session, xid), (hex(c), cx, hex(session), xid, op)
            who = ' '.join(f'{a}:{b}' for a, b in ids)
            lines.append(f'request {session & (2**64-1):x} {xid} {op} {body.hex() or "-"} {who}'.rstrip())
            lines.append(f'{"wrong-digest" if i in self.wrong_digests else "txn"} {txn.hex()}')
            if reply is not None: lines.append(f'reply {reply.hex()}')
        open(OUT, 'w').write('\n'.join(lines) + '\n')
        print(len(self.requests), 'requests')

def scenario(rec):
    c = Conn(rec)
    do = c.do
    # Plain nodes, null and empty data.
    do(CREATE, create('/a', b'alpha'))
    do(CREATE, create('/a', b'again'))
    do(CREATE2, create('/a/b', None))
    do(CREATE2, create('/a/b/c', b'\0\1\2' * 70))
    do(CREATE, create('/a/b/c/d', b''))
    do(SET, setd('/a', b'beta'))
    do(SET, setd('/a', None, 1))
    do(SET, setd('/a', b'gamma', 1))
    do(SET, setd('/none', b''))
    do(SET, setd('/', b'root data'))
    do(SET, setd('/', b'root data', 0))
    do(SET, setd('//', b''))
    do(SET, setd('', b''))
    do(SET, setd('/a/', b''))
    # Errors of create.
    for body in [create('/'), create(''), create('a'), create('a/b'), create('/x//y'), create('/a//'), create('/a/.'), create('/a/..'),
                 create('/none/x'), create('/x\0y'), create('/a/x\x1e'), create('/\ue000'), create('/x', flags=99), create('/x', flags=-1), create('/x', flags=5),
                 create('/x', a=acl([])), create('/x', a=acl(None)), create('/x', a=acl([(31, 'world', 'nobody')])), create('/x', a=acl([(31, None, 'x')])),
                 create('/none/x', a=acl([])), create('/x', a=acl([(31, 'auth', '')])), create('/zookeeper/config/x'), create('/none/x', flags=99), create('x', flags=99)]:
        do(CREATE, body)
    # Sequential names: every create counts, deletes do not.
    do(CREATE, create('/s'))
    do(CREATE, create('/s/n-', flags=2))
    do(CREATE, create('/s/plain'))
    do(DELETE, delete('/s/plain'))
    do(CREATE2, create('/s/n-', b'x', flags=2))
    do(CREATE, create('/s/', flags=2))
    do(CREATE, create('/', flags=2))
    do(CREATE, create('/s//', flags=2))
    do(CREATE, create('/s/..', flags=2))
    do(CREATE, create('/s/.', flags=3))
    do(CREATE, create('/s/n-', flags=3))
    # Errors of delete.
    for body in [delete('/'), delete('/zookeeper'), delete('/zookeeper/quota'), delete('/zookeeper/config'), delete(''), delete('a'), delete('/none'), delete('/none/x'),
                 delete('/a'), delete('/a', 7), delete('/a/b/c/d', 3), delete('/a/'), delete('//'), delete('/a\0')]:
        do(DELETE, body)
    do(DELETE, delete('/a/b/c/d', 0))
    do(DELETE, delete('/a/b/c'))
    # Ephemerals.
    e = Conn(rec, 7000)
    e.do(CREATE, create('/e'))
    e.do(CREATE, create('/e/a', b'x', flags=1))
    e.do(CREATE, create('/e/a/x'))
    e.do(CREATE, create('/e/b', b'y', flags=1))
    do(DELETE, delete('/e/a'))
    e.do(CREATE2, create('/e/c', b'y', flags=1))
    e.do(CREATE, create('/n', flags=1))
    do(CREATE, create('/e/d', flags=1))
    # Containers and nodes with a time to live.
    do(CONT, create('/cont', b'c', flags=4))
    do(CONT, create('/cont/x', b'c', flags=4))
    do(CONT, create('/cont', b'c', flags=4))
    do(TTL, ttl('/ttl', b't'))
    do(TTL, ttl('/ttl/s-', b't', flags=6, t=1))
    do(TTL, ttl('/ttl/s-', b't', flags=6, t=0xffffffffff))
    for body in [ttl('/t', t=0), ttl('/t', t=-1), ttl('/t', t=0x10000000000), ttl('/t', flags=0, t=5), ttl('/ttl'), ttl('/t', flags=77)]:
        do(TTL, body)
    do(SET, setd('/ttl', b'refreshed'))
    do(SET, setd('/cont', b'refreshed'))
    do(DELETE, delete('/ttl'))
    do(DELETE, delete('/cont/x'))
    # ACLs.
    do(SETACL, seta('/a', acl([(31, 'auth', '')])))
    who = c.auth('user', 'password')
    do(SETACL, seta('/a', acl([(31, 'auth', ''), (1, 'world', 'anyone'), (31, 'auth', '')])))
    do(SETACL, seta('/a', acl([(31, 'auth', ''), (1, 'world', 'anyone')]), 1))
    do(SETACL, seta('/a', OPEN, 0))
    do(SETACL, seta('/none', OPEN))
    do(SETACL, seta('/none', acl([])))
    do(SETACL, seta('/a/', acl([])))
    e.do(SETACL, seta('/a', OPEN))
    e.do(SET, setd('/a', b'no'))
    e.do(SET, setd('/a', b'no', 77))
    e.do(CREATE, create('/a/no'))
    e.do(CREATE, create('/a/b'))
    e.do(DELETE, delete('/a/b'))
    e.do(DELETE, delete('/a/none'))
    do(SET, setd('/a', b'yes'))
    do(CREATE, create('/a/x', a=acl([(31, 'digest', who)])))
    e.do(DELETE, delete('/a/x'))
    e.do(SET, setd('/zookeeper/config', b'x'))
    e.do(SET, setd('/zookeeper/quota', b'x'))
    e.do(CREATE, create('/zookeeper/free', b'x'))
    e.do(CREATE, create('/zookeeper/free/x', b'x'))
    e.do(SETACL, seta('/zookeeper/free', acl([(31, 'ip', '10.0.0.0/8')])))
    e.do(DELETE, delete('/zookeeper/free/x'))
    do(SETACL, seta('/', acl([(31, 'digest', who), (1, 'world', 'anyone')])))
    e.do(CREATE, create('/forbidden'))
    e.do(SET, setd('/', b'forbidden'))
    do(SETACL, seta('/', OPEN))
    # Quotas; they look at what is applied.
    rec.settled = True
    do(CREATE, create('/q', b'12345'))
    do(CREATE, create('/zookeeper/quota/q'))
    do(CREATE, create('/zookeeper/quota/q/zookeeper_limits', b'count=-1,bytes=-1=;byteHardLimit=12;countHardLimit=3'))
    do(CREATE, create('/zookeeper/quota/q/zookeeper_stats', b'count=0,bytes=0'))
    do(CREATE, create('/q/1', b'12345'))
    do(SET, setd('/q/1', b'12345678'))
    do(SET, setd('/q/1', b'12345678', 99))
    do(SET, setd('/q/1', b'1'))
    do(CREATE, create('/q/2', b''))
    do(CREATE, create('/q/3', b''))
    do(DELETE, delete('/q/2'))
    do(CREATE, create('/q/3', b'1234567'))
    do(CREATE, create('/q/3', b'123456'))
    do(DELETE, delete('/zookeeper/quota/q/zookeeper_limits'))
    rec.settled = False
    # Multi.
    do(MULTI, multi())
    do(MULTI, multi((CREATE, create('/m')), (CREATE, create('/m/x', b'1')), (CREATE2, create('/m/y', None)), (SET, setd('/m/x', b'2', 0)), (CHECK, check('/m/x', 1)),
                    (DELETE, delete('/m/y')), (CREATE, create('/m/y', flags=1)), (CREATE, create('/m/s-', flags=2)), (CREATE, create('/m/s-', flags=3)),
                    (CREATE, create('/m/c', flags=4)), (CONT, create('/m/c2', flags=4)), (TTL, ttl('/m/t')), (TTL, ttl('/m/plain', flags=0, t=7)), (CHECK, check('/m', -1))))
    do(MULTI, multi((CREATE, create('/m/z')), (CREATE, create('/m/s-', flags=2)), (SET, setd('/m/x', b'3')), (CHECK, check('/m/x', 0)), (DELETE, delete('/m/x'))))
    do(CREATE, create('/m/s-', flags=2))
    do(MULTI, multi((CREATE, create('/m/x')), (DELETE, delete('/m/x'))))
    do(MULTI, multi((DELETE, delete('/none')),))
    do(MULTI, multi((DELETE, delete('/m/x')), (CREATE, create('/m/x', b'fresh')), (SET, setd('/m/x', b'', 0)), (CHECK, check('/m/x', 1))))
    do(MULTI, multi((TTL, ttl('/m/bad', flags=77)),))
    do(MULTI, multi((TTL, ttl('/m/bad', flags=5, t=0)),))
    do(MULTI, multi((CREATE, create('/m/bad', flags=77)),))
    do(MULTI, multi((CREATE, create('/m/bad', flags=5)),))
    do(MULTI, multi((SETACL, seta('/m', OPEN)),))
    do(MULTI, multi((CREATE, create('/m/deep')), (CREATE, create('/m/deep/er')), (DELETE, delete('/m/deep'))))
    do(MULTI, multi((CHECK, check('/none', -1)),))
    do(MULTI, multi((CHECK, check('', -1)),))
    do(MULTI, multi((CREATE, create('/x', a=acl([]))),))
    do(MULTI, b'\0\0')
    # Operation and flags disagree. ZooKeeper's projection then has another kind of node than it creates, and the digest with it.
    rec.settled = rec.wrong_digest = True
    do(CREATE, create('/k1', flags=4))
    do(CREATE2, create('/k2', flags=4))
    do(CONT, create('/k3', flags=0))
    do(CONT, create('/k4', flags=1))
    do(CONT, create('/k5-', flags=2))
    rec.wrong_digest = False
    do(CREATE, create('/k1/x'))
    do(CREATE, create('/k3/x'))
    do(CREATE, create('/k4/x'))
    rec.settled = False
    # Requests that meet each other while outstanding.
    c.burst((CREATE, create('/p')), (CREATE, create('/p/s-', flags=2)), (CREATE, create('/p/s-', flags=2)), (SET, setd('/p', b'1')), (SET, setd('/p', b'2', 1)),
            (SET, setd('/p', b'3', 1)), (DELETE, delete('/p')), (DELETE, delete('/p/s-0000000000')), (DELETE, delete('/p/s-0000000001')), (DELETE, delete('/p')),
            (CREATE, create('/p/gone')), (CREATE, create('/p', b'again')), (CREATE, create('/p/s-', flags=3)), (CREATE, create('/p/s-0000000000/x')),
            (MULTI, multi((CREATE, create('/p/m')), (CREATE, create('/p/s-', flags=2)), (DELETE, delete('/p/none')))), (CREATE, create('/p/s-', flags=2)),
            (SETACL, seta('/p', acl([(31, 'digest', who)]))), (SETACL, seta('/p', OPEN)), (SET, setd('/p', b'4')), (DELETE, delete('/p/s-0000000000')))
    c.burst(*[(CREATE, create(f'/p/n{i}', b'v' * i)) for i in range(30)])
    c.burst(*[(SET, setd(f'/p/n{i % 7}', b'w' * i)) for i in range(30)])
    c.burst(*[(DELETE, delete(f'/p/n{i}')) for i in range(30)])
    do(RECONFIG, s('server.5=1.1.1.1:1:2') + s(None) + s(None) + i64(-1))
    do(RECONFIG, s('') + s('') + s('') + i64(5))
    # Null paths: the zxid is used up.
    do(CREATE, create(None))
    do(DELETE, delete(None))
    do(SET, setd(None))
    do(SETACL, seta(None, OPEN))
    do(DELC, s('/cont'))
    do(DELC, s('/cont'))
    # The ends of sessions, one with creates and deletes still outstanding.
    e.burst((CREATE, create('/e/d', b'z', flags=1)), (CREATE, create('/e/x', flags=1)), (DELETE, delete('/e/b')), (DELETE, delete('/e/x')), (-11, b''))
    do(-11)
    f = Conn(rec, 4000)
    f.do(-11)

R = random.Random(0)
GUARD = acl([(1, 'world', 'anyone'), (31, 'digest', 'x:y')])
def random_path():
    k = R.random()
    if k < .8: return '/' + '/'.join(R.choice('abc') for _ in range(R.randint(1, 4)))
    if k < .9: return '/' + R.choice('abc') + '/s-000000000%d' % R.randint(0, 5)
    return R.choice(['/', '/zookeeper/a', '/zookeeper/b', '/zookeeper', '//', '/a/', '/a//b', '', 'a', '/a/.', '/a\x7f'])
def random_data(): return R.choice([None, b'', b'x', bytes(R.randrange(256) for _ in range(R.randint(0, 40)))])
def random_version(): return R.choice([-1, -1, -1, -1, 0, 1, 2])
def random_write(alone, burst):
    while True:
        k = R.random()
        p = random_path()
        if burst and p == '/': continue
        if k < .45:
            flags = R.choice([0, 0, 0, 1, 2, 3, 9 if alone else 0])
            a = OPEN if burst or R.random() < .9 else R.choice([GUARD, acl([]), acl([(31, 'auth', '')])])
            return R.choice([CREATE, CREATE, CREATE2]), create(p + ('/s-' if flags in (2, 3) else ''), random_data(), a, flags)
        if k < .5: return CONT, create(p, random_data(), OPEN, 4)
        if k < .55: return TTL, ttl(p, random_data(), OPEN, R.choice([5, 6]), R.choice([1000000, 2000000, 0, -1, 1 << 40, 0xffffffffff]))
        if k < .72: return DELETE, delete(p, random_version())
        if k < .95: return SET, setd(p, random_data(), random_version())
        if not alone: return CHECK, check(p, random_version())
        if not burst: return SETACL, seta(p, R.choice([OPEN, OPEN, GUARD]), random_version())
def random_request(burst):
    if R.random() < .25: return MULTI, multi(*[random_write(False, burst) for _ in range(R.randint(0, 6))])
    return random_write(True, burst)
def random_scenario(rec, count):
    conns = [Conn(rec) for _ in range(4)]
    conns[0].auth('x', 'z')
    while len(rec.requests) < count:
        i = R.randrange(4)
        k = R.random()
        if k < .02:
            conns[i].do(-11)
            conns[i] = Conn(rec)
            if R.random() < .5: conns[i].auth('u', 'v')
        elif k < .6: conns[i].do(*random_request(False))
        else: conns[i].burst(*[random_request(True) for _ in range(R.randint(2, 30))])

rec = Recorder()
skip = len(rec.txns())
if len(sys.argv) > 4:
    R.seed(int(sys.argv[4]))
    random_scenario(rec, int(sys.argv[5]))
else:
    scenario(rec)
rec.write(skip)
