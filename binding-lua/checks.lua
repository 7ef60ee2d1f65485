--- What both tests say of the client's answers.

local checks = {}
local count = 0

function checks.check(condition, what)
  count = count + 1
  if not condition then
    io.stderr:write(debug.traceback(("check %d failed: %s"):format(count, what), 2), "\n")
    os.exit(1)
  end
end

--- Equality, of tables by their entries.
function checks.same(one, other)
  if type(one) ~= "table" or type(other) ~= "table" then return one == other end
  for key in pairs(one) do
    if not checks.same(one[key], other[key]) then return false end
  end
  for key in pairs(other) do
    if one[key] == nil then return false end
  end
  return true
end

--- A value in words.
function checks.shown(value)
  if type(value) ~= "table" then return tostring(value) end
  local parts = {}
  for key, item in pairs(value) do
    parts[#parts + 1] = tostring(key) .. "=" .. checks.shown(item)
  end
  return "{" .. table.concat(parts, ", ") .. "}"
end

--- That a call returned these values, and none after them.
function checks.gives(expected, ...)
  local got = { n = select("#", ...), ... }
  for index = 1, math.max(#expected, got.n) do
    local what = ("result %d: expected %s, got %s"):format(index,
      checks.shown(expected[index]), checks.shown(got[index]))
    checks.check(checks.same(expected[index], got[index]), what)
  end
end

--- That a call returned nil, a message with `part` in it, and `code`.
function checks.refuses(code, part, result, message, got)
  local all = ("%s, %s, %s"):format(checks.shown(result), tostring(message), tostring(got))
  checks.check(result == nil and got == code, ("expected the code %s, got %s"):format(code, all))
  checks.check(type(message) == "string" and message:find(part, 1, true),
    ("expected a message with %q, got %s"):format(part, all))
end

function checks.finish()
  print(("ok %d checks"):format(count))
end

return checks
