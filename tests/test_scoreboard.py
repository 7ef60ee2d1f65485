"""Gym's rule on small recordings worked out by hand, and the database that keeps the results."""

import sqlite3
import tempfile
import unittest
from dataclasses import asdict
from datetime import datetime, timezone
from functools import partial
from pathlib import Path

import numpy as np
import sqlalchemy as sa
from nose2.tools import params

from gym_http.errors import BadValue, StorageFailed
from gym_http.recording.reader import Recording
from gym_http.scoreboard.score import Score, score
from gym_http.scoreboard.store import Scoreboard
from tests.postgresql import PASSWORD, shared_postgresql
from tests.support import at_once


def recording(rewards, types=None, lengths=None):
    count = len(rewards)
    return Recording(
        env_info={"env_id": "CartPole-v1", "gym_version": "1"},
        initial_reset_timestamp=100.0,
        timestamps=[101.0 + index for index in range(count)],
        episode_lengths=lengths or [10] * count,
        episode_rewards=[float(reward) for reward in rewards],
        episode_types=types or ["t"] * count,
        data_sources=[0] * count,
        videos=[],
    )


class Rule(unittest.TestCase):
    def test_best_window(self):
        got = score(recording([1, 2, 9, 8, 7, 1]), trials=3, reward_threshold=None)
        self.assertEqual(got.mean, 8.0)
        self.assertAlmostEqual(got.error, np.std([9, 8, 7]) / np.sqrt(2))
        self.assertEqual((got.number_episodes, got.number_timesteps), (6, 60))
        self.assertEqual(got.seconds_in_total, 6.0)
        self.assertIsNone(got.episode_t_value)

    def test_solved(self):
        rewards, lengths = [0, 0, 6, 6, 6, 6], [1, 2, 3, 4, 5, 6]
        got = score(recording(rewards, lengths=lengths), trials=2, reward_threshold=6.0)
        self.assertEqual(got.episode_t_value, 2)
        self.assertEqual(got.timestep_t_value, 1 + 2)
        self.assertEqual(got.seconds_to_solve, 3.0)

    def test_never_solved(self):
        got = score(recording([1, 2, 3]), trials=2, reward_threshold=10.0)
        self.assertEqual(
            (got.episode_t_value, got.timestep_t_value, got.seconds_to_solve), (None,) * 3
        )
        self.assertEqual(got.mean, 2.5)

    @params(float("inf"), float("-inf"), float("nan"))
    def test_windows_without_a_mean(self, odd):
        got = score(recording([1, 2, odd, 3, 5]), trials=2, reward_threshold=3.0)
        self.assertEqual((got.mean, got.error), (4.0, 1.0))
        self.assertEqual(got.episode_t_value, 3)
        got = score(recording([odd, odd]), trials=2, reward_threshold=0.0)
        self.assertEqual((got.mean, got.error, got.episode_t_value), (None,) * 3)

    def test_too_few(self):
        got = score(recording([5] * 99), trials=100, reward_threshold=1.0)
        self.assertEqual((got.mean, got.error, got.episode_t_value), (None,) * 3)
        self.assertEqual(got.number_episodes, 99)
        self.assertIsNotNone(score(recording([5] * 100), 100, None).mean)

    def test_evaluation_episodes_do_not_count(self):
        got = score(recording([1, 100, 3], types=["t", "e", "t"]), trials=2, reward_threshold=None)
        self.assertEqual((got.mean, got.number_episodes, got.number_timesteps), (2.0, 2, 20))

    def test_only_evaluation(self):
        got = score(recording([1], types=["e"]), trials=1, reward_threshold=0.0)
        self.assertEqual((got.number_episodes, got.mean, got.seconds_in_total), (0, None, None))

    def test_a_window_of_one(self):
        self.assertEqual(score(recording([1, 2]), trials=1, reward_threshold=None).error, 0.0)


def a_score(mean, episode_t_value=None):
    return Score(200, 4000, 60.0, mean, 0.5, 100, 195.0, episode_t_value, None, None)


