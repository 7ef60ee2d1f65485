--- The client against a real server: every call, where it succeeds and where it fails.
--
--     lua test_client.lua URL cjson|dkjson [DIRECTORY]
--
-- Prints "ok N checks", or what failed first, and then exits with 1. It ends by shutting the
-- server at URL down. DIRECTORY is one to make, for recordings; without it a temporary one stays.
-- What takes a server or environments of a special make: test_odd.lua.

package.path = (arg[0]:match("^(.*[/\\])") or "./") .. "?.lua;" .. package.path
local url, json = arg[1], arg[2]
if not json then
  io.stderr:write("usage: lua test_client.lua URL cjson|dkjson [DIRECTORY]\n")
  os.exit(2)
end

local checks = require("checks")
local check, gives, refuses = checks.check, checks.gives, checks.refuses
local same, shown = checks.same, checks.shown
local http, socket = require("socket.http"), require("socket")
require(json) -- on Lua 5.1 libraries may make globals; the client doesn't
local globals_before = {}
for name in pairs(_G) do globals_before[name] = true end
local gym = require("gym_http_client")

-- ---- making a client

-- Runs `action` where these modules can't be loaded.
local function without(names, action)
  local hidden = {}
  for _, name in ipairs(names) do
    hidden[name] = package.loaded[name] or false
    package.loaded[name] = nil
    package.preload[name] = function() error("hidden") end
  end
  action()
  for name, module in pairs(hidden) do
    package.loaded[name], package.preload[name] = module or nil, nil
  end
end

if json == "cjson" then
  require("cjson").decode_max_depth(1) -- a program's own business, which must not reach the client
end
http.TIMEOUT = 1e-9 -- likewise

local client, why = gym.new(url .. "/", { json = json })
check(client, why)
gives({ url }, client.remote_base)

refuses("bad_value", "http://", gym.new("127.0.0.1:5000"))
refuses("bad_value", "http://", gym.new())
refuses("bad_value", "timeout", gym.new(url, { timeout = -1 }))
refuses("bad_value", "unknown option tokn", gym.new(url, { tokn = "x" }))
refuses("missing_library", "no JSON library simplejson", gym.new(url, { json = "simplejson" }))
without({ "cjson", "dkjson" }, function()
  refuses("missing_library", "luarocks install lua-cjson", gym.new(url))
end)
without({ json == "cjson" and "dkjson" or "cjson" }, function()
  check(gym.new(url), "the other JSON library isn't needed")
end)
without({ "ssl.https" }, function()
  refuses("missing_library", "LuaSec", gym.new("https://127.0.0.1:5000"))
  local settings, timeout, at_connect
  package.loaded["ssl.https"] = nil -- Lua 5.1 remembers that it failed
  package.preload["ssl.https"] = function() -- a LuaSec whose sockets are plain ones
    local function open()
      local sock = socket.tcp()
      local function settimeout(_, seconds)
        timeout = seconds
        return sock:settimeout(seconds)
      end
      local function connect(_, ...)
        at_connect = timeout
        sock:settimeout(1e-9) -- LuaSec sets its own here
        return sock:connect(...)
      end
      local function forward(_, name) return function(_, ...) return sock[name](sock, ...) end end
      local names = { ["2.5.29.17"] = { iPAddress = { "127.0.0.1" } } }
      local function getpeercertificate() return { extensions = function() return names end } end
      local own = {
        settimeout = settimeout, connect = connect, getpeercertificate = getpeercertificate,
      }
      return setmetatable(own, { __index = forward })
    end
    return { tcp = function(tls) settings = tls return open end }
  end
  local secure = gym.new((url:gsub("^http:", "https:")), { json = json, tls = { verify = "peer" } })
  gives({ { verify = "peer" } }, settings)
  gives({ {} }, secure:env_list_all())
  gives({ 60, 60 }, at_connect, timeout) -- and not http.TIMEOUT
end)

-- ---- instances

