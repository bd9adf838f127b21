/* health.c: what does the monitor do that no descriptor of the container tells it to?
 *
 * The monitor's loop (loop.c) asks when the next moment is, and calls `health_tick` at it; it polls
 * what `health_watch` names, and hands over what became of that.  Nothing here may block.
 */
#define _GNU_SOURCE
#include "parent.h"

/* Before the loop begins, once the container runs. */
void start_health(struct launch *launch)
{
    (void)launch;
}

/* The next moment to be called at, in ms of CLOCK_MONOTONIC; -1 for never. */
int64_t health_next_ms(void)
{
    return -1;
}

/* That moment has come, or is near: look at the clock. */
void health_tick(void)
{
}

/* Name descriptors to poll, at most HEALTH_WATCHES; those that are left alone are not polled. */
void health_watch(struct pollfd watched[HEALTH_WATCHES])
{
    (void)watched;
}

/* One of them is ready, as poll(2) says it. */
void health_ready(const struct pollfd *watched)
{
    (void)watched;
}

/* The container has ended: nothing is due any more, whatever is under way. */
void end_health(void)
{
}
