"""Where clients may record and upload, and what is done to what lies there already."""

import json
import os
import stat
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from nose2.tools import params

from gym_http.errors import BadDirectory, ForbiddenDirectory, NoRecording
from gym_http.recording import files, opening, reader
from gym_http.roots import Roots
from tests.recordings import Recordings
from tests.support import ROOT, ServerCase, ServerProcess, create, get, post


class Scratch(unittest.TestCase):
    """`inside` is a root, `outside` isn't."""

    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.top = Path(scratch.name).resolve()
        self.inside, self.outside = self.top / "inside", self.top / "outside"
        for path in (self.inside, self.outside, self.top / "temporary"):
            path.mkdir()
        self.roots = self.made_in(self.inside)

    def made_in(self, working, *named, temporary="", **environ):
        """Roots as a process has them that works there."""
        before = os.getcwd(), dict(os.environ), tempfile.tempdir
        try:
            os.chdir(working)
            tempfile.tempdir = temporary or str(self.top / "temporary")
            os.environ.update(environ)
            return Roots(named)
        finally:
            os.chdir(before[0])
            os.environ.clear()
            os.environ.update(before[1])
            tempfile.tempdir = before[2]

    def refused(self, text, roots=None):
        with self.assertRaisesRegex(ForbiddenDirectory, "--data-root") as caught:
            (roots or self.roots).admitted(text)
        return str(caught.exception)


class Names(Scratch):
    def test_inside(self):
        for text in ("inside", "inside/a/b", "inside/./a", "inside//a", "inside/a/../b"):
            found = self.roots.admitted(f"{self.top}/{text}")
            self.assertEqual(str(found), os.path.normpath(self.top / text))
        self.assertEqual(self.roots.admitted("/" + str(self.inside)), self.inside)  # //…

    def test_the_temporary_directory(self):
        place = self.top / "temporary" / "x"
        self.assertEqual(self.roots.admitted(place), place)

    @params(
        *("/", "/etc", "/root/.ssh", "/tmp", "/tmp/../etc", "///etc", "C:\\x", "x", ".", ".."),
        *("/proc/self/cwd", "/proc/self/root/tmp", "/dev/fd/3", "/dev/shm", "/dev/stdin"),
        *("~root", "~nobody/x", "~nosuchuser/x"),
    )
    def test_elsewhere(self, text):
        self.refused(text)

    def test_beside(self):
        for text in ("outside", "", "inside/../outside", "inside/../../x", "insidefoo", "INSIDE"):
            self.refused(f"{self.top}/{text}")

    def test_a_name_that_is_none(self):
        for text in ("a\0b", "", "x" * 5000, f"{self.inside}/\ud800x"):
            with self.assertRaises(BadDirectory):
                self.roots.admitted(text)

    def test_the_home_is_no_root_but_may_lie_in_one(self):
        before = os.environ.get("HOME")
        try:
            for home, admitted in ((self.inside / "me", True), (self.outside, False)):
                os.environ["HOME"] = str(home)
                if admitted:
                    self.assertEqual(self.roots.admitted("~/x"), home / "x")
                    self.assertEqual(self.roots.admitted("~"), home)
                else:
                    self.refused("~/x")
        finally:
            if before is not None:
                os.environ["HOME"] = before

    def test_the_refusal_tells_nothing_of_what_is_there(self):
        (self.outside / "there").mkdir()
        (self.outside / "link").symlink_to(self.inside)
        (self.outside / "loop").symlink_to(self.outside / "loop")
        told = {
            self.refused(f"{self.outside}/{name}").replace(name, "")
            for name in ("there", "not", "link", "link/x", "loop")
        }
        self.assertEqual(len(told), 1, told)


class Links(Scratch):
    def test_out(self):
        (self.inside / "out").symlink_to(self.outside)
        (self.inside / "far").symlink_to("/etc")
        (self.inside / "dangling").symlink_to(self.outside / "nothing")
        (self.inside / "relative").symlink_to("../outside")
        for name in ("out", "out/x", "far", "dangling", "relative/x"):
            self.refused(self.inside / name)

    def test_within(self):
        (self.inside / "a").mkdir()
        (self.inside / "b").symlink_to("a")
        self.assertEqual(self.roots.admitted(self.inside / "b" / "c"), self.inside / "a" / "c")

    def test_a_root_that_is_one(self):
        """As macOS has /tmp."""
        link = self.top / "link"
        link.symlink_to(self.inside)
        for roots in (self.made_in("/", str(link)), self.made_in(link, PWD=str(link))):
            self.assertEqual(roots.admitted(link / "x"), self.inside / "x")
            self.assertEqual(roots.admitted(self.inside / "x"), self.inside / "x")
        self.refused(link / "x", self.made_in(link, PWD="/"))

    def test_in_a_circle(self):
        (self.inside / "loop").symlink_to(self.inside / "loop")
        with self.assertRaises(OSError):
            opening.directory(self.roots.admitted(self.inside / "loop"), make=True)

    def test_laid_after_the_look(self):
        """Between the check and the use."""
        admitted = self.roots.admitted(self.inside / "a" / "b")
        (self.inside / "a").symlink_to(self.outside)
        with self.assertRaises(OSError):
            opening.directory(admitted, make=True)
        self.assertEqual(os.listdir(self.outside), [])


