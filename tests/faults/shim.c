/* Faults between a program and libc, put in front of it with LD_PRELOAD. What it does is in a file that is mapped by all. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

struct control {
    int64_t clock_offset;  /* seconds added to the wall clock */
    int64_t sync_held;     /* whether fsync and fdatasync wait for a permit */
    int64_t sync_permits;  /* how many of those that wait may go on */
    int64_t sync_error;    /* errno of fsync and fdatasync, after which the data is not synced */
    int64_t write_error;   /* errno of whatever changes a regular file */
    int64_t read_error;    /* errno of reading from a regular file at a place */
    int64_t syncs;         /* how often fsync or fdatasync was called */
    int64_t injected;      /* how many calls were made to fail */
};

static struct control nothing;
static volatile struct control *control = &nothing;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("FAULTS_CONTROL");
    int file = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *found = mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (found != MAP_FAILED) control = found;
    close(file);
}

#define REAL(name) \
    static __typeof__(name) *real; \
    if (!real) real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

static int refused(int64_t error) {
    if (!error) return 0;
    __atomic_add_fetch(&control->injected, 1, __ATOMIC_RELAXED);
    errno = (int)error;
    return 1;
}

static int fails(int file, int64_t error) {
    struct stat found;
    return error && fstat(file, &found) == 0 && S_ISREG(found.st_mode) && refused(error);
}

static int may_sync(void) {
    int64_t left = control->sync_permits;
    if (!control->sync_held) return 1;
    return left > 0 && __atomic_compare_exchange_n(&control->sync_permits, &left, left - 1, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

static int sync_fails(void) {
    __atomic_add_fetch(&control->syncs, 1, __ATOMIC_RELAXED);
    while (!may_sync()) usleep(1000);
    return refused(control->sync_error);
}

int fsync(int file) { REAL(fsync); return sync_fails() ? -1 : real(file); }
int fdatasync(int file) { REAL(fdatasync); return sync_fails() ? -1 : real(file); }

#define FAILING(name, error, type, parameters, arguments) \
    type name parameters { \
        REAL(name); \
        return fails(file, control->error) ? -1 : real arguments; \
    }

FAILING(write, write_error, ssize_t, (int file, const void *data, size_t size), (file, data, size))
FAILING(pwrite, write_error, ssize_t, (int file, const void *data, size_t size, off_t at), (file, data, size, at))
FAILING(pwrite64, write_error, ssize_t, (int file, const void *data, size_t size, off64_t at), (file, data, size, at))
FAILING(pread, read_error, ssize_t, (int file, void *data, size_t size, off_t at), (file, data, size, at))
FAILING(pread64, read_error, ssize_t, (int file, void *data, size_t size, off64_t at), (file, data, size, at))
FAILING(ftruncate, write_error, int, (int file, off_t size), (file, size))
FAILING(ftruncate64, write_error, int, (int file, off64_t size), (file, size))

int clock_gettime(clockid_t clock, struct timespec *found) {
    REAL(clock_gettime);
    int outcome = real(clock, found);
    if (!outcome && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) found->tv_sec += control->clock_offset;
    return outcome;
}

int gettimeofday(struct timeval *found, void *zone) {
    REAL(gettimeofday);
    int outcome = real(found, zone);
    if (!outcome) found->tv_sec += control->clock_offset;
    return outcome;
}

time_t time(time_t *found) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (found) *found = now.tv_sec;
    return now.tv_sec;
}
