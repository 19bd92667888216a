-- SPDX-License-Identifier: Apache-2.0

local ranges = require "demilune.ranges"

local SCALARS = { "string", "number", "boolean" }

return {
  type = "object",
  properties = {
    kafka = { type = "string", minLength = 1, description = "The name of a cluster of the configuration." },
    topic = {
      type = "string", minLength = 1,
      description = "A template. The topic must exist, unless the brokers make topics by themselves.",
    },
    when = {
      enum = { "request", "response", "log" }, default = "request",
      description = "request: before it goes upstream, or in its place. response: before the client gets it. log: when "
        .. "all is over.",
    },
    mode = {
      enum = { "acknowledge", "accept", "best_effort" }, default = "acknowledge",
      description = "acknowledge: waits for the broker. accept: waits until the spill has the event, which delivers it "
        .. "whatever comes. best_effort: waits for nothing.",
    },
    key = {
      type = "string", minLength = 1,
      description = "A template. Events of one key keep their order. One that comes out empty is the client's fault "
        .. "(400); absent = no key.",
    },
    value = {
      type = { "string", "object" },
      description = "A template, or a map that becomes JSON and whose texts are templates. Absent: the body of the "
        .. "request or response; for log a JSON summary.",
    },
    headers = {
      type = "object", additionalProperties = { type = SCALARS }, maxProperties = 64, default = {},
      description = "Headers of the record: templates by name; one that comes out empty is left out.",
    },
    partition = { type = { "string", "integer" }, description = "A template; absent or empty = chosen by the key." },
    timestamp = {
      type = "string",
      description = "A template: milliseconds since 1970, or a date and time of RFC 3339; absent or empty = now.",
    },
    idempotency_key = {
      type = "string", default = "header:idempotency-key",
      description = "A selector or template: of requests with the same one the first publishes, and all get the same "
        .. 'answer. "" = none.',
    },
    idempotency_ttl = {
      type = "string", format = "duration", default = "1h", exclusiveMinimum = 0,
      description = "How long an answer is kept for repeated requests.",
    },
    idempotency_redis = {
      type = "string", minLength = 1,
      description = "The name of a server in `redis`, where keys are the same for all gateways and outlive them. "
        .. "Absent: memory of the process.",
    },
    timeout = {
      type = "string", format = "duration", default = "10s", exclusiveMinimum = 0, maximum = 300,
      description = "How long acknowledge waits for the broker; beyond it 504 says that the outcome is unknown.",
    },
    linger = {
      type = "string", format = "duration", default = "0s", maximum = 10,
      description = "best_effort only: events are collected for so long, up to 1000, and published together.",
    },
    batch = {
      enum = { "none", "auto", "ndjson", "json" }, default = "none",
      description = "Is a body several events? ndjson: each line is one. json: each item of an array. auto: by the "
        .. "Content-Type; others are one event.",
    },
    batch_max = {
      type = "integer", minimum = 1, maximum = 10000, default = 1000,
      description = "Most records of a batch; beyond it 413.",
    },
    format = {
      enum = { "json", "cloudevents" }, default = "json",
      description = "json: the value as it is, and a header `id`. cloudevents: CloudEvents 1.0.",
    },
    cloudevents = {
      type = "object",
      properties = {
        content_mode = {
          enum = { "binary", "structured" }, default = "binary",
          description = "binary: attributes in headers `ce_...`, the value is the data. structured: all in one JSON.",
        },
        source = { type = "string", description = "A template. Absent: the client's, else //HOST." },
        type = {
          type = "string", description = "A template. Absent: the client's, else demilune.request (response, log).",
        },
        subject = { type = "string", description = "A template. Absent: the client's, if any." },
        dataschema = { type = "string", description = "A template. Absent: the client's, if any." },
        extensions = {
          type = "object", propertyNames = { pattern = "^[a-z0-9]{1,20}$" }, additionalProperties = { type = SCALARS },
          maxProperties = 32, default = {}, description = "Further attributes: templates by name.",
        },
      },
      default = {},
      description = "Attributes, for format: cloudevents.",
    },
    statuses = {
      type = "array", minItems = 1, maxItems = 16, items = ranges.schema,
      description = "For response and log: only answers with these statuses, such as 201, 2xx, 400-499. Absent: 2xx "
        .. "for response, all for log.",
    },
    dead_letter_topic = {
      type = "string", minLength = 1, maxLength = 249,
      description = "accept only: where events go that the brokers refuse for good, with the reason.",
    },
    dead_letter_file = {
      type = "string", minLength = 1, description = "The same as a file, a line of JSON for each.",
    },
    on_failure = {
      enum = { "refuse", "continue" }, default = "refuse",
      description = "What becomes of a request or response whose event can't be published: an error, or it goes on. A "
        .. "producer has only the first, best_effort only the second.",
    },
  },
  required = { "kafka", "topic" },
}
