"""The worlds in which worlds_test.py runs the same library: releases, libcs, allocators, limits.

A world says how a program is started in it, where the programs are, and how much is recorded there. Those that mount
something need root that may; the test process has a mount namespace of its own, so that nothing stays behind.
"""

import ctypes
import os
import platform
import shutil
import struct
import subprocess
import sysconfig
import tempfile
import unittest

import harness
import memory_cgroup

SOURCES = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "programs")
ROOT = os.path.dirname(os.path.dirname(SOURCES))
CHROOTS = os.environ.get("MEMTRACE_WORLDS", "/var/cache/memtrace-worlds")
NOBODY = 65534

NO_EXEC = "qemu-user does not follow exec"

# How much a world's recordings hold.
EXACT, ESTIMATE, NOTHING = "exact", "estimate", "nothing"

MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE, MNT_DETACH = 1, 32, 4096, 16384, 1 << 18, 2
CLONE_NEWNS = 0x20000
LIBC = ctypes.CDLL(None, use_errno=True)


def call(name, *arguments):
    """A function of libc that tells by -1 that it failed."""
    if getattr(LIBC, name)(*arguments) == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def mount(source, target, kind=None, flags=0, options=None):
    call("mount", *(text.encode() if text else None for text in (source, target, kind)), ctypes.c_ulong(flags),
         options.encode() if options else None)


def own_mounts():
    """What is mounted from here on is seen by the calling process and its children only."""
    call("unshare", CLONE_NEWNS)
    mount("none", "/", flags=MS_REC | MS_PRIVATE)


class World:
    """This machine as it is."""

    records = EXACT
    needs_root = False
    needs_mounts = False
    smallest_stack = 16384  # PTHREAD_STACK_MIN
    env = {}
    # Behaviour (as in worlds_test.py): why it cannot be had here, or (how much is recorded, why).
    cannot = {}
    weaker = {}

    def __init__(self, name, title, **options):
        self.name, self.title = name, title
        self.__dict__.update(options)

    def prepare(self):
        """Once per run. Raises unittest.SkipTest."""

    def finish(self):
        pass

    def enter(self, case):
        """In the child, before exec."""

    def set_up(self, case):
        """Before each test."""

    def library(self):
        return harness.LIBRARY

    def command(self, command):
        return command

    def environment(self, env):
        return env

    def program(self, name):
        return harness.program(name)


class Musl(World):
    cannot = {name: "Debian has no C++ library for musl" for name in
              ("operator_new", "late_allocation", "odd_stacks", "thread_locals_of_libraries")} | {
                  "real_programs": "the machine's own programs are of glibc",
                  "early_allocation": "musl runs no functions before the constructors"}


    def program(self, name):
        stem, ending = os.path.splitext(name)
        path = harness.program(stem + ".musl" + ending)
        if not os.path.exists(path):
            raise unittest.SkipTest("there is no musl-gcc: package musl-tools")
        return path


class Preloaded(World):
    """Another allocator, preloaded before or after the library."""

    # With us or without.
    cannot = {"deep_binding": "the program mixes two allocators and crashes, with us or without"}
    folders = [os.path.join("/usr/lib", sysconfig.get_config_var("MULTIARCH") or ""), "/usr/lib64", "/usr/lib"]

    def prepare(self):
        self.cannot = self.cannot | {
            "libtcmalloc_minimal.so.4": {"own_loader_functions": "tcmalloc calls the program's getenv, which ends it"},
            "libmimalloc.so.2": {"odd_stacks": "mimalloc ends a program that asks for too much"},
        }.get(self.file, {})
        self.allocator = harness.first_existing(*(os.path.join(folder, self.file) for folder in self.folders))
        if self.allocator is None:
            raise unittest.SkipTest(f"{self.file} is not installed")
        both = [self.allocator, harness.LIBRARY] if self.records == NOTHING else [harness.LIBRARY, self.allocator]
        self.env = {"LD_PRELOAD": ":".join(both)}


class Linked(World):
    """Programs that are linked to another allocator."""

    built = ("malloc_family", "operator_new", "handoff", "usable_size")

    def set_up(self, case):
        if case.behaviour not in self.built:
            case.skipTest("as with the allocator preloaded")

    def program(self, name):
        path = harness.program(f"{name}_{self.allocator}")
        if not os.path.exists(path):
            raise unittest.SkipTest(f"{self.allocator} was not there when the programs were built")
        return path


