"""A small root file system, put together from this machine's files: for a container image (tar) or a virtual machine (cpio)."""

import io
import os
import re
import stat
import subprocess
import tarfile

BUSYBOX = "/usr/bin/busybox"  # package busybox-static
FOLDERS = ("bin", "dev", "etc", "lib", "lib64", "proc", "root", "sys", "tmp", "usr", "usr/bin", "usr/lib", "var")


def shared_libraries(path):
    """The loader and the libraries that a dynamic program or library needs, as `ldd` finds them; none for a static one."""
    done = subprocess.run(["ldd", path], capture_output=True, text=True, check=False)
    return sorted(set(re.findall(r"(/\S+) \(0x", done.stdout)))


class FileTree:
    """What the image will hold, by path in the image. The helpers return self, so that calls can be chained."""

    def __init__(self):
        self._files = {}  # path: (bytes or path on this machine or ("link", target), mode)

    def add(self, where, path, mode=None):
        """The file `path` of this machine."""
        self._files[where.lstrip("/")] = (path, mode or stat.S_IMODE(os.stat(path).st_mode))
        return self

    def add_text(self, where, text, mode=0o644):
        self._files[where.lstrip("/")] = (text.encode(), mode)
        return self

    def add_program(self, where, path):
        """A program (or library) with all libraries that it needs, these at their own places."""
        self.add(where, path, 0o755)
        for library in shared_libraries(path):
            self.add(library, os.path.realpath(library), 0o755)
        return self

    def add_folder(self, where, path):
        """Everything below the folder `path` of this machine, links included."""
        for folder, _, names in os.walk(path):
            for name in names:
                source = os.path.join(folder, name)
                target = os.path.join(where, os.path.relpath(source, path)).lstrip("/")
                if os.path.islink(source):
                    self._files[target] = (("link", os.readlink(source)), 0o777)
                elif os.path.isfile(source):
                    self.add(target, source)
        return self

    def add_busybox(self, *applets):
        """The static busybox as /bin/busybox, and as each of `applets` in /bin."""
        self.add("bin/busybox", BUSYBOX, 0o755)
        for applet in applets:
            self._files["bin/" + applet] = (("link", "busybox"), 0o777)
        return self

    def _folders(self):
        needed = set(FOLDERS)
        for path in self._files:
            while path := os.path.dirname(path):
                needed.add(path)
        return sorted(needed)

    def _contents(self):
        """(path, content, mode with the kind of file), folders first."""
        for path in self._folders():
            yield path, b"", stat.S_IFDIR | (0o1777 if path == "tmp" else 0o755)
        for path, (source, mode) in sorted(self._files.items()):
            if isinstance(source, tuple):
                yield path, source[1].encode(), stat.S_IFLNK | mode
            elif isinstance(source, bytes):
                yield path, source, stat.S_IFREG | mode
            else:
                with open(source, "rb") as file:
                    yield path, file.read(), stat.S_IFREG | mode

    def write_tar(self, file):
        with tarfile.open(fileobj=file, mode="w") as tar:
            for path, content, mode in self._contents():
                entry = tarfile.TarInfo(path)
                entry.mode = stat.S_IMODE(mode)
                if stat.S_ISDIR(mode):
                    entry.type = tarfile.DIRTYPE
                elif stat.S_ISLNK(mode):
                    entry.type, entry.linkname, content = tarfile.SYMTYPE, content.decode(), b""
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))

    def write_cpio(self, file):
        """The "newc" format of Linux's Documentation/driver-api/early-userspace/buffer-format.rst."""
        def entry(number, name, content, mode):
            encoded = name.encode() + b"\0"
            fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(encoded), 0)
            head = b"070701" + b"".join(b"%08X" % field for field in fields) + encoded
            for part in (head, content):
                file.write(part + b"\0" * (-len(part) % 4))
        for number, (path, content, mode) in enumerate(self._contents(), start=1):
            entry(number, path, content, mode)
        entry(0, "TRAILER!!!", b"", 0)
