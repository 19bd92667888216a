-- Made by rockspecs/make.lua. In the root of the source: luarocks --lua-version 5.1 make rockspecs/(this file)
rockspec_format = "3.0"
package = "demilune-plugin-kafka"
version = "1.0.0-1"
source = {
  url = "file://demilune-0.1.0.tar.gz", -- git archive --prefix=demilune-0.1.0/ -o demilune-0.1.0.tar.gz HEAD
  dir = "demilune-0.1.0",
}
description = {
  summary = "Publishes events to Kafka",
  detailed = "The plugin kafka of the Demilune gateway.",
  license = "Apache-2.0",
}
dependencies = { "lua == 5.1" } -- LuaJIT; the gateway brings the library along
build = {
  type = "builtin",
  modules = {
    ["demilune.plugins.kafka.answer"] = "plugins/kafka/answer.lua",
    ["demilune.plugins.kafka.batch"] = "plugins/kafka/batch.lua",
    ["demilune.plugins.kafka.cloudevents"] = "plugins/kafka/cloudevents.lua",
    ["demilune.plugins.kafka.event"] = "plugins/kafka/event.lua",
    ["demilune.plugins.kafka"] = "plugins/kafka/init.lua",
    ["demilune.plugins.kafka.linger"] = "plugins/kafka/linger.lua",
    ["demilune.plugins.kafka.once"] = "plugins/kafka/once.lua",
    ["demilune.plugins.kafka.outcome"] = "plugins/kafka/outcome.lua",
    ["demilune.plugins.kafka.schema"] = "plugins/kafka/schema.lua",
    ["demilune.plugins.kafka.send"] = "plugins/kafka/send.lua",
    ["demilune.plugins.kafka.shared"] = "plugins/kafka/shared.lua",
    ["demilune.plugins.kafka.source"] = "plugins/kafka/source.lua",
    ["demilune.plugins.kafka.text"] = "plugins/kafka/text.lua",
    ["demilune.plugins.kafka.value"] = "plugins/kafka/value.lua",
  },
  install = { lua = { ["demilune.plugins.kafka.README"] = "plugins/kafka/README.md" } },
}
