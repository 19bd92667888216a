-- SPDX-License-Identifier: Apache-2.0

-- Apache Kafka itself (KRaft), of one node or more, on free ports: kafka.start { ... } gives a cluster.
--
--   local cluster = kafka.start { nodes = 3, topics = { orders = 6 }, tls = true, sasl = true }
--   cluster.brokers                      -- "127.0.0.1:1234,..." for a configuration
--   cluster:kill(1)  cluster:stop(1)  cluster:restart(1)  cluster:cut(1)  cluster:heal(1)
--   for record in cluster:records "orders" do ... end
--   cluster:close()
--
-- tls: the listeners of `tls_brokers` and (with sasl) `sasl_tls_brokers`, with certificates in cluster.folder: ca.pem,
-- broker.pem, client.pem and client.key. sasl: those of `sasl_brokers`, which know the user "demilune" with the
-- password "secret" by PLAIN and SCRAM, and any unsecured token. relayed: between the brokers and their clients (not among
-- the brokers) is a network that can be cut.

local certs = require "spec.support.certs"
local command = require "spec.support.command"
local json = require "demilune.json"
local origin = require "spec.support.origin"
local posix = require "spec.support.posix"
local server = require "spec.support.server"
local wait = require "spec.support.wait"

local TOOLS = debug.getinfo(1, "S").source:match "^@(.*)%.lua$" -- the folder of that name
local PATIENCE = os.getenv "DEMILUNE_FULL" and 900 or 180 -- seconds for what a JVM does on a machine that has other things to do

local LISTENERS = { -- what each serves, and the field that names its places
  { name = "PLAINTEXT", field = "brokers" },
  { name = "SSL", field = "tls_brokers", tls = true },
  { name = "SASL_PLAINTEXT", field = "sasl_brokers", sasl = true },
  { name = "SASL_SSL", field = "sasl_tls_brokers", tls = true, sasl = true },
}

local Cluster = {}
Cluster.__index = Cluster

local M = {}

-- --- properties -------------------------------------------------------------------------------------------------

local FOR_ALL = [[
process.roles=broker,controller
controller.listener.names=CONTROLLER
inter.broker.listener.name=BROKER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,BROKER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,\
 SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
offsets.topic.num.partitions=3
transaction.state.log.num.partitions=3
]]

local TLS = [[
ssl.keystore.type=PEM
ssl.keystore.location=%s/broker.both
ssl.truststore.type=PEM
ssl.truststore.location=%s/ca.pem
ssl.client.auth=requested
]]

local SASL = [[
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER
]]

local MODULE = "org.apache.kafka.common.security."
local LOGINS = {
  plain = MODULE .. 'plain.PlainLoginModule required user_demilune="secret";',
  ["scram-sha-256"] = MODULE .. "scram.ScramLoginModule required;",
  ["scram-sha-512"] = MODULE .. "scram.ScramLoginModule required;",
  oauthbearer = MODULE .. 'oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";',
}

