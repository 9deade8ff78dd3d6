/* libmodbus as a client of the paced server, for the speed and the fault table.
 *
 * PATH BAUD RT speed SECONDS COUNT         → {"n":..,"seconds":..,"cpu_s":..}
 * PATH BAUD RT faults POLLS UNITS(1|2) RECOVERY(0|1)  → {"wrong":..,"lost":..,"ms":[..]}
 */
#include <modbus/modbus.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}
static double cpu(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return u.ru_utime.tv_sec + u.ru_stime.tv_sec + (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}
static uint16_t initial(int unit, int address) {
    uint32_t x = (uint32_t)unit * 40503u + (uint32_t)address * 2654435761u;
    x ^= x >> 15; x *= 2246822519u; x ^= x >> 13;
    return x & 0xFFFF;
}

int main(int argc, char **argv) {
    uint16_t values[125];
    if (argc < 7) return 2;
    struct sched_param param = { .sched_priority = atoi(argv[3]) };
    modbus_t *ctx = modbus_new_rtu(argv[1], atoi(argv[2]), 'N', 8, 2);
    if (!ctx || modbus_set_slave(ctx, 1) || modbus_connect(ctx)) { perror(argv[1]); return 1; }
    if (param.sched_priority && sched_setscheduler(0, SCHED_RR, &param)) perror("sched_setscheduler");
    modbus_set_response_timeout(ctx, !strcmp(argv[4], "speed"), 200000); /* 1.2 s or 0.2 s */
    if (!strcmp(argv[4], "speed")) {
        double seconds = atof(argv[5]), start, used;
        int count = atoi(argv[6]);
        long n = 0;
        modbus_read_registers(ctx, 100, count, values);
        for (start = now(), used = cpu(); now() - start < seconds; n++)
            if (modbus_read_registers(ctx, 100, count, values) != count) n--;
        printf("{\"n\":%ld,\"seconds\":%f,\"cpu_s\":%f}\n", n, now() - start, cpu() - used);
        return 0;
    }
    int polls = atoi(argv[5]), units = atoi(argv[6]), wrong = 0, lost = 0;
    if (argc > 7 && atoi(argv[7]))
        modbus_set_error_recovery(ctx, MODBUS_ERROR_RECOVERY_LINK | MODBUS_ERROR_RECOVERY_PROTOCOL);
    double *ms = malloc(polls * sizeof *ms);
    for (int k = 0; k < polls; k++) {
        int block = k % 8, unit = 1 + block % units, address = block * 20 + 5, good = 0;
        double start = now();
        modbus_set_slave(ctx, unit);
        for (int attempt = 0; attempt < 2 && !good; attempt++)
            good = modbus_read_registers(ctx, address, 10, values) == 10;
        ms[k] = (now() - start) * 1e3;
        lost += !good;
        for (int i = 0; good && i < 10; i++)
            if (values[i] != initial(unit, address + i)) { wrong++; break; }
    }
    printf("{\"wrong\":%d,\"lost\":%d,\"ms\":[", wrong, lost);
    for (int k = 0; k < polls; k++) printf("%s%.2f", k ? "," : "", ms[k]);
    printf("]}\n");
    return 0;
}
