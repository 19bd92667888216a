/* SPDX-License-Identifier: Apache-2.0 */

/* How long a gateway takes to start: notes the time, leaves behind a process that asks until the
 * first answer 200 and writes the milliseconds to a file, and becomes the gateway. That process
 * is nobody's child, lest a gateway wonders about it, and asks once each half millisecond. */

#include "listen.h"

#include <stdbool.h>
#include <sys/wait.h>
#include <time.h>

static double now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static bool is_answered(const struct sockaddr_in *gateway, const char *path)
{
    char text[1024];
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool fine = false;

    if (connect(fd, (const struct sockaddr *)gateway, sizeof(*gateway)) == 0) {
        int len = snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", path);
        fine = send(fd, text, (size_t)len, MSG_NOSIGNAL) == len &&
               recv(fd, text, 13, MSG_WAITALL) == 13 && memcmp(text, "HTTP/1.1 200 ", 13) == 0;
    }
    close(fd);
    return fine;
}

static void watch(double begun, const char *file, const char *port, const char *path)
{
    struct sockaddr_in gateway = loopback(port);

    while (!is_answered(&gateway, path)) {
        if (now_ms() - begun > 60e3)
            return;
        nanosleep(&(struct timespec){.tv_nsec = 500000}, NULL);
    }
    double took = now_ms() - begun;
    FILE *out = fopen(file, "w");
    if (!out)
        fail(file);
    fprintf(out, "%.2f\n", took);
    fclose(out);
}

int main(int argc, char **argv)
{
    if (argc < 5) {
        fputs("usage: started FILE PORT PATH COMMAND...\n", stderr);
        return 2;
    }
    double begun = now_ms();
    pid_t child = fork();
    if (child == 0) {
        if (fork() == 0)
            watch(begun, argv[1], argv[2], argv[3]);
        _exit(0);
    }
    waitpid(child, NULL, 0);
    execvp(argv[4], argv + 4);
    fail(argv[4]);
}
