/* SPDX-License-Identifier: Apache-2.0 */

/* Bodies are read by Content-Length, which is what the gateway sends; connections are kept. */

#define _GNU_SOURCE
#include "service.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void (*answer_one)(const struct request *, struct response *);

void header(const struct request *r, const char *name, char *out, size_t size)
{
    size_t len = strlen(name);

    out[0] = '\0';
    for (const char *line = r->head; line && *line && *line != '\r';) {
        const char *end = strstr(line, "\r\n");
        if (strncasecmp(line, name, len) == 0 && line[len] == ':') {
            line += len + 1 + strspn(line + len + 1, " ");
            snprintf(out, size, "%.*s", (int)(end - line), line);
            return;
        }
        line = end ? end + 2 : NULL;
    }
}

void add(struct response *r, const char *fmt, ...)
{
    size_t used = strlen(r->body);
    va_list args;

    va_start(args, fmt);
    vsnprintf(r->body + used, sizeof(r->body) - used, fmt, args);
    va_end(args);
}

/* Reads until `wanted` bytes are there, or the end of the head when wanted is 0. */
static char *read_more(int fd, char *buffer, size_t size, size_t *len, size_t wanted)
{
    for (;;) {
        char *end = strstr(buffer, "\r\n\r\n");
        if (wanted ? *len >= wanted : end != NULL)
            return end ? end + 4 : buffer;
        ssize_t n = *len + 1 < size ? recv(fd, buffer + *len, size - 1 - *len, 0) : 0;
        if (n <= 0)
            return NULL;
        *len += (size_t)n;
        buffer[*len] = '\0';
    }
}

static int send_response(int fd, const struct response *r)
{
    char text[sizeof(r->body) + 256];
    int len = snprintf(
        text, sizeof(text),
        "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s\n",
        r->status, r->status < 300 ? "OK" : "Error", strlen(r->body) + 1, r->body);

    return send(fd, text, (size_t)len, MSG_NOSIGNAL) == len ? 0 : -1;
}

static void *serve_connection(void *arg)
{
    int fd = (int)(long)arg;
    char buffer[65536] = "", length[24];
    size_t len = 0;

    for (;;) {
        struct request request = {0};
        struct response response = {.status = 200};
        char *body = read_more(fd, buffer, sizeof(buffer), &len, 0);
        if (!body || sscanf(buffer, "%15s %255s", request.method, request.path) != 2)
            break;
        request.head = strstr(buffer, "\r\n") + 2;
        header(&request, "content-length", length, sizeof(length));
        size_t whole = (size_t)(body - buffer) + strtoul(length, NULL, 10);
        if (!read_more(fd, buffer, sizeof(buffer), &len, whole))
            break;
        request.body = body;
        answer_one(&request, &response);
        if (send_response(fd, &response) < 0)
            break;
        memmove(buffer, buffer + whole, len - whole + 1);
        len -= whole;
    }
    close(fd);
    return NULL;
}

static int listen_at(const char *port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(port))};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

    const char *address = getenv("ADDRESS");

    at.sin_addr.s_addr = address ? inet_addr(address) : htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 || listen(fd, 128) < 0) {
        perror(port);
        exit(1);
    }
    return fd;
}

int serve(const char *port,
          void (*answer)(const struct request *request, struct response *response))
{
    int listener = listen_at(port), on = 1;

    answer_one = answer;
    for (;;) {
        pthread_t thread;
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0)
            continue;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        if (pthread_create(&thread, NULL, serve_connection, (void *)(long)fd) == 0)
            pthread_detach(thread);
        else
            close(fd);
    }
}