class Chroot(World):
    """The root directory of another release, made by scripts/worlds; the programs are compiled there."""

    needs_root = needs_mounts = True

    def prepare(self):
        self.root = os.path.join(CHROOTS, self.name)
        if not os.path.isdir(self.root):
            done = subprocess.run([os.path.join(ROOT, "scripts/worlds"), self.name], capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise unittest.SkipTest(f"scripts/worlds {self.name}: {done.stderr.strip().splitlines()[-1]}")
        build = os.path.dirname(os.path.dirname(os.path.abspath(harness.PROGRAMS)))
        for path in dict.fromkeys((tempfile.gettempdir(), ROOT, build, "/dev", "/proc", "/sys")):
            os.makedirs(self.root + path, exist_ok=True)
            mount(path, self.root + path, flags=MS_BIND | MS_REC)
        self.programs = os.path.join(build, "tests", "worlds", self.name)
        os.makedirs(os.path.join(self.programs, "origin"), exist_ok=True)
        self.compile_all()

    def compile_all(self):
        options = "-O1 -g -fno-builtin -w -D_GNU_SOURCE -pthread".split() + ["-I", ROOT]
        shared = ["-shared", "-fPIC"]
        jobs = {name: [source] for name, source in
                ((os.path.splitext(source)[0], source) for source in sorted(os.listdir(SOURCES)))
                if source.endswith((".c", ".cc")) and name not in
                ("bump_malloc", "plugin", "maker", "maker_user", "thread_local_plugin", "mallocx_family")}
        jobs |= {f"libplugin_{letter}.so": ["plugin.c", *shared, f"-DPLUGIN_FUNCTION=KeepOf{letter}", "-DPLUGIN_BYTES=1000"]
                 for letter in "AB"}
        jobs |= {"libthread_local_plugin.so": ["thread_local_plugin.cc", *shared], "origin/libmaker.so": ["maker.c", *shared],
                 "libmaker_user.so": ["maker_user.c", *shared, "-L", self.programs + "/origin", "-lmaker", "-Wl,-rpath,$ORIGIN/origin",
                                      "-Wl,--no-as-needed"]}
        jobs = sorted(jobs.items(), key=lambda job: job[0] == "libmaker_user.so")
        for output, (source, *rest) in jobs:
            target, path = os.path.join(self.programs, output), os.path.join(SOURCES, source)
            if os.path.exists(target) and os.path.getmtime(target) > os.path.getmtime(path):
                continue
            compiler = ["g++", "-std=c++17"] if source.endswith(".cc") else ["gcc", "-std=gnu11"]
            subprocess.run(["chroot", self.root, *compiler, *options, "-o", target, path, *rest, "-ldl"], check=True)

    def enter(self, case):
        os.chroot(self.root)

    def program(self, name):
        return os.path.join(self.programs, name)


class Nobody(World):
    needs_root = True

    def enter(self, case):
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)

    def set_up(self, case):
        os.chmod(case.work, 0o777)
        os.mkdir(case.recordings)
        os.chmod(case.recordings, 0o1777)


class WithoutProc(World):
    needs_root = needs_mounts = True

    def enter(self, case):
        own_mounts()
        call("umount2", b"/proc", MNT_DETACH)


class ReadOnlyRoot(World):
    """Nothing can be written but a volume at MEMTRACE_DIR and the program's own directory."""

    needs_root = needs_mounts = True

    def enter(self, case):
        own_mounts()
        mount(case.root, case.root, flags=MS_BIND)
        mount("none", "/", flags=MS_REMOUNT | MS_BIND | MS_RDONLY)
        os.chdir(case.work)


