return {
  type = "object",
  required = { "service", "redis" },
  properties = {
    service = {
      type = "string", format = "uri",
      description = "The service that is asked: GET SERVICE/ACCOUNT answers { \"tier\": ... }.",
    },
    redis = {
      type = "string",
      description = "The name of the Redis server that keeps the answers, in `redis` of the configuration.",
    },
    ttl = {
      type = "string", format = "duration", default = "1m",
      description = "How long an answer is kept.",
    },
    timeout = {
      type = "string", format = "duration", default = "2s",
      description = "How long the service may take.",
    },
  },
}