class OnAnyDatabase:
    """What holds for each that there is. `again` opens the same one, `elsewhere` a new one."""

    def test_best_first(self):
        for mean, solved in ((10.0, None), (None, None), (30.0, 80), (30.0, 20), (20.0, None)):
            self.board.add("CartPole-v0", "gymnasium", None, "key", a_score(mean, solved))
        self.board.add("Acrobot-v1", "gymnasium", "dqn", "key", a_score(-90.0))
        rows = self.board.ranked("CartPole-v0")
        self.assertEqual(
            [(row["mean"], row["episode_t_value"]) for row in rows],
            [(30.0, 20), (30.0, 80), (20.0, None), (10.0, None), (None, None)],
        )
        self.assertEqual(self.board.ranked("Nothing-v0"), [])

    def test_one_alphabet(self):
        for env_id in ("b-v0", "Z-v0", "ALE/Pong-v5", "a-v0", "Ä-v0"):
            self.board.add(env_id, "gymnasium", None, "key", a_score(1.0))
        names = [row["env_id"] for row in self.board.ranked()]
        self.assertEqual(names, ["ALE/Pong-v5", "Z-v0", "a-v0", "b-v0", "Ä-v0"])

    def test_a_row_is_what_was_put_in(self):
        long = Score(2**40, 2**50, 1e300, -0.1, 0.5, 100, None, 2**33, 2**34, 0.1)
        before = datetime.now(timezone.utc)
        self.board.add("Ä/ö-v0", "gym", "dqn ✓", "key", long)
        (row,) = self.board.ranked()
        after = datetime.now(timezone.utc)
        self.assertEqual({name: row[name] for name in asdict(long)}, asdict(long))
        self.assertEqual((row["env_id"], row["algorithm_id"]), ("Ä/ö-v0", "dqn ✓"))
        self.assertTrue(before <= row["uploaded"] <= after, row["uploaded"])

    def test_survives_its_process(self):
        self.board.add("CartPole-v0", "gym", "dqn", "key", a_score(10.0))
        self.board.close()
        again = self.again()
        again.add("CartPole-v0", "gym", "dqn", "key", a_score(10.0))
        one, two = again.ranked()
        self.assertEqual(one["uploader"], two["uploader"])
        self.assertEqual((one["algorithm_id"], one["engine"]), ("dqn", "gym"))

    def test_servers_that_start_at_once_agree(self):
        boards = [self.again() for _ in range(6)]
        at_once(*(partial(board.add, "X-v0", "gym", None, "key", a_score(1.0)) for board in boards))
        rows = self.board.ranked()
        self.assertEqual((len(rows), len({row["uploader"] for row in rows})), (6, 1))

    def test_many_at_once(self):
        self.board.ranked()
        add = partial(self.board.add, "X-v0", "gym", None, "key", a_score(1.0))
        at_once(*[add] * 8)
        self.assertEqual(len(self.board.ranked()), 8)

    @params("key", "x", "ключ", "a" * 10_000, "with\0nul")
    def test_the_key_is_not_kept(self, key):
        self.board.add("CartPole-v0", "gym", None, key, a_score(10.0))
        (row,) = self.board.ranked()
        self.assertRegex(row["uploader"], "^[0-9a-f]{8}$")
        self.assertNotIn(key, [value for value in row.values() if isinstance(value, str)])

    def test_keys_name_uploaders(self):
        for key in ("mine", "yours", "mine"):
            self.board.add("CartPole-v0", "gym", None, key, a_score(10.0))
        names = [row["uploader"] for row in self.board.ranked()]
        self.assertEqual(names[0], names[2])
        self.assertNotEqual(names[0], names[1])

    def test_hashes_of_two_databases_differ(self):
        names = set()
        for board in (self.board, self.elsewhere()):
            board.add("CartPole-v0", "gym", None, "key", a_score(10.0))
            names.add(board.ranked()[0]["uploader"])
        self.assertEqual(len(names), 2)

    @params("a\0b", "\ud800", "x" * 256)
    def test_what_no_database_holds(self, odd):
        for told in ((odd, "gym", None), ("X-v0", odd, None), ("X-v0", "gym", odd)):
            with self.assertRaisesRegex(BadValue, "^(env_id|engine|algorithm_id) '"):
                self.board.add(*told, "key", a_score(1.0))
        self.assertEqual(self.board.ranked(odd), [])
        self.assertEqual(self.board.ranked(), [])

    def again(self):
        raise NotImplementedError

    def elsewhere(self):
        raise NotImplementedError