class Given(Scratch):
    def test_named(self):
        roots = self.made_in(self.inside, "../outside")
        self.assertEqual(roots.admitted(self.outside / "x"), self.outside / "x")
        self.assertEqual(self.made_in("/", "/").admitted("/etc"), Path("/etc"))

    def test_a_working_directory_that_is_everything(self):
        self.refused("/etc", self.made_in("/"))
        self.refused("/etc", self.made_in("/", temporary="/"))

    def test_a_working_directory_that_is_gone(self):
        gone = self.top / "gone"
        code = (
            "import os, sys, gym_http.roots as r\n"
            "os.chdir(sys.argv[1]); os.rmdir(sys.argv[1])\n"
            "from gym_http.errors import BadDirectory\n"
            "roots = r.Roots()\n"
            "print(roots.admitted('/tmp/x'))\n"
            "try: roots.admitted('x')\n"
            "except BadDirectory: print('bad')\n"
        )
        gone.mkdir()
        ended = subprocess.run(
            [sys.executable, "-c", code, str(gone)],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": "/tmp"},
        )
        self.assertEqual(ended.stdout.split(), ["/tmp/x", "bad"], ended.stderr)

    def test_a_root_that_is_none_ends_the_start(self):
        for name in ("/no/such/directory", "/etc/passwd"):
            ended = subprocess.run(
                [sys.executable, "-m", "gym_http", "serve", "-p", "0", "--data-root", name],
                capture_output=True,
                text=True,
                cwd=ROOT,
                timeout=60,
            )
            self.assertEqual(ended.returncode, 2)
            self.assertIn(f"--data-root {name}: there is no such directory", ended.stderr)


