/* SPDX-License-Identifier: Apache-2.0 */

/* Three things happen: a signal comes (one of them is that a process has ended), a gateway sends a note, a moment is
 * reached. Each is answered at once, and none waits for another.
 *
 * Crashes in a row are restarted after 0, 100, 200, 400 ms ... 10 s; in a row means less than half a second after it was
 * ready: who has served longer does not crash at every start. Meanwhile connections wait in the backlog of the sockets
 * that are held. Only a first start that fails of itself (a faulty configuration, a port that is taken) ends it all:
 * later the configuration may be mended while this waits. */

#include "app/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "app/cli.h"
#include "app/legacy.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"

#define BACKOFF_MIN_MS 100
#define BACKOFF_MAX_MS 10000
#define STEADY_US 500000
#define GRACE_MS 10000          /* for what a gateway does at its end beside draining */
#define HANDOVER_READY_MS 60000 /* start hooks may take their time */
#define OLD_MAX 8               /* gateways that still drain */
#define NOTES_PER_TURN 64

static const int taken[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGCHLD};

/* --- gateways -------------------------------------------------------------------------------------------------------- */

static void schedule_restart(struct supervisor *s, uint64_t delay_ms)
{
    s->restart_at_us = clock_us_now() + delay_ms * 1000;
}

static uint64_t backoff_ms(unsigned failures)
{
    if (failures <= 1)
        return 0;
    return MIN((uint64_t)BACKOFF_MIN_MS << MIN(failures - 2, 16u), (uint64_t)BACKOFF_MAX_MS);
}

static struct child *start(struct supervisor *s, const char *program)
{
    struct child *c = child_start(program, s->argv);

    if (c)
        list_append(&s->children, &c->link);
    else
        LOG_ERROR("supervisor.fork", "no process can be started", LOG_C("reason", strerror(errno)));
    return c;
}

static void restart(struct supervisor *s)
{
    s->restart_at_us = 0;
    s->current = start(s, NULL);
    if (!s->current)
        schedule_restart(s, backoff_ms(++s->failures + 1));
}

static unsigned count_old(const struct supervisor *s)
{
    unsigned n = 0;

    LIST_EACH (link, &s->children)
        n += container_of(link, struct child, link)->state == CHILD_RETIRING;
    return n;
}

static void tell_all(struct supervisor *s, int signal)
{
    LIST_EACH (link, &s->children)
        child_tell(container_of(link, struct child, link), NOTE_SIGNAL, (uint32_t)signal);
}

/* --- handing over ---------------------------------------------------------------------------------------------------- */

static void begin_handover(struct supervisor *s)
{
    s->wants_handover = false;
    if (s->candidate) {
        s->wants_handover = true;
        return;
    }
    if (count_old(s) >= OLD_MAX) {
        LOG_WARN("supervisor.handover", "too many old gateways still drain: try again later",
                 LOG_I("old", count_old(s)));
        return;
    }
    LOG_INFO("supervisor.handover", "a gateway of the new binary is started",
             LOG_C("program", s->program));
    s->candidate = start(s, s->program);
    if (s->candidate)
        child_kill_after(s->candidate, HANDOVER_READY_MS);
}

static void retire(struct child *old)
{
    if (!old->is_welcome) {
        kill(old->pid, SIGKILL);
    } else {
        child_tell(old, NOTE_RETIRE, 0);
        child_kill_after(old, GRACE_MS); /* until it says how long it will take */
    }
    child_to(old, CHILD_RETIRING);
}

static void end_handover(struct supervisor *s)
{
    struct child *old = s->current;

    s->current = s->candidate;
    s->candidate = NULL;
    s->restart_at_us = 0;
    s->counts.handovers++;
    s->current->until_us = 0;
    held_settle(&s->held);
    if (old)
        retire(old);
    LOG_INFO("supervisor.handover", "the new gateway has taken over", LOG_I("pid", s->current->pid),
             LOG_I("old_pid", old ? old->pid : 0));
    legacy_exec(s);
    if (s->wants_handover)
        begin_handover(s);
}

static void on_candidate_end(struct supervisor *s, const struct child *c, int wait_status)
{
    s->candidate = NULL;
    held_drop_from(&s->held, c->pid);
    if (s->told)
        return;
    LOG_ERROR("supervisor.handover",
              "the new binary's gateway did not get ready: the old one goes on",
              LOG_C("program", s->program), LOG_C("reason", child_reason(wait_status)));
    if (s->wants_handover)
        begin_handover(s);
}

