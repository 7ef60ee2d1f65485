--- The client with odd environments, and with servers that aren't one.
--
--     lua test_odd.lua URL ODD_URL cjson|dkjson
--
-- The server at URL was started with `--import tests.custom_envs`; ODD_URL is the one that
-- tests/test_lua.py makes. Prints "ok N checks", or what failed first, and then exits with 1.

package.path = (arg[0]:match("^(.*[/\\])") or "./") .. "?.lua;" .. package.path
local url, odd_url, json = arg[1], arg[2], arg[3]
if not json then
  io.stderr:write("usage: lua test_odd.lua URL ODD_URL cjson|dkjson\n")
  os.exit(2)
end

local checks = require("checks")
local check, gives, refuses = checks.check, checks.gives, checks.refuses
local gym = require("gym_http_client")

-- ---- odd environments

local client = assert(gym.new(url, { json = json }))
local nested = client:env_create("CustomNested-v0")
local space = client:env_action_space_info(nested)
gives({ "Dict", "Tuple" }, space.name, space.spaces.pair.name)
local observation = client:env_reset(nested)
gives({ { 0, { x = 0 } } }, observation.pair)
for _ = 1, 3 do
  local sample = client:env_action_space_sample(nested)
  gives({ true }, client:env_action_space_contains(nested, sample))
  gives({ sample }, (client:env_step(nested, sample))) -- which it echoes
  gives({ true }, client:env_observation_space_contains(nested, { value = sample }))
end

local unruly = client:env_create("CustomUnruly-v0")
local unruly_info
observation, unruly_info = client:env_reset(unruly)
gives({ { gym.null, 1e100, -1e100 }, 3 }, observation, #observation)
gives({ { 1.5, gym.null } }, unruly_info.array)
gives({ false }, client:env_observation_space_contains(unruly, { value = observation }))
for _, instance_id in ipairs({ nested, unruly }) do
  gives({ true }, client:env_close(instance_id))
end

-- ---- a server that echoes: what is written is what was meant

local odd = gym.new(odd_url .. "//", { json = json, token = "a-token", timeout = 0.5 })
local function echoed(value)
  local echo, _, _, about = odd:env_step("echo", value)
  return echo, about
end
math.randomseed(1)
for _ = 1, 100 do
  local double = (math.random() - 0.5) * 10 ^ math.random(-300, 300)
  gives({ double }, (echoed(double)))
end
for _, double in ipairs({ 0.1, 1 / 3, 2 ^ 53, 5e-324, 1.7976931348623157e308, -1e22 }) do
  gives({ double }, (echoed(double)))
end
gives({ -math.huge }, 1 / echoed(-1 / math.huge)) -- the sign of -0.0
local largest = math.maxinteger or 2 ^ 53
local _, about = echoed({ largest })
gives({ ('{"action":[%d]}'):format(largest) }, about.body)
for lua, wire in pairs({ [true] = "true", [1] = "1", ["ü\"\\\n/"] = false, [0.5] = "0.5" }) do
  local echo
  echo, about = echoed(lua)
  gives({ lua }, echo)
  check(not wire or about.body == ('{"action":%s}'):format(wire), about.body)
end
for wire, lua in pairs({
  ["[]"] = {}, ["[[],[null]]"] = { {}, { gym.null } }, ['{"a":[]}'] = { a = {} },
  ["{}"] = setmetatable({}, { __jsontype = "object" }),
}) do
  _, about = echoed(lua)
  gives({ ('{"action":%s}'):format(wire) }, about.body)
end
gives({ nil, nil }, getmetatable(echoed({ x = 1 })), getmetatable(echoed({ 1 })))
_, about = echoed(0)
gives({ "Bearer a-token", "application/json", "application/json" }, about.headers.authorization,
  about.headers.accept, about.headers["content-type"])
local _, _, _, about_path = odd:env_step("echo / ü%", 0)
gives({ "/v1/envs/echo%20%2F%20%C3%BC%25/step/" }, about_path.path)

-- ---- null, and what isn't an answer

local nulls = { b = { 1, gym.null, 2, { gym.null } }, c = {}, body = "{}" }
gives({ gym.null, nulls }, odd:env_reset("nulls"))
gives({ gym.null }, (odd:env_step("nulls", 0)))
refuses("timeout", "no answer within", odd:env_info("silent"))
refuses("timeout", "no answer within", odd:env_info("late"))
refuses("connection", "closed", odd:env_info("closed"))
refuses("connection", "closed", odd:env_info("cut"))
refuses("connection", odd_url, odd:env_info("fold")) -- where LuaSocket raises an error
refuses("connection", "no HTTP answer", odd:env_info("ssh"))
refuses("bad_reply", "302", odd:env_info("moved"))
refuses("bad_reply", "502 Bad Gateway: <html>", odd:env_info("proxy"))
refuses("bad_reply", "no JSON object: <html>", odd:env_info("page"))
refuses("bad_reply", "no JSON object: 1", odd:env_info("one"))
refuses("bad_reply", "no 'info'", odd:env_action_space_info("one"))

checks.finish()
