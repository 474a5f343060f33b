"""What `memtrace inject` prints, judged by those that will read it: the Kubernetes API's types, Pod Security, docker-compose."""

import copy
import json
import os
import shutil
import subprocess

import harness

SCHEMA = os.path.join(os.path.dirname(__file__), "kubernetes_schema.py")
SYSTEM_PYTHON = "/usr/bin/python3"  # which has Debian's packages
MISSING = 77

# A container as Pod Security "restricted" wants it.
CONTAINER = {
    "name": "app", "image": "shop:1", "resources": {"limits": {"memory": "64Mi"}},
    "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "runAsNonRoot": True,
                        "readOnlyRootFilesystem": True, "seccompProfile": {"type": "RuntimeDefault"}}}
POD = {"containers": [CONTAINER, {**CONTAINER, "name": "side", "env": [{"name": "LD_PRELOAD", "value": "/usr/lib/x.so"}]}]}
TEMPLATE = {"metadata": {"labels": {"app": "shop"}}, "spec": POD}
SELECTOR = {"matchLabels": {"app": "shop"}}
KINDS = {
    "Pod": ("v1", POD),
    "Deployment": ("apps/v1", {"selector": SELECTOR, "template": TEMPLATE}),
    "StatefulSet": ("apps/v1", {"selector": SELECTOR, "serviceName": "shop", "template": TEMPLATE}),
    "DaemonSet": ("apps/v1", {"selector": SELECTOR, "template": TEMPLATE}),
    "ReplicaSet": ("apps/v1", {"selector": SELECTOR, "template": TEMPLATE}),
    "Job": ("batch/v1", {"template": {"spec": {**POD, "restartPolicy": "Never"}}}),
    "CronJob": ("batch/v1", {"schedule": "0 3 * * *", "jobTemplate": {"spec": {"template": {"spec": {**POD, "restartPolicy": "Never"}}}}}),
}


def manifest(kind):
    version, spec = KINDS[kind]
    return copy.deepcopy({"apiVersion": version, "kind": kind, "metadata": {"name": "shop"}, "spec": spec})


def block_style(value, margin=""):
    """YAML in block style, of strings, numbers, booleans, lists and maps."""
    if isinstance(value, dict):
        return "".join(f"\n{margin}{key}:{block_style(item, margin + '  ')}" for key, item in value.items())
    if isinstance(value, list):
        return "".join(f"\n{margin}-{block_style(item, margin + '  ').replace(chr(10) + margin + '  ', ' ', 1)}" for item in value)
    return " " + json.dumps(value)


def pods(document):
    """The pod specifications in a document."""
    if isinstance(document, dict):
        if "containers" in document:
            yield document
        for value in document.values():
            yield from pods(value)


class Inject(harness.Case):
    def inject(self, *arguments, text=None):
        done = subprocess.run([harness.TOOL, "inject", *arguments], input=text, capture_output=True, text=True, check=False,
                              timeout=harness.TIMEOUT_S)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout


