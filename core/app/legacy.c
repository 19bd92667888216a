/* SPDX-License-Identifier: Apache-2.0 */

/* Lines of text, written and read by the same few formats. The reader is the version whose gateway said at its start that
 * it speaks NOTE_VERSION, so nothing is guessed here: what can't be read is a bug. */

#include "app/legacy.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "base/text.h"

/* --- writing --------------------------------------------------------------------------------------------------------- */

static void write_bytes(FILE *f, const char *what, int number, struct slice bytes)
{
    fprintf(f, "%s %d %zu ", what, number, bytes.len);
    fwrite(bytes.ptr, 1, bytes.len, f);
    fputc('\n', f);
}

static void write_child(FILE *f, const struct child *c)
{
    fprintf(f, "child %d %d %d %d %" PRIu64 " %" PRIu64 "\n", (int)c->pid, c->fd, (int)c->state,
            c->is_welcome, c->since_us, c->until_us);
}

static void write_group(FILE *f, const struct held_group *g)
{
    for (size_t i = 0; i < g->sockets.n; i++)
        write_bytes(f, "socket", g->sockets.items[i].fd, slice_from(g->name));
}

static bool write_all(FILE *f, const struct supervisor *s)
{
    fprintf(f, "counts %" PRIu64 " %" PRIu64 " %" PRIu64 " %u %d\n", s->counts.restarts,
            s->counts.handovers, s->counts.started_ms, s->log_number, s->wants_handover);
    LIST_EACH (link, &s->children)
        write_child(f, container_of(link, struct child, link));
    LIST_EACH (link, &s->held.groups)
        write_group(f, container_of(link, struct held_group, link));
    if (s->ntickets)
        write_bytes(f, "tickets", 0, slice_of(s->tickets, s->ntickets));
    return fputs("end\n", f) >= 0 && fflush(f) == 0;
}

/* -1: there is no memory for it. */
static int file_new(const struct supervisor *s)
{
    int fd = memfd_create("demilune supervisor", MFD_CLOEXEC);
    int copy = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);
    FILE *f = copy < 0 ? NULL : fdopen(copy, "w");
    bool is_written = f && write_all(f, s);

    if (f)
        fclose(f);
    else if (copy >= 0)
        close(copy);
    if (is_written && lseek(fd, 0, SEEK_SET) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

/* Whether a program that is executed has the descriptors. */
static void pass_on(const struct supervisor *s, int file, bool passes)
{
    int flags = passes ? 0 : FD_CLOEXEC;

    fcntl(file, F_SETFD, flags);
    LIST_EACH (link, &s->children) {
        const struct child *c = container_of(link, struct child, link);
        if (c->fd >= 0)
            fcntl(c->fd, F_SETFD, flags);
    }
    LIST_EACH (link, &s->held.groups) {
        const struct held_group *g = container_of(link, struct held_group, link);
        for (size_t i = 0; i < g->sockets.n; i++)
            fcntl(g->sockets.items[i].fd, F_SETFD, flags);
    }
}

void legacy_exec(struct supervisor *s)
{
    char number[16];
    int file = file_new(s);

    if (file >= 0) {
        snprintf(number, sizeof(number), "%d", file);
        setenv(LEGACY_VARIABLE, number, 1);
        pass_on(s, file, true);
        execv(s->program, s->argv);
    }
    LOG_ERROR("supervisor.exec",
              "the supervisor can't be replaced: the old one goes on, with the new gateway",
              LOG_C("program", s->program), LOG_C("reason", strerror(errno)));
    if (file < 0)
        return;
    pass_on(s, file, false);
    unsetenv(LEGACY_VARIABLE);
    close(file);
}

/* --- reading --------------------------------------------------------------------------------------------------------- */

/* What write_bytes has written behind the name; NULL when it is cut. The caller frees it. */
static char *read_bytes(FILE *f, int *number, size_t *len)
{
    char *bytes = NULL;

    if (fscanf(f, "%d %zu", number, len) != 2 || *len > NOTE_TEXT_MAX || fgetc(f) != ' ')
        return NULL;
    bytes = calloc(1, *len + 1);
    REQUIRE(bytes != NULL);
    if (fread(bytes, 1, *len, f) == *len)
        return bytes;
    free(bytes);
    return NULL;
}

static bool read_child(struct supervisor *s, FILE *f)
{
    struct child *c = calloc(1, sizeof(*c));
    int pid, state, is_welcome;

    REQUIRE(c != NULL);
    if (fscanf(f, "%d %d %d %d %" SCNu64 " %" SCNu64, &pid, &c->fd, &state, &is_welcome,
               &c->since_us, &c->until_us) != 6) {
        free(c);
        return false;
    }
    c->pid = pid;
    c->state = (enum child_state)state;
    c->is_welcome = is_welcome;
    list_append(&s->children, &c->link);
    if (c->state == CHILD_READY)
        s->current = c;
    return true;
}

static bool read_socket(struct supervisor *s, FILE *f)
{
    size_t len;
    int fd;
    char *name = read_bytes(f, &fd, &len);

    if (name)
        held_add(&s->held, slice_of(name, len), fd, 0);
    free(name);
    return name != NULL;
}

static bool read_counts(struct supervisor *s, FILE *f)
{
    int wants_handover;
    int n = fscanf(f, "%" SCNu64 " %" SCNu64 " %" SCNu64 " %u %d", &s->counts.restarts,
                   &s->counts.handovers, &s->counts.started_ms, &s->log_number, &wants_handover);

    s->wants_handover = wants_handover;
    return n == 5;
}

/* True at the end of it all. */
static bool read_all(struct supervisor *s, FILE *f)
{
    char what[16];
    int number;
    bool is_fine = true;

    while (is_fine && fscanf(f, "%15s", what) == 1) {
        if (strcmp(what, "counts") == 0)
            is_fine = read_counts(s, f);
        else if (strcmp(what, "child") == 0)
            is_fine = read_child(s, f);
        else if (strcmp(what, "socket") == 0)
            is_fine = read_socket(s, f);
        else if (strcmp(what, "tickets") == 0)
            is_fine = (s->tickets = read_bytes(f, &number, &s->ntickets)) != NULL;
        else
            return strcmp(what, "end") == 0;
    }
    return false;
}

bool legacy_take(struct supervisor *s)
{
    const char *text = getenv(LEGACY_VARIABLE);
    uint64_t fd;

    if (!text || text_to_u64(slice_from(text), INT32_MAX, &fd) < 0)
        return false;
    unsetenv(LEGACY_VARIABLE);
    int kept = fcntl((int)fd, F_GET_SEALS);
    FILE *f = kept < 0 ? NULL : fdopen((int)fd, "r"); /* only files in memory have seals */
    if (!f)
        return false;
    char buffer[BUFSIZ];
    setvbuf(f, buffer, _IOFBF, sizeof(buffer));
    REQUIRE(read_all(s, f));
    fclose(f);
    explicit_bzero(buffer, sizeof(buffer)); /* of the tickets */
    pass_on(s, -1, false);
    return true;
}