class Seccomp(World):
    """A filter that kills the process at system calls that a profiler could be tempted to make."""

    numbers = {"x86_64": (101, 298, 310, 311, 319, 321, 323), "aarch64": (117, 241, 270, 271, 279, 280, 282)}

    def enter(self, case):
        code = [(0x20, 0, 0, 0)]  # load the system call's number
        for number in self.numbers[platform.machine()]:
            code += [(0x15, 0, 1, number), (0x06, 0, 0, 0x80000000)]  # equal: SECCOMP_RET_KILL_PROCESS
        code.append((0x06, 0, 0, 0x7fff0000))  # SECCOMP_RET_ALLOW
        filters = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in code))
        program = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(code), ctypes.addressof(filters)))
        call("prctl", 38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
        call("prctl", 22, 2, program, 0, 0)  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER


class AddressSpace(World):
    def enter(self, case):
        harness.limit("AS", 512 << 20)


class SmallCgroup(World):
    def prepare(self):
        self.cgroup = memory_cgroup.MemoryCgroup(32 << 20)

    def enter(self, case):
        self.cgroup.enter()

    def finish(self):
        self.cgroup.__exit__()


class SmallDirectory(World):
    """MEMTRACE_DIR is a file system of `size`, filled if `full`."""

    needs_root = needs_mounts = True
    full = False

    def set_up(self, case):
        os.mkdir(case.recordings)
        mount("tmpfs", case.recordings, "tmpfs", options=f"size={self.size},mode=1777")
        case.addCleanup(call, "umount2", case.recordings.encode(), MNT_DETACH)
        if self.full:
            try:
                with open(os.path.join(case.recordings, "filler"), "wb", buffering=0) as file:
                    while file.write(bytes(4096)):
                        pass
            except OSError:
                pass


class Emulated(World):
    """Programs and library for arm64, run by qemu-user."""

    smallest_stack = 131072
    page_bytes = 4096
    cannot = {"spawn": NO_EXEC, "exec_over_itself": NO_EXEC, "static_helper": NO_EXEC,
              "real_programs": "no programs but ours are at hand"}

    def prepare(self):
        self.root = os.path.join(CHROOTS, "arm64")
        self.build = os.path.join(ROOT, "build", "arm64")
        self.emulator = shutil.which("qemu-aarch64") or shutil.which("qemu-aarch64-static")
        if not self.emulator or not os.path.exists(self.library()):
            raise unittest.SkipTest("needs qemu-user and a build by the preset arm64 (scripts/worlds arm64; cmake --preset arm64)")

    def library(self):
        return os.path.join(self.build, "libmemtrace", "libmemtrace.so")

    def command(self, command):
        return [self.emulator, "-p", str(self.page_bytes), "-L", self.root, *command]

    def environment(self, env):
        """The emulator itself must not load what its program is to load."""
        env = dict(env)
        preload = env.pop("LD_PRELOAD", None)
        if preload:
            env["QEMU_SET_ENV"] = f"LD_PRELOAD={preload}"
        return env

    def program(self, name):
        return os.path.join(self.build, "tests", "programs", name)


NO_ROOM = "there is no room for a recording, which is said once on standard error"
NOT_FIRST = "the other allocator's functions come first; the report says so"
PROC = "the program itself needs /proc"

DEFAULT = [
    World("machine", "this machine"),
    Musl("musl", "musl 1.2"),
    Linked("jemalloc-linked", "jemalloc linked", allocator="jemalloc", foreign=True),
    Linked("tcmalloc-linked", "tcmalloc linked", allocator="tcmalloc_minimal", foreign=True),
    Linked("mimalloc-linked", "mimalloc linked", allocator="mimalloc", foreign=True),
    *(Preloaded(f"{name}-{place}", f"{name} preloaded {place}", file=file, foreign=True, records=records)
      for name, file in (("jemalloc", "libjemalloc.so.2"), ("tcmalloc", "libtcmalloc_minimal.so.4"), ("mimalloc", "libmimalloc.so.2"))
      for place, records in (("after", EXACT), ("before", NOTHING))),
    Nobody("nobody", "not root"),
    WithoutProc("no-proc", "no /proc", cannot={"exec_over_itself": PROC, "snapshot_from_outside": "finds the recording by /proc"}),
    ReadOnlyRoot("read-only", "read-only root"),
    Seccomp("seccomp", "seccomp filter"),
    AddressSpace("address-space", "RLIMIT_AS 512 MiB"),
    SmallCgroup("cgroup", "32 MiB cgroup"),
    SmallDirectory("small-dir", "directory of 1 MiB", size="1m", records=ESTIMATE),
    SmallDirectory("tiny-dir", "directory of 4 KiB", size="4k", records=NOTHING, why=NO_ROOM),
    SmallDirectory("full-dir", "full directory", size="1m", full=True, records=NOTHING, why=NO_ROOM),
]
RELEASES = [
    Chroot("bullseye", "Debian 11, glibc 2.31"), Chroot("bookworm", "Debian 12, glibc 2.36"),
    Chroot("trixie", "Debian 13, glibc 2.41"), Chroot("sid", "Debian sid"),
]
EMULATED = [
    Emulated("arm64", "arm64 (qemu-user)"), Emulated("arm64-16k", "arm64, pages of 16 KiB", page_bytes=16384),
    Emulated("arm64-64k", "arm64, pages of 64 KiB", page_bytes=65536),
]