/* --- notes ----------------------------------------------------------------------------------------------------------- */

static void on_hello(struct supervisor *s, struct child *c)
{
    struct note_welcome welcome = s->counts;

    welcome.handovers += c == s->candidate; /* for when it is ready */
    if (s->note->number == NOTE_VERSION) {
        child_welcome(c, &welcome, &s->held, slice_of(s->tickets, s->ntickets));
        return;
    }
    LOG_ERROR("supervisor.version",
              "the new binary does not fit this supervisor: restart it instead",
              LOG_I("has", s->note->number), LOG_I("wanted", NOTE_VERSION));
    kill(c->pid, SIGKILL);
}

static void on_ready(struct supervisor *s, struct child *c)
{
    s->log_number = s->note->number;
    log_configure((enum log_level)(s->log_number >> 8), (enum log_format)(s->log_number & 0xff));
    if (c->state == CHILD_STARTING)
        child_to(c, CHILD_READY);
    s->was_ready = true;
    if (c == s->candidate) {
        if (!s->told) /* else it was killed, and this was its last word */
            end_handover(s);
    } else if (s->crashed_us) {
        LOG_INFO("supervisor.restarted", "the gateway is ready again", LOG_I("pid", c->pid),
                 LOG_I("after_ms", (clock_us_now() - s->crashed_us) / 1000));
        s->crashed_us = 0;
    }
}

static void on_sockets(struct supervisor *s, struct child *c)
{
    if (c->state == CHILD_RETIRING ||
        held_receive(&s->held, s->note, c == s->candidate ? c->pid : 0) < 0)
        LOG_WARN("supervisor.sockets", "sockets that can't be held", LOG_I("pid", c->pid),
                 LOG_S("name", note_text(s->note)));
}

static void on_close(struct supervisor *s, struct child *c)
{
    if (c == s->current)
        held_drop(&s->held, note_text(s->note));
    child_tell(c, NOTE_CLOSED, 0);
}

static void wipe_tickets(struct supervisor *s)
{
    if (s->tickets)
        explicit_bzero(s->tickets, s->ntickets);
    free(s->tickets);
    s->tickets = NULL;
    s->ntickets = 0;
}

static void on_tickets(struct supervisor *s, struct child *c)
{
    if (c == s->current && s->note->len) {
        wipe_tickets(s);
        s->tickets = malloc(s->note->len);
        REQUIRE(s->tickets != NULL);
        memcpy(s->tickets, s->note->text, s->note->len);
        s->ntickets = s->note->len;
    }
    explicit_bzero(s->note->text, s->note->len);
}

static void take_note(struct supervisor *s, struct child *c, bool is_dead)
{
    switch (s->note->kind) {
    case NOTE_SOCKET: on_sockets(s, c); break;
    case NOTE_CLOSE: on_close(s, c); break;
    case NOTE_TICKETS: on_tickets(s, c); break;
    case NOTE_ENDING: child_kill_after(c, s->note->number + (uint64_t)GRACE_MS); break;
    case NOTE_HELLO:
        if (!is_dead)
            on_hello(s, c);
        break;
    case NOTE_READY:
        if (!is_dead)
            on_ready(s, c);
        break;
    default: break;
    }
    note_close_fds(s->note);
}

/* Those that are there, some at a time, so that no gateway keeps the others waiting. */
static void take_notes(struct supervisor *s, struct child *c, bool is_dead)
{
    int rc = 0;

    for (int i = 0; rc == 0 && c->fd >= 0 && (is_dead || i < NOTES_PER_TURN); i++) {
        rc = note_receive(c->fd, s->note, 0);
        if (rc == 0)
            take_note(s, c, is_dead);
        else if (rc == ERR_PROTOCOL)
            LOG_WARN("supervisor.note", "a note that can't be read", LOG_I("pid", c->pid));
    }
    if (rc == 0 || rc == ERR_TIMEOUT || rc == ERR_PROTOCOL)
        return;
    close(c->fd);
    c->fd = -1;
    if (!is_dead && !c->until_us)
        child_kill_after(c, GRACE_MS);
}

