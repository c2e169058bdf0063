"""Which system calls a sandboxed process may make, as data. Standard library only: zygotes load it.

An allow-list: what is not named here fails with ENOSYS, as on a kernel that does not know it, so libraries fall back.
What a program could expect to exist but must not have fails with EPERM. The list started from the default seccomp
profile of Docker (moby, ``profiles/seccomp/default_linux.go``) without what only privileged containers get, and without

- inotify: the system's files are the host's inodes, so a watch on /usr/bin tells what everybody else starts;
- cachestat, and preadv2 that does not wait: which of the system's pages are in memory tells what others have run;
- the old asynchronous I/O (io_setup): its contexts count against one number for the whole machine (fs.aio-max-nr).

What is to be written to disk at once, or dropped from memory, is answered as done and not done: of a run there is
nothing to keep, and on the system's files, which any descriptor will do for, it would be the host's disk that is
flushed, and other runs' pages that are read anew.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable
from dataclasses import dataclass

from polycall.sandbox import options
from polycall.sandbox.bpf import ALLOW, Case, Compare, Rule, compile_filter, errno_action
from polycall.sandbox.syscalls import MACHINE, numbers

__all__ = ["ALLOWED", "NOTHING_TO_DO", "REFUSED", "Grants", "build"]


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


ALLOWED = _names(
    """
    accept accept4 access alarm arch_prctl bind brk capget chdir chmod chown clock_getres clock_gettime
    clock_nanosleep close close_range connect copy_file_range creat dup dup2 dup3 epoll_create epoll_create1
    epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 execve execveat exit
    exit_group faccessat faccessat2 fadvise64 fallocate fchdir fchmod fchmodat fchmodat2 fchown fchownat fcntl
    fgetxattr flistxattr flock fork fremovexattr fsetxattr fstat fstatfs ftruncate futex
    futex_requeue futex_wait futex_waitv futex_wake futimesat get_robust_list get_thread_area getcpu getcwd getdents
    getdents64 getegid geteuid getgid getgroups getitimer getpeername getpgid getpgrp getpid getppid getpriority
    getrandom getresgid getresuid getrlimit getrusage getsid getsockname getsockopt gettid gettimeofday getuid
    getxattr ioprio_get kill lchown lgetxattr link linkat listen listxattr llistxattr
    lremovexattr lseek lsetxattr lstat madvise map_shadow_stack membarrier memfd_create mincore mkdir mkdirat mlock
    mlock2 mmap mprotect mremap mseal msync munlock munmap nanosleep newfstatat open openat openat2 pause pidfd_open
    pidfd_send_signal pipe pipe2 pkey_alloc pkey_free pkey_mprotect poll ppoll prctl pread64 preadv preadv2
    prlimit64 pselect6 pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv recvfrom recvmmsg recvmsg
    removexattr rename renameat renameat2 restart_syscall rmdir rseq rt_sigaction rt_sigpending rt_sigprocmask
    rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_tgsigqueueinfo sched_get_priority_max
    sched_get_priority_min sched_getaffinity sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval
    sched_setaffinity sched_yield select sendfile sendmmsg sendmsg sendto set_robust_list set_thread_area
    set_tid_address setitimer setpgid setpriority setrlimit setsid setsockopt setxattr shutdown sigaltstack signalfd
    signalfd4 splice stat statfs statx symlink symlinkat sysinfo tee tgkill time timer_create
    timer_delete timer_getoverrun timer_gettime timer_settime timerfd_create timerfd_gettime timerfd_settime times
    tkill truncate umask uname unlink unlinkat utime utimensat utimes vfork wait4 waitid write writev
    """
)

REFUSED = _names(
    """
    _sysctl acct add_key adjtimex bpf capset chroot clock_adjtime clock_settime create_module delete_module
    fanotify_init fanotify_mark finit_module fsconfig fsmount fsopen fspick get_kernel_syms get_mempolicy
    init_module io_uring_enter io_uring_register io_uring_setup ioperm iopl ioprio_set kcmp kexec_file_load
    kexec_load keyctl landlock_add_rule landlock_create_ruleset landlock_restrict_self listmount lookup_dcookie
    lsm_set_self_attr mbind memfd_secret migrate_pages mknod mknodat mlockall modify_ldt mount mount_setattr
    move_mount move_pages mq_open mq_unlink msgctl msgget msgrcv msgsnd munlockall name_to_handle_at nfsservctl
    open_by_handle_at open_tree open_tree_attr perf_event_open pidfd_getfd pivot_root process_madvise
    process_mrelease process_vm_readv process_vm_writev ptrace query_module quotactl quotactl_fd reboot request_key
    sched_setattr sched_setparam sched_setscheduler seccomp semctl semget semop semtimedop set_mempolicy
    set_mempolicy_home_node setdomainname setfsgid setfsuid setgid setgroups sethostname setns setregid setresgid
    setresuid setreuid settimeofday setuid shmat shmctl shmdt shmget statmount swapoff swapon sync syncfs sysfs
    syslog umount2 unshare uselib userfaultfd ustat vhangup vmsplice
    """
)

_METADATA = _names(
    """
    chmod chown fchmod fchmodat fchmodat2 fchown fchownat fremovexattr fsetxattr futimesat lchown lremovexattr lsetxattr
    removexattr setxattr utime utimensat utimes
    """
)

# Done, as far as the caller is concerned; systemd-nspawn has it as --suppress-sync
NOTHING_TO_DO = _names("fdatasync fsync sync_file_range")

_DONE = errno_action(0)
_EPERM = errno_action(errno.EPERM)
_EINVAL = errno_action(errno.EINVAL)
_NO_MEMORY = errno_action(errno.ENOMEM)
_NO_REQUEST = errno_action(errno.ENOTTY)
_NO_OPTION = errno_action(errno.ENOPROTOOPT)
_NOT_SUPPORTED = errno_action(errno.EOPNOTSUPP)
_ENOSYS = errno_action(errno.ENOSYS)
_NO_FAMILY = errno_action(errno.EAFNOSUPPORT)
_NO_PROTOCOL = errno_action(errno.EPROTONOSUPPORT)

_CLONE_THREAD = 0x0001_0000
# CLONE_NEWTIME, NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET
_CLONE_NEW = 0x80 | 0x2_0000 | 0x200_0000 | 0x400_0000 | 0x800_0000 | 0x1000_0000 | 0x2000_0000 | 0x4000_0000
_CLONE_NEWPID = 0x2000_0000
# What confines a child: it gives up what it has, and can get nothing by it.
_CONFINING = (
    "capset",
    "landlock_add_rule",
    "landlock_create_ruleset",
    "landlock_restrict_self",
    "seccomp",
    "setgroups",
    "setresgid",
    "setresuid",
)
# The pid namespace of the next child; its mounts, ipc and network together; its user namespace.
_UNSHARED = (_CLONE_NEWPID, 0x2_0000 | 0x800_0000 | 0x4000_0000, 0x1000_0000)
# NOSUID and NODEV, for a tmpfs; for a proc NOEXEC too, and RDONLY: never a bind, a move or a remount.
_MOUNT_FLAGS = (2 | 4, 2 | 4 | 8, 1 | 2 | 4 | 8)
_PR_SET_PDEATHSIG, _PR_SET_SECCOMP, _PR_SCHED_CORE = 1, 22, 62
_F_SETOWN, _F_SETLEASE, _F_NOTIFY = 8, 1024, 1026
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C
_RWF_NOWAIT = 8
_POSIX_FADV_DONTNEED = 4
_MAP_HUGETLB, _MFD_HUGETLB = 0x4_0000, 0x4
_AF_UNIX, _AF_INET, _AF_INET6 = 1, 2, 10
_IPPROTO_TCP = 6
_SOL_SOCKET = 1
# the bit that SOCK_DGRAM (2) and SOCK_RAW (3, taken for it) have, and SOCK_STREAM (1) and SOCK_SEQPACKET (5) have not
_DATAGRAMS = 2
# and those that SOCK_STREAM has not: others load modules of the kernel that nobody looks at (SCTP, DCCP)
_NO_STREAM = 2 | 4 | 8
# personality(2): Linux, Linux without address randomisation off, and the query
_PERSONALITIES = (0x0, 0x0004_0000, 0xFFFF_FFFF)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grants:
    """What differs between isolation levels.

    ``fork``: new processes (only where a cgroup bounds the tree's memory); ``execute``: execve; ``sockets``: AF_UNIX
    sockets (only where a mount namespace hides the host's); ``internet``: TCP sockets (only in a network namespace with
    nothing but a loopback); ``memfd``: anonymous files, which count against no limit of the process; ``buffers``:
    larger buffers of sockets, which count against none either (each up to net.core.wmem_max); ``metadata``: changes of
    mode, owner, times and extended attributes, which Landlock does not control (only where a mount namespace hides the
    host's files); ``only_pid``: signals and the like to this process only (where no pid namespace hides others);
    ``children``: what making a child takes (for a zygote that runs code of others, see ``lodging``).
    """

    fork: bool
    execute: bool
    sockets: bool
    internet: bool = False
    memfd: bool
    buffers: bool
    metadata: bool
    only_pid: int | None = None
    children: bool = False


def _unless(tests: tuple[Compare, ...], action: int) -> Rule:
    return Rule((Case(tests, action),), ALLOW)


def _conditional(grants: Grants) -> dict[str, Rule | int]:
    rules: dict[str, Rule | int] = {
        # the flags of clone3 stand in memory, where a filter cannot see them; libraries fall back to clone
        "clone3": _ENOSYS,
        "clone": _unless((Compare(0, "any", _CLONE_NEW),), _EPERM),
        "socket": _socket(grants),
        "socketpair": _socketpair(grants),
        "ioctl": _ioctl(grants),
        "personality": Rule(tuple(Case((Compare(0, "eq", value),), ALLOW) for value in _PERSONALITIES), _EPERM),
        "prctl": _prctl(grants),
        "fcntl": _fcntl(grants),
        "setsockopt": _setsockopt(grants),
        "getsockopt": _getsockopt(),
        "fadvise64": Rule((Case((Compare(3, "eq", _POSIX_FADV_DONTNEED),), _DONE),), ALLOW),
        # as of a file system that cannot do it: who wants to know reads as usual
        "preadv2": Rule((Case((Compare(5, "any", _RWF_NOWAIT),), _NOT_SUPPORTED),), ALLOW),
    }
    if not grants.fork:
        rules["clone"] = Rule(
            (Case((Compare(0, "any", _CLONE_NEW),), _EPERM), Case((Compare(0, "any", _CLONE_THREAD),), ALLOW)), _EPERM
        )
        rules["fork"] = rules["vfork"] = _EPERM
    if not grants.execute:
        rules["execve"] = rules["execveat"] = _EPERM
    # Huge pages that the operator has set aside, for a database as a rule, count against no limit; as of a machine that
    # has none.
    rules["mmap"] = Rule((Case((Compare(3, "any", _MAP_HUGETLB),), _NO_MEMORY),), ALLOW)
    huge = Case((Compare(1, "any", _MFD_HUGETLB),), _NO_MEMORY)
    rules["memfd_create"] = Rule((huge,), ALLOW) if grants.memfd else _EPERM
    if not grants.metadata:
        rules.update(dict.fromkeys(_METADATA, _EPERM))
    if grants.only_pid is not None:
        self = grants.only_pid
        for name in ("kill", "tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo"):
            rules[name] = _unless((Compare(0, "ne", self),), _EPERM)
        for name in ("prlimit64", "sched_setaffinity"):
            rules[name] = _unless((Compare(0, "ne", 0), Compare(0, "ne", self)), _EPERM)
        for name in ("tkill", "pidfd_open", "pidfd_send_signal", "setpriority"):
            rules[name] = _EPERM
    if grants.children:
        rules.update(_for_children())
    return rules


def _for_children() -> dict[str, Rule | int]:
    """Allow what ``nursery`` and ``confine`` do, with the flags that they do it with and no others."""
    rules: dict[str, Rule | int] = dict.fromkeys(_CONFINING, ALLOW)
    rules["setns"] = Rule((Case((Compare(1, "eq", _CLONE_NEWPID),), ALLOW),), _EPERM)
    for name, argument, values in (("unshare", 0, _UNSHARED), ("mount", 3, _MOUNT_FLAGS)):
        rules[name] = Rule(tuple(Case((Compare(argument, "eq", value),), ALLOW) for value in values), _EPERM)
    return rules


def _one_of(argument: int, values: Iterable[int], otherwise: int, *first: Case) -> Rule:
    return Rule((*first, *(Case((Compare(argument, "eq", value),), ALLOW) for value in values)), otherwise)


def _refused(argument: int, *values: int) -> tuple[Case, ...]:
    return tuple(Case((Compare(argument, "eq", value),), _EPERM) for value in values)


def _ioctl(grants: Grants) -> Rule:
    allowed = options.IOCTL
    if grants.sockets:
        allowed += options.INTERFACES  # of a network namespace of its own
    if grants.children:
        allowed += (options.SET_LINK_FLAGS,)
    return _one_of(1, allowed, _NO_REQUEST, *_refused(1, _TIOCSTI, _TIOCLINUX))


def _prctl(grants: Grants) -> Rule:
    # core scheduling lets a process keep everybody else off the other thread of its core
    refused, allowed = [_PR_SET_SECCOMP, _PR_SCHED_CORE], options.PRCTL
    if grants.only_pid is None:
        allowed += (_PR_SET_PDEATHSIG,)
    else:
        # outside a pid namespace the signal at the parent's death is what ends a run when the server is killed
        refused.append(_PR_SET_PDEATHSIG)
    return _one_of(0, allowed, _EINVAL, *_refused(0, *refused))


def _fcntl(grants: Grants) -> Rule:
    allowed, first = options.FCNTL, list(_refused(1, _F_SETLEASE, _F_NOTIFY))
    if grants.fork:
        allowed += options.LOCKS
    else:
        # Between processes only do they mean anything, and there is none that it could share a file with. On files of
        # the system everybody could see them, as many as it likes: whoever closes such a file walks through them all.
        first += (Case((Compare(1, "eq", command),), _DONE) for command in options.POSIX_LOCKS)
    if grants.only_pid is None:
        allowed += options.OWNERS
    else:
        # who owns a descriptor is sent a signal of the setter's choice when there is something to read
        first.append(Case((Compare(1, "eq", _F_SETOWN), Compare(2, "eq", grants.only_pid)), ALLOW))
        first += _refused(1, *options.OWNERS)
    return _one_of(1, allowed, _EINVAL, *first)


def _setsockopt(grants: Grants) -> Rule:
    def case(level: int, name: int, action: int) -> Case:
        return Case((Compare(1, "eq", level), Compare(2, "eq", name)), action)

    return Rule(
        (
            *(case(level, name, ALLOW if grants.buffers else _EPERM) for level, name in options.SET_BUFFERS),
            *(case(level, name, ALLOW) for level, name in options.SET_OPTIONS),
        ),
        _NO_OPTION,
    )


def _getsockopt() -> Rule:
    refused = (options.SO_PEERPIDFD, options.SO_PEERGROUPS)
    return Rule(
        tuple(Case((Compare(1, "eq", _SOL_SOCKET), Compare(2, "eq", name)), _NO_OPTION) for name in refused), ALLOW
    )


def _socket(grants: Grants) -> Rule | int:
    if not grants.sockets:
        return _NO_FAMILY
    local = Case((Compare(0, "eq", _AF_UNIX),), ALLOW)
    if not grants.internet:
        return Rule((local,), _NO_FAMILY)
    # TCP and nothing else: neither datagrams nor what else goes by the name of a stream (MPTCP, SMC)
    tcp = [
        case
        for family in (_AF_INET, _AF_INET6)
        for case in (
            Case((Compare(0, "eq", family), Compare(1, "any", _NO_STREAM)), _NO_PROTOCOL),
            *(Case((Compare(0, "eq", family), Compare(2, "eq", protocol)), ALLOW) for protocol in (0, _IPPROTO_TCP)),
            Case((Compare(0, "eq", family),), _NO_PROTOCOL),
        )
    ]
    return Rule((local, *tcp), _NO_FAMILY)


def _socketpair(grants: Grants) -> Rule:
    local = Case((Compare(0, "eq", _AF_UNIX),), ALLOW)
    if grants.sockets:
        return Rule((local,), _NO_FAMILY)
    # a pair of datagram sockets is no pair for ever: each can send to any path, such as the host's system log
    return Rule((Case((Compare(1, "any", _DATAGRAMS),), _EPERM), local), _NO_FAMILY)


def build(grants: Grants) -> bytes:
    """Return the filter program for this machine."""
    known = numbers()
    rules: dict[int, Rule | int] = {}
    for names, action in ((ALLOWED, ALLOW), (REFUSED, _EPERM), (NOTHING_TO_DO, _DONE)):
        rules.update((known[name], action) for name in names if name in known)
    rules.update((known[name], rule) for name, rule in _conditional(grants).items() if name in known)
    return compile_filter(MACHINE, rules, _ENOSYS)