class Store(OnAnyDatabase, unittest.TestCase):
    """A file in the data directory."""

    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.data_dir = Path(temporary.name) / "data"
        self.board = self.again()

    def again(self):
        return self.opened(self.data_dir)

    def elsewhere(self):
        return self.opened(self.data_dir / "other")

    def opened(self, *where):
        board = Scoreboard(*where)
        self.addCleanup(board.close)
        return board

    def test_opens_nothing_before_its_first_use(self):
        self.assertFalse(self.data_dir.exists())

    def test_the_key_is_not_in_the_file(self):
        self.board.add("CartPole-v0", "gym", None, "a secret key", a_score(10.0))
        stored = b"".join(path.read_bytes() for path in self.data_dir.iterdir())
        self.assertIn(b"CartPole-v0", stored)
        self.assertNotIn(b"a secret key", stored)

    def test_a_file_elsewhere(self):
        path = self.data_dir / "deep" / "scores.db"
        board = self.opened(Path("/dev/null"), f"sqlite:///{path}")
        board.add("X-v0", "gym", None, "key", a_score(1.0))
        self.assertTrue(path.exists())

    def test_a_file_that_is_no_database(self):
        self.data_dir.mkdir()
        (self.data_dir / "scoreboard.sqlite3").write_text("not a database, but long enough" * 99)
        with self.assertRaisesRegex(StorageFailed, "scoreboard can't be used"):
            self.board.ranked()

    def test_a_directory_that_cannot_be_made(self):
        blocked = Scoreboard(Path("/dev/null/data"))
        with self.assertRaises(StorageFailed):
            blocked.ranked()

    def test_it_is_plain_sqlite(self):
        self.board.add("CartPole-v0", "gym", None, "key", a_score(12.5))
        with sqlite3.connect(self.data_dir / "scoreboard.sqlite3") as connection:
            self.assertEqual(connection.execute("select mean from entries").fetchall(), [(12.5,)])
        connection.close()


class OnPostgreSQL(OnAnyDatabase, unittest.TestCase):
    def setUp(self):
        self.postgresql = shared_postgresql()
        self.name = self.postgresql.new_database()
        self.board = self.again()

    def again(self):
        return self.opened(self.postgresql.url(self.name))

    def elsewhere(self):
        return self.opened(self.postgresql.url(self.postgresql.new_database()))

    def opened(self, url, password_file=None):
        board = Scoreboard(Path("/dev/null"), url, password_file)
        self.addCleanup(board.close)
        return board

    def test_started_anew(self):
        """Connections that it had are broken by that, and made again; scores are kept."""
        self.board.add("X-v0", "gym", None, "key", a_score(1.0))
        self.postgresql.stop()
        try:
            with self.assertRaisesRegex(StorageFailed, "scoreboard can't be used: .*refused"):
                self.board.ranked()
            with self.assertRaisesRegex(StorageFailed, "scoreboard can't be used: .*refused"):
                self.again().ranked()
        finally:
            self.postgresql.start()
        self.board.add("X-v0", "gym", None, "key", a_score(2.0))
        self.assertEqual([row["mean"] for row in self.board.ranked()], [2.0, 1.0])

    def test_a_database_that_knows_no_letters(self):
        """As initdb makes them where no locale is set."""
        name = self.postgresql.new_database("ENCODING 'SQL_ASCII' TEMPLATE template0")
        board = self.opened(self.postgresql.url(name))
        board.add("Ä-v0", "gym", "✓", "key", a_score(1.0))
        (row,) = board.ranked()
        self.assertEqual((row["env_id"], row["algorithm_id"]), ("Ä-v0", "✓"))

    def test_the_drivers_name_may_be_left_out(self):
        plain = self.postgresql.url(self.name).replace("+psycopg", "")
        self.assertEqual(self.opened(plain).ranked(), [])

    def test_a_password_of_its_own_file(self):
        with tempfile.NamedTemporaryFile("w") as file:
            file.write(PASSWORD + "\n")
            file.flush()
            url = self.postgresql.url(self.name, password=None)
            self.assertEqual(self.opened(url, Path(file.name)).ranked(), [])

    def test_a_wrong_password_is_not_told(self):
        wrong = self.opened(self.postgresql.url(self.name, password="wr0ng"))
        with self.assertRaises(StorageFailed) as caught:
            wrong.ranked()
        self.assertIn("password authentication failed", caught.exception.message)
        self.assertNotIn("wr0ng", str(caught.exception))

    def test_a_role_that_may_make_no_tables(self):
        self.board.add("X-v0", "gym", None, "key", a_score(1.0))
        role = f"reader_{self.name}"
        engine = sa.create_engine(self.postgresql.url(self.name))
        with engine.begin() as connection:
            for command in (
                f"CREATE ROLE {role} LOGIN PASSWORD 'reading'",
                f"GRANT SELECT, INSERT ON entries, secret TO {role}",
                f"GRANT USAGE ON SEQUENCE entries_entry_id_seq TO {role}",
            ):
                connection.exec_driver_sql(command)
        engine.dispose()
        url = sa.make_url(self.postgresql.url(self.name)).set(username=role, password="reading")
        least = self.opened(url.render_as_string(hide_password=False))
        least.add("X-v0", "gym", None, "key", a_score(2.0))
        self.assertEqual(len(least.ranked()), 2)
