"""The scoreboard that replaces OpenAI's: `score` is Gym's rule, `store` the database."""