class Files(Recordings):
    """What others may have put into a directory."""

    def recorded(self):
        recorder = self.recorder(resume=True)
        self.play(recorder, 2)
        recorder.close()

    def test_a_link_is_no_recording(self):
        self.recorded()
        outside = self.directory.parent / "elsewhere"
        self.directory.rename(outside)
        self.directory.mkdir()
        for path in outside.iterdir():
            (self.directory / path.name).symlink_to(path)
        with self.assertRaisesRegex(NoRecording, "no recording"):
            reader.load(self.directory)

    def test_stats_that_are_a_link(self):
        self.recorded()
        stats = self.only("*.stats.json")
        stats.rename(self.directory.parent / "stats")
        stats.symlink_to(self.directory.parent / "stats")
        with self.assertRaisesRegex(NoRecording, "can't be read"):
            reader.load(self.directory)

    @params("*.stats.json", "*.manifest.json")
    def test_a_pipe(self, pattern):
        """A reader would wait for whoever writes into it."""
        self.recorded()
        path = self.only(pattern)
        path.unlink()
        os.mkfifo(path)
        with self.assertRaises(NoRecording):
            reader.load(self.directory)
        os.mkfifo(files.journal_path(self.directory, "7.7"))
        self.recorder(force=True).close()
        self.assertFalse(path.exists())

    @params(
        b"[" * 100_000,
        b'{"timestamps": [1e400]}' * 2,
        b'{"timestamps": [1%s], "initial_reset_timestamp": 1}' % (b"0" * 5000),
        b'{"timestamps": [1], "episode_lengths": [1], "episode_rewards": [1%s]}' % (b"0" * 400),
        b'{"timestamps": [1], "episode_lengths": [1%s], "episode_rewards": [1]}' % (b"0" * 20),
        b'{"timestamps": [1], "episode_lengths": [-1], "episode_rewards": [1]}',
        b'{"timestamps": [NaN], "episode_lengths": [NaN], "episode_rewards": [1]}',
        b'{"timestamps": [%s[]]}' % (b"[]," * 1_000_000),
        b"\xff\xfe",
        b"",
        b"5",
    )
    def test_stats_that_are_none(self, content):
        self.recorded()
        self.only("*.stats.json").write_bytes(content)
        with self.assertRaises(NoRecording):
            reader.load(self.directory)

    @params(
        {"env_id": "x" * 300},
        {"env_id": "a\nb"},
        {"env_id": "\ud800"},
        {"env_id": 5},
        {"engine": "x" * 13},
        {"engine": ["gym"]},
    )
    def test_manifests_of_no_environment(self, more):
        self.recorded()
        path = self.only("*.manifest.json")
        manifest = json.loads(path.read_text())
        manifest["env_info"].update(more)
        path.write_text(json.dumps(manifest))
        with self.assertRaisesRegex(NoRecording, "which environment"):
            reader.load(self.directory)

    def test_a_file_that_is_too_large(self):
        self.recorded()
        path = self.only("*.stats.json")
        os.truncate(path, opening.MOST_BYTES + 1)  # which takes no room on the disk
        with self.assertRaises(BadDirectory):
            reader.load(self.directory)

    def test_too_many_of_them(self):
        self.recorded()
        most = files.MOST_RECORDINGS
        files.MOST_RECORDINGS = 3
        try:
            reader.load(self.directory)
            for number in range(3):
                files.manifest_path(self.directory, f"9.{number}").write_text("{}")
            with self.assertRaisesRegex(BadDirectory, "4 recordings"):
                reader.load(self.directory)
        finally:
            files.MOST_RECORDINGS = most

    def test_a_journal_with_a_line_of_many_megabytes(self):
        self.recorded()
        path = files.journal_path(self.directory, "3.3")
        start = json.dumps(
            {"kind": "start", "env_info": self.content("*.manifest.json")["env_info"]}
        )
        line = '{"kind": "episode", "timestamp": 9, "length": 6, "reward": 1}\n'
        start += '\n{"kind": "first_reset", "timestamp": 5}'
        path.write_text(start + "\n" + '{"kind": "' + "x" * 5_000_000 + '"}\n' + line)
        with self.assertLogs("gym_http.recording.journal", "WARNING"):
            self.assertEqual(reader.load(self.directory).episode_lengths, [2, 6])

    def test_links_laid_where_files_will_be(self):
        """Each name that a monitor is going to write is a link to a file of somebody else's."""
        victim = self.directory.parent / "victim"
        self.directory.mkdir(parents=True)
        victim.write_text("mine")
        recorder = self.recorder(film=lambda episode: True, frame=lambda: "text")
        infix = recorder._infix
        laid = [
            files.stats_path(self.directory, infix),
            files.manifest_path(self.directory, infix),
            files.video_path(self.directory, infix, 0, ".json"),
            files.video_path(self.directory, infix, 0, ".meta.json"),
        ]
        for path in [*laid, *(path.with_name(path.name + ".part") for path in laid)]:
            path.symlink_to(victim)
        self.play(recorder, 2)
        recorder.close()
        self.assertEqual(victim.read_text(), "mine")
        self.assertEqual([path.is_symlink() for path in laid], [False] * 4)
        self.assertEqual(reader.load(self.directory).episode_lengths, [2])

    def test_a_link_laid_where_a_film_will_be(self):
        import numpy as np

        victim = self.directory.parent / "victim"
        pixels = np.zeros((32, 32, 3), np.uint8)
        recorder = self.recorder(film=lambda episode: True, frame=lambda: pixels)
        victim.write_text("mine")
        film = files.video_path(self.directory, recorder._infix, 0, ".mp4")
        film.with_name(film.name + ".part").symlink_to(victim)
        film.symlink_to(victim)
        self.play(recorder, 2)
        recorder.close()
        self.assertEqual(victim.read_text(), "mine")
        self.assertTrue(stat.S_ISREG(film.lstat().st_mode))
        self.assertGreater(film.stat().st_size, 500)

    def test_force_knows_the_monitors_names(self):
        self.recorded()
        ours = {path.name for path in self.directory.iterdir()}
        kept = ["openaigym.txt", "openaigym.manifest.json", "openaigym.video.x.mp4", "openaigym.",
                "openaigym.episode_batch.0.1.stats.json.bak", "openaigym.secret.0.1.manifest.json",
                "xopenaigym.manifest.0.1.manifest.json"]  # fmt: skip
        gone = ["openaigym.manifest.0.uid-x.manifest.json", "openaigym.video.0.9.video000000.mp4",
                "openaigym.video.0.9.video000000.meta.json", "openaigym.video.0.9.video1.json.part",
                "openaigym.episode_batch.3.4.stats.json"]  # fmt: skip
        for name in [*kept, *gone]:
            (self.directory / name).write_text("{}")
        self.recorder(force=True)
        left = {path.name for path in self.directory.iterdir()}
        self.assertTrue(left >= set(kept))
        self.assertFalse(left & (ours | set(gone)))


