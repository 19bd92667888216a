/* SPDX-License-Identifier: Apache-2.0 */

/* HTTP/1.x (RFC 9112): heads between bytes and struct message, and the two ends of a connection.
 *
 *   h1.c         reading heads
 *   h1_write.c   writing heads
 *   h1_body.c    framing of bodies: lengths, chunks, trailers
 *   h1_conn.c    what both ends share: reading into memory that an idle connection does not hold,
 *                the pump, time
 *   h1_out.c     the same for sending: heads that wait, framing, one system call for both
 *   h1_server.c  the end that hears requests
 *   h1_client.c  the end that hears responses
 *
 * A head is parsed in one pass, when all of it is there: until then it is only scanned for its
 * end, each byte once. So the parser's state lives on the stack, and how a head was cut into
 * packets makes no difference. */

#ifndef DML_HTTP_H1_H
#define DML_HTTP_H1_H

#include "base/base.h"
#include "http/h1_conn.h"
#include "http/message.h"
#include "http/wire.h"

/* --- heads ------------------------------------------------------------------------------------ */

struct h1_bounds {
    uint32_t first_line; /* bytes of the first line */
    uint32_t head;       /* bytes of all lines */
    uint32_t fields;
};

/* Looks for the end of a head in `bytes`, which begins with the head's first byte and has grown
 * since the last call with the same *s. Length of the head; 0 = not all there; ERR_BAD_REQUEST
 * (a LF without CR, a line that begins with a blank, a first byte that no method has),
 * ERR_URI_TOO_LONG, ERR_HEAD_TOO_LARGE, with *why. */
ssize_t h1_scan(struct h1_scan *s, struct slice bytes, const struct h1_bounds *b, const char **why);

/* What a head says about its connection. */
struct h1_facts {
    const char *why; /* of a failure: a sentence for a person */
    bool keep_alive;
    bool until_close; /* the body of a response ends with the connection */
};

/* Parses a whole head that h1_scan has found, into *m, whose headers must have been initialised.
 * Slices point into `head`. 0, or ERR_BAD_REQUEST, ERR_NOT_IMPLEMENTED, ERR_HTTP_VERSION,
 * ERR_HEAD_TOO_LARGE, ERR_EXPECTATION. m->scheme is left to the caller. */
MUST_CHECK int h1_read_request(struct slice head, uint32_t max_fields, struct message *m,
                               struct h1_facts *facts);

/* The same for a response to a request of that method; with a tunnel asked for, 101 gives one. 0
 * or ERR_PROTOCOL. */
MUST_CHECK int h1_read_response(struct slice head, uint32_t max_fields, enum method method,
                                bool wants_websocket, struct message *m, struct h1_facts *facts);

/* Serialising. h1_*_size is the room that h1_write_* needs for the head without framing and
 * connection fields and without the empty line. h1_write_* returns the end of what it wrote, or
 * NULL when a value had a line break in it: nothing of what plugins set can split a message. */
size_t h1_request_size(const struct message *m);
char *h1_write_request(char *out, const struct message *m);
size_t h1_response_size(const struct message *m);
char *h1_write_response(char *out, const struct message *m);

/* Trailer fields of the wire, without the empty line: those that may stand in a trailer section. */
size_t h1_trailers_size(const struct headers *h);
char *h1_write_trailers(char *out, const struct headers *h);

/* --- the server's end ------------------------------------------------------------------------- */

struct h1_server;

/* Who keeps the connection (inbound.c). */
struct h1_server_host {
    /* Sets events and owner of the wire for a new request, and its peer (in w->arena). */
    void (*on_request)(struct h1_server *s, struct wire *w);
    /* Describes the peer of a connection without a wire. */
    void (*describe)(struct h1_server *s, struct wire_peer *out);
    /* The connection is over: to be freed at the end of the turn. */
    void (*on_end)(struct h1_server *s);
};

struct h1_server {
    struct h1_conn conn;
    /* borrowed */
    const struct h1_server_host *host;
    /* state */
    bool close;   /* after this answer */
    bool leaving; /* the next answer's head says that it is the last */
    bool expects; /* the request waits for 100 Continue */
    bool is_head;
    bool wants_websocket;
    bool is_tls;
};

/* The stream is the server's from now on. */
void h1_server_init(struct h1_server *s, struct wire_env *env, struct stream *stream,
                    const struct h1_server_host *host);

/* No request under way, not a byte of one here. */
bool h1_server_is_idle(const struct h1_server *s);

/* Closes it when it is idle; else after the answer under way (env->draining is set). */
void h1_server_drain(struct h1_server *s);

/* Cuts it off; its owner hears on_gone(ERR_STOPPING), and the end comes with its release. */
void h1_server_abort(struct h1_server *s);

/* --- the client's end ------------------------------------------------------------------------- */

struct h1_client;

/* Who keeps the connection (outbound.c). */
struct h1_client_host {
    /* The wire was released and the connection can carry another exchange. */
    void (*on_idle)(struct h1_client *cl);
    /* It is over: to be freed at the end of the turn. */
    void (*on_end)(struct h1_client *cl);
};

struct h1_client {
    struct h1_conn conn;
    /* borrowed */
    const struct h1_client_host *host;
    /* state */
    bool keep_alive;  /* the response allows it */
    bool until_close; /* the response's body ends with the connection */
    bool wants_websocket;
    bool te_trailers;
    bool expects;
    uint8_t method; /* enum method of the request */
    uint8_t interims;
};

void h1_client_init(struct h1_client *cl, struct wire_env *env, struct stream *stream,
                    const struct h1_client_host *host);

/* The connection must be idle. */
struct wire *h1_client_open(struct h1_client *cl, struct arena *arena,
                            const struct wire_events *events, void *owner, bool reused);

/* An idle one; no event, and the caller frees it at the end of the turn. */
void h1_client_close(struct h1_client *cl);

/* See outbound_detach and outbound_attach. */
bool h1_client_detach(struct h1_client *cl);
bool h1_client_attach(struct h1_client *cl, struct wire_env *env);

#endif
