"""memtrace-report --push: what arrives at a server, and what is said when nothing does."""

import base64
import gzip
import http.server
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import textwrap
import threading
import urllib.parse

import harness

SCHEMA = os.path.join(os.path.dirname(__file__), "../../tools/render/profile.proto")

MANIFEST = os.path.join(os.path.dirname(__file__), "../../packaging/daemonset.yaml")


class Server:
    """Keeps the requests that come, and answers each with `status`, `text` and `headers`."""

    def __init__(self, certificate=None):
        outer = self
        self.requests, self.status, self.text, self.headers = [], 200, "", {}

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.requests.append((self.path, self.headers, body))
                self.send_response(outer.status)
                for name, value in outer.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(outer.text.encode())

            def log_message(self, *_):
                pass

        class Quiet(http.server.ThreadingHTTPServer):
            def handle_error(self, *_):  # a client that does not like the certificate
                pass

        self._server = Quiet(("127.0.0.1", 0), Handler)
        scheme = "http"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
            scheme = "https"
        self.url = f"{scheme}://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class Pushing(harness.Case):
    def setUp(self):
        super().setUp()
        if not any(os.path.exists(folder + "/libcurl.so.4") for folder in ("/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu")):
            self.skipTest("there is no libcurl: package libcurl4")
        self.assertEqual(self.run_program(harness.program("leak_or_tree"), "leak").status, 0)
        self.server = Server()
        self.addCleanup(self.server.close)

    def push(self, *options, url=None, paths=None, **environment):
        env = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
        return subprocess.run([harness.REPORT, "--push", url or self.server.url, *options, *(paths or [self.recordings])],
                              capture_output=True, text=True, check=False, timeout=harness.TIMEOUT_S, env={**env, **environment})

    def pushed(self, *options, **push):
        done = self.push(*options, **push)
        self.assertEqual((done.returncode, done.stdout), (0, ""), done.stderr)
        self.assertRegex(done.stderr, r"\Amemtrace-report: pushed leak_or_tree\{hostname=[^\n]*\}\n\Z")
        self.assertEqual(len(self.server.requests), 1)
        path, headers, body = self.server.requests.pop()
        return urllib.parse.urlsplit(path), headers, body

    def refused(self, *options, status=1, **push):
        done = self.push(*options, **push)
        self.assertEqual((done.returncode, done.stdout), (status, ""), done.stderr)
        return done.stderr

    def check_profile(self, packed):
        protoc = shutil.which("protoc")
        self.assertTrue(protoc, "package protobuf-compiler")
        text = subprocess.run([protoc, "-I", os.path.dirname(SCHEMA), "--decode=memtrace.pprof.Profile", SCHEMA],
                              input=gzip.decompress(packed), capture_output=True, check=True).stdout.decode()
        strings = re.findall(r'^string_table: "(.*)"$', text, re.MULTILINE)
        for expected in ("inuse_space", "alloc_space", "bytes", "LoadTable", "Leak"):
            self.assertIn(expected, strings)
        values = [int(value) for value in re.findall(r"^  value: (\d+)$", text, re.MULTILINE)]
        self.assertIn(1 << 20, values)  # of LoadTable


class Arrival(Pushing):
    def test_pyroscope(self):
        url, headers, body = self.pushed("--push-label", "namespace=shop {a=1,b}")
        self.assertEqual(url.path, "/ingest")
        query = dict(urllib.parse.parse_qsl(url.query, strict_parsing=True))
        name, labels = re.fullmatch(r"(\w+)\{(.*)\}", query["name"]).groups()
        self.assertEqual(name, "leak_or_tree")
        labels = dict(label.split("=") for label in labels.split(","))
        target = self.report()["target"]
        self.assertEqual(labels["pid"], str(target["pid"]))
        self.assertEqual(labels["hostname"], target["hostname"])
        self.assertEqual(labels["namespace"], "shop__a_1_b_")
        self.assertEqual(query["format"], "pprof")
        self.assertEqual(int(query["until"]) - int(query["from"]), 10)
        self.assertEqual(headers["Content-Type"], "application/octet-stream")
        self.check_profile(body)

    def test_parca(self):
        url, headers, body = self.pushed(url=self.server.url + "/profiles/writeraw")
        self.assertEqual((url.path, url.query, headers["Content-Type"]), ("/profiles/writeraw", "", "application/json"))
        series, = json.loads(body)["series"]
        labels = {label["name"]: label["value"] for label in series["labels"]["labels"]}
        self.assertEqual((labels["__name__"], labels["job"]), ("memory", "leak_or_tree"))
        sample, = series["samples"]
        self.check_profile(base64.b64decode(sample["rawProfile"], validate=True))

    def test_a_path_and_a_query_of_the_users_own_stay(self):
        url, _, _ = self.pushed(url=self.server.url + "/pyroscope/ingest?tenant=a")
        self.assertEqual(url.path, "/pyroscope/ingest")
        self.assertTrue(url.query.startswith("tenant=a&name="), url.query)

    def test_headers_and_token(self):
        file = os.path.join(self.work, "headers")
        with open(file, "w", encoding="utf-8") as lines:
            lines.write("# secret\n\nX-Scope-OrgID: seven\r\nX-Other: a: b\n")
        _, headers, _ = self.pushed("--push-header", "@" + file, "--push-header", "X-Line: c", MEMTRACE_PUSH_TOKEN="s3cret\n")
        self.assertEqual([headers[name] for name in ("X-Scope-OrgID", "X-Other", "X-Line", "Authorization")],
                         ["seven", "a: b", "c", "Bearer s3cret"])

    def test_beside_other_outputs(self):
        file = os.path.join(self.work, "report.json")
        self.pushed("--json=" + file)
        self.assertTrue(os.path.getsize(file))

    def test_each_process_is_pushed(self):
        self.assertEqual(self.run_program(harness.program("leak_or_tree"), "leak").status, 0)
        done = self.push()
        self.assertEqual((done.returncode, done.stderr.count("pushed leak_or_tree")), (0, 2), done.stderr)
        self.assertEqual(len({path for path, _, _ in self.server.requests}), 2)

    def test_tls_is_verified(self):
        if not shutil.which("openssl"):
            self.skipTest("there is no openssl to make a certificate with")
        certificate = os.path.join(self.work, "certificate.pem")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test",
                        "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", certificate, "-out", certificate + ".crt"],
                       check=True, capture_output=True)
        with open(certificate, "a", encoding="utf-8") as both, open(certificate + ".crt", encoding="utf-8") as public:
            both.write(public.read())
        plain, self.server = self.server, Server(certificate)
        self.addCleanup(self.server.close)
        self.assertIn("certificate", self.refused())
        self.assertEqual(self.server.requests, [])
        _, _, body = self.pushed(SSL_CERT_FILE=certificate + ".crt")
        self.check_profile(body)
        self.assertEqual(plain.requests, [])


