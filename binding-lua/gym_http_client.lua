--- A thin client of gym-http: one method an endpoint. This file alone, with LuaSocket and either
-- lua-cjson or dkjson, is enough. It runs on Lua 5.1 to 5.4 and LuaJIT.
--
--     local gym = require("gym_http_client")
--     local client = assert(gym.new("http://127.0.0.1:5000"))
--     local instance_id = assert(client:env_create("CartPole-v1"))
--     local observation = client:env_reset(instance_id)
--     local observation, reward, done, info = client:env_step(instance_id, 1)
--     client:env_close(instance_id)
--
-- What fails returns nil, a message, and a code: the server's, such as "unknown_instance", or
--   "connection"  nothing answered, or it stopped in the middle
--   "timeout"     no answer in time
--   "bad_value"   an argument has no JSON form, or an option isn't one (the server's code, too)
--   "bad_reply"   something else than a gym-http server answered, such as a proxy
--
-- Resets, steps and rollouts are numbered, so that the server does each once, however often it comes.
-- Where a connection breaks, they are sent again; other calls aren't. Where one of them fails as
-- "connection" or "timeout" all the same, nobody knows whether it was done. Make the same call again:
-- it is done now, or it was, and gets its answer. Another call instead is refused as
-- "out_of_sequence" if that one was done, and only the call after it is free again. (A process that
-- forks makes a new client in its child.)
--
-- JSON's null is nil, as a missing key is. In an array, where nil would be a hole, and for a whole
-- observation, where nil would be a failure, it is gym.null. (The server writes NaN as null.)
-- An empty table is written [], which the server takes for an empty object where it expects one;
-- inside `kwargs`, setmetatable({}, {__jsontype = "object"}) is written {}.

local http = require("socket.http")
local ltn12 = require("ltn12")
local socket = require("socket")

local gym = {}
local Client = {}
Client.__index = Client

gym.null = setmetatable({}, { __tostring = function() return "null" end })

-- ---- JSON: the library reads, and quotes strings; arrays, objects and numbers are written here.
-- The libraries write 14 digits of a double (dkjson always, lua-cjson 2.1.0 at most), which is
-- another double, and they don't agree on the empty table.

local ADAPTERS = {
  cjson = function(cjson)
    local own = cjson.new() -- with its own settings, whatever the program does to cjson's
    return { null = own.null, quote = own.encode, decode = own.decode }
  end,
  dkjson = function(dkjson)
    local function decode(text)
      local value, _, problem = dkjson.decode(text, 1, gym.null, nil, nil) -- nil: no metatables
      if problem then error(problem, 0) end
      return value
    end
    return { null = gym.null, quote = dkjson.quotestring, decode = decode }
  end,
}

local function load_json(name)
  for _, candidate in ipairs(name and { name } or { "cjson", "dkjson" }) do
    local found, library = pcall(require, candidate)
    if found and ADAPTERS[candidate] then return ADAPTERS[candidate](library) end
  end
  local wanted = tostring(name or "cjson or dkjson")
  return nil, ("no JSON library %s: luarocks install lua-cjson, or dkjson"):format(wanted)
end

local function without_null(value, null)
  if type(value) ~= "table" then return value end
  local in_array = value[1] ~= nil
  for key, item in pairs(value) do
    if item == null then value[key] = in_array and gym.null or nil end
    without_null(item, null)
  end
  return value
end

local function decode(json, text)
  local value = json.decode(text)
  return text:find("null", 1, true) and without_null(value, json.null) or value
end

-- 17 digits, which is what a double needs to arrive as the same double.
local function number_text(number)
  local finite = number == number and math.abs(number) ~= math.huge
  if not finite then error("NaN and Infinity have no JSON form", 0) end
  if math.type and math.type(number) == "integer" then return ("%d"):format(number) end
  local text = ("%.17g"):format(number):gsub(",", ".") -- a comma, in some locales
  return text == "-0" and "-0.0" or text
end