/* --- ends ------------------------------------------------------------------------------------------------------------ */

static bool is_own_refusal(const struct supervisor *s, int wait_status)
{
    return !s->was_ready && WIFEXITED(wait_status) && WEXITSTATUS(wait_status) <= CLI_SYSTEM;
}

static void on_crash(struct supervisor *s, const struct child *c, int wait_status)
{
    bool was_steady = c->state == CHILD_READY && clock_us_now() - c->since_us >= STEADY_US;

    s->failures = was_steady ? 1 : s->failures + 1;
    s->counts.restarts++;
    s->crashed_us = clock_us_now();
    uint64_t delay_ms = backoff_ms(s->failures);
    LOG_ERROR("supervisor.crash", "the gateway has ended: it is started again",
              LOG_C("reason", child_reason(wait_status)), LOG_I("pid", c->pid),
              LOG_B("was_ready", c->state == CHILD_READY), LOG_I("in_a_row", s->failures),
              LOG_I("delay_ms", delay_ms));
    schedule_restart(s, delay_ms);
    if (delay_ms == 0)
        restart(s);
}

static void tell_disorder(const struct child *c, int wait_status)
{
    if (wait_status != 0)
        LOG_WARN("supervisor.disorder", "a gateway that was to end did not do so in order",
                 LOG_I("pid", c->pid), LOG_C("reason", child_reason(wait_status)));
}

static void on_current_end(struct supervisor *s, const struct child *c, int wait_status)
{
    s->current = NULL;
    if (s->told && !c->is_welcome)
        return; /* it was killed before it had begun */
    if (s->told)
        tell_disorder(c, wait_status);
    if (s->told || is_own_refusal(s, wait_status))
        s->status = child_exit_status(wait_status);
    else
        on_crash(s, c, wait_status);
}

static void on_end(struct supervisor *s, struct child *c, int wait_status)
{
    take_notes(s, c, true);
    list_remove(&c->link);
    if (c == s->candidate)
        on_candidate_end(s, c, wait_status);
    else if (c == s->current)
        on_current_end(s, c, wait_status);
    else
        tell_disorder(c, wait_status);
    child_free(c);
}

/* As process 1 there are ends of processes that are nobody's, too. */
static void reap(struct supervisor *s)
{
    int wait_status;
    pid_t pid;

    while ((pid = waitpid(-1, &wait_status, WNOHANG)) > 0) {
        LIST_EACH (link, &s->children) {
            struct child *c = container_of(link, struct child, link);
            if (c->pid == pid) {
                on_end(s, c, wait_status);
                break;
            }
        }
    }
}

/* --- signals --------------------------------------------------------------------------------------------------------- */

static void end_one(struct child *c, int signal)
{
    if (!c->is_welcome)
        kill(c->pid, SIGKILL); /* nothing is in its hands yet */
    child_tell(c, NOTE_SIGNAL, (uint32_t)signal);
    child_kill_after(c, GRACE_MS);
}

/* A first SIGTERM is for the gateway that serves: the old ones drain already. */
static void end_all(struct supervisor *s, int signal)
{
    bool is_first_term = signal == SIGTERM && !s->told;

    s->told = signal;
    s->restart_at_us = 0;
    s->wants_handover = false;
    if (s->candidate)
        kill(s->candidate->pid, SIGKILL);
    LIST_EACH (link, &s->children) {
        struct child *c = container_of(link, struct child, link);
        if (c != s->candidate && (!is_first_term || c == s->current))
            end_one(c, signal);
    }
}

static void on_signal(struct supervisor *s, int signal)
{
    switch (signal) {
    case SIGCHLD: reap(s); break;
    case SIGTERM:
    case SIGINT: end_all(s, signal); break;
    case SIGUSR2:
        if (!s->told)
            begin_handover(s);
        break;
    default: tell_all(s, signal); break;
    }
}

static void take_signals(struct supervisor *s)
{
    struct signalfd_siginfo info;

    while (read(s->signals, &info, sizeof(info)) == sizeof(info))
        on_signal(s, (int)info.ssi_signo);
}

static int open_signals(void)
{
    sigset_t set;

    sigemptyset(&set);
    for (size_t i = 0; i < COUNT_OF(taken); i++) {
        signal(taken[i], SIG_DFL); /* whoever started this may have ignored some */
        sigaddset(&set, taken[i]);
    }
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    REQUIRE(fd >= 0);
    return fd;
}

