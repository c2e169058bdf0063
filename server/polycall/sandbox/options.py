"""Which options of the calls that have hundreds of them a sandboxed process may use, as data. Standard library only.

ioctl, fcntl, prctl and setsockopt are system calls within system calls: new kernels bring new ones there too, and old
ones reach far. By a list, for the same reason as the calls themselves. What is not named fails as where the kernel does
not know it, so libraries fall back. Left out were, among others,

- PR_FUTEX_HASH: half a gigabyte of the kernel's memory at a word, which counts against no limit of a process;
- SIOCGIFBR, SIOCGIFVLAN and the like: on any socket they load modules of the kernel that nobody looks at;
- what tells the disks of the host by the system's files on them (FS_IOC_GETFSUUID, FIEMAP);
- leases and delegations: who opens the file waits for the holder, and without a range of ids the system's files may
  have the run's own owner;
- filters on sockets (SO_ATTACH_BPF and its like): programs for the kernel's compiler, in its memory;
- keys and protocols on top of TCP (TCP_ULP, TCP_AO_ADD_KEY), which load modules by name.
"""

from __future__ import annotations

__all__ = [
    "FCNTL",
    "INTERFACES",
    "IOCTL",
    "LOCKS",
    "OWNERS",
    "POSIX_LOCKS",
    "PRCTL",
    "SET_BUFFERS",
    "SET_LINK_FLAGS",
    "SET_OPTIONS",
    "SO_PEERGROUPS",
    "SO_PEERPIDFD",
]

# <asm-generic/fcntl.h>, <linux/fcntl.h>; the most frequent first. F_GETFL, F_SETFL, F_GETFD, F_SETFD, F_DUPFD_CLOEXEC,
# F_DUPFD; F_GETLK, F_OFD_GETLK; owners and signals; pipe sizes, seals, queries
_FREQUENT = (3, 4, 1, 2, 1030, 0)
FCNTL: tuple[int, ...] = (*_FREQUENT, 5, 36, 9, 10, 11, 16, 1025, 1027, 1028, 1031, 1032, 1033, 1034)
# F_SETLK, F_SETLKW; and with those of open file descriptions
POSIX_LOCKS: tuple[int, ...] = (6, 7)
LOCKS: tuple[int, ...] = (*POSIX_LOCKS, 37, 38)
# F_SETOWN, F_SETOWN_EX: who is sent a signal when there is something to read
OWNERS: tuple[int, ...] = (8, 15)

# <asm-generic/ioctls.h>: FIONBIO, FIONREAD, FIOCLEX, FIONCLEX, FIOASYNC, FIOQSIZE, SIOCOUTQ; SIOCATMARK. Terminals
# there are none: what asks for one gets the answer of everything that is none.
IOCTL: tuple[int, ...] = (0x5421, 0x541B, 0x5451, 0x5450, 0x5452, 0x5460, 0x5411, 0x8905)
# <linux/sockios.h>: SIOCGIF NAME, CONF, FLAGS, ADDR, BRDADDR, NETMASK, MTU, HWADDR, INDEX of one's own network
INTERFACES: tuple[int, ...] = (0x8910, 0x8912, 0x8913, 0x8915, 0x8919, 0x891B, 0x8921, 0x8927, 0x8933)
SET_LINK_FLAGS = 0x8914  # SIOCSIFFLAGS

# <linux/prctl.h>: GET_PDEATHSIG, GET/SET_DUMPABLE, SET/GET_NAME, GET_SECCOMP, CAPBSET_READ, GET_SECUREBITS,
# SET/GET_TIMERSLACK, SET/GET_CHILD_SUBREAPER, SET/GET_NO_NEW_PRIVS, GET_TID_ADDRESS, SET/GET_THP_DISABLE, GET_AUXV
PRCTL: tuple[int, ...] = (15, 16, 2, 3, 4, 21, 23, 27, 29, 30, 36, 37, 38, 39, 40, 41, 42, 0x4155_5856)

_SOL_IP, _SOL_SOCKET, _SOL_TCP, _SOL_IPV6 = 0, 1, 6, 41
# <asm-generic/socket.h>, <linux/tcp.h>, <linux/in.h>, <linux/in6.h>
SET_OPTIONS = tuple(
    (level, name)
    for level, names in (
        # REUSEADDR, DONTROUTE, BROADCAST, KEEPALIVE, OOBINLINE, PRIORITY, LINGER, REUSEPORT, PASSCRED, RCVLOWAT,
        # RCVTIMEO, SNDTIMEO (of 32 and of 64 bits), TIMESTAMP, TIMESTAMPNS
        (_SOL_SOCKET, (2, 5, 6, 9, 10, 12, 13, 15, 16, 18, 20, 21, 66, 67, 29, 35)),
        # NODELAY, MAXSEG, CORK, KEEPIDLE, KEEPINTVL, KEEPCNT, SYNCNT, LINGER2, DEFER_ACCEPT, WINDOW_CLAMP, QUICKACK,
        # USER_TIMEOUT, FASTOPEN, NOTSENT_LOWAT, FASTOPEN_CONNECT, INQ
        (_SOL_TCP, (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 18, 23, 25, 30, 36)),
        (_SOL_IP, (1, 2, 24)),  # TOS, TTL, BIND_ADDRESS_NO_PORT
        (_SOL_IPV6, (16, 26, 67)),  # UNICAST_HOPS, V6ONLY, TCLASS
    )
    for name in names
)
SET_BUFFERS = ((_SOL_SOCKET, 7), (_SOL_SOCKET, 8))  # SO_SNDBUF, SO_RCVBUF
# The descriptor of the process at the other end, which for the run's own connection is the server; its groups.
SO_PEERPIDFD, SO_PEERGROUPS = 77, 59