class OnAServer(ServerCase):
    def refused(self, path, body):
        status, _, reply = post(self.server, path, body)
        self.assertEqual((status, reply["code"]), (403, "forbidden_directory"), reply)
        self.assertIn("--data-root", reply["message"])

    @params("/etc", "/usr/x", "/", "../../x", "~root/x", "/proc/self/cwd/x", "/dev/fd/0", "~/x")
    def test_directories(self, directory):
        env = create(self.server)
        self.refused(f"{env}/monitor/start/", {"directory": directory, "force": True})
        self.refused("/v1/upload/", {"training_dir": directory, "api_key": "k"})
        self.assertIsNone(get(self.server, env)[2]["monitor"])

    def test_a_link_out(self):
        link = self.server.home / "link"
        link.symlink_to("/var")
        env = create(self.server)
        self.refused(f"{env}/monitor/start/", {"directory": "link/x"})
        self.refused(f"{env}/monitor/start/", {"directory": str(link)})

    def test_a_relative_one_is_of_the_working_directory(self):
        env = create(self.server)
        self.assertEqual(post(self.server, f"{env}/monitor/start/", {"directory": "a/b"})[0], 200)
        told = get(self.server, env)[2]["monitor"]
        self.assertEqual(told, str(self.server.home.resolve() / "a" / "b"))

    def test_data_root(self):
        for name in ("named", "temporary", "other"):
            (self.scratch / name).mkdir()
        flags = ("--data-root", str(self.scratch / "named"))
        with ServerProcess(*flags, environ={"TMPDIR": str(self.scratch / "temporary")}) as server:
            for name, status in (("named", 200), ("temporary", 200), ("other", 403)):
                env = create(server)
                body = {"directory": str(self.scratch / name / "x")}
                self.assertEqual(post(server, f"{env}/monitor/start/", body)[0], status, name)


class Arguments(ServerCase):
    """Files that an environment reads by its arguments."""

    def asked(self, file, env_id="HalfCheetah-v5"):
        body = {"env_id": env_id, "kwargs": {"xml_file": file}}
        return post(self.server, "/v1/envs/", body)

    @params("/etc/passwd", "~/x.xml", "~root/x.xml", "../../../../etc/passwd", "a/../../x",
            "./../x", "//etc/passwd", "/proc/self/environ", "/tmp/../etc/passwd")  # fmt: skip
    def test_out(self, file):
        status, _, reply = self.asked(file)
        self.assertEqual((status, reply["code"]), (403, "forbidden_directory"), reply)
        self.assertIn("kwargs.xml_file", reply["message"])
        self.assertIn("--data-root", reply["message"])

    def test_a_link_in_the_working_directory(self):
        (self.server.home / "model.xml").symlink_to("/etc/passwd")
        (self.server.home / "etc").symlink_to("/etc/security")  # behind which `..` is /etc
        (self.server.home / "passwd").touch()
        for name in ("model.xml", "./model.xml", f"{self.server.home}/etc/../passwd"):
            self.assertEqual(self.asked(name)[2]["code"], "forbidden_directory")

    def test_deep_inside(self):
        body = {"env_id": "CartPole-v1", "kwargs": {"a": [{"b": "/etc/passwd"}]}}
        self.assertEqual(post(self.server, "/v1/envs/", body)[0], 403)

    def test_by_a_snapshot(self):
        env = create(self.server)
        post(self.server, f"{env}/reset/", {"seed": 1})
        taken = post(self.server, f"{env}/snapshot/")[2]["snapshot_id"]
        form = get(self.server, f"{env}/snapshot/{taken}/")[2]
        form["recipe"]["kwargs"] = {"x": "/etc/passwd"}
        status, _, reply = post(self.server, "/v1/envs/", {"snapshot": form})
        self.assertEqual((status, reply["code"]), (403, "forbidden_directory"))

    def test_within(self):
        """The package's own, and what lies under a root; no file there is for the environment to
        say."""
        self.assertEqual(self.asked("half_cheetah.xml")[0], 200)
        for file in ("no_such.xml", str(self.scratch / "no_such.xml"), "./no_such.xml"):
            self.assertEqual(self.asked(file)[2]["code"], "make_failed")
