"""The system call filter, run by a BPF interpreter of the test's own: every call, every case."""

from __future__ import annotations

import errno
import struct
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polycall.sandbox import options
from polycall.sandbox.bpf import ALLOW, AUDIT_ARCH, KILL, Case, Compare, Rule, compile_filter, errno_action
from polycall.sandbox.policy import ALLOWED, NOTHING_TO_DO, REFUSED, Grants, build
from polycall.sandbox.syscalls import MACHINE, numbers

FULL = Grants(fork=True, execute=True, sockets=True, memfd=True, buffers=True, metadata=True)
EPERM, ENOSYS, NO_FAMILY = (errno_action(number) for number in (errno.EPERM, errno.ENOSYS, errno.EAFNOSUPPORT))
DONE, EINVAL, NOT_A_REQUEST, NO_OPTION, NO_MEMORY = (
    errno_action(number) for number in (0, errno.EINVAL, errno.ENOTTY, errno.ENOPROTOOPT, errno.ENOMEM)
)


def decide(program: bytes, number: int, *arguments: int, arch: int = AUDIT_ARCH[MACHINE]) -> int:
    """Run a classic BPF program over a struct seccomp_data (Documentation/networking/filter.rst)."""
    data = struct.pack("<IIQ6Q", number, arch, 0, *(list(arguments) + [0] * 6)[:6])
    instructions = list(struct.iter_unpack("<HBBI", program))
    assert len(instructions) <= 4096
    accumulator, position = 0, 0
    while True:
        code, true, false, value = instructions[position]
        position += 1
        if code == 0x20:
            accumulator = int(struct.unpack_from("<I", data, value)[0])
        elif code == 0x06:
            return int(value)
        elif code == 0x05:
            position += value
        else:
            jumps = {0x15: accumulator == value, 0x35: accumulator >= value, 0x45: bool(accumulator & value)}[code]
            position += true if jumps else false


def test_the_lists_do_not_overlap_and_every_name_is_known_somewhere() -> None:
    assert not ALLOWED & REFUSED
    assert not NOTHING_TO_DO & (ALLOWED | REFUSED)
    if MACHINE == "x86_64":
        assert NOTHING_TO_DO - set(numbers()) == set()
        assert ALLOWED - set(numbers()) == set()
        assert REFUSED - set(numbers()) == set()


def test_every_call_gets_what_its_list_says() -> None:
    program = build(FULL)
    argued = {"clone", "clone3", "fcntl", "socket", "socketpair", "ioctl", "personality", "prctl", "setsockopt"}
    for name, number in numbers().items():
        if name in argued:
            continue
        expected = ALLOW if name in ALLOWED else EPERM if name in REFUSED else ENOSYS
        expected = DONE if name in NOTHING_TO_DO else expected
        assert (name, decide(program, number)) == (name, expected)


def test_numbers_that_nobody_knows_do_not_exist() -> None:
    program = build(FULL)
    known = set(numbers().values())
    for number in (*range(600), 4095, 0x3FFFFFFF, 0xFFFFFFFF):
        if number not in known:
            assert decide(program, number) == ENOSYS