local function offered(self)
  local list = {}
  for _, listener in ipairs(LISTENERS) do
    if (not listener.tls or self.options.tls) and (not listener.sasl or self.options.sasl) then
      list[#list + 1] = listener
    end
  end
  return list
end

local function logins_of(listener)
  local lines = {}
  for mechanism, login in pairs(LOGINS) do
    lines[#lines + 1] = ("listener.name.%s.%s.sasl.jaas.config=%s\n"):format(listener.name:lower(), mechanism, login)
  end
  return table.concat(lines)
end

local function place(name, port)
  return ("%s://127.0.0.1:%d"):format(name, port)
end

local function properties_of(self, node)
  local copies = math.min(#self.nodes, 3)
  local places, told, lines = { place("CONTROLLER", node.ports.CONTROLLER) }, {}, { FOR_ALL }
  local function serve(name, port)
    places[#places + 1] = place(name, node.ports[name])
    told[#told + 1] = place(name, port)
  end
  serve("BROKER", node.ports.BROKER)
  for _, listener in ipairs(offered(self)) do
    serve(listener.name, node.relays[listener.name] or node.ports[listener.name])
    lines[#lines + 1] = listener.sasl and logins_of(listener) or nil
  end
  local function set(name, value)
    lines[#lines + 1] = ("%s=%s\n"):format(name, value)
  end
  set("node.id", node.id)
  set("log.dirs", node.folder .. "/data")
  set("listeners", table.concat(places, ","))
  set("advertised.listeners", table.concat(told, ","))
  set("controller.quorum.voters", self.voters)
  for _, topic in ipairs { "offsets.topic", "transaction.state.log" } do
    set(topic .. ".replication.factor", copies)
  end
  for _, least in ipairs { "min.insync.replicas", "transaction.state.log.min.isr" } do
    set(least, math.max(1, copies - 1))
  end
  set("default.replication.factor", copies)
  lines[#lines + 1] = self.options.tls and TLS:format(self.folder.path, self.folder.path) or nil
  lines[#lines + 1] = self.options.sasl and SASL or nil
  return table.concat(lines) .. (self.options.properties or "")
end

local function read(path)
  local file = io.open(path, "rb")
  local text = file and file:read "*a" or ""
  if file then
    file:close()
  end
  return text
end

local function certify(folder)
  certs.authority(folder, "ca")
  certs.issue(folder, "broker", { by = "ca", names = { "DNS:localhost", "IP:127.0.0.1" } })
  certs.issue(folder, "client", { by = "ca" })
  folder:write("broker.both", read(folder.path .. "/broker.key") .. read(folder.path .. "/broker.pem"))
end

-- --- nodes --------------------------------------------------------------------------------------------------------

local function add_node(self, id)
  local ports = { CONTROLLER = origin.free_port(), BROKER = origin.free_port() }
  local node = { id = id, folder = self.folder.path .. "/" .. id, ports = ports, relays = {}, relay_pids = {} }
  posix.mkdir(node.folder)
  for _, listener in ipairs(offered(self)) do
    ports[listener.name] = origin.free_port()
    node.relays[listener.name] = self.options.relayed and origin.free_port() or nil
    local where = "127.0.0.1:" .. (node.relays[listener.name] or ports[listener.name])
    self[listener.field] = self[listener.field] and self[listener.field] .. "," .. where or where
  end
  local voter = ("%d@127.0.0.1:%d"):format(id, node.ports.CONTROLLER)
  self.voters = self.voters and self.voters .. "," .. voter or voter
  self.nodes[id] = node
end

local function log_of(node)
  return read(node.folder .. "/out") .. read(node.folder .. "/err")
end

-- It ends with whoever runs the specs.
local function launch(self, node)
  local argv = { "/usr/bin/setpriv", "--pdeathsig", "KILL", TOOLS .. "/broker", node.folder }
  for _, mechanism in ipairs(self.options.sasl and { "SCRAM-SHA-256", "SCRAM-SHA-512" } or {}) do
    argv[#argv + 1] = "--add-scram"
    argv[#argv + 1] = mechanism .. "=[name=demilune,password=secret]"
  end
  node.pid = posix.spawn(argv, { stdout = node.folder .. "/out", stderr = node.folder .. "/err" })
end

local function has_started(node)
  local log = log_of(node)
  if posix.exit_status(node.pid) then
    node.pid = nil
    error("the broker did not start:\n" .. log:sub(-4000), 0)
  end
  return log:find("Kafka Server started", 1, true) ~= nil
end

local function await(node)
  wait(("broker %d; its log: %s"):format(node.id, node.folder), function() return has_started(node) end, PATIENCE)
end

local function relay(node)
  for name, port in pairs(node.relays) do
    local log, target = node.folder .. "/relay." .. name, tostring(node.ports[name])
    node.relay_pids[name] = posix.spawn(
      { "/usr/bin/setpriv", "--pdeathsig", "KILL", TOOLS .. "/relay", tostring(port), target },
      { stdout = log, stderr = log })
    wait("a relay; its log: " .. log, function()
      local fd = posix.connect(port)
      if fd then
        posix.close(fd)
      end
      return fd
    end)
  end
end

local function unrelay(node)
  for name, pid in pairs(node.relay_pids) do
    posix.kill(pid, posix.SIGKILL)
    wait("the end of a relay", function() return posix.exit_status(pid) end)
    node.relay_pids[name] = nil
  end
end

local function finish(self, id, signal)
  local node = self.nodes[id or 1]
  if node.pid then
    posix.kill(node.pid, signal)
    wait("the broker's end", function() return posix.exit_status(node.pid) end, PATIENCE)
    node.pid = nil
  end
end

-- As when the machine fails.
function Cluster:kill(id)
  finish(self, id, posix.SIGKILL)
end

-- In order.
function Cluster:stop(id)
  finish(self, id, posix.SIGTERM)
end

-- The network between this broker and its clients is cut: connections stay, and nothing comes.
function Cluster:cut(id)
  for _, pid in pairs(self.nodes[id or 1].relay_pids) do
    posix.kill(pid, posix.SIGSTOP)
  end
end

-- It is there again: what was on its way is lost, and the connections of before are reset.
function Cluster:heal(id)
  local node = self.nodes[id or 1]
  unrelay(node)
  relay(node)
end

-- Does it serve, after restart(id, false)?
function Cluster:is_up(id)
  return has_started(self.nodes[id or 1])
end

-- Starts what was killed or stopped, at the same place; with waits = false it does not wait until it serves.
function Cluster:restart(id, waits)
  local node = self.nodes[id or 1]
  launch(self, node)
  if waits ~= false then
    await(node)
  end
end

-- --- topics and records ---------------------------------------------------------------------------------------------

local function topic_command(self, name, ...)
  local argv = {
    TOOLS .. "/java", "org.apache.kafka.tools.TopicCommand", "--bootstrap-server", self.brokers, "--topic", name, ...
  }
  local out, err = self.folder.path .. "/topic.out", self.folder.path .. "/topic.err"
  local pid = posix.spawn(argv, { stdout = out, stderr = err })
  local status = wait("the topic " .. name, function() return posix.exit_status(pid) end, PATIENCE)
  assert(status == 0, read(out) .. read(err))
end

-- A topic with so many partitions (1). config: more words for it, such as "max.message.bytes=1000".
function Cluster:topic(name, partitions, config)
  local argv = { "--create", "--partitions", tostring(partitions or 1) }
  if config then
    argv[#argv + 1] = "--config"
    argv[#argv + 1] = config
  end
  topic_command(self, name, unpack(argv))
end

function Cluster:delete(topic)
  topic_command(self, topic, "--delete")
end

local function record_of(line)
  local message = assert(json.decode(line))
  local headers = {}
  for i = 1, #(message.headers or {}), 2 do
    headers[message.headers[i]] = message.headers[i + 1]
  end
  return {
    partition = message.partition, offset = message.offset, timestamp = message.ts, headers = headers,
    key = message.key ~= json.null and message.key or nil,
    value = message.payload ~= json.null and message.payload or nil,
  }
end

-- An iterator over all records of a topic, those of each partition in their order: { partition, offset, key, value,
-- headers (by name), timestamp }. Of texts only: what it reads them with writes JSON.
function Cluster:records(topic)
  local out, err = self.folder.path .. "/" .. topic .. ".out", self.folder.path .. "/kcat.err"
  local pid = posix.spawn({
    "/usr/bin/kcat", "-C", "-q", "-e", "-J", "-b", self.brokers, "-t", topic, "-o", "beginning",
  }, { stdout = out, stderr = err })
  local status = wait("the records of " .. topic, function() return posix.exit_status(pid) end, PATIENCE)
  assert(status == 0, read(err))
  local next_line = io.lines(out)
  return function()
    local line = next_line()
    return line and record_of(line)
  end
end

-- The same as a list.
function Cluster:list(topic)
  local list = {}
  for record in self:records(topic) do
    list[#list + 1] = record
  end
  return list
end

function Cluster:close()
  for id, node in ipairs(self.nodes) do
    finish(self, id, posix.SIGKILL)
    unrelay(node)
  end
  command.run { "rm", "-rf", self.folder.path }
end

-- options: nodes (1), tls, sasl, relayed, topics (name = partitions), properties (more lines for each broker).
function M.start(options)
  local self = setmetatable({ options = options or {}, nodes = {}, folder = server.folder() }, Cluster)
  if self.options.tls then
    certify(self.folder)
  end
  for id = 1, self.options.nodes or 1 do
    add_node(self, id)
  end
  for _, node in ipairs(self.nodes) do
    local file = assert(io.open(node.folder .. "/properties", "wb"))
    file:write(properties_of(self, node))
    file:close()
    launch(self, node)
    relay(node)
  end
  for _, node in ipairs(self.nodes) do
    await(node)
  end
  for name, partitions in pairs(self.options.topics or {}) do
    self:topic(name, partitions)
  end
  return self
end

return M
