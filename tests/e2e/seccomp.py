"""Seccomp filters for processes that a test starts, for preexec_fn."""

import ctypes
import errno
import platform
import struct

NUMBERS = {"x86_64": {"clone": 56, "ptrace": 101}, "aarch64": {"clone": 220, "ptrace": 117}}
LOAD, EQUAL, ANY_BIT, RETURN = 0x20, 0x15, 0x45, 0x06  # linux/bpf_common.h
ALLOW, ERROR = 0x7fff0000, 0x00050000  # SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO
FIRST_ARGUMENT = 16  # its low half in struct seccomp_data, little-endian


def refuse(name, error, *condition):
    """A function that makes the kernel refuse a system call from now on. `condition`: (test, value, wanted) of its first argument."""
    number = NUMBERS[platform.machine()][name]
    refusal = ERROR | getattr(errno, error)
    if condition:
        test, value, wanted = condition
        skips = (0, 1) if wanted else (1, 0)
        code = [(LOAD, 0, 0, 0), (EQUAL, 0, 3, number), (LOAD, 0, 0, FIRST_ARGUMENT), (test, *skips, value)]
    else:
        code = [(LOAD, 0, 0, 0), (EQUAL, 0, 1, number)]
    code += [(RETURN, 0, 0, refusal), (RETURN, 0, 0, ALLOW)]

    def install():
        libc = ctypes.CDLL(None, use_errno=True)
        filters = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in code))
        program = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(code), ctypes.addressof(filters)))
        for arguments in ((38, 1, 0, 0, 0), (22, 2, program, 0, 0)):  # PR_SET_NO_NEW_PRIVS; PR_SET_SECCOMP, SECCOMP_MODE_FILTER
            if libc.prctl(*arguments) != 0:
                raise OSError(ctypes.get_errno(), "prctl")
    return install
