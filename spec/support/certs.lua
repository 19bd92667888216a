-- SPDX-License-Identifier: Apache-2.0

-- Certificates made with the openssl program, as files of a folder (server.folder): NAME.pem and NAME.key.
--
--   certs.authority(folder, "ca")
--   certs.issue(folder, "api", { by = "ca", names = { "DNS:api.example" } })

local command = require "spec.support.command"

local M = {}

local KINDS = {
  ec = { "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256" },
  rsa = { "-newkey", "rsa:2048" },
  rsa1024 = { "-newkey", "rsa:1024" },
}

local function openssl(folder, args)
  local result = command.run({ "openssl", unpack(args) }, { dir = folder.path })
  assert(result.status == 0, result.err)
  return result
end

local function keep(folder, ...)
  for _, name in ipairs { ... } do
    folder.files[folder.path .. "/" .. name] = true
  end
end

local function request(kind, name, rest)
  local args = { "req", "-nodes", "-keyout", name .. ".key", "-subj", "/O=Test/CN=" .. name }
  for _, list in ipairs { KINDS[kind or "ec"], rest } do
    for _, arg in ipairs(list) do
      args[#args + 1] = arg
    end
  end
  return args
end

function M.authority(folder, name)
  openssl(folder, request("ec", name, { "-x509", "-days", "2", "-out", name .. ".pem" }))
  keep(folder, name .. ".pem", name .. ".key")
end

-- options: by (an authority's name), names ("DNS:a", "IP:1.2.3.4"), kind (ec), days (2; -1 = it has expired).
function M.issue(folder, name, options)
  folder:write(name .. ".ext", options.names and "subjectAltName=" .. table.concat(options.names, ",") or "")
  openssl(folder, request(options.kind, name, { "-new", "-out", name .. ".csr" }))
  openssl(folder, { "x509", "-req", "-in", name .. ".csr", "-CA", options.by .. ".pem", "-CAkey", options.by .. ".key",
    "-CAcreateserial", "-days", tostring(options.days or 2), "-extfile", name .. ".ext", "-out", name .. ".pem" })
  keep(folder, name .. ".pem", name .. ".key", name .. ".csr", options.by .. ".srl")
end

return M