/* --- the loop -------------------------------------------------------------------------------------------------------- */

static void earlier(uint64_t *first, uint64_t at)
{
    if (at && (!*first || at < *first))
        *first = at;
}

/* Milliseconds until something is due, for poll. */
static int wait_ms(const struct supervisor *s)
{
    uint64_t first = s->restart_at_us, now = clock_us_now();

    LIST_EACH (link, &s->children)
        earlier(&first, container_of(link, struct child, link)->until_us);
    if (!first)
        return -1;
    return first <= now ? 0 : (int)MIN((first - now) / 1000 + 1, (uint64_t)INT32_MAX);
}

static void look_at_clock(struct supervisor *s)
{
    uint64_t now = clock_us_now();

    LIST_EACH (link, &s->children) {
        struct child *c = container_of(link, struct child, link);
        if (!c->until_us || now < c->until_us)
            continue;
        LOG_ERROR("supervisor.kill",
                  "a gateway has not done in time what it was told: it is killed",
                  LOG_I("pid", c->pid));
        c->until_us = 0;
        kill(c->pid, SIGKILL);
    }
    if (s->restart_at_us && now >= s->restart_at_us)
        restart(s);
}

static void turn(struct supervisor *s)
{
    struct pollfd fds[OLD_MAX + 4] = {{.fd = s->signals, .events = POLLIN}};
    struct child *children[OLD_MAX + 4];
    nfds_t n = 1;

    LIST_EACH (link, &s->children) {
        struct child *c = container_of(link, struct child, link);
        REQUIRE(n < COUNT_OF(fds));
        children[n] = c;
        fds[n++] = (struct pollfd){.fd = c->fd, .events = POLLIN};
    }
    if (poll(fds, n, wait_ms(s)) < 0)
        return;
    for (nfds_t i = 1; i < n; i++)
        if (fds[i].revents)
            take_notes(s, children[i], false);
    if (fds[0].revents)
        take_signals(s);
    look_at_clock(s);
}

/* --- beginning and end ----------------------------------------------------------------------------------------------- */

/* The file that was named on the command line, as a shell finds it: what stands there when SIGUSR2 comes, a link that
 * leads elsewhere by then included. */
static char *find_program(const char *name)
{
    const char *path = getenv("PATH");
    struct slice rest = slice_from(path ? path : "/usr/local/bin:/usr/bin:/bin"), folder;
    char *found;

    if (strchr(name, '/'))
        return access(name, X_OK) == 0 ? strdup(name) : NULL;
    while (slice_split(&rest, ':', &folder)) {
        if (asprintf(&found, "%.*s/%s", SLICE_ARG(folder), name) < 0)
            return NULL;
        if (access(found, X_OK) == 0)
            return found;
        free(found);
    }
    return NULL;
}

/* A socket for each worker and listener may be more than a shell allows. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

static void begin(struct supervisor *s, char **argv)
{
    *s = (struct supervisor){.argv = argv, .log_number = LOG_INFO << 8 | LOG_JSON};
    held_init(&s->held);
    list_init(&s->children);
    s->note = malloc(sizeof(*s->note));
    s->program = find_program(argv[0]);
    if (!s->program)
        s->program = strdup("/proc/self/exe");
    REQUIRE(s->note != NULL && s->program != NULL);
    raise_descriptor_limit();
    s->signals = open_signals();
    s->counts.started_ms = clock_wall_ms_now();
    if (legacy_take(s)) {
        s->was_ready = true;
    } else {
        s->current = start(s, NULL);
        s->status = s->current ? CLI_FINE : CLI_SYSTEM;
    }
    log_configure((enum log_level)(s->log_number >> 8), (enum log_format)(s->log_number & 0xff));
    reap(s);
}

int supervisor_run(char **argv)
{
    struct supervisor s;

    begin(&s, argv);
    if (s.wants_handover)
        begin_handover(&s);
    while (s.restart_at_us || !list_is_empty(&s.children))
        turn(&s);
    held_deinit(&s.held);
    wipe_tickets(&s);
    close(s.signals);
    free(s.program);
    free(s.note);
    return s.status;
}
