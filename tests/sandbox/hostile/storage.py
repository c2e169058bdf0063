"""Programs that fill disks and tables, and that play tricks with files."""

from __future__ import annotations

from polycall.sandbox.job import Ending
from tests.sandbox.hostile.catalogue import L0, L1, NOTHING, Either, Ends, Unpromised, program

__all__ = ["PROGRAMS"]

_HOSTS_DISK = "the directories of a run are the host's"
# looked at from outside, four times a second
_OUT_OF_DISK = Ends((Ending.OUT_OF_DISK,))
_KEPT_OR_TOO_LARGE = Either((NOTHING, _OUT_OF_DISK))
_SAME_USER = "code may do what the user may whose process it is"

PROGRAMS = (
    program(
        "the disk has a size",
        """
        import tempfile, time
        def execute(input):
            written = 0
            try:
                for number in range(64):
                    folder = tempfile.gettempdir() if number % 2 else '.'
                    with open(os.path.join(folder, str(number)), 'wb') as stream:
                        written += stream.write(bytes(1 << 20))
            except OSError as error:
                return [] if errno.errorcode[error.errno] == 'ENOSPC' and written <= 16 << 20 else [written, str(error)]
            time.sleep(20)
        """,
        attack="disk",
        at={L1: _OUT_OF_DISK, L0: _OUT_OF_DISK},
        limits={"memory_bytes": 128 << 20},
    ),
    program(
        "shared memory counts as disk",
        """
        def execute(input):
            written = 0
            try:
                for number in range(64):
                    with open(f'/dev/shm/{number}', 'wb') as stream: written += stream.write(bytes(1 << 20))
            except OSError:
                pass
            return [] if written <= 16 << 20 else [written]
        """,
        attack="disk",
        limits={"memory_bytes": 128 << 20},
        at={L0: Unpromised(_HOSTS_DISK)},
    ),
    program(
        "one file is no larger than the disk",
        """
        import signal
        def execute(input):
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            fd = os.open('sparse', os.O_CREAT | os.O_RDWR)
            return succeeded(
                allocate=lambda: os.posix_fallocate(fd, 0, 1 << 30) or True,
                seek=lambda: os.pwrite(fd, b'x', 1 << 30),
                truncate=lambda: os.truncate('sparse', 1 << 40) or True,
            )
        """,
        attack="disk",
    ),
    program(
        "inodes are counted",
        """
        import time
        def execute(input):
            made = 0
            try:
                while made < 5001:
                    os.close(os.open(f'{made}', os.O_CREAT | os.O_WRONLY))
                    made += 1
            except OSError:
                return [] if made < 5000 else [made]
            time.sleep(20)
        """,
        attack="inodes",
        at={L1: _OUT_OF_DISK, L0: _OUT_OF_DISK},
    ),
    program(
        "open files are counted",
        """
        def execute(input):
            held = []
            try:
                while len(held) < 5000: held.append(os.dup(1))
            except OSError:
                pass
            return [] if len(held) < 128 else [len(held)]
        """,
        attack="open files",
    ),
    program(
        "open files are not hidden on the way through a socket",
        """
        import array, socket
        def execute(input):
            hidden = 0
            try:
                pairs = [socket.socketpair() for _ in range(40)]
                for near, far in pairs:
                    for _ in range(50):
                        fds = [os.dup(1) for _ in range(30)]
                        near.sendmsg([b'x'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', fds))])
                        for fd in fds: os.close(fd)
                        hidden += len(fds)
            except OSError:
                pass
            return [] if hidden < 1000 else [hidden]
        """,
        attack="open files",
        at={L0: Unpromised(_SAME_USER)},
    ),
    program(
        "limits cannot be raised again",
        """
        import resource
        def execute(input):
            raised = []
            for name in ('NOFILE', 'DATA', 'CORE', 'FSIZE', 'MEMLOCK', 'NICE', 'RTPRIO', 'SIGPENDING', 'MSGQUEUE'):
                kind = getattr(resource, 'RLIMIT_' + name, {'NICE': 13, 'RTPRIO': 14, 'SIGPENDING': 11}.get(name))
                most = resource.getrlimit(kind)[1]
                try: resource.setrlimit(kind, (most + 1, most + 1)); raised.append(name)
                except (OSError, ValueError): pass
            return raised
        """,
        attack="limits",
    ),
    program(
        "a tree of folders that no path reaches is removed",
        """
        def execute(input):
            try:
                for _ in range(300):
                    os.mkdir('d' * 200)
                    os.chdir('d' * 200)
                open('deep', 'w').close()
            except OSError:
                pass
            return []
        """,
        attack="files that stay",
        # walked from outside, it may look larger than it is
        at={L1: _KEPT_OR_TOO_LARGE, L0: _KEPT_OR_TOO_LARGE},
    ),
    program(
        "files and folders that nobody may touch are removed",
        """
        import stat, tempfile
        def execute(input):
            for folder in ('.', tempfile.gettempdir()):
                os.makedirs(os.path.join(folder, 'closed/within/it'))
                open(os.path.join(folder, 'closed/within/file'), 'w').close()
                os.symlink('/etc', os.path.join(folder, 'link'))
                os.symlink(input['folders'][0], os.path.join(folder, 'site'))
                try:
                    os.chmod(os.path.join(folder, 'closed/within'), 0)
                    os.chmod(os.path.join(folder, 'closed'), 0)
                except OSError:
                    pass
            return []
        """,
        attack="files that stay",
    ),
    program(
        "names that are no text are removed",
        r"""
        def execute(input):
            for name in (b'\xff\xfe', b'new\nline', b'\x1b[2J', b'-rf', b' ', 'e\u0301'.encode(), b'x' * 255):
                os.close(os.open(name, os.O_CREAT | os.O_WRONLY))
                os.mkdir(name + b'd') if len(name) < 255 else None
            return []
        """,
        attack="files that stay",
    ),
    program(
        "thousands of links to one file are removed",
        """
        def execute(input):
            open('one', 'w').close()
            try:
                for number in range(3000): os.link('one', f'link-{number}')
            except OSError:
                pass
            return []
        """,
        attack="files that stay",
        at={L1: _KEPT_OR_TOO_LARGE, L0: _KEPT_OR_TOO_LARGE},
    ),
    program(
        "nothing of the system can be written",
        """
        def execute(input):
            library = os.path.dirname(os.__file__)
            paths = ['/x', '/etc/passwd', '/etc/x', '/usr/x', '/usr/bin/x', sys.executable, os.__file__, library + '/x',
                     '/proc/sys/kernel/core_pattern', '/proc/sys/kernel/hostname', '/proc/sysrq-trigger',
                     '/proc/self/oom_score', '/dev/x', '/dev/mem', '/dev/kmsg', '/sys/x']
            return succeeded(**{path: lambda path=path: open(path, 'a').close() or True for path in paths})
        """,
        attack="writing to the system",
        at={L0: Unpromised(_SAME_USER)},
    ),
    program(
        "its own interpreter is not another's",
        """
        def execute(input):
            def patch(path):
                fd = os.open(path, os.O_RDWR)
                os.pwrite(fd, b'x', 0)
                return True
            def remap():
                # a private mapping of the file may be written; nobody else sees it
                fd = os.open(os.__file__, os.O_RDONLY)
                return libc.mmap64(None, 4096, 3, 1, fd, 0) not in (-1, 0xffffffff, 0xffffffffffffffff)
            libc.mmap64.restype = ctypes.c_ulong
            return succeeded(exe=lambda: patch('/proc/self/exe'), binary=lambda: patch(sys.executable or '/x'),
                             library=lambda: patch(os.__file__), map=remap, link=lambda: os.unlink(os.__file__) or True,
                             replace=lambda: os.replace('x', os.__file__) or True)
        """,
        attack="writing to the system",
        at={L0: Unpromised(_SAME_USER)},
    ),
    program(
        "files of the host cannot be changed in any other way",
        """
        def execute(input):
            done = []
            for path in [*input['files'], os.__file__, '/usr/bin/env']:
                done += [[name, path] for name in succeeded(
                    chmod=lambda: os.chmod(path, 0o777) or True,
                    utime=lambda: os.utime(path, (1, 1)) or True,
                    chown=lambda: os.chown(path, os.getuid(), os.getgid()) or True,
                    setxattr=lambda: os.setxattr(path, 'user.x', b'x') or True,
                    truncate=lambda: os.truncate(path, 0) or True,
                    trunc=lambda: os.close(os.open(path, os.O_RDONLY | os.O_TRUNC)) or True,
                    unlink=lambda: os.unlink(path) or True,
                    rename=lambda: os.rename(path, path + '.x') or True,
                    link=lambda: os.link(path, 'linked') or True,
                    fchmod=lambda: os.fchmod(os.open(path, os.O_RDONLY), 0o777) or True,
                    lease=lambda: __import__('fcntl').fcntl(os.open(path, os.O_RDONLY), 1024, 0) == 0,
                )]
            return done
        """,
        attack="writing to the system",
        at={L0: Unpromised(_SAME_USER)},
    ),
    program(
        "devices are written to, and nothing of them is changed for others",
        """
        def execute(input):
            done, written = [], []
            for name in ('null', 'zero', 'full', 'random', 'urandom'):
                path = f'/dev/{name}'
                done += [[change, name] for change in succeeded(
                    utime=lambda: os.utime(path, (1, 1)) or True,
                    now=lambda: os.utime(path) or True,
                    chmod=lambda: os.chmod(path, 0o777) or True,
                    chown=lambda: os.chown(path, os.getuid(), -1) or True,
                    setxattr=lambda: os.setxattr(path, 'user.x', b'x') or True,
                )]
            with open('/dev/null', 'w') as sink: written.append(sink.write('x'))
            return done if written == [1] else ['not written']
        """,
        attack="writing to the system",
        at={L0: Unpromised(_SAME_USER)},
    ),
    program(
        "its cgroup cannot be changed or left",
        """
        def execute(input):
            done = []
            groups = [*input['groups'], *(path + '/slot-0' for path in input['groups']), '/sys/fs/cgroup',
                      '/sys/fs/cgroup/memory', '/sys/fs/cgroup/pids', '/sys/fs/cgroup/unified']
            for group in groups:
                for name, text in (('cgroup.procs', '0'), ('tasks', '0'), ('memory.max', 'max'), ('pids.max', 'max'),
                                   ('memory.limit_in_bytes', '-1'), ('cgroup.kill', '1'), ('cgroup.freeze', '1')):
                    def write():
                        fd = os.open(f'{group}/{name}', os.O_WRONLY)
                        os.write(fd, text.encode())
                        return True
                    done += succeeded(**{f'{group}/{name}': write})
                done += succeeded(**{group: lambda: os.mkdir(f'{group}/mine') or True})
            return done
        """,
        attack="its own cgroup",
        at={L0: Unpromised(_SAME_USER)},
    ),
    program(
        "its own entries in /proc give it nothing",
        """
        def execute(input):
            def write(name, text):
                fd = os.open(f'/proc/self/{name}', os.O_WRONLY)
                os.write(fd, text)
                return True
            return succeeded(
                oom=lambda: write('oom_score_adj', b'-1000'),
                uid_map=lambda: write('uid_map', b'0 0 1'),
                setgroups=lambda: write('setgroups', b'allow'),
                limits=lambda: write('limits', b'x'),
                timens=lambda: write('timens_offsets', b'monotonic 1 0'),
                loginuid=lambda: write('loginuid', b'0'),
                attr=lambda: write('attr/current', b'unconfined'),
                sched=lambda: write('autogroup', b'-20'),
            )
        """,
        attack="writing to the system",
        at={L0: Unpromised(_SAME_USER)},
    ),
)
