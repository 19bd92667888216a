-- Made by core/script/make_cdef.lua from core/script/api.h and core/base/err.def. Not to be edited.

return {
  abi = 1,
  err = {
    AGAIN = -1,
    NOMEM = -2,
    ARG = -3,
    LIMIT = -4,
    FULL = -5,
    NOT_FOUND = -6,
    EXISTS = -7,
    SYNTAX = -8,
    ENCODING = -9,
    RANGE = -10,
    DEPTH = -11,
    SYSTEM = -12,
    CLOSED = -13,
    RESET = -14,
    REFUSED = -15,
    UNREACHABLE = -16,
    TIMEOUT = -17,
    CANCELLED = -18,
    GONE = -19,
    DNS = -20,
    TLS = -21,
    PROTOCOL = -22,
    BAD_REQUEST = -23,
    HEAD_TOO_LARGE = -24,
    URI_TOO_LONG = -25,
    BODY_TOO_LARGE = -26,
    REQUEST_TIMEOUT = -27,
    NOT_IMPLEMENTED = -28,
    HTTP_VERSION = -29,
    EXPECTATION = -30,
    MISDIRECTED = -31,
    NO_ROUTE = -32,
    METHOD = -33,
    NO_TARGET = -34,
    OVERLOAD = -35,
    HOOK = -36,
    BUDGET = -37,
    CLIENT_GONE = -38,
    STOPPING = -39,
  },
  words = {
    [-1] = "again",
    [-2] = "no_memory",
    [-3] = "bad_argument",
    [-4] = "limit",
    [-5] = "full",
    [-6] = "not_found",
    [-7] = "exists",
    [-8] = "syntax",
    [-9] = "encoding",
    [-10] = "range",
    [-11] = "depth",
    [-12] = "system",
    [-13] = "closed",
    [-14] = "reset",
    [-15] = "refused",
    [-16] = "unreachable",
    [-17] = "timeout",
    [-18] = "cancelled",
    [-19] = "gone",
    [-20] = "dns",
    [-21] = "tls",
    [-22] = "protocol",
    [-23] = "bad_request",
    [-24] = "head_too_large",
    [-25] = "uri_too_long",
    [-26] = "body_too_large",
    [-27] = "request_timeout",
    [-28] = "not_implemented",
    [-29] = "http_version",
    [-30] = "expectation",
    [-31] = "misdirected",
    [-32] = "no_route",
    [-33] = "method",
    [-34] = "no_endpoint",
    [-35] = "overload",
    [-36] = "hook",
    [-37] = "budget",
    [-38] = "client_gone",
    [-39] = "stopping",
  },
  cdef = [[
struct gateway;
struct dml_slice {
    const char *ptr;
    int32_t len;
};
struct dml_cell {
    int32_t use;
    int32_t phase;
};
int dml_abi(void);
int dml_distance(const char *a, size_t alen, const char *b, size_t blen);
enum dml_text {
    DML_TEXT_METHOD,
    DML_TEXT_SCHEME,
    DML_TEXT_HOST,
    DML_TEXT_PATH,
    DML_TEXT_QUERY,
    DML_TEXT_CLIENT_IP,
    DML_TEXT_ID,
    DML_TEXT_ROUTE,
    DML_TEXT_PATTERN,
    DML_TEXT_CONSUMER,
    DML_TEXT_UPSTREAM,
    DML_TEXT_CLAIMS,
    DML_TEXT_ERROR,
};
int dml_exchange_text(struct gateway *g, double handle, int which, struct dml_slice *out);
int dml_exchange_set_text(struct gateway *g, double handle, int which, const char *ptr, size_t len);
enum dml_number {
    DML_NUMBER_PORT,
    DML_NUMBER_VERSION,
    DML_NUMBER_STATUS,
    DML_NUMBER_ATTEMPTS,
    DML_NUMBER_BYTES,
    DML_NUMBER_BYTES_IN,
    DML_NUMBER_TRUSTED,
};
double dml_exchange_number(struct gateway *g, double handle, int which);
int dml_exchange_set_status(struct gateway *g, double handle, int status);
struct dml_timings {
    double start;
    double total;
    double before;
    double upstream;
};
int dml_exchange_timings(struct gateway *g, double handle, struct dml_timings *out);
int dml_exchange_replied(struct gateway *g, double handle);
int dml_exchange_lives(struct gateway *g, double handle);
int dml_exchange_keep(struct gateway *g, double handle);
int dml_param_name(struct gateway *g, double handle, int index, struct dml_slice *out);
int dml_param(struct gateway *g, double handle, const char *name, size_t len, struct dml_slice *out);
int dml_query_value(struct gateway *g, double handle, const char *name, size_t len, struct dml_slice *out);
int dml_consumer_group(struct gateway *g, double handle, int index, struct dml_slice *out);
enum dml_side {
    DML_REQUEST,
    DML_RESPONSE,
    DML_ATTEMPT_RESPONSE,
    DML_ATTEMPT_REQUEST,
};
enum dml_header_op { DML_HEADER_SET = 0, DML_HEADER_ADD = 4, DML_HEADER_REMOVE = 8 };
struct dml_field {
    struct dml_slice name, value;
};
int dml_header_get(struct gateway *g, double handle, int side, const char *name, size_t len,
                           struct dml_slice *out);
int dml_header_next(struct gateway *g, double handle, int side, int index, const char *name, size_t len,
                            struct dml_field *out);
int dml_header_change(struct gateway *g, double handle, int side_and_op, const char *name, size_t namelen,
                              const char *value, size_t valuelen);
int dml_header_is_core(const char *name, size_t len);
int dml_reply_begin(struct gateway *g, double handle);
int dml_reply_header(struct gateway *g, double handle, const char *name, size_t namelen, const char *value,
                             size_t valuelen);
int dml_reply_send(struct gateway *g, double handle, int status, const char *body, size_t len);
int dml_body_set(struct gateway *g, double handle, int side, const char *ptr, size_t len);
int dml_chunk(struct gateway *g, double handle, struct dml_slice *out);
int dml_chunk_replace(struct gateway *g, double handle, const char *ptr, size_t len);
enum dml_attempt_text { DML_ATTEMPT_UPSTREAM, DML_ATTEMPT_ENDPOINT, DML_ATTEMPT_ERROR };
enum dml_attempt_number {
    DML_ATTEMPT_STATUS,
    DML_ATTEMPT_DURATION,
    DML_ATTEMPT_CONNECT_TIMEOUT,
    DML_ATTEMPT_TIMEOUT,
};
int dml_attempt_text(struct gateway *g, double handle, int number, int which, struct dml_slice *out);
double dml_attempt_number(struct gateway *g, double handle, int number, int which);
int dml_attempt_set_timeout(struct gateway *g, double handle, int number, int which, double seconds);
int dml_attempt_set_endpoint(struct gateway *g, double handle, int number, const char *ptr, size_t len);
int dml_retry(struct gateway *g, double handle, double delay);
]],
}
