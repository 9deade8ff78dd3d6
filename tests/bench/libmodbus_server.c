/* libmodbus answering as one unit: PATH UNIT. An independent peer behind the paced server's relay.
 * Registers hold what paced_server.c's hold. Says {} when it is ready, ends with its input. */
#include <errno.h>
#include <modbus/modbus.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static uint16_t initial(int unit, int kind, int address) {
    uint32_t x = (uint32_t)unit * 40503u + (uint32_t)kind * 977u + (uint32_t)address * 2654435761u;
    x ^= x >> 15; x *= 2246822519u; x ^= x >> 13;
    return x & 0xFFFF;
}

int main(int argc, char **argv) {
    uint8_t query[MODBUS_RTU_MAX_ADU_LENGTH];
    if (argc < 3) return 2;
    int unit = atoi(argv[2]), n;
    modbus_t *ctx = modbus_new_rtu(argv[1], 115200, 'N', 8, 2);
    modbus_mapping_t *map = modbus_mapping_new(1000, 1000, 1000, 1000);
    if (!ctx || !map) return 1;
    for (int i = 0; i < 1000; i++) {
        map->tab_registers[i] = initial(unit, 0, i);
        map->tab_input_registers[i] = initial(unit, 1, i);
        map->tab_bits[i] = initial(unit, 2, i) & 1;
        map->tab_input_bits[i] = initial(unit, 3, i) & 1;
    }
    modbus_set_slave(ctx, unit);
    if (modbus_connect(ctx)) { perror(argv[1]); return 1; }
    printf("{}\n"); fflush(stdout);
    for (;;) {
        struct pollfd fds[2] = { { 0, POLLIN, 0 }, { modbus_get_socket(ctx), POLLIN, 0 } };
        if (poll(fds, 2, -1) < 0 && errno != EINTR) return 1;
        if (fds[0].revents) return 0;
        if (!fds[1].revents) continue;
        n = modbus_receive(ctx, query);
        if (n > 0) modbus_reply(ctx, query, n, map);
        else if (n < 0 && errno == EIO) return 1;
    }
}