-- Raises a string for what JSON doesn't have.
local function encode(json, value, depth)
  local kind = type(value)
  if value == nil or value == gym.null then return "null" end
  if kind == "boolean" then return tostring(value) end
  if kind == "number" then return number_text(value) end
  if kind == "string" then return json.quote(value) end
  if kind ~= "table" then error(("a %s has no JSON form"):format(kind), 0) end
  if depth > 100 then error("nested too deeply; does a table contain itself?", 0) end

  local parts, metatable = {}, getmetatable(value)
  local is_object = type(metatable) == "table" and metatable.__jsontype == "object"
  if is_object or type(next(value)) == "string" then
    for key in pairs(value) do
      if type(key) ~= "string" then error("a table has both names and other keys", 0) end
      parts[#parts + 1] = key
    end
    table.sort(parts) -- so that the same call is the same text
    for index, key in ipairs(parts) do
      parts[index] = json.quote(key) .. ":" .. encode(json, value[key], depth + 1)
    end
    return "{" .. table.concat(parts, ",") .. "}"
  end
  local count = 0
  for _ in pairs(value) do count = count + 1 end
  for index = 1, count do
    if value[index] == nil then error("an array has a hole; gym.null can fill it", 0) end
    parts[index] = encode(json, value[index], depth + 1)
  end
  return "[" .. table.concat(parts, ",") .. "]"
end

local function to_json(self, value)
  local fine, text = pcall(encode, self.json, value, 0)
  if not fine then return nil, text, "bad_value" end
  return text
end

-- ---- the funnel

local function percent_encode(value)
  local function code(char) return ("%%%02X"):format(char:byte()) end
  return (tostring(value):gsub("[^A-Za-z0-9._~-]", code))
end

local function env(instance_id, rest)
  return "/v1/envs/" .. percent_encode(instance_id) .. "/" .. (rest or "")
end

local IS_TIMEOUT = { [408] = true, timeout = true, wantread = true, wantwrite = true }

local function hang_up(link)
  local sock = link.sock
  if sock and not sock.close then sock = sock.sock end -- one of LuaSec's that never got connected
  if sock then sock:close() end
  link.sock = nil
end

-- Whether there is a connection to host:port with nothing to be read from it, such as its end,
-- which there is where the server was started anew.
local function is_idle(link, host, port)
  if not link.sock or link.host ~= host or link.port ~= port then return false end
  link.sock:settimeout(0)
  local received, problem = link.sock:receive(1)
  link.sock:settimeout(link.timeout)
  return not received and IS_TIMEOUT[problem]
end

-- Whether a certificate is one of this host. LuaSec looks at who issued it, and not at whom it names.
local function names(certificate, host)
  host = host:lower():gsub("^%[(.*)%]$", "%1")
  local names = (certificate:extensions() or {})["2.5.29.17"] or {}
  for _, address in ipairs(names.iPAddress or {}) do
    if address == host then return true end
  end
  for _, name in ipairs(names.dNSName or {}) do
    name = name:lower()
    local under = name:match("^%*(%..+)")
    if name == host or (under and under == host:match("^[^.]+(%..+)")) then return true end
  end
  return false
end

-- A `create` for socket.http, which by itself makes a connection for each request, sends head and
-- body apart, and sets the timeout that the whole program shares. What it gets here is a shell that
-- leaves the connection open, sends in one piece, and keeps to our timeout. (LuaSec sets its own
-- until it is connected.)
local function create_on(link)
  return function()
    local unsent = {}
    local shell = { settimeout = function() return 1 end, close = function() return 1 end }
    function shell.connect(_, host, port)
      if is_idle(link, host, port) then return 1 end
      hang_up(link)
      local sock, problem = link.open()
      if not sock then return nil, problem end
      link.sock, link.host, link.port = sock, host, port
      sock:settimeout(link.timeout)
      local connected, reason = sock:connect(host, port)
      if not connected then return nil, reason end
      if link.verifies and not names(sock:getpeercertificate(), host) then
        hang_up(link)
        return nil, "its certificate isn't one of " .. host
      end
      sock:settimeout(link.timeout)
      if sock.setoption then sock:setoption("tcp-nodelay", true) end
      return 1
    end
    function shell.send(_, data)
      unsent[#unsent + 1] = data
      return #data
    end
    function shell.receive(_, ...)
      if unsent[1] then
        local sent, problem = link.sock:send(table.concat(unsent))
        if not sent then return nil, problem end
        unsent = {}
      end
      return link.sock:receive(...)
    end
    return shell
  end
end

-- Whether the server, as it says, lets another request follow on the connection.
local function stays_open(headers, status_line)
  local closes = (headers.connection or ""):lower():find("close", 1, true)
  return not closes and status_line:find("^HTTP/1%.1 ")
end

-- One request. Returns the reply's body and content type; or what failed, and where there was an
-- answer, a table of its status, and of what else it said.
local function ask(self, method, path, body)
  local chunks = {}
  local fine, done, status, headers, line = pcall(http.request, {
    url = self.remote_base .. path,
    method = method,
    headers = {
      accept = "application/json",
      authorization = self.token and "Bearer " .. self.token,
      ["content-type"] = body and "application/json",
      ["content-length"] = body and #body,
      connection = "keep-alive",
    },
    source = body and ltn12.source.string(body),
    sink = ltn12.sink.table(chunks),
    create = create_on(self.link),
    redirect = false, -- it would take the token anywhere
  })
  if not fine then done, status = nil, done end
  if not (done and headers and stays_open(headers, line)) then hang_up(self.link) end
  if not done or not headers then -- socket.http reads none of a 408, and makes a 200 of non-HTTP
    if IS_TIMEOUT[status] then
      local text = ("%s: no answer within %g s"):format(self.remote_base, self.link.timeout)
      return nil, text, "timeout"
    end
    local reason = done and "no HTTP answer" or tostring(status)
    return nil, ("%s: %s"):format(self.remote_base, reason), "connection"
  end
  local text = table.concat(chunks)
  if status >= 200 and status < 300 then return text, headers["content-type"] end
  local readable, reply = pcall(decode, self.json, text)
  if not (readable and type(reply) == "table" and type(reply.message) == "string") then
    return nil, ("%s: %s"):format(line, text:sub(1, 200)), "bad_reply", { status = status }
  end
  local detail = reply.detail and (" (%s)"):format(tostring(reply.detail)) or ""
  local told = { status = status, expected = reply.expected }
  local code_given = type(reply.code) == "string" and reply.code
  return nil, reply.message .. detail, code_given or "bad_reply", told
end

local function send(self, method, path, body)
  local text, kind, code = ask(self, method, path, body)
  return text, kind, code
end

-- The same as `ask`, with the body of the reply as a table. may_be_empty: for a call that has no
-- result, some servers have no content, either (204).
local function ask_for_table(self, method, path, body, may_be_empty)
  local text, message, code, told = ask(self, method, path, body)
  if not text then return nil, message, code, told end
  if may_be_empty and text == "" then return {} end
  local readable, reply = pcall(decode, self.json, text)
  if readable and type(reply) == "table" then return reply end
  message = ("the answer is no JSON object: %s"):format(text:sub(1, 200))
  return nil, message, "bad_reply", { status = 200 }
end

local function exchange(self, method, path, body, may_be_empty)
  local reply, message, code = ask_for_table(self, method, path, body, may_be_empty)
  return reply, message, code
end

local function get(self, path, name, value)
  local query = value ~= nil and "?" .. name .. "=" .. percent_encode(value) or ""
  return exchange(self, "GET", path .. query)
end

-- What is wrong with the body comes as message and code, as `with_options` returns them.
local function post(self, path, body, message, code, may_be_empty)
  if message then return nil, message, code end
  local text
  text, message, code = to_json(self, body)
  if not text then return nil, message, code end
  return exchange(self, "POST", path, text == "[]" and "{}" or text, may_be_empty)
end

-- Posts what has no result. Returns true.
local function post_for_nothing(self, path, body, wrong, wrong_code)
  local reply, message, code = post(self, path, body, wrong, wrong_code, true)
  if not reply then return nil, message, code end
  return true
end

-- ---- numbered calls

local IS_A_GATEWAYS = { [200] = true, [502] = true, [503] = true, [504] = true }

-- Whether the connection broke, or a gateway's, or what answers is no gym-http server.
local function is_broken(code, told)
  return code == "connection" or (code == "bad_reply" and IS_A_GATEWAYS[told.status])
end

-- The numbers of the calls on one instance. open: whether one was sent under the next number of which
-- nobody knows what became.
local function count_of(self, instance_id)
  local key = tostring(instance_id)
  self.counts[key] = self.counts[key] or { next = 1, open = false }
  return self.counts[key]
end

-- Waits. Then, whether the server knows a repeated call when it sees one, as other servers and old
-- ones don't, which would step twice. It is asked until it answers, once.
local function may_repeat(self, tries)
  while tries.left > 0 do
    socket.sleep(tries.pause_s)
    tries.left, tries.pause_s = tries.left - 1, math.min(2 * tries.pause_s, 2)
    if self.knows_numbers == nil then
      local health, _, code, told = ask_for_table(self, "GET", "/v1/healthz/")
      if health then
        self.knows_numbers = health.exactly_once == true
      elseif not is_broken(code, told) then
        self.knows_numbers = false
      end
    end
    if self.knows_numbers ~= nil then return self.knows_numbers end
  end
  return false
end

-- Posts a numbered call, again where the connection breaks.
local function post_once(self, instance_id, verb, body, message, code)
  if message then return nil, message, code end
  local count, path = count_of(self, instance_id), env(instance_id, verb)
  body.client_id, body.seq = self.client_id, count.next
  local text
  text, message, code = to_json(self, body)
  if not text then return nil, message, code end
  local tries = { left = self.retries, pause_s = self.first_pause_s }
  local alone = not count.open -- whether nothing else was sent under the number
  while true do
    count.open = true
    local reply, told
    reply, message, code, told = ask_for_table(self, "POST", path, text)
    if reply then
      count.next, count.open = count.next + 1, false
      return reply
    end
    local expected = code == "out_of_sequence" and tonumber(told.expected)
    if expected then
      count.next, count.open = expected, false
      if not alone then return nil, message, code end
      body.seq = expected -- the server has forgotten us, say
      text = to_json(self, body)
    elseif not is_broken(code, told) then
      if told and (told.status < 500 or code == "overloaded") then
        count.open = not alone
      elseif told and code ~= "bad_reply" then -- the server's own, by which the number is used up
        count.next, count.open = count.next + 1, false
      end
      return nil, message, code
    elseif not may_repeat(self, tries) then
      return nil, message, code
    end
    alone = false
  end
end

-- ---- what the calls share

-- Adds options to a body. Refuses those that aren't among `names`: a misspelt one is not obeyed.
local function with_options(body, options, names)
  options = options or {}
  if type(options) ~= "table" then return nil, "options: expected a table", "bad_value" end
  for name, value in pairs(options) do
    if not (" " .. names .. " "):find(" " .. tostring(name) .. " ", 1, true) then
      return nil, ("unknown option %s; there is: %s"):format(tostring(name), names), "bad_value"
    end
    body[name] = value
  end
  return body
end

local function pick(name, reply, message, code)
  if not reply then return nil, message, code end
  if reply[name] == nil then return nil, ("the answer has no '%s'"):format(name), "bad_reply" end
  return reply[name]
end


local function observation_of(reply)
  return reply.observation == nil and gym.null or reply.observation
end

-- ---- instances

--- Make an environment. Returns its instance_id, and a warning where another version serves a
-- retired id.
-- options: seed, for the first reset and for samples of actions; engine, "gymnasium" or "gym";
-- kwargs, for the environment's constructor; render_mode; max_episode_steps. num_envs, vectorization
-- and autoreset make a vector environment: observations, rewards and ends are then lists of num_envs.
-- backend, "local", "process" or "ray" (with its resources); step_timeout_s, make_timeout_s and
-- lease_s, after which it is given up, or ended where nobody calls. With env_id nil, snapshot_id or
-- snapshot: it begins in the state that env_snapshot kept, or env_snapshot_get gave.
function Client:env_create(env_id, options)
  local names = "seed engine kwargs render_mode max_episode_steps num_envs vectorization autoreset "
    .. "backend resources step_timeout_s make_timeout_s lease_s snapshot_id snapshot"
  local body = { env_id = env_id }
  local reply, message, code = post(self, "/v1/envs/", with_options(body, options, names))
  if not reply then return nil, message, code end
  return reply.instance_id, reply.warning
end

--- Every instance of the server: instance_id -> env_id as it was asked for.
function Client:env_list_all() return pick("all_envs", get(self, "/v1/envs/")) end

--- What the server knows of an instance: env_id, engine, steps, episodes, …
function Client:env_info(instance_id) return get(self, env(instance_id)) end

--- End an instance, and the recording on it. Returns true.
function Client:env_close(instance_id)
  local done, message, code = post_for_nothing(self, env(instance_id, "close/"), {})
  if done then self.counts[tostring(instance_id)] = nil end
  return done, message, code
end

-- ---- snapshots

--- Keep the state that an environment is in. Returns its snapshot_id, for env_create.
function Client:env_snapshot(instance_id)
  return pick("snapshot_id", post(self, env(instance_id, "snapshot/"), {}))
end

--- A snapshot to keep, and to give to env_create, of any server of the same versions.
function Client:env_snapshot_get(instance_id, snapshot_id)
  return get(self, env(instance_id, "snapshot/" .. percent_encode(snapshot_id) .. "/"))
end

-- ---- an environment's life

--- Begin an episode. Returns observation, info. options: seed; options, for the environment.
function Client:env_reset(instance_id, options)
  local body = {}
  local reply, message, code =
    post_once(self, instance_id, "reset/", with_options(body, options, "seed options"))
  if not reply then return nil, message, code end
  return observation_of(reply), reply.info
end

--- Advance by one step. Returns observation, reward, done, info, terminated, truncated.
-- render: true or false, or a table of options: render.
function Client:env_step(instance_id, action, render)
  local options = type(render) == "table" and render or { render = render }
  local body = { action = action }
  local reply, message, code =
    post_once(self, instance_id, "step/", with_options(body, options, "render"))
  if not reply then return nil, message, code end
  local terminated, truncated = reply.terminated, reply.truncated
  return observation_of(reply), reply.reward, reply.done, reply.info, terminated, truncated
end

--- Advance by many steps in one call: by a list of actions, or with options.sample by so many
-- that the server draws. Returns a table: "steps", how many were made, and lists with an item for
-- each: observations, rewards, done, terminated, truncated, the actions where they were drawn; and
-- final_observations with one for each end of an episode.
-- options: sample; on_done, "stop" with the end of an episode or "reset" and go on; fields, a list
-- of the lists to return, infos as well.
function Client:env_rollout(instance_id, actions, options)
  local body, names = { actions = actions }, "sample on_done fields"
  return post_once(self, instance_id, "rollout/", with_options(body, options, names))
end

--- The present frame: the bytes of a PNG, or the text of a text renderer; and its content type.
function Client:env_render(instance_id) return send(self, "GET", env(instance_id, "render/")) end

-- ---- spaces

--- The action space: {name = "Discrete", n = …}, {name = "Box", shape = …}, …
function Client:env_action_space_info(instance_id)
  return pick("info", get(self, env(instance_id, "action_space/")))
end

--- A random action.
function Client:env_action_space_sample(instance_id)
  return pick("action", get(self, env(instance_id, "action_space/sample")))
end

--- Whether x is an action.
function Client:env_action_space_contains(instance_id, x)
  local text, message, code = to_json(self, x)
  if not text then return nil, message, code end
  local path = env(instance_id, "action_space/contains/" .. percent_encode(text))
  return pick("member", get(self, path))
end

--- The observation space, described as the action space is.
function Client:env_observation_space_info(instance_id)
  return pick("info", get(self, env(instance_id, "observation_space/")))
end

--- Whether {value = x} is an observation; of other keys, whether they are the space's.
function Client:env_observation_space_contains(instance_id, params)
  return pick("member", post(self, env(instance_id, "observation_space/contains"), params))
end

-- ---- recordings and scores

--- Record episodes into a directory of the server, from the next reset on. Returns true.
-- force: delete a recording that is there. resume: add to it. video_callable: film no episode
-- (false), those of Gym's schedule (true), or every N-th. Or one table of these options.
function Client:env_monitor_start(instance_id, directory, force, resume, video_callable)
  local options = type(force) == "table" and force
    or { force = force, resume = resume, video_callable = video_callable }
  local path, body = env(instance_id, "monitor/start/"), { directory = directory }
  return post_for_nothing(self, path, with_options(body, options, "force resume video_callable"))
end

--- End the recording. The instance goes on. Returns true.
function Client:env_monitor_close(instance_id)
  return post_for_nothing(self, env(instance_id, "monitor/close/"), {})
end

local function given(text) return text ~= "" and text or nil end

--- Put the recordings in a directory of the server on its scoreboard. Returns true.
-- api_key: names the uploader; by default that of the variables GYM_HTTP_API_KEY or
-- OPENAI_GYM_API_KEY. Or one table of these options: algorithm_id, api_key.
function Client:upload(training_dir, algorithm_id, api_key)
  local options = type(algorithm_id) == "table" and algorithm_id
    or { algorithm_id = algorithm_id, api_key = api_key }
  local body, wrong, code =
    with_options({ training_dir = training_dir }, options, "algorithm_id api_key")
  if not body then return nil, wrong, code end
  body.api_key = given(body.api_key) or given(os.getenv("GYM_HTTP_API_KEY"))
    or given(os.getenv("OPENAI_GYM_API_KEY"))
  return post_for_nothing(self, "/v1/upload/", body)
end

--- The scores of each environment, or of `env_id` alone, best first.
function Client:scoreboard(env_id)
  return pick("entries", get(self, "/v1/scoreboard/", "env_id", env_id))
end

-- ---- the server

--- The environments that env_create can make, of both engines or of `engine` alone.
function Client:registry(engine)
  return pick("envs", get(self, "/v1/registry/", "engine", engine))
end

--- Close every environment and end the server. Returns true.
function Client:shutdown_server()
  local text, message, code = send(self, "POST", "/v1/shutdown/", "{}")
  if not text then return nil, message, code end
  return true
end

-- ---- making a client

local made = 0

-- Which no other client has.
local function new_client_id()
  made = made + 1
  local source, bytes = io.open("/dev/urandom", "rb"), nil
  if source then
    bytes = source:read(8)
    source:close()
  end
  if bytes then
    return (bytes:gsub(".", function(char) return ("%02x"):format(char:byte()) end))
  end
  return ("%.6f %s %d"):format(socket.gettime(), tostring({}), made):sub(1, 64)
end

--- A client of the server at `remote_base`, such as "http://127.0.0.1:5000".
-- options: token, for servers that ask for one (by default the variable GYM_HTTP_TOKEN; "" is
-- none); timeout, in seconds, of each wait for the server (60); json, "cjson" or "dkjson" (the first
-- that is there); tls, LuaSec's settings for https; retries, how often a reset, a step or a rollout is
-- sent again where the connection breaks (5), after 0.05 s, 0.1 s, 0.2 s and so on. Not after a timeout.
function gym.new(remote_base, options)
  local settings, message, code =
    with_options({ timeout = 60, retries = 5 }, options, "token timeout json tls retries")
  if not settings then return nil, message, code end
  local token = settings.token
  if token == nil then token = os.getenv("GYM_HTTP_TOKEN") end
  token = given(token)
  if token and not tostring(token):find("^[!-~]+$") then
    return nil, "token: expected printable ASCII characters, and no spaces", "bad_value"
  end
  local scheme = tostring(remote_base):match("^(https?)://[^/]")
  if not scheme then
    local text = "the server's URL is http://… or https://…, not %s"
    return nil, text:format(tostring(remote_base)), "bad_value"
  end
  local timeout = tonumber(settings.timeout)
  if not (timeout and timeout > 0) then return nil, "timeout: expected seconds", "bad_value" end
  local retries = tonumber(settings.retries)
  if not (retries and retries >= 0) then return nil, "retries: expected a number", "bad_value" end
  local json, missing = load_json(settings.json)
  if not json then return nil, missing, "missing_library" end
  local open, verify = socket.tcp, settings.tls and settings.tls.verify
  if scheme == "https" then
    local found, https = pcall(require, "ssl.https")
    missing = "https needs LuaSec: luarocks install luasec"
    if not found then return nil, missing, "missing_library" end
    open = https.tcp(settings.tls)
  end
  return setmetatable({
    remote_base = remote_base:gsub("/+$", ""),
    token = token,
    json = json,
    client_id = new_client_id(),
    counts = {},
    retries = retries,
    first_pause_s = 0.05,
    link = {
      open = open, timeout = timeout, verifies = scheme == "https" and (verify or "none") ~= "none",
    }, -- and sock, host, port, where there is a connection
  }, Client)
end

return gym
