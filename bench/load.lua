-- wrk: the writes of the benchmark, chosen by the environment.
--   WORK    create | update | patch | apply      TOKEN   bearer token      PREFIX  of the names
local work, token, prefix = os.getenv("WORK"), os.getenv("TOKEN"), os.getenv("PREFIX")
local objects = tonumber(os.getenv("OBJECTS") or "1000")
local sent = 0
local types = {
  create = "application/json", update = "application/json",
  patch = "application/merge-patch+json", apply = "application/apply-patch+yaml",
}
local headers = { ["Authorization"] = "Bearer " .. token, ["Content-Type"] = types[work] }
local note, remark = string.rep("x", 500), string.rep("n", 120)

local function widget(name, size)
  return '{"apiVersion":"example.com/v1","kind":"Widget","metadata":{"name":"' .. name
    .. '","labels":{"app":"bench","tier":"t1"},"annotations":{"remark":"' .. remark .. '"}},"spec":{"size":' .. size
    .. ',"color":"green","note":"' .. note .. '","tags":["a","b","c"],"nested":{"a":"1","b":{"k1":"v1","k2":"v2"}}}}'
end

local function applied(name, size)
  return '{"apiVersion":"example.com/v1","kind":"Widget","metadata":{"name":"' .. name
    .. '","labels":{"app":"bench"}},"spec":{"size":' .. size .. ',"color":"green","note":"' .. string.rep("x", 300)
    .. '","nested":{"a":"1","b":{"k1":"v1"}}}}'
end

function request()
  sent = sent + 1
  if work == "create" then
    return wrk.format("POST", wrk.path, headers, widget(prefix .. "-" .. sent, 42))
  elseif work == "apply" then
    local name = prefix .. "-" .. (sent % objects)
    return wrk.format("PATCH", wrk.path .. "/" .. name .. "?fieldManager=bench&force=true", headers, applied(name, sent % 977))
  elseif work == "patch" then
    return wrk.format("PATCH", wrk.path .. "/" .. prefix, headers, '{"spec":{"size":' .. (sent % 1000) .. '}}')
  end
  local name = prefix .. "-" .. (sent % objects + 1)
  -- a custom resource takes no update without a resource version: 0 asks the built-in way, so updates go to ConfigMaps
  local body = '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"' .. name .. '"},"data":{"n":"' .. sent .. '","note":"' .. note .. '"}}'
  return wrk.format("PUT", wrk.path .. "/" .. name, headers, body)
end