def test_foreign_tables_are_closed() -> None:
    program = build(FULL)
    assert decide(program, numbers()["read"], arch=0x40000003) == KILL  # i386
    assert decide(program, numbers()["read"], arch=0x40000028) == KILL  # arm
    if MACHINE == "x86_64":
        assert decide(program, 0x40000000 | numbers()["read"]) == ENOSYS


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("clone", (0x00010000 | 0x100,), ALLOW),
        ("clone", (17,), ALLOW),
        ("clone", (0x10000000,), EPERM),
        ("clone", (0x80 | 17,), EPERM),
        ("clone3", (), ENOSYS),
        ("socket", (1,), ALLOW),
        ("socket", (2,), NO_FAMILY),
        ("socket", (40,), NO_FAMILY),
        ("socketpair", (1,), ALLOW),
        ("socketpair", (1, 2), ALLOW),
        ("socketpair", (2,), NO_FAMILY),
        ("ioctl", (0, 0x5412), EPERM),
        ("ioctl", (0, 0x541C), EPERM),
        ("ioctl", (0, 0x541B), ALLOW),
        ("personality", (0xFFFFFFFF,), ALLOW),
        ("personality", (0x0008,), EPERM),
        ("prctl", (22, 2), EPERM),
        ("prctl", (62, 1), EPERM),  # PR_SCHED_CORE
        ("prctl", (15,), ALLOW),
        ("fcntl", (5, 1026), EPERM),  # F_NOTIFY
        ("fcntl", (5, 1024), EPERM),  # F_SETLEASE
        ("fcntl", (5, 1040), EINVAL),  # F_SETDELEG
        ("fcntl", (5, 15), ALLOW),  # F_SETOWN_EX
        ("fcntl", (5, 3), ALLOW),
        ("prctl", (1,), ALLOW),
        ("prctl", (78, 1), EINVAL),  # PR_FUTEX_HASH
        ("prctl", (24, 1), EINVAL),  # PR_CAPBSET_DROP
        ("ioctl", (0, 0x8933), ALLOW),  # SIOCGIFINDEX
        ("ioctl", (0, 0x8940), NOT_A_REQUEST),  # SIOCGIFBR
        ("ioctl", (0, 0x8914), NOT_A_REQUEST),  # SIOCSIFFLAGS
        ("setsockopt", (0, 1, 7), ALLOW),  # SO_SNDBUF
        ("setsockopt", (0, 1, 2), ALLOW),  # SO_REUSEADDR
        ("setsockopt", (0, 1, 26), NO_OPTION),  # SO_ATTACH_FILTER
        ("setsockopt", (0, 6, 1), ALLOW),  # TCP_NODELAY
        ("setsockopt", (0, 6, 31), NO_OPTION),  # TCP_ULP
        ("getsockopt", (0, 1, 4), ALLOW),  # SO_ERROR
        ("getsockopt", (0, 1, 77), NO_OPTION),  # SO_PEERPIDFD
        ("getsockopt", (0, 6, 77), ALLOW),
        ("mmap", (0, 4096, 3, 0x22), ALLOW),
        ("mmap", (0, 1 << 21, 3, 0x40022), NO_MEMORY),  # MAP_HUGETLB
        ("mmap", (0, 1 << 21, 3, 0x78040021), NO_MEMORY),  # and MAP_HUGE_1GB
        ("memfd_create", (0, 3), ALLOW),
        ("memfd_create", (0, 4), NO_MEMORY),  # MFD_HUGETLB
        ("fadvise64", (0, 0, 0, 4), DONE),  # POSIX_FADV_DONTNEED
        ("fadvise64", (0, 0, 0, 2), ALLOW),
    ],
)
def test_arguments_decide(name: str, arguments: tuple[int, ...], expected: int) -> None:
    assert decide(build(FULL), numbers()[name], *arguments) == expected


def test_without_a_cgroup_nothing_is_forked_but_threads() -> None:
    program = build(Grants(fork=False, execute=True, sockets=True, memfd=False, buffers=False, metadata=True))
    assert decide(program, numbers()["clone"], 0x003D0F00) == ALLOW  # pthread_create of glibc
    assert decide(program, numbers()["clone"], 17) == EPERM
    assert decide(program, numbers()["clone"], 0x00010000 | 0x20000000) == EPERM
    assert decide(program, numbers()["memfd_create"]) == EPERM
    assert decide(program, numbers()["execve"]) == ALLOW
    for command, alone, among_others in ((6, DONE, ALLOW), (7, DONE, ALLOW), (37, EINVAL, ALLOW), (5, ALLOW, ALLOW)):
        assert decide(program, numbers()["fcntl"], 3, command) == alone  # F_SETLK, F_SETLKW, F_OFD_SETLK, F_GETLK
        assert decide(build(FULL), numbers()["fcntl"], 3, command) == among_others
    if "fork" in numbers():
        assert decide(program, numbers()["fork"]) == decide(program, numbers()["vfork"]) == EPERM


