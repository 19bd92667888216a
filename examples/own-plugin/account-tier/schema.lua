return {
  type = "object",
  required = { "service" },
  properties = {
    service = {
      type = "string", format = "uri",
      description = "The service that is asked: GET SERVICE/ACCOUNT answers { \"tier\": ... }.",
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
