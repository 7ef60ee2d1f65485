#!/usr/bin/env lua
--- A random agent on a running server: 100 episodes, recorded, then scored.
--
--     python gym_http_server.py &
--     lua binding-lua/example_agent.lua [--url URL] [--token TOKEN] [--env-id ID] \
--         [--episodes N] [--directory DIR]
--
-- TOKEN is the server's, by default the variable GYM_HTTP_TOKEN. DIR is where the server records; by
-- default a new temporary directory, which stays.

package.path = (arg[0]:match("^(.*[/\\])") or "./") .. "?.lua;" .. package.path
local gym = require("gym_http_client")

local ALGORITHM_ID = "random-agent"

local function exit_with(text)
  io.stderr:write(text, "\n")
  os.exit(1)
end

local function read_options(arguments)
  local options = { url = "http://127.0.0.1:5000", ["env-id"] = "CartPole-v1", episodes = 100 }
  local known = { url = true, token = true, ["env-id"] = true, episodes = true, directory = true }
  for index = 1, #arguments, 2 do
    local name, value = arguments[index]:match("^%-%-(.+)$"), arguments[index + 1]
    if not known[name] or not value then exit_with("what is " .. arguments[index] .. "?") end
    options[name] = value
  end
  options.episodes = tonumber(options.episodes)
  if not options.episodes then exit_with("--episodes takes a number") end
  if not options.directory then
    options.directory = os.tmpname()
    os.remove(options.directory) -- it is a file; the server makes the directory
  end
  return options
end

-- The results of a call that can't be done without. (`assert` would add a line number.)
local function must(...)
  if (...) == nil then error((select(2, ...)), 0) end
  return ...
end

-- Acts at random until so many episodes have ended.
local function play(client, instance_id, episodes)
  for episode = 1, episodes do
    must(client:env_reset(instance_id))
    local done = false
    while not done do
      local action = must(client:env_action_space_sample(instance_id))
      local _
      _, _, done = must(client:env_step(instance_id, action))
    end
    io.stderr:write(("\r%d/%d episodes"):format(episode, episodes))
  end
  io.stderr:write("\n")
end

local function line(entry)
  local score = ("no score: that takes %d episodes"):format(entry.trials)
  if entry.mean then
    score = ("best %d-episode mean %.2f ± %.2f"):format(entry.trials, entry.mean, entry.error)
  end
  return ("%s: %s, %d episodes, %d steps, by %s (%s)"):format(entry.env_id, score,
    entry.number_episodes, entry.number_timesteps, entry.algorithm_id, entry.uploader)
end

-- Plays with the monitor on, uploads, and prints the line that the scoreboard got.
local function run(client, env_id, episodes, directory)
  local instance_id = must(client:env_create(env_id))
  local fine, problem = pcall(function()
    must(client:env_monitor_start(instance_id, directory, { force = true }))
    play(client, instance_id, episodes)
  end)
  client:env_close(instance_id) -- which ends the recording, too
  if not fine then error(problem, 0) end
  local key = os.getenv("GYM_HTTP_API_KEY")
  if key == nil or key == "" then key = "example" end
  must(client:upload(directory, ALGORITHM_ID, key))
  local mine
  for _, entry in ipairs(must(client:scoreboard())) do
    local newer = not mine or entry.entry_id > mine.entry_id
    if entry.algorithm_id == ALGORITHM_ID and newer then mine = entry end
  end
  print(line(mine))
end

local options = read_options(arg)
local client, problem = gym.new(options.url, { token = options.token })
if not client then exit_with(problem) end
local _, message, code = client:env_list_all()
if code == "connection" then
  exit_with(("nothing answers at %s; is the server running? (make serve)"):format(options.url))
end
if code then exit_with(message) end
local fine
fine, problem = pcall(run, client, options["env-id"], options.episodes, options.directory)
if not fine then exit_with("the server refused: " .. tostring(problem)) end
