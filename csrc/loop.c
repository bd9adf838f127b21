/* loop.c: what does the monitor wait for?
 *
 * One table of descriptors, of a fixed size, for poll(2): each part fills its own places before
 * every wait and is called for those that are ready.  The wait ends by then at which a part wants
 * to be called.  Nothing in here blocks but this poll.
 */
#define _GNU_SOURCE
#include "parent.h"

/* The earlier of two moments, of which -1 is never. */
int64_t earlier(int64_t one, int64_t other)
{
    return one < 0 || (other >= 0 && other < one) ? other : one;
}

int64_t now_ms(void)
{
    return (int64_t)(clock_ns(CLOCK_MONOTONIC) / 1000000);
}

/* For poll(2): until the next moment at which something is due. */
static int timeout_ms(int64_t due_ms)
{
    enum { LONGEST_MS = 60 * 60 * 1000 };
    int64_t now = due_ms < 0 ? 0 : now_ms();
    if (due_ms < 0)
        return -1;
    if (due_ms <= now)
        return 0;
    return due_ms - now > LONGEST_MS ? LONGEST_MS : (int)(due_ms - now);
}

/* poll(2) for those places that are used: the others are passed over.  Kernel: a table longer than
 * the limit on descriptors is EINVAL, however few of them are open (poll(2)); the limit is the
 * caller's, and no more than it allows can be in use. */
static int wait_ready(struct pollfd watched[WATCHES], int64_t due_ms)
{
    struct pollfd used[WATCHES];
    int places[WATCHES], count = 0;

    for (int i = 0; i < WATCHES; i++)
        if (watched[i].fd >= 0) {
            used[count] = watched[i];
            places[count++] = i;
        }
    int ready = poll(used, (nfds_t)count, timeout_ms(due_ms));
    for (int i = 0; i < count && ready > 0; i++)
        watched[places[i]].revents = used[i].revents;
    return ready;
}

/* Wait for something to do and do it; true once the container has ended. */
bool loop_once(void)
{
    struct pollfd watched[WATCHES];
    int64_t due_ms = earlier(clients_next_ms(), earlier(copy_next_ms(), health_next_ms()));

    for (int i = 0; i < WATCHES; i++)
        watched[i] = (struct pollfd){.fd = -1, .events = POLLIN};
    copy_watch(watched);
    clients_watch(watched);
    memory_watch(&watched[AT_MEMORY]);
    health_watch(watched + AT_HEALTH);
    int ready = wait_ready(watched, due_ms);
    if (ready > 0 && (watched[AT_MEMORY].revents || watched[AT_PROCESS].revents))
        memory_ready();
    clients_ready(watched, ready);
    copy_ready(watched, ready);
    for (int i = AT_HEALTH; ready > 0 && i < AT_HEALTH + HEALTH_WATCHES; i++)
        if (watched[i].revents)
            health_ready(&watched[i]);
    health_tick();
    return ready > 0 && watched[AT_PROCESS].revents != 0;
}

/* The same for nothing but the clients: the container has ended, and only they are left. */
void loop_clients(void)
{
    struct pollfd watched[WATCHES];

    for (int i = 0; i < WATCHES; i++)
        watched[i] = (struct pollfd){.fd = -1, .events = POLLIN};
    clients_watch(watched);
    clients_ready(watched, wait_ready(watched, clients_next_ms()));
}
