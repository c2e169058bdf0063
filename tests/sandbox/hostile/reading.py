"""Programs that look for what is not theirs: files, environments, memory, descriptors, sockets."""

from __future__ import annotations

from tests.sandbox.hostile.catalogue import L0, L1, L3, Breaks, Unpromised, program

__all__ = ["PROGRAMS"]

_SAME_USER = "code may read what the user may whose process it is"
_EXISTENCE = "that something exists on the host can be asked, though not what is in it"

PROGRAMS = (
    program(
        "files beside the server do not exist",
        """
        def execute(input):
            found = []
            for path in [*input['files'], *input['theirs'], '/etc/shadow', '/root/.bashrc', '/var/lib/dpkg/status']:
                for prefix in ('', '/proc/1/root', '/proc/self/root', '/proc/self/cwd/../../../../..', '/mnt/..'):
                    try: found.append([prefix + path, open(prefix + path).read(200)])
                    except OSError: pass
            return found
        """,
        attack="files of the host",
        at={L0: Breaks(_SAME_USER)},
    ),
    program(
        "folders of the host are not listed",
        """
        def execute(input):
            paths = [*input['folders'], '/home', '/var', '/run', '/sys', '/boot', '/srv', '/opt', '/etc/ssh',
                     '/etc/ssl/private', '/tmp/..' if input['level'] == 1 else '/var/..']
            return succeeded(**{path: lambda path=path: os.listdir(path) != [] for path in paths})
        """,
        attack="files of the host",
        at={L0: Breaks(_SAME_USER)},
    ),
    program(
        "the root holds nothing but what an interpreter needs",
        """
        def execute(input):
            ours = {'bin', 'lib', 'lib32', 'lib64', 'libx32', 'sbin', 'usr', 'dev', 'etc', 'mnt', 'proc', 'tmp', 'root'}
            etc = {'alternatives', 'passwd', 'group', 'hosts', 'nsswitch.conf', 'hostname', 'ld.so.cache', 'localtime', 'ssl'}
            dev = {'null', 'zero', 'full', 'random', 'urandom', 'fd', 'stdin', 'stdout', 'stderr', 'shm'}
            return sorted((set(os.listdir('/')) - ours) | (set(os.listdir('/etc')) - etc) | (set(os.listdir('/dev')) - dev))
        """,
        attack="files of the host",
        at={
            L1: Unpromised("without a mount namespace the root is the host's, and may not be listed"),
            L0: Unpromised(_SAME_USER),
        },
    ),
    program(
        "files that exist on the host are not told from those that do not",
        """
        def execute(input):
            return [path for path in [*input['files'], *input['folders'], '/etc/shadow'] if os.path.lexists(path)]
        """,
        attack="what exists on the host",
        at={L1: Breaks(_EXISTENCE), L0: Breaks(_SAME_USER)},
    ),
    program(
        "environments and memories of others cannot be read",
        """
        import glob
        def execute(input):
            found = []
            pids = {1, os.getppid(), input['server'], input['neighbour'], *input['family']} - {os.getpid(), 0}
            for pid in pids:
                for name in ('environ', 'mem', 'maps', 'cmdline', 'stack', 'syscall', 'auxv', 'io', 'fdinfo/1'):
                    try:
                        data = open(f'/proc/{pid}/{name}', 'rb').read(10_000)
                        found.append([pid, name])
                    except OSError: pass
                for name in ('root', 'cwd', 'fd', 'ns', 'task', 'map_files'):
                    try: found.append([pid, name, os.listdir(f'/proc/{pid}/{name}')[:9]])
                    except OSError: pass
                for name in ('exe', 'cwd', 'root', 'fd/1', 'fd/3', 'ns/mnt'):
                    try: found.append([pid, name, os.readlink(f'/proc/{pid}/{name}')])
                    except OSError: pass
            return found
        """,
        attack="environment and memory of others",
        at={L0: Breaks(_SAME_USER)},
    ),
    program(
        "its own memory holds nothing of the server's or of another's",
        """
        import gc, re
        WANTED = re.compile(rb'polycall-plante[d]-[0-9a-f]{32}')
        def execute(input):
            found = []
            try: maps = list(open('/proc/self/maps'))
            except OSError: maps = []  # then what Python itself can find must do
            for thing in gc.get_objects():
                if isinstance(thing, (dict, list, tuple)):
                    for one in thing.values() if isinstance(thing, dict) else thing:
                        if isinstance(one, str): found += WANTED.findall(one.encode('utf-8', 'replace'))
            found = [match.decode() for match in found]
            for line in maps:
                span, rights, *_ = line.split()
                start, end = (int(part, 16) for part in span.split('-'))
                if rights.startswith('r') and '[v' not in line and end - start < 256 << 20:
                    for place in range(start, end, 1 << 20):
                        piece = ctypes.string_at(place, min(1 << 20, end - place))
                        found += [match.decode() for match in WANTED.findall(piece)]
            return found
        """,
        attack="what a fork inherits",
    ),
    program(
        "its environment has nothing but its own",
        """
        def execute(input):
            started = open('/proc/self/environ', 'rb').read() if input['level'] in (2, 3) else b''
            known = {'PATH', 'HOME', 'TMPDIR', 'LANG'}
            told = [pair for pair in started.split(b'\\0') if pair and not pair.startswith(b'MALLOC_ARENA_MAX=')]
            return sorted(set(os.environ) - known) + [pair.decode() for pair in told]
        """,
        attack="what a fork inherits",
    ),
    program(
        "it has its own descriptors and no others",
        """
        import stat
        def execute(input):
            kinds = {}
            for fd in range(5000):
                try: mode = os.fstat(fd).st_mode
                except OSError: continue
                kinds[fd] = ('socket' if stat.S_ISSOCK(mode) else 'pipe' if stat.S_ISFIFO(mode)
                             else 'device' if stat.S_ISCHR(mode) else 'other')
            kinds = sorted(kinds.values())
            return [] if kinds == ['device', 'pipe', 'pipe', 'socket'] else kinds
        """,
        attack="what a fork inherits",
    ),
    program(
        "descriptors lead nowhere else",
        """
        def execute(input):
            done = []
            for fd in range(5000):
                for path in ('..', '.', '../../etc/shadow', 'self'):
                    try: os.close(os.open(path, os.O_RDONLY, dir_fd=fd)); done.append([fd, path])
                    except OSError: pass
                try: os.fchdir(fd); done.append([fd, 'fchdir'])
                except OSError: pass
            return done
        """,
        attack="what a fork inherits",
    ),
    program(
        "the keyrings of the kernel are out of reach",
        """
        def execute(input):
            nr = input['numbers']
            return succeeded(
                user=lambda: call(nr['keyctl'], 0, -4, 1) == 'done',
                session=lambda: call(nr['keyctl'], 1, None) == 'done',
                add=lambda: call(nr['add_key'], b'user', b'polycall', b'x', 1, -4) == 'done',
                keys=lambda: bool(open('/proc/keys').read()),
                users=lambda: bool(open('/proc/key-users').read()),
            )
        """,
        attack="keyrings",
        at={L0: Unpromised(_SAME_USER)},
    ),
    program(
        "what the kernel tells of the machine is not to be had",
        """
        def execute(input):
            names = ['kmsg', 'kallsyms', 'kcore', 'config.gz', 'iomem', 'slabinfo', 'timer_list', 'net/tcp', 'net/unix',
                     'sys/kernel/random/boot_id', 'mounts', 'sysvipc/shm', 'locks', 'meminfo', 'cmdline', 'modules']
            seen = succeeded(**{name: lambda name=name: bool(open(f'/proc/{name}', 'rb').read(100)) for name in names})
            # its own view of its own namespaces is its own
            return [name for name in seen if not (input['level'] > 1 and name in ('net/tcp', 'net/unix', 'mounts'))]
        """,
        attack="what the kernel tells of the machine",
        at={L0: Breaks(_SAME_USER)},
    ),
    program(
        "the directories of other runs are not to be had",
        """
        def execute(input):
            found = []
            mine = os.path.dirname(os.getcwd())
            above = os.path.dirname(mine)
            for number in range(1, 40):
                for name in ('code', 'req', 'tmp', 'shm'):
                    try: found.append([number, name, os.listdir(f'{above}/{number}/{name}')])
                    except OSError: pass
                    try: open(f'{above}/{number}/{name}/planted', 'w').close(); found.append([number, name])
                    except OSError: pass
            return [entry for entry in found if f'{above}/{entry[0]}' != mine]
        """,
        attack="files of other runs",
        at={L0: Unpromised(_SAME_USER)},
    ),
    program(
        "which of the system's pages are in memory is not told",
        """
        import mmap
        def execute(input):
            nr, fd = input['numbers'], os.open('/usr/bin/env', os.O_RDONLY)
            found, span = (ctypes.c_uint64 * 5)(), (ctypes.c_uint64 * 2)(0, 1 << 20)
            vector = (ctypes.c_uint64 * 2)(ctypes.addressof(ctypes.create_string_buffer(64)), 64)
            return succeeded(
                cachestat=lambda: call(nr['cachestat'], fd, span, found, 0) == 'done',
                nowait=lambda: os.preadv(fd, [bytearray(64)], 0, os.RWF_NOWAIT) >= 0,
            )
        """,
        attack="what others do",
        at={L0: Unpromised(_SAME_USER)},
    ),
    program(
        "files of the system can be locked",
        """
        import fcntl
        def execute(input):
            def lock(path):
                fcntl.flock(os.open(path, os.O_RDONLY), fcntl.LOCK_SH | fcntl.LOCK_NB)
                return True
            return succeeded(library=lambda: lock(os.__file__), program=lambda: lock('/usr/bin/env'))
        """,
        attack="locks on files of the system",
        held=Breaks(
            "they are the host's files, and a lock needs no right to write: it is held while the run lasts, and seen"
        ),
    ),
    program(
        "thousands of locks on a file of the system slow down nobody who closes it",
        """
        import struct
        def execute(input):
            F_SETLK, F_RDLCK, fd = 6, 0, os.open(os.__file__, os.O_RDONLY)
            for place in range(2000, 0, -2):
                call(input['numbers']['fcntl'], fd, F_SETLK, struct.pack('hhqqi4x', F_RDLCK, 0, place, 1, 0))
            # of a descriptor that is none only the kernel says EBADF
            return [] if call(input['numbers']['fcntl'], -1, F_SETLK, bytes(32)) == 'done' else ['held']
        """,
        attack="locks on files of the system",
        at={
            L3: Breaks("where code may have several processes their locks are real, as many as its memory holds"),
            L0: Breaks("no filter of system calls"),
        },
    ),
    program(
        "files that others open are not told of",
        """
        import fcntl
        def execute(input):
            nr = input['numbers']
            return succeeded(
                init=lambda: call(nr['inotify_init'],) == 'done',
                init1=lambda: call(nr['inotify_init1'], 0) == 'done',
                fanotify=lambda: call(nr['fanotify_init'], 0, 0) == 'done',
                dnotify=lambda: fcntl.fcntl(os.open('/usr/bin', os.O_RDONLY), fcntl.F_NOTIFY, fcntl.DN_ACCESS) == 0,
            )
        """,
        attack="what others do",
        at={L0: Breaks(_SAME_USER)},
    ),
    program(
        "what disks the host has is not told by the files that lie on them",
        """
        def execute(input):
            fd, found = os.open(os.__file__, os.O_RDONLY), ctypes.create_string_buffer(4096)
            requests = {'FS_IOC_GETFSUUID': 0x80111500, 'FS_IOC_GETFSSYSFSPATH': 0x80811501, 'FS_IOC_GETFSLABEL': 0x81009431,
                        'EXT4_IOC_GETFSUUID': 0x8008662C, 'FS_IOC_FIEMAP': 0xC020660B, 'FS_IOC_FSGETXATTR': 0x801C581F,
                        'FS_IOC_GETVERSION': 0x80087601}
            return [name for name, request in requests.items()
                    if call(input['numbers']['ioctl'], fd, request, found) != 'ENOTTY']
        """,
        attack="what the kernel tells of the machine",
        at={L0: Unpromised(_SAME_USER)},
    ),
    program(
        "nobody waits to open a file that a run has leased",
        """
        import fcntl
        def execute(input):
            fd = os.open('mine', os.O_CREAT | os.O_RDWR)
            def lease(command, kind): return fcntl.fcntl(fd, command, kind) == 0
            F_SETLEASE, F_SETDELEG, F_RDLCK, F_WRLCK = 1024, 1040, 0, 1
            return succeeded(
                write=lambda: lease(F_SETLEASE, F_WRLCK),
                read=lambda: lease(F_SETLEASE, F_RDLCK),
                high=lambda: call(input['numbers']['fcntl'], fd, 1 << 32 | F_SETLEASE, F_WRLCK) == 'done',
                delegation=lambda: fcntl.fcntl(fd, F_SETDELEG, bytes(16)) is not None,
            )
        """,
        attack="leases on files of the system",
        at={L0: Unpromised("no filter of system calls")},
    ),
)
