"""Programs that look for a way out by sockets."""

from __future__ import annotations

from tests.sandbox.hostile.catalogue import L0, Breaks, Unpromised, program

__all__ = ["PROGRAMS"]

_HOSTS_NET = "the network is the host's"

PROGRAMS = (
    program(
        "no family of sockets leads out",
        """
        def execute(input):
            families = {'UNSPEC': 0, 'INET': 2, 'AX25': 3, 'INET6': 10, 'NETLINK': 16, 'PACKET': 17, 'RDS': 21, 'CAN': 29,
                        'TIPC': 30, 'BLUETOOTH': 31, 'ALG': 38, 'NFC': 39, 'VSOCK': 40, 'KCM': 41, 'QIPCRTR': 42,
                        'SMC': 43, 'XDP': 44, 'MCTP': 45}
            return [[name, kind] for name, number in families.items() for kind in (1, 2, 3, 5, 0x80001)
                    if call(input['numbers']['socket'], number, kind, 0) != 'EAFNOSUPPORT']
        """,
        attack="network",
        at={L0: Breaks(_HOSTS_NET)},
    ),
    program(
        "loopback of the host, its metadata service and a resolver are not reached",
        """
        import socket
        def execute(input):
            def connect(host, port):
                with socket.create_connection((host, port), timeout=0.2): return True
            def ask():
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                    return client.sendto(b'x' * 20, ('127.0.0.53', 53)) > 0
            return succeeded(
                loopback=lambda: connect('127.0.0.1', input['port']),
                loopback6=lambda: connect('::1', input['port']),
                any=lambda: connect('0.0.0.0', input['port']),
                metadata=lambda: connect('169.254.169.254', 80),
                resolver=ask,
                name=lambda: bool(socket.getaddrinfo('example.com', 443)),
            )
        """,
        attack="network",
        at={L0: Breaks(_HOSTS_NET)},
    ),
    program(
        "nobody listens in the host's network",
        """
        import socket
        def execute(input):
            def listen(family, address):
                with socket.socket(family) as server:
                    server.bind(address)
                    server.listen()
                    return True
            return succeeded(four=lambda: listen(socket.AF_INET, ('127.0.0.1', 0)),
                             six=lambda: listen(socket.AF_INET6, ('::1', 0)))
        """,
        attack="network",
        at={L0: Breaks(_HOSTS_NET)},
    ),
    program(
        "sockets of the host, by path and abstract, reach nobody",
        """
        import socket
        def execute(input):
            def connect(address, kind):
                with socket.socket(socket.AF_UNIX, kind) as client:
                    client.connect(address)
                    return True
            addresses = [input['socket'], input['abstract'], '/run/dbus/system_bus_socket', '/var/run/docker.sock',
                         '/dev/log', '/run/systemd/notify', '\\0/tmp/.X11-unix/X0']
            return succeeded(**{repr(address): lambda address=address: connect(address, socket.SOCK_STREAM)
                                for address in addresses})
        """,
        attack="sockets of the host",
        at={L0: Breaks(_HOSTS_NET)},
    ),
    program(
        "pairs of sockets send to nobody else",
        """
        import socket
        def execute(input):
            done = []
            for kind in (socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_SEQPACKET, socket.SOCK_STREAM):
                for address in (input['socket'], input['abstract']):
                    def send():
                        one, _ = socket.socketpair(socket.AF_UNIX, kind)
                        one.sendto(b'forged', address)
                        return True
                    def connect():
                        one, _ = socket.socketpair(socket.AF_UNIX, kind)
                        one.connect(address)
                        return True
                    done += succeeded(send=send) if kind in (socket.SOCK_DGRAM, socket.SOCK_RAW) else []
                    done += succeeded(connect=connect)
            return done
        """,
        attack="sockets of the host",
        at={L0: Unpromised("the server's user may connect to the server's sockets")},
    ),
    program(
        "two runs do not meet by an abstract socket or a path that both know",
        """
        import socket
        def execute(input):
            def meet(address):
                with socket.socket(socket.AF_UNIX) as client:
                    client.connect(address)
                    return True
            def wait(address):
                with socket.socket(socket.AF_UNIX) as server:
                    server.bind(address)
                    return input['level'] < 2  # in a namespace of its own it waits for itself
            return succeeded(meet=lambda: meet(input['abstract']), wait=lambda: wait('\\0meet'),
                             path=lambda: wait(os.path.join(input['folders'][0], 'meet')))
        """,
        attack="sockets of the host",
        at={L0: Unpromised(_HOSTS_NET)},
    ),
    program(
        "no program of the system opens a way out",
        """
        import shutil, subprocess
        def execute(input):
            tools = {'curl': ['-m', '1', f"http://127.0.0.1:{input['port']}"], 'wget': ['-T', '1', 'http://127.0.0.1'],
                     'bash': ['-c', f"exec 3<>/dev/tcp/127.0.0.1/{input['port']}"], 'ip': ['link', 'add', 'x', 'type', 'dummy'],
                     'nsenter': ['-t', '1', '-a', 'true'], 'unshare': ['-r', 'true'], 'mount': ['-t', 'tmpfs', 'x', '/mnt']}
            def run(name, arguments):
                path = shutil.which(name)
                return path and subprocess.run([path, *arguments], capture_output=True, timeout=5).returncode == 0
            return succeeded(**{name: lambda name=name, arguments=arguments: run(name, arguments) or None
                                for name, arguments in tools.items()})
        """,
        attack="network",
        at={L0: Unpromised(_HOSTS_NET)},
    ),
)
