"""A virtual machine for a test: Debian's cloud kernel under QEMU, with cgroup version 2, running one shell script.

It boots in two or three seconds from an initramfs that the test makes. There is /data (ext4 on a disk), /out (whose files
come back), and busybox for everything else.
"""

import glob
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
import unittest

from file_tree import FileTree

QEMU = "qemu-system-x86_64"  # package qemu-system-x86
# In the order in which they must be loaded. The kernel is of package linux-image-cloud-amd64.
MODULES = ("virtio_ring", "virtio", "virtio_pci_legacy_dev", "virtio_pci_modern_dev", "virtio_pci", "virtio_blk")
APPLETS = ("sh", "mount", "insmod", "mkdir", "cat", "tar", "poweroff", "dmesg", "sleep", "echo", "ls", "dd", "grep", "cp", "rm",
           "head", "kill", "chmod", "ifconfig", "seq", "timeout", "swapon", "mkswap", "date", "sync", "test", "mv", "true")
RESULT_BYTES = 64 << 20

INIT = """#!/bin/sh
export PATH=/bin:/usr/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
for module in {modules}; do insmod /modules/$module.ko; done
mkdir -p /out /data /dev/shm
mount -t ext4 /dev/vda /data
mount -t tmpfs out /out
mount -t tmpfs shm /dev/shm
mount -t cgroup2 cgroup /sys/fs/cgroup
echo "+memory +pids" > /sys/fs/cgroup/cgroup.subtree_control
sh /script > /out/script.out 2> /out/script.err
echo $? > /out/script.status
dmesg > /out/dmesg
tar -cf /dev/vdb -C /out .
sync
poweroff -f
"""


class NoVirtualMachine(unittest.SkipTest):
    """None can be run here; the text says why."""


def _kernel():
    """(path of the newest cloud kernel, folder of its modules)."""
    def version(path):
        return [int(number) for number in re.findall(r"\d+", path)]
    for path in sorted(glob.glob("/boot/vmlinuz-*-cloud-amd64"), key=version, reverse=True):
        modules = "/lib/modules/" + os.path.basename(path)[len("vmlinuz-"):]
        if os.access(path, os.R_OK) and os.path.isdir(modules):
            return path, modules
    raise NoVirtualMachine("there is no cloud kernel: package linux-image-cloud-amd64")


def _add_modules(tree, folder):
    found = {}
    for path in glob.glob(folder + "/kernel/drivers/**/virtio*.ko", recursive=True):
        found[os.path.basename(path)[:-3]] = path
    for name in MODULES:
        if name in found:  # else it is built in
            tree.add(f"modules/{name}.ko", found[name])


class VirtualMachine:
    """`results = VirtualMachine(tree, script).run(folder)`: boots, runs the script, and unpacks /out into `folder`."""

    def __init__(self, tree, script, memory="512M", arguments=()):
        """`tree` is a FileTree with what the script needs; `memory` the machine's, in QEMU's words. Raises NoVirtualMachine."""
        if not shutil.which(QEMU):
            raise NoVirtualMachine("there is no QEMU: package qemu-system-x86")
        self._kernel, modules = _kernel()
        self._memory = memory
        self._arguments = list(arguments)
        self._tree = tree.add_busybox(*APPLETS).add_text("script", script)
        self._tree.add_text("init", INIT.format(modules=" ".join(MODULES)), 0o755)
        _add_modules(self._tree, modules)

    def run(self, folder, timeout=120):
        """The exit status of the script; raises AssertionError if the machine does not come to its end."""
        with tempfile.TemporaryDirectory(prefix="memtrace-vm-") as work:
            return self._run(work, folder, timeout)

    def _run(self, work, folder, timeout):
        image, data, result = (os.path.join(work, name) for name in ("initramfs", "data", "result"))
        with open(image, "wb") as file:
            self._tree.write_cpio(file)
        for path, size in ((data, 256 << 20), (result, RESULT_BYTES)):
            with open(path, "wb") as file:
                file.truncate(size)
        subprocess.run(["mkfs.ext4", "-q", data], check=True, env=dict(os.environ, PATH="/sbin:/usr/sbin:/usr/bin:/bin"))
        command = [QEMU, "-accel", "tcg", "-cpu", "max", "-m", self._memory, "-nodefaults", "-no-reboot",
                   "-display", "none", "-serial", "stdio", "-kernel", self._kernel, "-initrd", image,
                   # On a busy machine an emulated timer is late, which the kernel would take for a broken one.
                   "-append", "console=ttyS0 quiet panic=-1 oops=panic psi=1 log_buf_len=8M no_timer_check",
                   "-drive", f"file={data},if=virtio,format=raw,cache=unsafe",
                   "-drive", f"file={result},if=virtio,format=raw,cache=unsafe", *self._arguments]
        try:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  timeout=timeout, check=False)
        except subprocess.TimeoutExpired as late:
            raise AssertionError(f"the machine still ran after {timeout} s: {(late.stdout or b'')[-4000:]!r}") from None
        try:
            with tarfile.open(result) as tar:
                tar.extractall(folder)
            with open(os.path.join(folder, "script.status")) as file:
                return int(file.read())
        except (tarfile.TarError, OSError, ValueError) as error:
            raise AssertionError(f"no result ({error}); the console said: {done.stdout[-4000:]!r}") from None