local cart, warning = client:env_create("CartPole-v1", { seed = 3 })
check(type(cart) == "string" and warning == nil, tostring(warning))
gives({ { [cart] = "CartPole-v1" } }, client:env_list_all())

local info = client:env_info(cart)
gives({ "CartPole-v1", "gymnasium", 0, 0 }, info.env_id, info.engine, info.steps, info.episodes)
gives({ nil, nil }, info.last_episode_return, info.monitor) -- null

local old
old, warning = client:env_create("Pendulum-v0")
check(old and warning:find("Pendulum-v1", 1, true), "a warning for a retired id")
gives({ true }, client:env_close(old))
refuses("unknown_instance", old .. " unknown", client:env_close(old))

refuses("malformed_env_id", "'NoSuch-v0'", client:env_create("NoSuch-v0"))
refuses("missing_parameter", "'env_id'", client:env_create())
refuses("bad_value", "'nope'", client:env_create("CartPole-v1", { engine = "nope" }))
refuses("bad_value", "'human'", client:env_create("CartPole-v1", { render_mode = "human" }))
refuses("bad_value", "unknown option sed", client:env_create("CartPole-v1", { sed = 1 }))
refuses("bad_value", "expected a table", client:env_create("CartPole-v1", 1))
refuses("make_failed", " (TypeError)", client:env_create("CartPole-v1", { kwargs = { no = 1 } }))
check(client:env_create("CartPole-v1", { kwargs = {}, engine = "gymnasium" }), "empty kwargs")

for _, call in ipairs({
  "env_info", "env_close", "env_reset", "env_step", "env_rollout", "env_render",
  "env_action_space_info", "env_action_space_sample", "env_action_space_contains",
  "env_observation_space_info", "env_observation_space_contains", "env_monitor_start",
  "env_monitor_close",
}) do
  local argument = call == "env_step" and 0 or call == "env_monitor_start" and "/tmp" or {}
  refuses("unknown_instance", "_id no such?ü unkn", client[call](client, "no such?ü", argument))
end

-- ---- an episode: Discrete actions, a Box observed

