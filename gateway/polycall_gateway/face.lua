-- Routes of the native API do without this (filters.native_words); what has no route comes by here, whoever it is for.
-- The generated tables TERRITORY, SLASHED, HIDDEN, TRACE and WORDS stand in front of this.

local SLASH = 47
local UNIMPLEMENTED = "12"

local function face_of(path)
  for _, place in ipairs(TERRITORY) do
    local size = #place.prefix
    if string.sub(path, 1, size) == place.prefix and (size == 0 or #path == size or string.byte(path, size + 1) == SLASH) then
      return place.face
    end
  end
end

-- A trace id that cannot break out of the JSON text it is put into.
local function trace_id(headers)
  local given = headers:get("x-trace-id")
  if given and #given <= 128 and string.find(given, "^[%w%-_.:]+$") then
    return given
  end
  return "TRACE-" .. string.upper(headers:get("x-request-id") or "")
end

function envoy_on_request(handle)
  local headers = handle:headers()
  local path = headers:get(":path") or ""
  local mark = string.find(path, "?", 1, true)
  local bare = mark and string.sub(path, 1, mark - 1) or path
  local face = face_of(bare)
  if face then
    local trace = trace_id(headers)
    headers:replace("x-polycall-face", face)
    headers:replace("x-polycall-trace", trace)
    local memory = handle:streamInfo():dynamicMetadata()
    memory:set("polycall", "face", face)
    memory:set("polycall", "trace", trace)
  end
  -- A query parameter would override the path variable of the same name, and the faces' contracts are not protobuf's.
  if mark then
    headers:replace("x-polycall-query", string.sub(path, mark + 1))
  end
  if SLASHED[face] and string.byte(bare, -1) == SLASH then
    bare = string.sub(bare, 1, -2)
  end
  if bare ~= path then
    headers:replace(":path", bare)
  end
  headers:replace("x-polycall-authority", headers:get(":authority") or "")
  -- The transcoder would pass on as it is what claims to be gRPC already.
  local kind = headers:get("content-type")
  if kind and string.find(string.lower(kind), "^application/grpc") then
    headers:replace("content-type", "application/octet-stream")
  end
end

-- Every reply of a face has a body. If there is an error and no body, no face has replied: the server does not have it,
-- or was ended in the middle of it.
local function speak_for_the_face(handle, headers, code)
  local memory = handle:streamInfo():dynamicMetadata():get("polycall")
  local words = memory and WORDS[memory.face]
  if words then
    local situation = code == UNIMPLEMENTED and words.unknown or words.lost
    headers:replace(":status", situation.status)
    headers:replace("content-type", words.content_type)
    for name, value in pairs(situation.headers) do
      headers:replace(name, value)
    end
    local text = string.gsub(situation.body, TRACE, memory.trace)
    headers:replace("content-length", tostring(handle:body(true):setBytes(text)))
  end
end

function envoy_on_response(handle)
  local headers = handle:headers()
  local status = headers:get("x-http-status")
  local code = headers:get("grpc-status")
  if status then
    headers:remove("x-http-status")
    if string.find(status, "^[2-5]%d%d$") then
      headers:replace(":status", status)
    end
  elseif code and code ~= "0" and (headers:get("content-length") or "0") == "0" then
    speak_for_the_face(handle, headers, code)
  end
  for _, name in ipairs(HIDDEN) do
    headers:remove(name)
  end
end
