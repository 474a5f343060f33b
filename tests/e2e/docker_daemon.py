"""A Docker daemon of a test's own: private socket and data, no network, images made from this machine's files."""

import glob
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

DAEMON = "dockerd"  # package docker.io
START_S = 60


class NoDocker(unittest.SkipTest):
    """A daemon cannot be run here; the text says why."""


def _control_groups():
    """The hierarchies in which containers would be made."""
    with open("/proc/self/mountinfo") as lines:
        return [line.split()[4] for line in lines if " - cgroup" in line]


class DockerDaemon:
    """`with DockerDaemon() as docker: docker.run(...)`. Raises NoDocker. At the end all its containers are gone."""

    def __init__(self):
        if os.getuid() != 0:
            raise NoDocker("only root can run a Docker daemon of its own")
        if not shutil.which(DAEMON, path=os.environ.get("PATH", "") + ":/usr/sbin"):
            raise NoDocker("there is no dockerd: package docker.io")
        if not any(os.access(place, os.W_OK) for place in _control_groups()):
            raise NoDocker("there is no cgroup hierarchy in which containers could be made")
        # Short: a socket's path has room for 108 bytes.
        self.root = tempfile.mkdtemp(prefix="mt-docker-", dir="/tmp")
        self.socket = os.path.join(self.root, "docker.sock")
        self.log = os.path.join(self.root, "log")
        self._process = None
        try:
            self._start()
        except NoDocker:
            self.close()
            raise

    def _start(self):
        # The default cgroup, /docker, is where other daemons keep theirs.
        command = [DAEMON, "--host=unix://" + self.socket, "--data-root=" + self.root + "/data",
                   "--exec-root=" + self.root + "/exec", "--pidfile=" + self.root + "/pid", "--iptables=false",
                   "--ip6tables=false", "--bridge=none", "--storage-driver=vfs",
                   "--cgroup-parent=/" + os.path.basename(self.root)]
        env = dict(os.environ, PATH=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
        with open(self.log, "wb") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env)
        end = time.monotonic() + START_S
        while self.call("version", check=False).returncode != 0:
            if self._process.poll() is not None or time.monotonic() > end:
                with open(self.log) as log:
                    raise NoDocker("dockerd does not start: " + log.read()[-2000:])
            time.sleep(0.05)

    # --- Commands ---

    @property
    def host(self):
        """For DOCKER_HOST."""
        return "unix://" + self.socket

    def environment(self):
        """This process's environment, with `docker` talking to this daemon."""
        return dict(os.environ, DOCKER_HOST=self.host)

    def call(self, *arguments, check=True, timeout=180, **run):
        """docker ARGUMENTS...: its completed process with .stdout as text."""
        run.setdefault("capture_output", True)
        done = subprocess.run(["docker", *map(str, arguments)], env=self.environment(), text=True, timeout=timeout,
                              check=False, **run)
        if check and done.returncode != 0:
            raise AssertionError(f"docker {' '.join(map(str, arguments))}: {done.stderr}")
        return done

    def need_memory_limits(self):
        """Raises NoDocker where a limit would be discarded: what should be killed by it would fill this machine."""
        if self.call("info", "--format={{.MemoryLimit}}").stdout.strip() != "true":
            raise NoDocker("containers have no memory limit here: there is no memory controller")

    def make_image(self, name, tree):
        """An image that holds a FileTree."""
        path = os.path.join(self.root, "image.tar")
        with open(path, "wb") as file:
            tree.write_tar(file)
        self.call("import", path, name)
        os.unlink(path)

    def run(self, *arguments, check=False, timeout=180):
        """docker run without a network; whatever the container's exit status, unless `check`."""
        done = self.call("run", "--network=none", *arguments, check=check, timeout=timeout)
        if done.returncode == 125:  # docker's own failure
            raise AssertionError(done.stderr)
        return done

    def inspect(self, container):
        return json.loads(self.call("inspect", container).stdout)[0]

    def events(self):
        """All events so far, one JSON object per line, as text."""
        return self.call("events", "--since=0", f"--until={time.time():.3f}", "--format={{json .}}").stdout

    # --- The end ---

    def close(self):
        if self._process is not None and self._process.poll() is None:
            names = self.call("ps", "-aq", check=False).stdout.split()
            if names:
                self.call("rm", "-f", *names, check=False)
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        for hierarchy in _control_groups():
            try:
                os.rmdir(os.path.join(hierarchy, os.path.basename(self.root)))
            except OSError:
                pass  # not made in this hierarchy
        # What a build with the host's network leaves mounted.
        for name in glob.glob(self.root + "/exec/netns/*"):
            subprocess.run(["umount", name], capture_output=True, check=False)
        shutil.rmtree(self.root, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
