"""Manual pages and completions know every subcommand and option of --help, every variable, and nothing else."""

import os
import re
import shutil
import subprocess
import unittest

ROOT = os.environ["LINKAGE_SOURCES"]
TOOL = os.environ["LINKAGE_TOOL"]
REPORT = os.environ["LINKAGE_REPORT"]
RECORDING_OPTIONS = "RECORDING OPTIONS"
OPTION = re.compile(r"--[a-z][a-z-]*[a-z]")


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return file.read()


def output(*command, **options):
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30, **options).stdout


class Help:
    """What `--help` of one subcommand names."""

    def __init__(self, command):
        self.command = command
        self.text = output(*command, "--help")
        self.options = {option for names in re.findall(r"^  (-\S+)", self.text, re.MULTILINE) for option in names.split(",")}
        self.variables = {option: name for option, name in re.findall(r"^  (--\S+) .*\[(MEMTRACE_\w+)", self.text, re.MULTILINE)}
        listed = self.text.partition("Subcommands:\n")[2]
        self.subcommands = re.findall(r"^  (\w+)", listed, re.MULTILINE)


def all_helps(command):
    """Of a program and all its subcommands."""
    this = Help(command)
    return [this] + [found for name in this.subcommands for found in all_helps([*command, name])]


HELPS = all_helps([TOOL])
REPORT_HELP = Help([REPORT])


def page(name):
    """Its text, without the markup that stands between letters."""
    return re.sub(r"\\f[A-Z]", "", read("man/" + name).replace("\\-", "-"))


def sections(text):
    """Heading of .SH or .SS to text."""
    return {part.split("\n", 1)[0]: part for part in re.split(r"^\.S[HS] ", text, flags=re.MULTILINE)}


class Pages(unittest.TestCase):
    def test_every_subcommand_has_a_section_with_its_options(self):
        parts = sections(page("memtrace.1"))
        common = set(OPTION.findall(parts[RECORDING_OPTIONS]))
        for found in HELPS[1:]:
            if found.subcommands:
                continue
            name = " ".join(["memtrace", *found.command[1:]])
            with self.subTest(subcommand=name):
                texts = [text for heading, text in parts.items() if re.match(re.escape(name) + r"\b", heading)]
                self.assertEqual(len(texts), 1)
                text = " ".join(texts[0].split())
                named = set(OPTION.findall(text)) | {"--help"}
                if "akes the recording options" in text:
                    named |= common
                self.assertEqual(named, {option for option in found.options if option.startswith("--")})

    def test_recording_options_name_their_variables(self):
        text = sections(page("memtrace.1"))[RECORDING_OPTIONS]
        variables = Help([TOOL, "run"]).variables
        self.assertGreater(len(variables), 10)
        for option, variable in variables.items():
            self.assertRegex(text, rf'(?m)^\.BI? {option}\b.*\n[^.](.*\n)*?.*\({variable}\b')

    def test_report_has_every_option(self):
        options = {option for option in REPORT_HELP.options if option.startswith("--")}
        self.assertGreater(len(options), 10)
        self.assertEqual(set(OPTION.findall(page("memtrace-report.1"))), options)

    def test_library_has_every_variable(self):
        listed = {line.partition("=")[0] for line in output(TOOL, "env", env={}).splitlines()}
        self.assertGreater(len(listed), 10)
        self.assertEqual(set(re.findall(r"MEMTRACE_\w+", page("libmemtrace.7"))), listed)

    def test_no_warnings(self):
        if not shutil.which("groff"):
            self.skipTest("there is no groff: package groff-base")
        for name in os.listdir(os.path.join(ROOT, "man")):
            path = os.path.join(ROOT, "man", name)
            result = subprocess.run(["groff", "-man", "-Tutf8", "-ww", path], capture_output=True, check=False, timeout=30)
            self.assertEqual((result.returncode, result.stderr), (0, b""), name)


