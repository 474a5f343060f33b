"""A memory cgroup for a test, version 1 or 2, with a limit that kills."""

import errno
import os
import tempfile
import time
import unittest


class NoCgroup(unittest.SkipTest):
    """A memory cgroup cannot be made here; the text says why."""


def _parents():
    """Candidates for the parent directory, as (directory, version): the own cgroup, then the root of the mount."""
    paths = {}
    with open("/proc/self/cgroup") as lines:
        for line in lines:
            _, controllers, path = line.rstrip("\n").split(":", 2)
            for controller in controllers.split(","):
                paths[controller] = path
    with open("/proc/self/mountinfo") as lines:
        for line in lines:
            fields = line.split()
            separator = fields.index("-")
            kind, options = fields[separator + 1], fields[separator + 3].split(",")
            if kind == "cgroup" and "memory" in options:
                version, path = 1, paths.get("memory", "/")
            elif kind == "cgroup2":
                version, path = 2, paths.get("", "/")
            else:
                continue
            for directory in (fields[4] + path.rstrip("/"), fields[4]):
                if os.path.isdir(directory):
                    yield directory, version


def need_any():
    """Raises NoCgroup where none can be seen, so that `memtrace monitor` has nothing to show."""
    if not any(_parents()):
        raise NoCgroup("no memory cgroup is mounted here")


def _write(path, text):
    with open(path, "w") as file:
        file.write(text)


class MemoryCgroup:
    """`with MemoryCgroup(100 << 20) as cgroup:`. Raises NoCgroup. Kills nothing: its processes must have ended."""

    def __init__(self, limit_bytes):
        self.directory = None
        reasons = []
        for parent, version in _parents():
            try:
                self._make(parent, version, limit_bytes)
                return
            except OSError as error:
                reasons.append(f"{parent}: {error.strerror}")
                self._remove()
        raise NoCgroup("no memory cgroup can be made here (" + ("; ".join(reasons) or "none is mounted") + ")")

    def _make(self, parent, version, limit_bytes):
        if version == 2:
            with open(os.path.join(parent, "cgroup.controllers")) as file:
                if "memory" not in file.read().split():
                    raise OSError(errno.ENOTSUP, "the memory controller is not here")
            _write(os.path.join(parent, "cgroup.subtree_control"), "+memory")
        self.directory = tempfile.mkdtemp(prefix="memtrace-test-", dir=parent)
        os.chmod(self.directory, 0o755)  # readable for whoever runs in it, as in a container
        self.limit_file = os.path.join(self.directory, "memory.limit_in_bytes" if version == 1 else "memory.max")
        self.usage_file = os.path.join(self.directory, "memory.usage_in_bytes" if version == 1 else "memory.current")
        _write(self.limit_file, str(limit_bytes))
        swap = os.path.join(self.directory, "memory.memsw.limit_in_bytes" if version == 1 else "memory.swap.max")
        if os.path.exists(swap):
            _write(swap, str(limit_bytes) if version == 1 else "0")

    def enter(self):
        """Moves the calling process in: for subprocess's preexec_fn."""
        _write(os.path.join(self.directory, "cgroup.procs"), str(os.getpid()))

    def _remove(self):
        # The kernel needs a moment to let go of a process that has just been reaped.
        for _ in range(200):
            if self.directory is None or not os.path.isdir(self.directory):
                return
            try:
                os.rmdir(self.directory)
                return
            except OSError:
                time.sleep(0.01)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._remove()
