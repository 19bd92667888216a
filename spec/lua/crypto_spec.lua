-- SPDX-License-Identifier: Apache-2.0

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

  it("draws bytes that differ", function()
    assert.equal(32, #crypto.random(32))
    assert.are_not.equal(crypto.random(16), crypto.random(16))
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