class Documents(unittest.TestCase):
    def test_command_lines_use_what_there_is(self):
        """Every `memtrace ...` and `memtrace-report ...` with options in documents and README."""
        helps = {" ".join(["memtrace", *found.command[1:]]): found for found in HELPS}
        helps["memtrace-report"] = REPORT_HELP
        checked = 0
        for path in ("README.md", "docs/containers.md", "docs/troubleshooting.md"):
            for line in re.findall(r"(?:(?<=`)|^|(?<=\| )|(?<=\$\())(memtrace(?:-report)? [^`|>)$\n]*)", read(path), re.MULTILINE):
                words = line.split(" -- ")[0].split()
                name = words.pop(0)
                while words and f"{name} {words[0]}" in helps:
                    name += " " + words.pop(0)
                if name == "memtrace" and words[0] not in ("--help", "--version"):
                    self.fail(f"{path}: no such subcommand: {line}")
                for option in OPTION.findall(" ".join(words)):
                    self.assertIn(option, helps[name].options, f"{path}: {line}")
                    checked += 1
        self.assertGreater(checked, 5)


class Bash(unittest.TestCase):
    def complete(self, *words):
        """What is offered for the last of `words`."""
        script = ('source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); _memtrace; '
                  'printf "%s\\n" "${COMPREPLY[@]}"')
        return set(output("bash", "-c", script, os.path.join(ROOT, "completions/memtrace.bash"), *words).split())

    def test_every_option(self):
        for found in [*HELPS, REPORT_HELP]:
            with self.subTest(command=found.command):
                self.assertEqual(self.complete(*found.command, "-"), found.options)

    def test_every_subcommand(self):
        for found in HELPS:
            if found.subcommands:
                self.assertEqual(self.complete(*found.command, ""), set(found.subcommands))

    def test_begun_words_and_values(self):
        self.assertEqual(self.complete(TOOL, "sna"), {"snapshot"})
        self.assertEqual(self.complete(TOOL, "run", "--snap"), {"--snapshot-at"})
        self.assertEqual(self.complete(TOOL, "run", "--keep", ""), {"auto", "always"})
        self.assertEqual(self.complete(REPORT, "--fail-on", "s"), {"suspect"})
        self.assertEqual(self.complete(REPORT, "--metric", "=", "p"), {"peak"})
        # The arguments of the program are its own.
        self.assertEqual(self.complete(TOOL, "run", "--", "prog", "--s"), set())


class OtherShells(unittest.TestCase):
    def check(self, shell, *arguments):
        if not shutil.which(shell):
            self.skipTest(f"there is no {shell}")
        return output(shell, *arguments)

    def test_fish(self):
        file = os.path.join(ROOT, "completions/memtrace.fish")
        for found in [*HELPS, REPORT_HELP]:
            words = " ".join([os.path.basename(found.command[0]), *found.command[1:]])
            script = (f"set -x PATH {os.path.dirname(TOOL)} {os.path.dirname(REPORT)} $PATH; source {file}; "
                      f"complete -C '{words} -'")
            offered = {line.split("\t")[0] for line in self.check("fish", "-N", "-c", script).splitlines()}
            self.assertLessEqual(found.options, offered, words)

    def test_zsh(self):
        # What zsh's own functions would be given, each on a line; with the options that they run with.
        script = ('setopt bareglobqual extendedglob glob multibyte multifuncdef nullglob rcexpandparam unset; _describe() { print -l -- ${(P)argv[-1]} }; _files() { }; _normal() { print normal }; '
                  'words=("$@"); CURRENT=$#; PREFIX=$argv[-1]; source $0')

        def offered(*words):
            lines = self.check("zsh", "-f", "-c", script, os.path.join(ROOT, "completions/_memtrace"), *words).splitlines()
            return {line.split(":")[0] for line in lines}

        for found in [*HELPS, REPORT_HELP]:
            with self.subTest(command=found.command):
                self.assertEqual(offered(*found.command, "-"), found.options)
                if found.subcommands:
                    self.assertEqual(offered(*found.command, ""), set(found.subcommands))
        self.assertEqual(offered(TOOL, "run", "--", "prog", "--s"), {"normal"})


if __name__ == "__main__":
    unittest.main(verbosity=2)
