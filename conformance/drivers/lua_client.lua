-- Drives the Lua client: lua lua_client.lua [cjson|dkjson], which the client uses. The driver itself
-- reads and writes by dkjson.

local here = arg[0]:match("^(.*)/[^/]*$") or "."
package.path = here .. "/../../binding-lua/?.lua;" .. package.path
local gym = require("gym_http_client")
local json = require("dkjson")
local client

-- A number with all its digits, of which dkjson writes 14.
local function written(number)
  if number ~= number then return "NaN" end
  if number == math.huge then return "Infinity" end
  if number == -math.huge then return "-Infinity" end
  local text = math.type and math.type(number) == "integer" and ("%d"):format(number)
  local function as_text() return text or ("%.17g"):format(number) end
  return setmetatable({}, { __tojson = as_text })
end

-- What the client gives, for dkjson to write: its null is another.
local function outgoing(value)
  if value == gym.null then return json.null end
  if type(value) == "number" then return written(value) end
  if type(value) ~= "table" then return value end
  local copy = {}
  for key, item in pairs(value) do copy[key] = outgoing(item) end
  return copy
end

local function without(arguments, ...)
  for _, name in ipairs({ ... }) do arguments[name] = nil end
  return next(arguments) ~= nil and arguments or nil
end

-- How each call's arguments are passed where they aren't (instance_id, options), and what it gives
-- where that isn't one value.
local CALLS = {}

function CALLS.env_create(given)
  local env_id = given.env_id ~= gym.null and given.env_id or nil
  return client:env_create(env_id, without(given, "env_id"))
end
function CALLS.env_list_all() return client:env_list_all() end
function CALLS.env_info(given) return client:env_info(given.instance_id) end
function CALLS.env_close(given) return client:env_close(given.instance_id) end
function CALLS.env_snapshot(given) return client:env_snapshot(given.instance_id) end
function CALLS.env_snapshot_get(given)
  return client:env_snapshot_get(given.instance_id, given.snapshot_id)
end
function CALLS.env_reset(given)
  local observation, info, code =
    client:env_reset(given.instance_id, without(given, "instance_id", "with_info"))
  if observation == nil then return nil, info, code end
  return { observation = observation, info = info }
end
function CALLS.env_step(given)
  local observation, reward, done, info, terminated, truncated =
    client:env_step(given.instance_id, given.action, given.render)
  if observation == nil then return nil, reward, done end
  return {
    observation = observation, reward = reward, done = done, info = info,
    terminated = terminated, truncated = truncated,
  }
end
function CALLS.env_rollout(given)
  return client:env_rollout(given.instance_id, given.actions, without(given, "instance_id", "actions"))
end
function CALLS.env_render(given)
  local frame, kind, code = client:env_render(given.instance_id)
  if not frame then return nil, kind, code end
  if kind:find("^text/") then return frame end
  return { base64 = (require("mime").b64(frame)) }
end
function CALLS.env_action_space_info(given) return client:env_action_space_info(given.instance_id) end
function CALLS.env_action_space_sample(given)
  return client:env_action_space_sample(given.instance_id)
end
function CALLS.env_action_space_contains(given)
  return client:env_action_space_contains(given.instance_id, given.x)
end
function CALLS.env_observation_space_info(given)
  return client:env_observation_space_info(given.instance_id)
end
function CALLS.env_observation_space_contains(given)
  return client:env_observation_space_contains(given.instance_id, given.params)
end
function CALLS.env_monitor_start(given)
  return client:env_monitor_start(
    given.instance_id, given.directory, without(given, "instance_id", "directory"))
end
function CALLS.env_monitor_close(given) return client:env_monitor_close(given.instance_id) end
function CALLS.upload(given)
  return client:upload(given.training_dir, without(given, "training_dir"))
end
function CALLS.scoreboard(given) return client:scoreboard(given.env_id) end
function CALLS.registry(given) return client:registry(given.engine) end
function CALLS.shutdown_server() return client:shutdown_server() end

local function answer(asked)
  local given = asked.arguments
  if asked.call == "new_client" then
    local problem
    client, problem = gym.new(given.url, { token = given.token, json = arg[1] })
    return client and { value = true } or { error = { code = "bad_value", message = problem } }
  end
  if not CALLS[asked.call] then return { unsupported = true } end
  local value, message, code = CALLS[asked.call](given)
  if value == nil then return { error = { code = code, message = message } } end
  return { value = outgoing(value) }
end

for line in io.lines() do
  local text = json.encode(answer((json.decode(line, 1, gym.null))))
  io.write(text, "\n")
  io.flush()
end