class DaemonSet(Pushing):
    """The container of packaging/daemonset.yaml that pushes."""

    def one_round(self):
        with open(MANIFEST, encoding="utf-8") as file:
            container = file.read().partition("        - name: push\n")[2]
        script = textwrap.dedent(container.partition("            - |\n")[2].partition("          env:\n")[0])
        for written, here in (("sleep 30\n", "exit 0\n"), ("/kept", self.work + "/kept"), ("/pushed", self.work + "/pushed")):
            self.assertIn(written, script)
            script = script.replace(written, here)
        env = {**os.environ, "PATH": os.path.dirname(harness.REPORT) + ":" + os.environ["PATH"], "PUSH_URL": self.server.url,
               "NODE": "node-1", "no_proxy": "127.0.0.1"}
        done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False, timeout=harness.TIMEOUT_S, env=env)
        self.assertEqual((done.returncode, done.stdout), (0, ""), done.stderr)
        return done.stderr

    def test_each_snapshot_once(self):
        os.makedirs(self.work + "/pushed")
        os.makedirs(self.work + "/kept/uid-1")
        shutil.copy(self.recording(), self.work + "/kept/uid-1/a b.1.snap")
        with open(self.work + "/kept/uid-1/junk.2.snap", "w", encoding="utf-8") as junk:
            junk.write("no snapshot")
        self.server.status = 503
        self.assertIn("answered 503", self.one_round())
        self.server.status = 200
        self.assertIn("pushed leak_or_tree", self.one_round())
        self.assertNotIn("pushed leak_or_tree", self.one_round())
        self.assertEqual(len(self.server.requests), 2)
        name = urllib.parse.parse_qs(urllib.parse.urlsplit(self.server.requests[1][0]).query)["name"][0]
        self.assertIn("node=node-1", name)
        self.assertIn("pod_uid=uid-1", name)


class Refusals(Pushing):
    def test_the_server_does_not_want_it(self):
        for status, text, said in ((401, "", "MEMTRACE_PUSH_TOKEN"), (404, "page not found", "(page not found)"), (404, "", "path"),
                                   (422, "bad \x1b[31m\nprofile", "(bad  [31m)"), (500, "x" * 100_000, "answered 500")):
            self.server.status, self.server.text = status, text
            message = self.refused()
            self.assertIn(said, message)
            self.assertIn(f"answered {status}", message)
            self.assertEqual(message.count("\n"), 1)
            self.assertLess(len(message), 600)

    def test_a_redirection_is_not_followed(self):
        self.server.status, self.server.headers = 302, {"Location": "http://127.0.0.1:9/elsewhere"}
        self.assertIn("it redirects to http://127.0.0.1:9/elsewhere: give that URL", self.refused())

    def test_nobody_listens(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            message = self.refused(url=f"http://127.0.0.1:{taken.getsockname()[1]}")
        self.assertRegex(message, r"cannot push leak_or_tree \(pid \d+\) to http://127.0.0.1:\d+: .*(?i:connect)")

    def test_a_server_that_says_nothing(self):
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            silent.listen()
            message = self.refused("--push-timeout", "1", url=f"http://127.0.0.1:{silent.getsockname()[1]}")
        self.assertIn("timed out", message)

    def test_usage(self):
        for options, url, said in (((), "ftp://host", "http"), ((), "http://", "no host"), ((), "http://me:pw@host/", "command line"),
                                   (("--push-header", "x"), None, "Name: value"), (("--push-header", "@/nowhere"), None, "/nowhere"),
                                   (("--push-label", "1=2"), None, "NAME=VALUE"), (("--push-timeout", "0"), None, "--push-timeout"),
                                   (("--baseline", "x"), None, "--baseline")):
            with self.subTest(said):
                message = self.refused(*options, url=url, status=2)
                self.assertIn(said, message)
                self.assertNotIn("pw", message.replace("--push", ""))
        self.assertIn("MEMTRACE_PUSH_TOKEN", self.refused(status=2, MEMTRACE_PUSH_TOKEN="a\nb"))
        self.assertEqual(self.server.requests, [])

    def test_evidence_alone_is_no_profile(self):
        log = os.path.join(self.work, "log")
        with open(log, "w", encoding="utf-8") as file:
            file.write("[ 1.0] Out of memory: Killed process 7 (x) total-vm:1kB, anon-rss:1kB, file-rss:0kB, shmem-rss:0kB\n")
        self.assertIn("--push needs a recording", self.refused(paths=[log]))


if __name__ == "__main__":
    harness.main()
