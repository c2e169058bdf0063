"""Programs that ask the kernel for what nobody in a sandbox needs."""

from __future__ import annotations

from polycall.sandbox.job import Ending
from polycall.sandbox.syscalls import MACHINE
from tests.sandbox.hostile.catalogue import L0, Ends, Unpromised, program

__all__ = ["PROGRAMS"]

_NO_FILTER = "no filter of system calls"

CALLS = {
    "ptrace": (0, 0, 0, 0),
    "process_vm_readv": (1, 0, 0, 0, 0, 0),
    "process_vm_writev": (1, 0, 0, 0, 0, 0),
    "process_madvise": (0, 0, 0, 0, 0),
    "kcmp": (1, 1, 0, 0, 0),
    "pidfd_getfd": (0, 0, 0),
    "unshare": (0x10000000,),
    "setns": (0, 0),
    "mount": (0, 0, 0, 0, 0),
    "umount2": (0, 0),
    "pivot_root": (0, 0),
    "chroot": (0,),
    "fsopen": (0, 0),
    "fsmount": (0, 0, 0),
    "open_tree": (-100, 0, 0),
    "move_mount": (0, 0, 0, 0, 0),
    "mount_setattr": (0, 0, 0, 0, 0),
    "bpf": (0, 0, 0),
    "perf_event_open": (0, 0, 0, 0, 0),
    "userfaultfd": (0,),
    "io_uring_setup": (8, 0),
    "io_uring_enter": (0, 0, 0, 0, 0, 0),
    "io_uring_register": (0, 0, 0, 0),
    "keyctl": (0, -3, 1),
    "add_key": (0, 0, 0, 0, 0),
    "request_key": (0, 0, 0, 0),
    "init_module": (0, 0, 0),
    "finit_module": (0, 0, 0),
    "delete_module": (0, 0),
    "kexec_load": (0, 0, 0, 0),
    "reboot": (0, 0, 0, 0),
    "swapon": (0, 0),
    "acct": (0,),
    "open_by_handle_at": (0, 0, 0),
    "name_to_handle_at": (0, 0, 0, 0, 0),
    "fanotify_init": (0, 0),
    "settimeofday": (0, 0),
    "clock_settime": (0, 0),
    "sethostname": (0, 0),
    "setdomainname": (0, 0),
    "setuid": (0,),
    "setresuid": (0, 0, 0),
    "setgroups": (0, 0),
    "capset": (0, 0),
    "mknodat": (-100, 0, 0o60666, 0),
    "shmget": (0, 4096, 0o1666),
    "semget": (0, 1, 0o1666),
    "msgget": (0, 0o1666),
    "mq_open": (0, 0, 0, 0),
    "seccomp": (1, 0, 0),
    "landlock_create_ruleset": (0, 0, 1),
    "memfd_secret": (0,),
    "mbind": (0, 0, 0, 0, 0, 0),
    "set_mempolicy": (0, 0, 0),
    "move_pages": (0, 0, 0, 0, 0, 0),
    "vmsplice": (0, 0, 0, 0),
    "quotactl": (0, 0, 0, 0),
    "syslog": (0, 0, 0),
    "sync": (),
    "syncfs": (0,),
    "vhangup": (),
}
# on one machine only
_OLD = {"iopl": (3,), "ioperm": (0, 1, 1), "modify_ldt": (0, 0, 0), "uselib": (0,), "nfsservctl": (0, 0, 0)}

