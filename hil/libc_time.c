/* time(2) of a machine whose wall clock is off: what OpenSSL asks when it looks at a certificate's
 * dates. Loaded before libc into an agent of the bench only. Everything else an agent asks of its
 * clocks goes through gateway.process.clock. The file is hil/machine.py's `clock`: two int64, the
 * second is how many nanoseconds the wall clock is off. */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *machine_clock;

__attribute__((constructor)) static void open_clock(void)
{
    const char *path = getenv("HIL_CLOCK");
    int file = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return;
    void *mapped = mmap(NULL, 16, PROT_READ, MAP_SHARED, file, 0);
    if (mapped != MAP_FAILED)
        machine_clock = mapped;
    close(file);
}

time_t time(time_t *result)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (machine_clock != NULL)
        now.tv_sec += machine_clock[1] / 1000000000;
    if (result != NULL)
        *result = now.tv_sec;
    return now.tv_sec;
}