class Kubernetes(Inject):
    def patched(self, text, *options):
        return self.inject("kubernetes", "-", *options, text=text)

    def check_types(self, text):
        done = subprocess.run([SYSTEM_PYTHON, SCHEMA], input=text, capture_output=True, text=True, check=False, timeout=harness.TIMEOUT_S)
        if done.returncode == MISSING:
            self.skipTest("there is no python3-kubernetes: " + done.stdout.strip())
        self.assertEqual((done.returncode, done.stdout), (0, ""), done.stderr + text)

    def test_the_check_finds_what_is_wrong(self):
        wrong = json.dumps(manifest("Pod")).replace('"runAsNonRoot": true', '"runAsNonRoot": "true", "runasuser": 1')
        done = subprocess.run([SYSTEM_PYTHON, SCHEMA], input=wrong, capture_output=True, text=True, check=False, timeout=harness.TIMEOUT_S)
        if done.returncode == MISSING:
            self.skipTest("there is no python3-kubernetes: " + done.stdout.strip())
        self.assertEqual(done.returncode, 1)
        self.assertIn("is no bool", done.stdout)
        self.assertIn("V1SecurityContext has no runasuser", done.stdout)

    def test_every_kind_in_both_styles(self):
        texts = []
        for kind in KINDS:
            for style in (json.dumps, block_style):
                texts.append(self.patched(style(manifest(kind)).lstrip("\n") + "\n", "--termination-log", "/dev/termination-log"))
        self.check_types("---\n".join(texts))  # at once: the client takes a second to load

    def test_kubectl_reads_it_whole(self):
        """As the types of kubectl have it, which needs no server for that (`--dry-run=client` asks one for the schemas)."""
        kubectl = shutil.which("kubectl")
        if not kubectl:
            self.skipTest("there is no kubectl: package kubernetes-client")
        patched = [json.loads(self.patched(json.dumps(manifest(kind)), "--termination-log", "/dev/termination-log")) for kind in KINDS]
        done = subprocess.run([kubectl, "label", "--local", "-f", "-", "seen=yes", "-o", "json"],
                              input=json.dumps({"apiVersion": "v1", "kind": "List", "items": patched}), env={"PATH": os.environ["PATH"], "HOME": self.work},
                              capture_output=True, text=True, check=False, timeout=harness.TIMEOUT_S)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout.count('"initContainers"'), len(patched))
        read, rest = [], done.stdout.strip()
        while rest:  # a document each, or a list of them
            document, end = json.JSONDecoder().raw_decode(rest)
            read += document.get("items", [document])
            rest = rest[end:].lstrip()
        for ours, theirs in zip(patched, read):
            self.assertEqual(list(pods(theirs)), list(pods(ours)), ours["kind"])

    def test_the_manifests_of_this_repository(self):
        with open(os.path.join(os.path.dirname(__file__), "../../packaging/daemonset.yaml"), encoding="utf-8") as file:
            self.check_types(file.read())

    def test_nothing_else_changes(self):
        for kind in KINDS:
            original = manifest(kind)
            patched = json.loads(self.patched(json.dumps(original)))
            for pod in pods(patched):
                self.assertEqual([c.pop("name") for c in pod.pop("initContainers")], ["memtrace"])
                self.assertEqual(pod.pop("volumes"), [{"name": "memtrace", "emptyDir": {}}])
                for container in pod["containers"]:
                    self.assertEqual(container.pop("volumeMounts"), [{"name": "memtrace", "mountPath": "/memtrace"}])
                    variables = {v["name"]: v["value"] for v in container.pop("env")}
                    before = ":/usr/lib/x.so" if container["name"] == "side" else ""
                    self.assertEqual(variables, {"LD_PRELOAD": "/memtrace/libmemtrace.so" + before, "MEMTRACE_DIR": "/memtrace/recordings"})
            for pod in pods(original):
                pod["containers"][1].pop("env", None)
            self.assertEqual(patched, original, kind)

    def test_passes_pod_security_restricted(self):
        """https://kubernetes.io/docs/concepts/security/pod-security-standards/, what it asks of containers and volumes."""
        pod, = pods(json.loads(self.patched(json.dumps(manifest("Pod")))))
        for container in pod["initContainers"] + pod["containers"]:
            context = container["securityContext"]
            self.assertIs(context["allowPrivilegeEscalation"], False)
            self.assertEqual(context["capabilities"], {"drop": ["ALL"]})
            self.assertIs(context["runAsNonRoot"], True)
            self.assertNotEqual(context.get("runAsUser"), 0)
            self.assertEqual(context["seccompProfile"], {"type": "RuntimeDefault"})
        self.assertEqual([set(volume) for volume in pod["volumes"]], [{"name", "emptyDir"}])

    def test_the_class_of_service_stays(self):
        """A pod without any limits is BestEffort, one whose containers all have them Guaranteed."""
        for resources, expected in (({}, None), ({"limits": {"cpu": "1", "memory": "1Gi"}}, {"limits": {"cpu": "100m", "memory": "64Mi"}})):
            text = json.dumps({"kind": "Pod", "spec": {"containers": [{"name": "app", "resources": resources}]}})
            pod, = pods(json.loads(self.patched(text)))
            self.assertEqual(pod["initContainers"][0].get("resources"), expected)


class Compose(Inject):
    def test_docker_compose_reads_it(self):
        compose = shutil.which("docker-compose")
        if not compose:
            self.skipTest("there is no docker-compose: package docker-compose")
        base, override = os.path.join(self.work, "compose.yaml"), os.path.join(self.work, "memtrace.yaml")
        with open(base, "w", encoding="utf-8") as file:
            file.write("services:\n  web: {image: shop, mem_limit: 64m, volumes: ['data:/data'], environment: {LD_PRELOAD: /x.so, A: b}}\n"
                       "  db: {image: postgres}\nvolumes: {data: {}}\n")
        with open(override, "w", encoding="utf-8") as file:
            file.write(self.inject("compose", base, "--service", "web", "--sample", "64k"))

        def config(*files):
            words = [word for file in files for word in ("-f", file)]
            done = subprocess.run([compose, *words, "config"], capture_output=True, text=True, check=False, timeout=harness.TIMEOUT_S)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            return done.stdout.splitlines()

        before, after = config(base), config(base, override)
        self.assertEqual([line for line in before if line not in after and "LD_PRELOAD" not in line and line != "  data: {}"], [])
        added = [line.strip() for line in after if line not in before]
        for line in ("LD_PRELOAD: /memtrace/libmemtrace.so:/x.so", "MEMTRACE_DIR: /memtrace/recordings", "MEMTRACE_SAMPLE: 64k",
                     "- memtrace:/memtrace/recordings:rw", f"- {harness.LIBRARY}:/memtrace/libmemtrace.so:ro"):
            self.assertIn(line, added)


if __name__ == "__main__":
    harness.main()
