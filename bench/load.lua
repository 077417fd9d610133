-- wrk: the writes of the benchmark, chosen by the environment.
--   WORK    create | update | replace | patch | apply      TOKEN   bearer token      PREFIX  of the names
--   VERSIONS  of the objects that replace begins with: a file of "name resourceVersion" lines
local work, token, prefix = os.getenv("WORK"), os.getenv("TOKEN"), os.getenv("PREFIX")
local objects = tonumber(os.getenv("OBJECTS") or "1000")
local sent = 0
local types = {
  create = "application/json", update = "application/json", replace = "application/json",
  patch = "application/merge-patch+json", apply = "application/apply-patch+yaml",
}
local headers = { ["Authorization"] = "Bearer " .. token, ["Content-Type"] = types[work] }
local note, remark = string.rep("x", 500), string.rep("n", 120)

local function widget(name, size, version)
  return '{"apiVersion":"example.com/v1","kind":"Widget","metadata":{"name":"' .. name
    .. (version and '","resourceVersion":"' .. version or "") .. '","labels":{"app":"bench","tier":"t1"},"annotations":{"remark":"' .. remark .. '"}},"spec":{"size":' .. size
    .. ',"color":"green","note":"' .. note .. '","tags":["a","b","c"],"nested":{"a":"1","b":{"k1":"v1","k2":"v2"}}}}'
end

local function applied(name, size)
  return '{"apiVersion":"example.com/v1","kind":"Widget","metadata":{"name":"' .. name
    .. '","labels":{"app":"bench"}},"spec":{"size":' .. size .. ',"color":"green","note":"' .. string.rep("x", 300)
    .. '","nested":{"a":"1","b":{"k1":"v1"}}}}'
end

-- objects that no request is under way for, the one longest at rest first: an update pinned to a version is what controllers send
local resting, first, last = {}, 1, 0

local function rest(name, version)
  last = last + 1
  resting[last] = { name, version }
end

if work == "replace" then
  for line in io.lines(os.getenv("VERSIONS")) do
    rest(line:match("(%S+) (%S+)"))
  end
  function response(status, _, body)
    if status == 200 then
      rest(body:match('"name":"([^"]+)"'), body:match('"resourceVersion":"(%d+)"'))
    end
  end
end

function request()
  sent = sent + 1
  if work == "replace" then
    local name, version = unpack(resting[first])
    resting[first] = nil
    first = first + 1
    return wrk.format("PUT", wrk.path .. "/" .. name, headers, widget(name, sent % 1000, version))
  end
  if work == "create" then
    return wrk.format("POST", wrk.path, headers, widget(prefix .. "-" .. sent, 42))
  elseif work == "apply" then
    local name = prefix .. "-" .. (sent % objects)
    return wrk.format("PATCH", wrk.path .. "/" .. name .. "?fieldManager=bench&force=true", headers, applied(name, sent % 977))
  elseif work == "patch" then
    return wrk.format("PATCH", wrk.path .. "/" .. prefix, headers, '{"spec":{"size":' .. (sent % 1000) .. '}}')
  end
  local name = prefix .. "-" .. (sent % objects + 1)
  -- a custom resource takes no update without a resource version, a ConfigMap does
  local body = '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"' .. name .. '"},"data":{"n":"' .. sent .. '","note":"' .. note .. '"}}'
  return wrk.format("PUT", wrk.path .. "/" .. name, headers, body)
end
