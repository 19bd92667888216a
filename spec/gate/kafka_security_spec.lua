-- SPDX-License-Identifier: Apache-2.0

-- Apache Kafka itself with TLS and SASL: who gets in, and what those are told who don't.

package.path = "./?.lua;" .. package.path

local crypto = require "demilune.crypto"
local kafka = require "spec.support.kafka"
local server = require "spec.support.server"
local test = require "demilune.test"

local PATIENCE = "60000" -- milliseconds, on a machine that has other things to do

describe("Kafka with TLS and SASL", function()
  local cluster, folder

  setup(function()
    cluster = kafka.start { tls = true, sasl = true, topics = { t = 1 } }
    folder = server.folder()
  end)

  teardown(function()
    if folder then
      folder:remove()
    end
    if cluster then
      cluster:close()
    end
  end)

  local function certificate(name)
    return cluster.folder.path .. "/" .. name
  end

  -- Publishes a record over these listeners; what wait gives.
  local function publish(listeners, options, token_file)
    options["message.timeout.ms"] = options["message.timeout.ms"] or PATIENCE
    local client = test.kafka({ at = cluster[listeners] }):client(options, token_file)
    return assert(client:publish { topic = "t", value = "v" }):wait()
  end

  local function sasl(mechanism, password)
    return {
      ["security.protocol"] = "sasl_plaintext", ["sasl.mechanism"] = mechanism,
      ["sasl.username"] = "demilune", ["sasl.password"] = password or "secret",
    }
  end

  it("takes records over TLS", function()
    assert.equal("t", assert(publish("tls_brokers", {
      ["security.protocol"] = "ssl", ["ssl.ca.location"] = certificate "ca.pem",
    })).topic)
  end)

  it("takes records over TLS with a client certificate", function()
    assert(publish("tls_brokers", {
      ["security.protocol"] = "ssl", ["ssl.ca.location"] = certificate "ca.pem",
      ["ssl.certificate.location"] = certificate "client.pem", ["ssl.key.location"] = certificate "client.key",
    }))
  end)

  it("says that a broker's certificate is not trusted", function()
    local report, err, why = publish("tls_brokers", {
      ["security.protocol"] = "ssl", ["ssl.ca.location"] = certificate "client.pem", ["message.timeout.ms"] = "3000",
    })
    assert.is_nil(report)
    assert.equal("failed", err)
    assert.truthy(why:find("certificate", 1, true), why)
  end)

  it("logs in by PLAIN", function()
    assert(publish("sasl_brokers", sasl "PLAIN"))
  end)

  it("logs in by PLAIN over TLS", function()
    local options = sasl "PLAIN"
    options["security.protocol"] = "sasl_ssl"
    options["ssl.ca.location"] = certificate "ca.pem"
    assert(publish("sasl_tls_brokers", options))
  end)

  it("says that the password is wrong", function()
    local options = sasl("PLAIN", "wrong")
    options["message.timeout.ms"] = "3000"
    local report, err, why = publish("sasl_brokers", options)
    assert.is_nil(report)
    assert.equal("failed", err)
    assert.truthy(why:find("SASL", 1, true), why)
    assert.is_nil(why:find("wrong", 1, true), why)
  end)

  -- With Kafka 3.9: librdkafka before 2.6.1 repeats the nonce, which Kafka 4 refuses.
  it("logs in by SCRAM", function()
    assert(publish("sasl_brokers", sasl "SCRAM-SHA-256"))
    assert(publish("sasl_brokers", sasl "SCRAM-SHA-512"))
  end)

  -- As whoever looks after the file does.
  local function write_token(expires)
    local claims = ('{"sub":"demilune","iat":%d,"exp":%d}'):format(os.time() - 10, expires)
    return folder:write("token", ("%s.%s.\n"):format(crypto.base64url '{"alg":"none"}', crypto.base64url(claims)))
  end

  it("logs in by OAUTHBEARER, with the token of a file", function()
    local options = { ["security.protocol"] = "sasl_plaintext", ["sasl.mechanism"] = "OAUTHBEARER" }
    assert(publish("sasl_brokers", options, write_token(os.time() + 3600)))
  end)

  it("says that a token has expired", function()
    local options = {
      ["security.protocol"] = "sasl_plaintext", ["sasl.mechanism"] = "OAUTHBEARER", ["message.timeout.ms"] = "3000",
    }
    local report, err, why = publish("sasl_brokers", options, write_token(os.time() - 3600))
    assert.is_nil(report)
    assert.equal("failed", err)
    assert.truthy(why:find("Must supply an unexpired token", 1, true), why)
  end)
end)