refuses("reset_needed", "not been reset", client:env_step(cart, 0))
refuses("reset_needed", "not been reset", client:env_render(cart))
local first, reset_info = client:env_reset(cart, { seed = 1 })
gives({ 4, {} }, #first, reset_info)
gives({ first, {} }, client:env_reset(cart, { seed = 1 }))
check(not same(first, (client:env_reset(cart, { seed = 2 }))), "another seed, another observation")
local near = client:env_reset(cart, { options = { low = 0.01, high = 0.0100001 } })
check(math.abs(near[1] - 0.01) < 1e-6 and math.abs(near[4] - 0.01) < 1e-6, shown(near))
check(client:env_reset(cart, { options = {} }), "empty options")
refuses("bad_value", "seed", client:env_reset(cart, { seed = -1 }))
refuses("bad_value", "unknown option sed", client:env_reset(cart, { sed = 1 }))

local observation, reward, done, step_info, terminated, truncated = client:env_step(cart, 1)
gives({ 4, 1, false, {}, false, false },
  #observation, reward, done, step_info, terminated, truncated)
gives({ 1 }, client:env_info(cart).steps)
check(client:env_step(cart, 1.0), "1.0 is an integer")
check(client:env_step(cart, 0, true), "v1's render")
check(client:env_step(cart, 0, { render = true }), "render as an option")
refuses("bad_value", "unknown option rendr", client:env_step(cart, 0, { rendr = true }))
refuses("missing_parameter", "'action'", client:env_step(cart))
refuses("bad_value", "got 2", client:env_step(cart, 2))
refuses("bad_value", "got []", client:env_step(cart, {}))
refuses("bad_value", "NaN", client:env_step(cart, 0 / 0))
refuses("bad_value", "Infinity", client:env_step(cart, { -math.huge }))
refuses("bad_value", "a function", client:env_step(cart, print))
refuses("bad_value", "hole", client:env_step(cart, { 1, nil, 3 }))
refuses("bad_value", "hole", client:env_step(cart, { [0] = 1, [2] = 1 }))
local both = setmetatable({ 1, x = 2 }, { __jsontype = "object" })
refuses("bad_value", "both names", client:env_step(cart, both))
local endless = {}
endless[1] = endless
refuses("bad_value", "too deeply", client:env_step(cart, endless))
repeat
  observation, reward, done, step_info, terminated, truncated = client:env_step(cart, 0)
until done ~= false
gives({ true, true, false }, done, terminated, truncated)
refuses("reset_needed", "ended", client:env_step(cart, 0))

local short = client:env_create("CartPole-v1", { max_episode_steps = 1 })
client:env_reset(short)
observation, reward, done, step_info, terminated, truncated = client:env_step(short, 0)
gives({ true, false, true }, done, terminated, truncated)

local many = client:env_create("CartPole-v1", { num_envs = 2, autoreset = "same_step" })
gives({ 2, "same_step" }, client:env_info(many).num_envs, client:env_info(many).autoreset)
observation = client:env_reset(many, { seed = 3 })
gives({ 2, 4 }, #observation, #observation[1])
observation, reward, done, step_info, terminated, truncated = client:env_step(many, { 0, 1 })
gives({ 2, { 1, 1 }, { false, false } }, #observation, reward, done)
gives({ { false, false }, { false, false } }, terminated, truncated)
client:env_close(many)

local roll = client:env_create("CartPole-v1", { seed = 3 })
refuses("reset_needed", "not been reset", client:env_rollout(roll, { 0 }))
client:env_reset(roll)
refuses("bad_value", "actions[2]", client:env_rollout(roll, { 0, 1, 2 }))
refuses("bad_value", "unknown option smple", client:env_rollout(roll, nil, { smple = 2 }))
gives({ 0 }, client:env_info(roll).steps)
local made = client:env_rollout(roll, { 0, 1, 0 })
gives({ 3, { 1, 1, 1 }, { false, false, false }, 4 },
  made.steps, made.rewards, made.done, #made.observations[3])
gives({ { steps = 1 } }, client:env_rollout(roll, { 1 }, { fields = {} }))
made = client:env_rollout(roll, nil, { sample = 200, on_done = "reset", fields = { "actions" } })
gives({ 200, 200, nil }, made.steps, #made.actions, made.rewards)

-- ---- snapshots

refuses("reset_needed", "not been reset", client:env_snapshot(client:env_create("Pendulum-v1")))
local swing = client:env_create("Pendulum-v1")
client:env_reset(swing)
client:env_step(swing, { 0.1 })
local snapshot_id = client:env_snapshot(swing)
local kept = client:env_snapshot_get(swing, snapshot_id)
refuses("unknown_snapshot", "unknown", client:env_snapshot_get(swing, "no such?ü"))
refuses("bad_value", "", client:env_create("Pendulum-v1", { snapshot_id = snapshot_id }))
local copies = {
  client:env_create(nil, { snapshot_id = snapshot_id }),
  client:env_create(nil, { snapshot = kept }),
}
local next_one = client:env_step(swing, { 0.7 })
gives({ next_one }, (client:env_step(copies[1], { 0.7 })))
gives({ next_one }, (client:env_step(copies[2], { 0.7 })))

-- ---- spaces

gives({ { name = "Discrete", n = 2, start = 0, dtype = "int64" } }, client:env_action_space_info(cart))
gives({ "Box", { 4 } }, client:env_observation_space_info(cart).name,
  client:env_observation_space_info(cart).shape)
local action = client:env_action_space_sample(cart)
check(action == 0 or action == 1, shown(action))
for _, member in ipairs({ 0, 1, 1.0 }) do
  gives({ true }, client:env_action_space_contains(cart, member))
end
for _, other in ipairs({ 2, 0.5, true, false, {}, "a/b?c=%20&ü\"", { x = 1 }, gym.null }) do
  gives({ false }, client:env_action_space_contains(cart, other))
end
gives({ false }, client:env_action_space_contains(cart, nil))
refuses("bad_value", "NaN", client:env_action_space_contains(cart, 0 / 0))

gives({ true }, client:env_observation_space_contains(cart, {}))
gives({ true }, client:env_observation_space_contains(cart, { name = "Box", shape = { 4 } }))
gives({ false }, client:env_observation_space_contains(cart, { nothing = 1 }))
gives({ true }, client:env_observation_space_contains(cart, { value = first }))
gives({ false }, client:env_observation_space_contains(cart, { value = { 1, gym.null, 3, 4 } }))
gives({ false }, client:env_observation_space_contains(cart, { value = gym.null }))
refuses("invalid_json", "not a valid json", client:env_observation_space_contains(cart))
refuses("bad_value", "NaN", client:env_observation_space_contains(cart, { value = 0 / 0 }))

local pendulum = client:env_create("Pendulum-v1")
client:env_reset(pendulum, { seed = 1 })
gives({ { 1 }, { -2 }, { 2 } }, client:env_action_space_info(pendulum).shape,
  client:env_action_space_info(pendulum).low, client:env_action_space_info(pendulum).high)
gives({ true }, client:env_action_space_contains(pendulum, { 0.5 }))
gives({ false }, client:env_action_space_contains(pendulum, { 2.5 }))
observation, reward, done = client:env_step(pendulum, client:env_action_space_sample(pendulum))
check(#observation == 3 and reward < 0 and done == false, shown(observation))
refuses("bad_value", "got []", client:env_step(pendulum, {}))
check(client:env_step(pendulum, 0.5), "a bare number for a Box of one")

local blackjack = client:env_create("Blackjack-v1")
local hand = client:env_reset(blackjack, { seed = 1 })
gives({ 3, "Tuple" }, #hand, client:env_observation_space_info(blackjack).name)
gives({ true }, client:env_observation_space_contains(blackjack, { value = hand }))
gives({ false }, client:env_observation_space_contains(blackjack, { value = { 20, 7 } }))

local lake = client:env_create("FrozenLake-v1",
  { kwargs = { is_slippery = false, desc = { "SF", "HG" } }, render_mode = "ansi" })
gives({ 0 }, (client:env_reset(lake)))
refuses("bad_value", "got 4", client:env_step(lake, 4))
observation, reward, done, step_info = client:env_step(lake, 2)
gives({ 1, 0, false, { prob = 1 } }, observation, reward, done, step_info)
observation, reward, done = client:env_step(lake, 1)
gives({ 3, 1, true }, observation, reward, done)

-- ---- frames

local frame, content_type = client:env_render(cart)
check(frame:sub(1, 8) == "\137PNG\r\n\26\n", "a PNG")
gives({ "image/png" }, content_type)
frame, content_type = client:env_render(lake)
check(frame:find("G", 1, true) and content_type:find("^text/plain"), frame)

-- ---- recordings and scores

local directory = arg[3] or os.tmpname()
os.remove(directory) -- tmpname has made a file

-- Records one episode; says what the server then finds in the directory.
local function episodes_after(...)
  gives({ true }, client:env_monitor_start(blackjack, directory, ...))
  gives({ directory }, client:env_info(blackjack).monitor)
  client:env_reset(blackjack)
  repeat
    observation, reward, done = client:env_step(blackjack, 0)
  until done ~= false
  refuses("recording_open", directory, client:upload(directory, "lua-count", "a key"))
  gives({ true }, client:env_monitor_close(blackjack))
  gives({ nil }, client:env_info(blackjack).monitor)
  gives({ true }, client:upload(directory, "lua-count", "a key"))
  local newest = { entry_id = 0 }
  for _, entry in ipairs(client:scoreboard("Blackjack-v1")) do
    if entry.entry_id > newest.entry_id then newest = entry end
  end
  gives({ "Blackjack-v1", "lua-count", nil }, newest.env_id, newest.algorithm_id, newest.mean)
  return newest.number_episodes
end

refuses("bad_directory", directory, client:upload(directory, "lua-test", "a key"))
gives({ 1 }, episodes_after())
refuses("recording_exists", directory, client:env_monitor_start(blackjack, directory))
gives({ 2 }, episodes_after({ resume = true }))
gives({ 3 }, episodes_after(false, true, false)) -- as v1's clients call it
gives({ 1 }, episodes_after({ force = true, resume = false, video_callable = false }))
gives({ 1 }, episodes_after(true, false, false))
refuses("missing_parameter", "'directory'", client:env_monitor_start(blackjack))
local misspelt = { forc = true }
refuses("bad_value", "option forc", client:env_monitor_start(blackjack, directory, misspelt))
local film = { force = true, video_callable = 0 } -- refused, so it arrived
refuses("bad_value", "video_call", client:env_monitor_start(blackjack, directory, film))
refuses("bad_value", "video_call", client:env_monitor_start(blackjack, directory, true, false, 0))
gives({ true }, client:env_monitor_close(blackjack)) -- none is open

local variables = {}
os.getenv = function(name) return variables[name] end -- luacheck: ignore
local function uploader(...)
  gives({ true }, client:upload(directory, ...))
  local entries = client:scoreboard()
  table.sort(entries, function(one, other) return one.entry_id > other.entry_id end)
  return entries[1].uploader, entries[1].algorithm_id
end
refuses("missing_parameter", "'training_dir'", client:upload())
refuses("missing_parameter", "'api_key'", client:upload(directory))
refuses("bad_value", "unknown option key", client:upload(directory, { key = "one" }))
local one, two = uploader("lua-test", "one"), uploader("lua-test", "two")
check(one ~= two, "two keys, two uploaders")
variables.OPENAI_GYM_API_KEY = "one"
gives({ one, nil }, uploader())
variables.GYM_HTTP_API_KEY = "two"
gives({ two, "lua-test" }, uploader("lua-test"))
gives({ two }, (uploader({ api_key = "" })))
gives({ one, "lua-test" }, uploader({ algorithm_id = "lua-test", api_key = "one" }))
gives({ {} }, client:scoreboard("no such&env_id=Blackjack-v1"))

-- ---- the registry

local function in_registry(engine)
  local rows = {}
  for _, row in ipairs(assert(client:registry(engine))) do
    rows[row.engine .. " " .. row.env_id] = row
  end
  return rows
end
local cart_row = in_registry()["gymnasium CartPole-v1"]
gives({ 500, 475 }, cart_row.max_episode_steps, cart_row.reward_threshold)
gives({ nil }, in_registry("gymnasium")["gymnasium Blackjack-v1"].reward_threshold) -- null
for _, row in pairs(in_registry("gymnasium")) do gives({ "gymnasium" }, row.engine) end
refuses("bad_value", "'nope'", client:registry("nope"))

-- ---- nobody there

local silent = assert(socket.bind("127.0.0.1", 0))
local _, port = silent:getsockname()
local waiting = gym.new("http://127.0.0.1:" .. port, { json = json, timeout = 0.2 })
local asked = socket.gettime()
refuses("timeout", "no answer within 0.2 s", waiting:env_list_all())
refuses("timeout", "no answer within 0.2 s", waiting:env_reset("x"))
check(socket.gettime() - asked < 5, "a timeout comes in time")
silent:close()
refuses("connection", "refused", waiting:env_create("CartPole-v1"))

-- ---- the end

gives({ true }, client:shutdown_server())
local deadline, code = socket.gettime() + 20, nil
repeat
  socket.sleep(0.05)
  _, _, code = client:env_list_all()
until code == "connection" or socket.gettime() > deadline
gives({ "connection" }, code)

for name in pairs(_G) do check(globals_before[name], "a global appeared: " .. tostring(name)) end
gives({ 1e-9 }, http.TIMEOUT)
checks.finish()