def test_without_namespaces_only_the_process_itself_is_reached() -> None:
    program = build(
        Grants(fork=False, execute=False, sockets=False, memfd=False, buffers=False, metadata=False, only_pid=77)
    )
    for name in ("kill", "tgkill", "rt_sigqueueinfo"):
        assert decide(program, numbers()[name], 77) == ALLOW
        for other in (0, 1, 78, 0xFFFFFFFF):
            assert decide(program, numbers()[name], other) == EPERM
    assert decide(program, numbers()["prlimit64"], 0) == ALLOW
    assert decide(program, numbers()["prlimit64"], 78) == EPERM
    for name in ("execve", "fchmod", "fchmodat", "utimensat", "setxattr"):
        assert decide(program, numbers()[name]) == EPERM
    assert decide(program, numbers()["socket"], 1) == NO_FAMILY
    for command, argument, expected in (
        (8, 77, ALLOW),
        (8, 78, EPERM),
        (8, -78 & 0xFFFFFFFF, EPERM),
        (15, 0, EPERM),
        (1024, 0, EPERM),
    ):
        assert decide(program, numbers()["fcntl"], 3, command, argument) == expected  # F_SETOWN, F_SETOWN_EX
    for request in (0x5412, 0x541C):
        assert decide(program, numbers()["ioctl"], 3, request) == EPERM
    for request in (0x8901, 0x8902, *options.INTERFACES):  # FIOSETOWN, SIOCSPGRP; the host's addresses
        assert decide(program, numbers()["ioctl"], 3, request) == NOT_A_REQUEST
    for option in (7, 8):
        assert decide(program, numbers()["setsockopt"], 3, 1, option) == EPERM
    for kind, expected in ((1, ALLOW), (5 | 0x80000, ALLOW), (2, EPERM), (3 | 0x800, EPERM)):
        assert decide(program, numbers()["socketpair"], 1, kind) == expected
    assert decide(program, numbers()["prctl"], 1) == EPERM  # PR_SET_PDEATHSIG


def test_what_makes_children_may_bring_their_loopback_up() -> None:
    program = build(replace(FULL, children=True))
    assert decide(program, numbers()["ioctl"], 3, 0x8914) == ALLOW
    assert decide(program, numbers()["ioctl"], 3, 0x8940) == NOT_A_REQUEST


actions = st.sampled_from([ALLOW, EPERM, ENOSYS])
compares = st.builds(Compare, st.integers(0, 5), st.sampled_from(["eq", "ne", "any"]), st.integers(0, 3))
rules = st.builds(
    Rule,
    st.lists(st.builds(Case, st.lists(compares, min_size=1, max_size=2).map(tuple), actions), max_size=3).map(tuple),
    actions,
)


def meaning(rule: Rule | int, arguments: list[int]) -> int:
    if isinstance(rule, int):
        return rule
    for case in rule.cases:
        if all(holds(test, arguments[test.argument]) for test in case.tests):
            return case.action
    return rule.otherwise


def holds(test: Compare, argument: int) -> bool:
    if test.operator == "any":
        return bool(argument & test.value)
    return (argument == test.value) == (test.operator == "eq")


@given(
    st.dictionaries(st.integers(0, 40), actions | rules, max_size=20),
    st.integers(0, 45),
    st.lists(st.integers(0, 3), min_size=6, max_size=6),
)
def test_a_compiled_filter_means_what_its_rules_mean(
    table: dict[int, Rule | int], number: int, arguments: list[int]
) -> None:
    program = compile_filter(MACHINE, table, ENOSYS)
    assert decide(program, number, *arguments) == meaning(table.get(number, ENOSYS), arguments)
