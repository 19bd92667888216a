-- Made by core/script/make_cdef.lua from core/script/api.h, its parts and core/base/err.def. Not to be edited.

return {
  abi = 10,
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
    DENIED = -40,
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
    [-40] = "denied",
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
void dml_hook_ran(struct gateway *g, int use);
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
int dml_exchange_set_text(struct gateway *g, double handle, int which, const char *ptr,
                                  size_t len);
enum dml_number {
    DML_NUMBER_PORT,
    DML_NUMBER_VERSION,
    DML_NUMBER_STATUS,
    DML_NUMBER_ATTEMPTS,
    DML_NUMBER_ATTEMPT,
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
int dml_param(struct gateway *g, double handle, const char *name, size_t len,
                      struct dml_slice *out);
int dml_query_value(struct gateway *g, double handle, const char *name, size_t len,
                            struct dml_slice *out);
int dml_consumer_group(struct gateway *g, double handle, int index, struct dml_slice *out);
enum dml_side {
    DML_REQUEST,
    DML_RESPONSE,
    DML_ATTEMPT_RESPONSE,
    DML_ATTEMPT_REQUEST,
};
enum dml_header_op {
    DML_HEADER_SET = 0,
    DML_HEADER_ADD = 4,
    DML_HEADER_REMOVE = 8
};
struct dml_field {
    struct dml_slice name, value;
};
int dml_header_get(struct gateway *g, double handle, int side, const char *name, size_t len,
                           struct dml_slice *out);
int dml_header_next(struct gateway *g, double handle, int side, int index, const char *name,
                            size_t len, struct dml_field *out);
int dml_header_change(struct gateway *g, double handle, int side_and_op, const char *name,
                              size_t namelen, const char *value, size_t valuelen);
int dml_header_is_core(const char *name, size_t len);
int dml_reply_begin(struct gateway *g, double handle);
int dml_reply_header(struct gateway *g, double handle, const char *name, size_t namelen,
                             const char *value, size_t valuelen);
int dml_reply_send(struct gateway *g, double handle, int status, const char *body,
                           size_t len);
int dml_reply_problem(struct gateway *g, double handle, int status, const char *detail,
                              size_t len);
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
int dml_attempt_text(struct gateway *g, double handle, int number, int which,
                             struct dml_slice *out);
double dml_attempt_number(struct gateway *g, double handle, int number, int which);
int dml_attempt_set_timeout(struct gateway *g, double handle, int number, int which,
                                    double seconds);
int dml_attempt_set_endpoint(struct gateway *g, double handle, int number, const char *ptr,
                                     size_t len);
int dml_retry(struct gateway *g, double handle, double delay);
struct dml_regex;
struct dml_template;
struct dml_edit;
struct dml_keyring;
struct dml_networks;
struct dml_limiter;
struct access_log;
struct metric_family;
struct metric_series;
struct store;
enum dml_unit { DML_UNIT_DURATION, DML_UNIT_SIZE, DML_UNIT_RATIO };
int dml_unit(int unit, const char *ptr, size_t len, double *out);
enum dml_text_is {
    DML_TEXT_IS_URL,
    DML_TEXT_IS_CIDR,
    DML_TEXT_IS_IP,
    DML_TEXT_IS_IPV4,
    DML_TEXT_IS_IPV6,
    DML_TEXT_IS_HOST,
    DML_TEXT_IS_TOKEN,
    DML_TEXT_IS_UTF8,
    DML_TEXT_IS_SETTABLE,
};
int dml_text_is(int what, const char *ptr, size_t len);
enum dml_coding {
    DML_CODING_HEX,
    DML_CODING_BASE64,
    DML_CODING_BASE64_URL,
    DML_CODING_PERCENT,
    DML_CODING_FORM,
};
int64_t dml_encode(int coding, const char *ptr, size_t len, char *out);
int64_t dml_decode(int coding, const char *ptr, size_t len, char *out);
double dml_now(void);
double dml_monotonic(void);
int dml_http_date(double when, char *out);
int dml_iso_date(double when, char *out);
int dml_http_date_read(const char *ptr, size_t len, double *out);
void dml_uuid(int version, char *out);
enum dml_regex_flag { DML_REGEX_CASELESS = 1, DML_REGEX_UTF = 2 };
struct dml_regex *dml_regex_new(const char *ptr, size_t len, int flags, char *message,
                                        size_t size, int *offset);
void dml_regex_free(struct dml_regex *re);
int dml_regex_match(const struct dml_regex *re, const char *ptr, size_t len, size_t from,
                            int32_t *spans, int nspans);
int dml_regex_group(const struct dml_regex *re, const char *name);
int dml_regex_groups(const struct dml_regex *re);
enum dml_scope_flag {
    DML_SCOPE_RESPONSE = 1,
    DML_SCOPE_ANY_PARAM = 2,
    DML_SCOPE_SELECTOR = 4,
};
struct dml_scope {
    const char *params;
    int32_t params_len;
    int32_t flags;
};
struct dml_template *dml_template_new(const char *ptr, size_t len,
                                              const struct dml_scope *scope,
                                              struct dml_slice *error);
void dml_template_free(struct dml_template *t);
int dml_template_eval(struct gateway *g, double handle, const struct dml_template *t,
                              struct dml_slice *out);
enum dml_edit_op { DML_EDIT_SET, DML_EDIT_ADD, DML_EDIT_DEFAULT, DML_EDIT_REMOVE };
struct dml_edit *dml_edit_new(int side);
void dml_edit_free(struct dml_edit *e);
int dml_edit_add(struct dml_edit *e, int op, const char *name, const char *value,
                         const struct dml_scope *scope, struct dml_slice *error);
int dml_edit_apply(struct gateway *g, double handle, const struct dml_edit *e);
struct dml_keyring *dml_keyring_new(double version);
void dml_keyring_free(struct dml_keyring *ring);
int dml_keyring_add(struct dml_keyring *ring, const char *ptr, size_t len, uint32_t owner);
int dml_keyring_identify(struct gateway *g, double handle, const struct dml_keyring *ring,
                                 const struct dml_template *source);
struct dml_networks *dml_networks_new(void);
void dml_networks_free(struct dml_networks *n);
int dml_networks_add(struct dml_networks *n, const char *ptr, size_t len);
void dml_networks_sort(struct dml_networks *n);
int dml_networks_have_client(struct gateway *g, double handle,
                                     const struct dml_networks *n);
enum dml_tag { DML_TAG_STRING, DML_TAG_NUMBER, DML_TAG_BOOLEAN };
struct dml_value {
    struct dml_slice text;
    double number;
    int32_t tag;
};
struct store *dml_store(const char *name, size_t len);
int dml_store_get(struct store *s, const char *key, size_t len, struct dml_value *out);
int dml_store_set(struct store *s, const char *key, size_t len,
                          const struct dml_value *value, double ttl, int only_new);
int dml_store_cas(struct store *s, const char *key, size_t len, const struct dml_value *old,
                          const struct dml_value *value, double ttl);
int dml_store_incr(struct store *s, const char *key, size_t len, double by, double ttl,
                           double *out);
int dml_store_delete(struct store *s, const char *key, size_t len);
double dml_store_ttl(struct store *s, const char *key, size_t len);
enum dml_algorithm { DML_GCRA, DML_SLIDING_WINDOW, DML_FIXED_WINDOW, DML_CONCURRENT };
enum dml_limit_header { DML_LIMIT_IETF = 1, DML_LIMIT_X = 2 };
struct dml_limit_options {
    double limit, burst;
    double window;
    int32_t algorithm;
    const char *name;
};
struct dml_verdict {
    int32_t refused;
    int32_t policy;
    double limit, remaining;
    double retry_after;
    double reset;
};
struct dml_limiter *dml_limiter_new(struct store *s, const char *scope, size_t len,
                                            int headers, int ipv6_prefix);
void dml_limiter_free(struct dml_limiter *l);
int dml_limiter_policy(struct dml_limiter *l, const struct dml_limit_options *o);
int dml_limiter_by(struct dml_limiter *l, const char *ptr, size_t len,
                           const struct dml_scope *scope, struct dml_slice *error);
int dml_limiter_cost(struct dml_limiter *l, const char *ptr, size_t len,
                             const struct dml_scope *scope, struct dml_slice *error);
int dml_limiter_take(struct gateway *g, double handle, const struct dml_limiter *l,
                             double cost, struct dml_verdict *out);
int dml_limiter_take_key(const struct dml_limiter *l, const char *key, size_t len,
                                 double cost, struct dml_verdict *out);
int dml_store_take(struct store *s, const char *key, size_t len,
                           const struct dml_limit_options *o, double cost, struct dml_verdict *out);
int dml_limiter_leave(const struct dml_limiter *l, const char *key, size_t len);
int dml_limiter_describe(const struct dml_limiter *l, const struct dml_verdict *v,
                                 int policy, struct dml_slice *out);
enum dml_metric { DML_COUNTER, DML_GAUGE, DML_HISTOGRAM };
struct metric_family *dml_metric_family(const char *name, const char *help, int type,
                                                const char *labels, const double *bounds,
                                                int nbounds);
struct metric_series *dml_metric_series(struct metric_family *f,
                                                const struct dml_slice *values);
void dml_metric_add(struct gateway *g, struct metric_series *s, double n);
void dml_metric_set(struct gateway *g, struct metric_series *s, double value);
void dml_metric_observe(struct gateway *g, struct metric_series *s, double value);
struct access_log *dml_access_log_new(const char *path, struct dml_slice *error);
int dml_access_log_probe(const char *path, struct dml_slice *error);
void dml_access_log_free(struct access_log *l);
int dml_access_log_field(struct access_log *l, const char *name, const char *value,
                                 const struct dml_scope *scope, struct dml_slice *error);
int dml_access_log_when(struct access_log *l, int from, int to);
int dml_access_log_write(struct gateway *g, double handle, struct access_log *l);
int dml_access_log_line(struct gateway *g, double handle, struct access_log *l,
                                struct dml_slice *out);
struct dml_key;
struct dml_keys;
struct dml_policy;
enum dml_digest { DML_MD5, DML_SHA1, DML_SHA256, DML_SHA384, DML_SHA512 };
int dml_digest(int digest, const char *ptr, size_t len, char *out);
int dml_hmac(int digest, const char *key, size_t keylen, const char *ptr, size_t len,
                     char *out);
void dml_random(char *out, size_t len);
int dml_equal(const char *a, size_t alen, const char *b, size_t blen);
struct dml_hkdf {
    const char *secret, *salt, *info;
    size_t secret_len, salt_len, info_len;
};
int dml_hkdf(int digest, const struct dml_hkdf *in, char *out, size_t len);
int dml_password_form(const char *hash, size_t len);
enum dml_aead { DML_AES_128_GCM, DML_AES_256_GCM, DML_CHACHA20_POLY1305 };
enum { DML_AEAD_NONCE = 12, DML_AEAD_TAG = 16 };
struct dml_aead_input {
    const char *key, *nonce, *text, *aad;
    size_t key_len, nonce_len, text_len, aad_len;
};
int dml_aead_key(int aead);
int dml_aead_seal(int aead, const struct dml_aead_input *in, char *out);
int dml_aead_open(int aead, const struct dml_aead_input *in, char *out);
enum dml_signing {
    DML_HS256,
    DML_HS384,
    DML_HS512,
    DML_RS256,
    DML_RS384,
    DML_RS512,
    DML_PS256,
    DML_PS384,
    DML_PS512,
    DML_ES256,
    DML_ES384,
    DML_ES512,
    DML_EDDSA,
    DML_ED25519,
    DML_SIGNINGS,
};
int dml_signing(const char *name, size_t len);
const char *dml_signing_name(int signing);
enum dml_key_kind { DML_KEY_SECRET, DML_KEY_RSA, DML_KEY_EC, DML_KEY_ED25519 };
enum dml_key_flag {
    DML_KEY_SHORT = 1,
};
enum dml_key_form { DML_KEY_PEM, DML_KEY_DER, DML_KEY_JWK, DML_KEY_BYTES };
struct dml_key *dml_key_new(int form, const char *ptr, size_t len, int flags,
                                    const char **why);
struct dml_key *dml_key_make(int signing);
void dml_key_free(struct dml_key *k);
struct dml_key_facts {
    int32_t kind, bits, is_private;
};
void dml_key_facts(const struct dml_key *k, struct dml_key_facts *out);
int dml_key_part(const struct dml_key *k, char part, char *out);
int dml_key_fits(const struct dml_key *k, int signing);
int dml_key_verify(struct dml_key *k, int signing, const struct dml_slice *text,
                           const struct dml_slice *signature);
int dml_key_sign(struct dml_key *k, int signing, const struct dml_slice *text, char *out);
struct dml_keys *dml_keys_new(void);
void dml_keys_free(struct dml_keys *ks);
int dml_keys_add(struct dml_keys *ks, struct dml_key *k, const char *kid, size_t kidlen,
                         int signing);
int dml_keys_add_jwks(struct dml_keys *ks, const char *ptr, size_t len, const char **why);
int dml_keys_count(const struct dml_keys *ks);
int dml_keys_kid(const struct dml_keys *ks, int index, struct dml_slice *out);
enum dml_policy_number {
    DML_POLICY_SIGNING,
    DML_POLICY_SKEW,
    DML_POLICY_MAX_AGE,
    DML_POLICY_MAX_SIZE,
    DML_POLICY_ANY_AUD,
    DML_POLICY_RAW,
    DML_POLICY_UNTYPED,
};
enum dml_policy_text {
    DML_POLICY_ISSUER,
    DML_POLICY_AUDIENCE,
    DML_POLICY_TYPE,
    DML_POLICY_REQUIRED,
    DML_POLICY_CRITICAL,
    DML_POLICY_NOTED,
};
struct dml_policy *dml_policy_new(void);
void dml_policy_free(struct dml_policy *p);
int dml_policy_number(struct dml_policy *p, int which, double n);
int dml_policy_text(struct dml_policy *p, int which, const char *ptr, size_t len);
enum dml_jwt_fault {
    DML_JWT_FINE,
    DML_JWT_MALFORMED,
    DML_JWT_TOO_LARGE,
    DML_JWT_ALGORITHM,
    DML_JWT_CRITICAL,
    DML_JWT_TYPE,
    DML_JWT_UNKNOWN_KEY,
    DML_JWT_SIGNATURE,
    DML_JWT_MISSING_CLAIM,
    DML_JWT_BAD_CLAIM,
    DML_JWT_EXPIRED,
    DML_JWT_NOT_YET_VALID,
    DML_JWT_TOO_OLD,
    DML_JWT_ISSUER,
    DML_JWT_AUDIENCE,
    DML_JWT_FAULTS,
};
enum { DML_JWT_SIZE_MAX = 65536 };
struct dml_jwt {
    char *
        room;
    struct dml_slice header, payload, signature;
    struct dml_slice kid;
    const char *detail;
    struct dml_slice claim;
    double expires;
    int32_t signing, key;
    int32_t has_noted;
};
const char *dml_jwt_word(int fault);
int dml_jwt_decode(const char *ptr, size_t len, struct dml_jwt *out);
int dml_jwt_verify(const struct dml_keys *ks, const struct dml_policy *p, const char *ptr,
                           size_t len, struct dml_jwt *out);
int dml_jwt_sign(struct dml_key *k, int signing, const struct dml_slice *header,
                         const struct dml_slice *payload, char *out);
struct breaker;
struct budget;
struct dml_circuit;
struct dml_core_hook;
struct dml_retry;
const struct dml_core_hook *dml_limiter_hook(struct dml_limiter *l, double cost);
int dml_limiter_shared_key(struct gateway *g, double handle, const struct dml_limiter *l,
                                   int policy, struct dml_slice *out);
double dml_limiter_cost_of(struct gateway *g, double handle, const struct dml_limiter *l);
int dml_limiter_tell(struct gateway *g, double handle, const struct dml_limiter *l,
                             const struct dml_verdict *v);
int dml_exchange_note(struct gateway *g, double handle, const char *name, size_t len,
                              const char *text, size_t text_len);
int dml_exchange_noted(struct gateway *g, double handle, const char *name, size_t len,
                               struct dml_slice *out);
struct budget *dml_budget_new(const char *name, size_t len, double window);
void dml_budget_free(struct budget *b);
void dml_budget_count(struct budget *b);
int dml_budget_take(struct budget *b, double share, double least);
void dml_budget_counts(struct budget *b, double *asked, double *taken);
struct dml_retry_options {
    int32_t attempts;
    double per_try;
    double base, max;
    double share, least;
    double hedge_percentile;
};
struct dml_retry *dml_retry_new(const char *name, size_t len,
                                        const struct dml_retry_options *o);
void dml_retry_free(struct dml_retry *r);
int dml_retry_on(struct dml_retry *r, const char *word, size_t len);
int dml_retry_method(struct dml_retry *r, const char *name, size_t len);
const struct dml_core_hook *dml_retry_hook(const struct dml_retry *r, int judges);
int dml_retry_prepare(struct gateway *g, double handle, const struct dml_retry *r);
double dml_retry_judge(struct gateway *g, double handle, const struct dml_retry *r);
struct dml_breaker_options {
    double window, min_requests;
    double failure_ratio;
    double slow_over, slow_ratio;
    double open_for, open_for_max;
    double probes;
    double ramp;
};
struct breaker *dml_breaker_new(const char *name, size_t len,
                                        const struct dml_breaker_options *o);
void dml_breaker_free(struct breaker *b);
double dml_breaker_enter(struct breaker *b);
void dml_breaker_leave(struct breaker *b, double pass, int good, double seconds);
const char *dml_breaker_state(struct breaker *b);
enum dml_circuit_scope { DML_CIRCUIT_UPSTREAM, DML_CIRCUIT_ENDPOINT, DML_CIRCUIT_ROUTE };
struct dml_circuit *dml_circuit_new(int scope, const struct dml_breaker_options *o,
                                            const char *fallback, size_t len);
void dml_circuit_free(struct dml_circuit *c);
int dml_circuit_on(struct dml_circuit *c, const char *word, size_t len);
void dml_circuit_hold(struct gateway *g, struct dml_circuit *c, const char *scope,
                              size_t len);
const struct dml_core_hook *dml_circuit_hook(const struct dml_circuit *c);
double dml_circuit_enter(struct gateway *g, double handle, struct dml_circuit *c);
struct cache_conf;
struct dml_cache_options {
    double size, max_object;
    double ttl;
    const char *tag_header;
    int32_t set_cookie, coalesce;
};
struct cache_conf *dml_cache_new(const char *name, size_t len,
                                         const struct dml_cache_options *o);
void dml_cache_free(struct cache_conf *c);
int dml_cache_key(struct cache_conf *c, const char *ptr, size_t len,
                          const struct dml_scope *scope, struct dml_slice *error);
int dml_cache_vary(struct cache_conf *c, const char *ptr, size_t len,
                           const struct dml_scope *scope, struct dml_slice *error);
int dml_cache_stand_in(struct gateway *g, double handle);
void dml_cache_enter(struct gateway *g, struct cache_conf *c);
void dml_cache_leave(struct cache_conf *c);
int dml_cache_purge_next(struct cache_conf *c, double *number, struct dml_slice *text);
void dml_cache_purge_done(struct cache_conf *c, double number);
void dml_cache_hear(struct cache_conf *c, double number, int what, const char *text,
                            size_t len);
void dml_cache_hear_number(struct cache_conf *c, double number);
void dml_cache_hear_nothing(struct cache_conf *c);
int dml_cache_status(struct cache_conf *c, int status);
enum dml_cache_found { DML_CACHE_PASS, DML_CACHE_MISS, DML_CACHE_ANSWERED, DML_CACHE_WAITS };
int dml_cache_find(struct gateway *g, double handle, struct cache_conf *c);
]],
}
