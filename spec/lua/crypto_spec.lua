-- SPDX-License-Identifier: Apache-2.0

local command = require "spec.support.command"
local crypto = require "demilune.crypto"

describe("crypto", function()
  it("makes digests", function()
    assert.equal("900150983cd24fb0d6963f7d28e17f72", crypto.hex(crypto.digest("md5", "abc")))
    assert.equal("a9993e364706816aba3e25717850c26c9cd0d89d", crypto.hex(crypto.digest("sha1", "abc")))
    assert.equal("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
      crypto.hex(crypto.digest("sha256", "abc")))
    assert.equal("ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
      .. "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f", crypto.hex(crypto.digest("sha512", "abc")))
    assert.has_error(function() crypto.digest("sha3", "abc") end, 'no such digest: "sha3"')
  end)

  it("makes MACs (RFC 4231, 2)", function()
    assert.equal("b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
      crypto.hex(crypto.hmac("sha256", ("\11"):rep(20), "Hi There")))
    assert.equal("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
      crypto.hex(crypto.hmac("sha256", "Jefe", "what do ya want for nothing?")))
    -- An empty key is a key of its own, not the one before.
    assert.equal("b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad",
      crypto.hex(crypto.hmac("sha256", "", "")))
  end)

  it("compares", function()
    assert.is_true(crypto.equal("same", "same"))
    assert.is_false(crypto.equal("same", "samf"))
    assert.is_false(crypto.equal("same", "sam"))
    assert.is_true(crypto.equal("", ""))
  end)

  it("codes", function()
    assert.equal("00ff10", crypto.hex "\0\255\16")
    assert.equal("\0\255\16", crypto.unhex "00FF10")
    assert.equal("Zg==", crypto.base64 "f")
    assert.equal("f", crypto.unbase64 "Zg==")
    assert.equal("-_8", crypto.base64url "\251\255")
    assert.equal("\251\255", crypto.unbase64url "-_8")
    assert.same({ nil, "encoding" }, { crypto.unbase64 "Zg" })
    assert.same({ nil, "encoding" }, { crypto.unhex "0g" })
    assert.equal("", crypto.base64 "")
  end)

  it("derives keys (RFC 5869, A.1)", function()
    local key = crypto.hkdf("sha256", ("\11"):rep(22), {
      salt = crypto.unhex "000102030405060708090a0b0c", info = crypto.unhex "f0f1f2f3f4f5f6f7f8f9", length = 42,
    })
    assert.equal("3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
      crypto.hex(key))
    assert.same({ nil, "limit" }, { crypto.hkdf("sha256", "x", { length = 255 * 32 + 1 }) })
  end)

  it("draws bytes that differ", function()
    assert.equal(32, #crypto.random(32))
    assert.are_not.equal(crypto.random(16), crypto.random(16))
  end)
end)

describe("crypto: encryption", function()
  local NONCE = ("n"):rep(12)

  for name, size in pairs { ["aes-128-gcm"] = 16, ["aes-256-gcm"] = 32, ["chacha20-poly1305"] = 32 } do
    it("opens what it sealed, and nothing else: " .. name, function()
      local key = ("k"):rep(size)
      for _, text in ipairs { "", "a", ("text"):rep(5000) } do
        local sealed = crypto.seal(name, key, NONCE, text, "more")
        assert.equal(#text + 16, #sealed)
        assert.equal(text, crypto.open(name, key, NONCE, sealed, "more"))
        for _, broken in ipairs {
          sealed:sub(1, -2), sealed .. "x", string.char((sealed:byte(1) + 1) % 256) .. sealed:sub(2), "", ("x"):rep(15),
        } do
          assert.same({ nil, "denied" }, { crypto.open(name, key, NONCE, broken, "more") })
        end
        assert.same({ nil, "denied" }, { crypto.open(name, key, NONCE, sealed, "other") })
        assert.same({ nil, "denied" }, { crypto.open(name, key, NONCE, sealed) })
        assert.same({ nil, "denied" }, { crypto.open(name, ("K"):rep(size), NONCE, sealed, "more") })
        assert.same({ nil, "denied" }, { crypto.open(name, key, ("N"):rep(12), sealed, "more") })
      end
      assert.has_error(function() crypto.seal(name, key .. "k", NONCE, "") end,
        ("crypto.seal: a key for %s has %d bytes, not %d"):format(name, size, size + 1))
      assert.has_error(function() crypto.seal(name, key, "n", "") end, "crypto.seal: a nonce has 12 bytes, not 1")
      assert.has_error(function() crypto.open("aes-256-cbc", key, NONCE, "") end,
        'no such encryption: "aes-256-cbc"')
    end)
  end
end)

describe("crypto: keys", function()
  -- What OpenSSL's program writes.
  local function openssl(arguments)
    local argv = { "openssl" }
    for word in arguments:gmatch "%S+" do
      argv[#argv + 1] = word
    end
    return command.run(argv).out
  end

  it("are read as OpenSSL writes them", function()
    for arguments, algorithm in pairs {
      ["genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048"] = "RS256",
      ["genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384"] = "ES384",
      ["genpkey -algorithm ED25519"] = "EdDSA",
      ["ecparam -name prime256v1 -genkey -noout"] = "ES256",
      ["ecparam -name secp521r1 -genkey"] = "ES512",
      ["genrsa -traditional 2048"] = "PS256",
    } do
      local key, _, detail = crypto.key(openssl(arguments))
      assert.is_table(key, detail)
      assert.is_true(key.is_private)
      local signature = key:sign(algorithm, "text")
      assert.is_true(key:verify(algorithm, "text", signature))
      assert.is_false(key:verify(algorithm, "texts", signature))
    end
  end)

  it("are read of certificates, public keys and DER", function()
    local path = os.tmpname()
    local private = openssl("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=x -keyout " .. path)
    local file = assert(io.open(path, "rb"))
    local key = assert(crypto.key(file:read "*a"))
    file:close()
    local signature = key:sign("ES256", "text")
    for form, text in pairs { pem = private, der = openssl("ec -pubout -outform DER -in " .. path) } do
      local public = assert(crypto.key(text, { form = form }))
      assert.is_false(public.is_private)
      assert.is_true(public:verify("ES256", "text", signature))
      assert.same(key:jwk(), public:jwk())
    end
    local locked = openssl("ec -aes128 -passout pass:x -in " .. path)
    assert.truthy(locked:find "ENCRYPTED")
    assert.same({ nil, "bad_key", "there is no key in it that can be read; an encrypted one can't" },
      { crypto.key(locked) })
    os.remove(path)
  end)

  it("are refused when they are weak, unknown or none", function()
    local function why(source, options)
      local key, err, detail = crypto.key(source, options)
      assert.is_nil(key)
      assert.equal("bad_key", err)
      return detail
    end
    assert.equal("an RSA key has 2048 bits at least", why(openssl "genrsa 1024"))
    assert.equal("the key's curve is none of P-256, P-384 and P-521",
      why(openssl "ecparam -name secp256k1 -genkey -noout"))
    assert.equal("the key is none of RSA, EC and Ed25519", why(openssl "genpkey -algorithm X25519"))
    assert.equal("there is no -----BEGIN ...----- in it", why "key")
    assert.equal("it is empty", why "")
    assert.is_string(why("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"))
    assert.is_string(why("\48\3\2\1\1", { form = "der" }))
    assert.is_string(why { kty = "EC", crv = "P-256", x = ("A"):rep(43), y = ("A"):rep(43) })
    assert.is_string(why '{"kty":"oct","kty":"oct","k":"AAAA"}')
    local pair = crypto.generate "ES256":jwk()
    pair.d = crypto.base64url(("d"):rep(32))
    assert.equal("the key's point is not on its curve, or its parts are no pair", why(pair))
    assert.has_error(function() crypto.key("x", { form = "pkcs12" }) end, 'no such form of a key: "pkcs12"')
  end)

  it("are as long as the digest, where they are secrets", function()
    local short = assert(crypto.secret "short")
    assert.is_false(short:fits "HS256")
    assert.has_error(function() short:sign("HS256", "text") end)
    assert.is_true(assert(crypto.secret("short", { short = true })):fits "HS256")
    local key = assert(crypto.secret(("k"):rep(32)))
    assert.is_true(key:fits "HS256")
    assert.is_false(key:fits "HS384")
    assert.equal(crypto.hmac("sha256", ("k"):rep(32), "text"), key:sign("HS256", "text"))
    assert.is_nil(key:jwk())
    assert.same({ nil, "bad_key", "the secret is empty" }, { crypto.secret "" })
  end)
end)

describe("crypto: passwords", function()
  local password = crypto.password
  local task = require "demilune.task"

  -- Of "s3cret", each made by another program: hashlib, libxcrypt.
  local KNOWN = {
    "$scrypt$ln=10,r=8,p=1$c2FsdHNhbHRzYWx0c2FsdA$u5bCAiLkt2UD0ZRMpz2c6GLAonZ6UN5wl2BtbI0Csxw",
    "$pbkdf2-sha256$1000$c2FsdHNhbHRzYWx0c2FsdA$8W5yLmqTx7pmJ5.3qp/ZOQP9vTuo.lMNfP/lMdTb9u8",
    "$pbkdf2-sha512$i=1000$c2FsdHNhbHRzYWx0c2FsdA$BF0Z+Mlb3HBqxOQbXgnmAzq7uv79TtpCQGjW2l/cObjwA"
      .. "K3Dlnaa0V18xkzEbua5j64nZNrvvWeMlBiZjhtoFg",
    "$2y$05$abcdefghijklmnopqrstuuLK7U1u6pVRmL7L1BBM2aS35PSZnDXlK",
    "$5$rounds=1000$saltstring$MlnADRs7/oL3UStl/4w0wvvDF/R8A06G2gy5KjpO8q7",
    "$6$rounds=1000$saltstring$VuUwnePBu2Gk6BlICxIO2Ao74dDrmTpb05KRjNUI9xLH1oH127g7JtzvjTlZxMcj"
      .. "MKXVLmep16VPszAjmSwKJ1",
    "$y$j75$saltsaltsaltsalt$MqnUYOGBfA9YNe0yxwlLX3wuEJAaL5uiOq/oQUJZ4W.",
  }

  it("hashes with a salt of its own", function()
    local one, other = assert(password.hash "s3cret"), assert(password.hash "s3cret")
    assert.truthy(one:find "^%$scrypt%$ln=15,r=8,p=3%$")
    assert.are_not.equal(one, other)
    assert.is_true(password.verify("s3cret", one))
    assert.is_false(password.verify("s3cret ", one))
    assert.is_false(password.verify("", one))
    assert.is_false(password.verify(("x"):rep(5000), one))
    assert.same({ nil, "bad_argument" }, { password.hash "" })
    assert.same({ nil, "limit" }, { password.hash(("x"):rep(5000)) })
  end)

  it("reads the hashes of others", function()
    for _, hash in ipairs(KNOWN) do
      assert.is_true(password.known(hash))
      assert.is_true(password.verify("s3cret", hash), hash)
      assert.is_false(password.verify("S3cret", hash))
      assert.is_false(password.verify("s3cret\0", hash))
    end
  end)

  it("refuses hashes that it does not know, or that cost too much", function()
    for hash, word in pairs {
      ["s3cret"] = "not_implemented", [""] = "not_implemented", ["$1$salt$hash"] = "not_implemented",
      ["{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g="] = "not_implemented",
      ["$scrypt$ln=15,r=8,p=1$c2FsdA$"] = "syntax", ["$scrypt$ln=15,r=8,p=1$c2FsdA"] = "syntax",
      ["$scrypt$ln=30,r=8,p=1$c2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"] = "limit",
      ["$scrypt$ln=18,r=16,p=1$c2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"] = "limit",
      ["$scrypt$ln=0,r=8,p=1$c2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"] = "bad_argument",
      ["$pbkdf2-sha256$99999999$c2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"] = "limit",
      ["$2b$31$abcdefghijklmnopqrstuuTZGbTSTRPYF9pTFHhr1Wr2hD5bHlKPe"] = "limit",
      ["$6$rounds=999999999$salt$hash"] = "limit", ["$y$jZT$salt$hash"] = "limit",
      [("$5$"):rep(200)] = "syntax", ["$6$salt\0$hash"] = "syntax",
    } do
      assert.same({ nil, word }, { password.known(hash) }, hash)
      assert.same({ nil, word }, { password.verify("s3cret", hash) }, hash)
    end
  end)

  it("leaves the worker free meanwhile, and refuses what is too much", function()
    local hash = assert(password.hash "s3cret")
    local turns, over = 0, false
    local clock = task.spawn(function()
      while not over do
        task.sleep(0.001)
        turns = turns + 1
      end
    end)
    assert.is_true(password.verify("s3cret", hash))
    over = true
    task.join(clock)
    assert.is_true(turns > 3, turns)

    -- More than the queue takes, at once; then nobody waits for any of them.
    local begun, refused, tasks = 0, 0, {}
    for i = 1, 600 do
      tasks[i] = task.spawn(function()
        begun = begun + 1
        local _, err = password.verify("s3cret", hash)
        refused = refused + (err == "full" and 1 or 0)
      end)
    end
    while begun < 600 do
      task.sleep(0.001)
    end
    for _, one in ipairs(tasks) do
      one:cancel()
    end
    assert.is_true(refused >= 600 - 512 - 2 and refused < 100, refused)
    assert.is_true(password.verify("s3cret", hash))
  end)

  it("is given up with its request and with its gateway", function()
    local test = require "demilune.test"
    local store = require("demilune.store").use()
    local folder = os.tmpname()
    os.remove(folder)
    require("pl.dir").makepath(folder .. "/hash")
    finally(function() require("pl.dir").rmtree(folder) end) -- luacheck: globals finally
    local file = assert(io.open(folder .. "/hash/init.lua", "w"))
    file:write([[
      local password = require("demilune.crypto").password
      local store = require("demilune.store").use()
      local P = { name = "hash", version = "1.0.0" }
      P.__index = P
      function P:access(x)
        store:incr("begun", 1)
        local _, err = password.verify("s3cret", "$scrypt$ln=15,r=8,p=3$c2FsdHNhbHQ$c2FsdHNhbHRzYWx0c2FsdHNhbHQ")
        store:set(err or "done", true)
      end
      return P]])
    file:close()
    local gateway = test.gateway { plugins = { "hash" }, plugin_path = { folder } }
    local connections = {}
    for i = 1, 9 do -- so many that the last one waits in the queue
      connections[i] = gateway:connect()
      connections[i]:send "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    end
    assert.truthy(test.eventually(function() return store:get "begun" == 9 end))
    connections[9]:close(true)
    assert.truthy(test.eventually(function() return store:get "cancelled" end))
    -- The rest ends with the gateway, behind this test.
  end)

  it("derives keys (RFC 7914, 11 and 12)", function()
    assert.equal("fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b3731622eaf30d92e22a3886ff109279d9830da"
      .. "c727afb94a83ee6d8360cbdfa2cc0640",
      crypto.hex(password.scrypt("password", "NaCl", { n = 1024, r = 8, p = 16, length = 64 })))
    assert.equal("55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc",
      crypto.hex(password.pbkdf2("passwd", "salt", { digest = "sha256", iterations = 1, length = 32 })))
    assert.same({ nil, "bad_argument" }, { password.scrypt("x", "y", { n = 1000, r = 8, p = 1, length = 32 }) })
    assert.same({ nil, "limit" }, { password.scrypt("x", "y", { n = 2 ^ 20, r = 8, p = 1, length = 32 }) })
  end)
end)

describe("uuid", function()
  local uuid = require "demilune.uuid"

  it("is random in version 4 and sorts by age in version 7", function()
    assert.truthy(uuid.v4():find "^%x+%-%x+%-4%x+%-[89ab]%x+%-%x+$")
    assert.truthy(uuid.v7():find "^%x+%-%x+%-7%x+%-[89ab]%x+%-%x+$")
    assert.are_not.equal(uuid.v4(), uuid.v4())
    local before = uuid.v7()
    require("demilune.test").clock.advance(1)
    assert.is_true(before < uuid.v7())
    assert.is_true(uuid.is(uuid.v4()))
    assert.is_false(uuid.is "123")
  end)
end)