PROGRAMS = (
    program(
        "system calls that reach out are refused",
        """
        def execute(input):
            calls = {name: arguments for name, arguments in input['calls'].items() if name in input['numbers']}
            results = {name: call(input['numbers'][name], *arguments) for name, arguments in calls.items()}
            return sorted(name for name, result in results.items() if result != 'EPERM')
        """,
        attack="namespaces, mounts, tracing, bpf, io_uring, userfaultfd, perf, modules, clocks",
        input={"calls": CALLS | (_OLD if MACHINE == "x86_64" else {})},
        at={L0: Unpromised(_NO_FILTER)},
    ),
    program(
        "new namespaces cannot come by clone",
        """
        def execute(input):
            nr = input['numbers']
            flags = [0x80, 0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000]
            made = [hex(flag) for flag in flags if call(nr['clone'], flag | 17, 0, 0, 0, 0) != 'EPERM']
            return made + [result for result in [call(nr['clone3'], 0, 0)] if result != 'ENOSYS']
        """,
        attack="namespaces, mounts, tracing, bpf, io_uring, userfaultfd, perf, modules, clocks",
        at={L0: Unpromised(_NO_FILTER)},
    ),
    program(
        "flags are not smuggled past the filter in the upper half of an argument",
        """
        def execute(input):
            nr = input['numbers']
            big = ctypes.c_ulong
            def wide(name, *arguments):
                result = libc.syscall(ctypes.c_long(nr[name]), *(big(a) for a in arguments))
                return result >= 0
            high = 1 << 32
            return [name for name, done in {
                'clone': wide('clone', high | 0x10000000 | 17, 0, 0, 0, 0),
                'unshare': wide('unshare', high | 0x10000000),
                'socket': wide('socket', high | 16, 3, 0),
                'socket inet': wide('socket', high | 2, 1, 0),
                'ioctl': wide('ioctl', 0, high | 0x5412, 0),
                'personality': wide('personality', high | 0x0400000),
            }.items() if done]
        """,
        attack="ways around the filter",
        at={L0: Unpromised(_NO_FILTER)},
    ),
    program(
        "unknown system calls do not exist",
        """
        def execute(input):
            unknown = [max(input['numbers'].values()) + 1, 512, 520, 547, 1000, 100_000, (1 << 31) - 1]
            return [number for number in unknown if call(number, 0, 0, 0) != 'ENOSYS']
        """,
        attack="ways around the filter",
        at={L0: Unpromised(_NO_FILTER)},
    ),
    program(
        "terminals and line disciplines take no words from it",
        """
        def execute(input):
            nr = input['numbers']
            return [hex(request) for fd in (0, 1, 2) for request in (0x5412, 0x541C)
                    if call(nr['ioctl'], fd, request, 0) != 'EPERM']
        """,
        attack="ways around the filter",
        at={L0: Unpromised(_NO_FILTER)},
    ),
    program(
        "the filter cannot be taken off or replaced",
        """
        def execute(input):
            PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, PR_SET_MM, PR_SCHED_CORE = 22, 38, 35, 62
            def prctl(*arguments): return libc.prctl(*arguments) == 0
            return succeeded(
                seccomp=lambda: prctl(PR_SET_SECCOMP, 0, 0, 0, 0),
                strict=lambda: prctl(PR_SET_SECCOMP, 1, 0, 0, 0) and False,
                privileges=lambda: prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0),
                capability=lambda: prctl(47, 2, 21, 0, 0),  # PR_CAP_AMBIENT_RAISE
                core=lambda: prctl(PR_SCHED_CORE, 1, 0, 0, 0),
                keep=lambda: prctl(28, 32, 0, 0, 0),  # PR_SET_SECUREBITS
            )
        """,
        attack="ways around the filter",
        at={L0: Unpromised(_NO_FILTER)},
    ),
    program(
        "privileges are gone",
        """
        PR_GET_NO_NEW_PRIVS, PR_GET_SECCOMP, PR_CAPBSET_READ = 39, 21, 23
        def execute(input):
            header = (ctypes.c_uint32 * 2)(0x20080522, 0)
            data = (ctypes.c_uint32 * 6)()
            libc.syscall(ctypes.c_long(input['numbers']['capget']), header, data)
            bounding = [number for number in range(64) if libc.prctl(PR_CAPBSET_READ, number, 0, 0, 0) > 0]
            expected = {
                'capabilities': list(data) != [0] * 6,
                # an ordinary user's process has a bounding set that no new privileges make worthless
                'bounding': bounding != [] and (input['level'] > 1 or os.getuid() != input['ordinary']),
                'new privileges': libc.prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1,
                'filter': input['level'] > 0 and libc.prctl(PR_GET_SECCOMP, 0, 0, 0, 0) != 2,
                'groups': os.getgroups() not in ([], [os.getgid()]),
                'root': input['level'] > 1 and 0 in (os.getuid(), os.geteuid(), os.getgid()),
            }
            return [name for name, wrong in expected.items() if wrong]
        """,
        attack="setuid programs and capabilities",
        at={L0: Unpromised("code may be the user who started the server, root included")},
    ),
    program(
        "setuid programs give nothing",
        """
        import subprocess
        def execute(input):
            done = []
            if input['level'] > 1:
                flags = os.statvfs('/usr').f_flag
                done = [] if flags & os.ST_NOSUID and flags & os.ST_RDONLY else ['mount']
            for path in ('/usr/bin/su', '/usr/bin/mount', '/usr/bin/passwd', '/usr/bin/newgrp', '/usr/bin/chsh'):
                done += succeeded(**{path: lambda: subprocess.run([path, '--help'], capture_output=True).returncode == 0
                                     and subprocess.run([path, '-c', 'id -u'], capture_output=True).stdout == b'0\\n'})
            os.mkdir('suid')
            try:
                with open('suid/id', 'wb') as stream: stream.write(open('/usr/bin/id', 'rb').read())
                os.chmod('suid/id', 0o6755)
                uid = subprocess.run(['suid/id', '-u'], capture_output=True).stdout
                done += ['own'] if uid.strip() == b'0' else []
            except OSError:
                pass
            return done
        """,
        attack="setuid programs and capabilities",
        at={L0: Unpromised("code may be the user who started the server, root included")},
    ),
    program(
        "devices cannot be made",
        """
        import stat
        def execute(input):
            return succeeded(
                disk=lambda: os.mknod('disk', stat.S_IFBLK | 0o666, os.makedev(8, 0)) or True,
                memory=lambda: os.mknod('memory', stat.S_IFCHR | 0o666, os.makedev(1, 1)) or True,
                null=lambda: os.mknod('null', stat.S_IFCHR | 0o666, os.makedev(1, 3)) or True,
            )
        """,
        attack="namespaces, mounts, tracing, bpf, io_uring, userfaultfd, perf, modules, clocks",
    ),
    program(
        "what the machine has only once cannot be used up",
        """
        def execute(input):
            context = ctypes.c_ulong(0)
            return succeeded(aio=lambda: call(input['numbers']['io_setup'], 60000, ctypes.byref(context)) == 'done')
        """,
        attack="what the machine has only once",
        at={L0: Unpromised(_NO_FILTER)},
    ),
    program(
        "huge pages that were set aside for others are not taken",
        """
        def execute(input):
            nr, odd = input['numbers'], 5 << 26
            # of huge pages of 32 bytes the kernel itself would say that there are none such: it was not asked
            return [name for name, result in {
                'private': call(nr['mmap'], 0, 2 << 20, 3, 0x40022 | odd, -1, 0),
                'shared': call(nr['mmap'], 0, 2 << 20, 3, 0x40021 | odd, -1, 0),
                'file': call(nr['memfd_create'], b'x', 4 | odd),
            }.items() if result not in ('ENOMEM', 'EPERM')]
        """,
        attack="what the machine has only once",
        at={L0: Unpromised(_NO_FILTER)},
    ),
    program(
        "memory and queues of System V and POSIX are nobody's",
        """
        def execute(input):
            nr = input['numbers']
            return succeeded(
                shm=lambda: call(nr['shmget'], 4711, 4096, 0o1666) == 'done',
                sem=lambda: call(nr['semget'], 4711, 1, 0o1666) == 'done',
                msg=lambda: call(nr['msgget'], 4711, 0o1666) == 'done',
                mq=lambda: call(nr['mq_open'], b'polycall', 0o102, 0o666, None) == 'done',
            )
        """,
        attack="System V and POSIX IPC",
        at={L0: Unpromised(_NO_FILTER)},
    ),
    *(
        (
            program(
                "the system calls of x32 do not exist",
                "def execute(input): return [n for n in (39, 57, 59, 101, 512, 545) if call(0x40000000 | n, 0, 0) != 'ENOSYS']",
                attack="system calls of i386 and x32",
                at={L0: Unpromised(_NO_FILTER)},
            ),
            program(
                "a system call of i386 is the end",
                """
                import mmap
                def execute(input):
                    # mov eax, 20 (getpid); int 0x80; ret
                    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
                    page.write(bytes.fromhex('b814000000cd80c3'))
                    return ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()
                """,
                attack="system calls of i386 and x32",
                held=Ends((Ending.SIGNALLED,), signal=31),  # SIGSYS; 11 where the kernel has no i386 at all
                at={L0: Unpromised(_NO_FILTER)},
            ),
        )
        if MACHINE == "x86_64"
        else ()
    ),
    program(
        "modules of the kernel are not loaded by asking a socket",
        """
        import socket
        def execute(input):
            one, other = socket.socketpair()
            words = ctypes.create_string_buffer(4096)
            requests = {'SIOCGIFBR': 0x8940, 'SIOCBRADDBR': 0x89A0, 'SIOCGIFVLAN': 0x8982, 'SIOCETHTOOL': 0x8946,
                        'SIOCGIWNAME': 0x8B01, 'SIOCBONDENSLAVE': 0x8990, 'SIOCGIFMAP': 0x8970, 'SIOCSPGRP': 0x8902,
                        'SIOCSIFFLAGS': 0x8914, 'SIOCPROTOPRIVATE': 0x89E0}
            return [name for name, request in requests.items()
                    if call(input['numbers']['ioctl'], one.fileno(), request, words) != 'ENOTTY']
        """,
        attack="namespaces, mounts, tracing, bpf, io_uring, userfaultfd, perf, modules, clocks",
        at={L0: Unpromised(_NO_FILTER)},
    ),
    program(
        "no programs for the kernel come with a socket, and no modules",
        """
        import socket, struct
        def execute(input):
            one, other = socket.socketpair()
            code = ctypes.create_string_buffer(struct.pack('HBBI', 6, 0, 0, 1))
            filter = struct.pack('HxxxxxxQ', 1, ctypes.addressof(code))
            SOL_IP, SOL_SOCKET, SOL_TCP = 0, 1, 6
            options = {'SO_ATTACH_FILTER': (SOL_SOCKET, 26), 'SO_ATTACH_BPF': (SOL_SOCKET, 50), 'SO_LOCK_FILTER': (SOL_SOCKET, 44),
                       'SO_ATTACH_REUSEPORT_CBPF': (SOL_SOCKET, 51), 'SO_BINDTODEVICE': (SOL_SOCKET, 25), 'SO_MARK': (SOL_SOCKET, 36),
                       'TCP_CONGESTION': (SOL_TCP, 13), 'TCP_ULP': (SOL_TCP, 31), 'TCP_MD5SIG': (SOL_TCP, 14),
                       'TCP_AO_ADD_KEY': (SOL_TCP, 38), 'IPT_SO_SET_REPLACE': (SOL_IP, 64), 'MCAST_MSFILTER': (SOL_IP, 48)}
            return [name for name, (level, option) in options.items()
                    if call(input['numbers']['setsockopt'], one.fileno(), level, option, filter, 16) != 'ENOPROTOOPT']
        """,
        attack="namespaces, mounts, tracing, bpf, io_uring, userfaultfd, perf, modules, clocks",
        at={L0: Unpromised(_NO_FILTER)},
    ),
    program(
        "the host's disk is not flushed at a run's word",
        """
        def execute(input):
            nr, none = input['numbers'], -1
            # of a descriptor that is none the kernel itself would say EBADF: it was not asked
            return [name for name, result in {
                'fsync': call(nr['fsync'], none),
                'fdatasync': call(nr['fdatasync'], none),
                'sync_file_range': call(nr['sync_file_range'], none, 0, 0, 7),
                'drop from memory': call(nr['fadvise64'], none, 0, 0, 4),
            }.items() if result != 'done'] + succeeded(all=lambda: call(nr['sync'],) == 'done', some=lambda: call(nr['syncfs'], 0) == 'done')
        """,
        attack="what the machine has only once",
        at={L0: Unpromised(_NO_FILTER)},
    ),
)
