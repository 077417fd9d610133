-- wrk: the creates of a tenant that floods the server. BODY is the size of their data in bytes.
local sent, prefix = 0, os.getenv("PREFIX")
local headers = { ["Authorization"] = "Bearer " .. os.getenv("TOKEN"), ["Content-Type"] = "application/json" }
local note = string.rep("x", tonumber(os.getenv("BODY")))

function request()
  sent = sent + 1
  local body = '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"' .. prefix .. "-" .. sent .. '"},"data":{"note":"' .. note .. '"}}'
  return wrk.format("POST", wrk.path, headers, body)
end
