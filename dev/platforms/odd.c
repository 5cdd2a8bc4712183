/* Preloaded into the tests by odd.sh: a machine whose resolver is slow, whose clock jumps.
 *
 * ODD_LOOKUP   seconds that every look-up of a name takes
 * ODD_CLOCK    seconds that the clock jumps ahead and back, every 50 ms
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static int number(const char *name) {
    const char *text = getenv(name);
    return text ? atoi(text) : 0;
}

int getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
                struct addrinfo **found) {
    int (*next)(const char *, const char *, const struct addrinfo *, struct addrinfo **) =
        dlsym(RTLD_NEXT, "getaddrinfo");
    sleep(number("ODD_LOOKUP"));
    return next(host, service, hints, found);
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    static int (*next)(clockid_t, struct timespec *);
    static int jump = -1;
    if (!next) {
        next = dlsym(RTLD_NEXT, "clock_gettime");
        jump = number("ODD_CLOCK");
    }
    int result = next(clock, time);
    if (result == 0 && clock == CLOCK_REALTIME && jump) {
        struct timespec steady;
        next(CLOCK_MONOTONIC, &steady);
        if (steady.tv_nsec / 50000000 % 2)
            time->tv_sec += jump;
    }
    return result;
}
