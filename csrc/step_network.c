/* step_network.c: how does the container bring up its end of the network? */
#define _GNU_SOURCE
#include "child.h"

static int send_messages(struct child *child, const struct step *step)
{
    if (child->netlink_fd < 0)
        child->netlink_fd = netlink_open();
    if (child->netlink_fd < 0)
        return child->netlink_fd;
    return netlink_transact(child->netlink_fd, step_data(child, step), step->data_size);
}

/* Kernel: a veth's peer can't be created up: veth_open refuses before the pair is tied. */
int step_set_link_up(struct child *child, const struct step *step)
{
    return send_messages(child, step);
}

int step_add_address(struct child *child, const struct step *step)
{
    return send_messages(child, step);
}

/* After the link is up: the kernel wants a gateway that can be reached. */
int step_add_route(struct child *child, const struct step *step)
{
    return send_messages(child, step);
}
