"""The image, built and run: `make container-test`, with Docker or Podman. No part of `make test`:
it needs one of them, and packages from the network.
"""

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import unittest
import uuid
from pathlib import Path

from gym_http_client import Client
from tests.support import ROOT, eventually

TOOL = os.environ.get("CONTAINER") or shutil.which("docker") or shutil.which("podman") or "docker"
EXTRAS = os.environ.get("EXTRAS") or "postgres"
IMAGE = "gym-http-test"
TOKEN = "a token of sixteen letters".replace(" ", "-")
# What compose.yaml gives it.
HARDENED = (
    "--read-only",
    "--tmpfs=/tmp",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
    "--pids-limit=4096",
)
# A line for each process: its id, state, parent's id, name.
PROCESSES = """
import glob
for path in glob.glob('/proc/[0-9]*/stat'):
    before, after = open(path).read().rsplit(') ', 1)
    pid, name = before.split(' (', 1)
    print(pid, *after.split()[:2], name.replace(' ', '_'))
"""


def tool(*arguments, check=True, timeout_s=60):
    """Its output goes by files: Podman's monitor of a container keeps what it was given open."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        command = [TOOL, *arguments]
        ended = subprocess.run(command, stdout=out, stderr=err, cwd=ROOT, timeout=timeout_s)
        for file in (out, err):
            file.seek(0)
        ended.stdout, ended.stderr = out.read(), err.read()
    if check and ended.returncode:
        raise AssertionError(f"{' '.join(command)}: {ended.stdout}{ended.stderr}")
    return ended


class Image(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        # Podman's own form of images has no health check.
        form = ["--format=docker"] if Path(TOOL).name == "podman" else []
        tool("build", *form, "--tag", IMAGE, "--build-arg", f"EXTRAS={EXTRAS}", ".", timeout_s=1800)

    def inside(self, *command):
        return tool("run", "--rm", "--entrypoint", command[0], IMAGE, *command[1:])

    @contextlib.contextmanager
    def container(self, *options):
        """Runs with a token and a volume of its own. Gives (its name, its URL)."""
        name = f"gym-http-test-{uuid.uuid4().hex[:8]}"
        with tempfile.TemporaryDirectory() as directory:
            secret = Path(directory) / "token"
            secret.write_text(TOKEN)
            secret.chmod(0o644)
            try:
                tool(
                    "run", "--detach", "--name", name, *HARDENED, "--publish=127.0.0.1::5000",
                    f"--volume={name}:/data", f"--volume={secret}:/run/secrets/token:ro",
                    "--env=GYM_HTTP_TOKEN_FILE=/run/secrets/token", *options, IMAGE,
                )  # fmt: skip
                tool("exec", name, "gym-http", "health", "--wait", "60")
                published = tool("port", name, "5000").stdout.split()[-1]
                yield name, f"http://{published}"
            finally:
                tool("rm", "--force", name, check=False)
                tool("volume", "rm", "--force", name, check=False)

    def test_no_compiler_and_no_tool_is_left(self):
        found = self.inside(
            "sh", "-c", "command -v gcc uv; ls -d /src /opt/uv; ls /var/lib/apt/lists; true"
        )
        self.assertEqual(found.stdout, "")
        code = "import importlib.util as util; print(util.find_spec('setuptools'))"
        self.assertEqual(self.inside("python", "-c", code).stdout, "None\n")

    def test_what_is_installed_is_what_is_locked(self):
        lock = (ROOT / "uv.lock").read_text()
        listed = self.inside(
            "/opt/gym-http/bin/python", "-c",
            "import importlib.metadata as m, re\n"
            "for d in m.distributions(): print(re.sub('[-_.]+', '-', d.name).lower(), d.version)",
        )  # fmt: skip
        pins = dict(line.split() for line in listed.stdout.splitlines())
        pins.pop("gym-http")
        self.assertGreater(len(pins), 15)
        for name, version in pins.items():
            self.assertIn(f'name = "{name}"\nversion = "{version}"\n', lock)

    def test_without_a_token(self):
        ended = tool("run", "--rm", IMAGE, check=False)
        self.assertNotEqual(ended.returncode, 0)
        self.assertIn("--token", ended.stderr)

    def test_its_user_may_write_to_its_data_only(self):
        found = self.inside(
            "sh", "-c",
            "id -u; for at in / /data /opt /opt/gym-http/bin /etc /usr/local/bin /home /var; do "
            "touch $at/x 2>/dev/null && echo $at; done; true",
        )  # fmt: skip
        self.assertEqual(found.stdout.split(), ["10001", "/data"])

    def test_an_episode(self):
        with self.container() as (name, url):
            self.assertNotIn(TOKEN, tool("logs", name).stderr)
            with Client(url, token=TOKEN) as client:
                for more in ({}, {"backend": "process"}, {"num_envs": 2, "vectorization": "async"}):
                    env = client.env_create("CartPole-v1", seed=1, **more)
                    client.env_monitor_start(env, "/data/recordings", resume=True)
                    client.env_reset(env)
                    client.env_rollout(env, sample=200)
                    client.env_close(env)
            for line in tool("logs", name).stderr.splitlines():
                json.loads(line)
            found = tool("exec", name, "ls", "/data/recordings").stdout
            self.assertIn("openaigym.manifest", found)

    def test_it_takes_in_what_is_left_behind(self):
        """Process 1 has every orphan for a child; when they end, nothing stays of them."""
        with self.container() as (name, url), Client(url, token=TOKEN) as client:
            for _ in range(3):
                client.env_reset(client.env_create("CartPole-v1", backend="process"))
            client.env_create("CartPole-v1", num_envs=2, vectorization="async")
            rows = self.processes(name)
            self.assertGreater(len(rows), 8)
            self.assertEqual(rows[0][3], "tini")
            main = next(row[0] for row in rows if row[2] == "1")
            worker = next(row[0] for row in rows if row[2] == main)
            tool("exec", name, "python", "-c", f"import os; os.kill({worker}, 9)")
            eventually(lambda: len(self.processes(name)) <= 4)
            eventually(lambda: "Z" not in {row[1] for row in self.processes(name)})
            tool("exec", name, "gym-http", "health", "--wait", "20")

    def processes(self, name):
        told = tool("exec", name, "python", "-c", PROCESSES).stdout
        return sorted((line.split() for line in told.splitlines()), key=lambda row: int(row[0]))

    def test_it_ends_in_order(self):
        """SIGTERM reaches it, and recordings are finished."""
        with self.container() as (name, url):
            with Client(url, token=TOKEN) as client:
                env = client.env_create("CartPole-v1")
                client.env_monitor_start(env, "/data/recordings")
                client.env_reset(env)
                client.env_rollout(env, sample=100)
            tool("stop", "--time", "20", name)
            state = json.loads(tool("inspect", name).stdout)[0]["State"]
            self.assertEqual(state["ExitCode"], 0)
            self.assertIn("stopping", tool("logs", name).stderr)
            found = tool(
                "run", "--rm", f"--volume={name}:/data", "--entrypoint", "ls", IMAGE,
                "/data/recordings",
            )  # fmt: skip
            self.assertIn("openaigym.manifest", found.stdout)

    def test_it_knows_whether_it_is_well(self):
        with self.container() as (name, _):
            image = json.loads(tool("inspect", IMAGE).stdout)[0]
            health = image["Config"].get("Healthcheck") or image["Healthcheck"]  # Podman's place
            self.assertEqual(health["Test"], ["CMD", "gym-http", "health"])
            ended = tool("exec", "--env=GYM_HTTP_PORT=1", name, "gym-http", "health", check=False)
            self.assertEqual(ended.returncode, 1)

    @unittest.skipUnless("mujoco" in EXTRAS, "EXTRAS=mujoco")
    def test_mujoco_draws(self):
        with self.container() as (_, url), Client(url, token=TOKEN) as client:
            env = client.env_create("Ant-v5", render_mode="rgb_array")
            client.env_reset(env)
            self.assertEqual(client.env_render(env)[:4], b"\x89PNG")


if __name__ == "__main__":
    unittest.main()
