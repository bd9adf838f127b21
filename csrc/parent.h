/* parent.h: what do the files of the launcher's own half share?
 *
 * launcher.c, birth.c, host.c, idmap.c, client.c, monitor.c, loop.c, clients.c, health.c,
 * sleeper.c, copy.c,
 * log.c, log_file.c, log_socket.c, stdio.c, cgroup.c and record.c run in the launcher, before
 * clone3 and beside the container after it.  They use the C library, but no heap.
 */
#ifndef PYRUNC_PARENT_H
#define PYRUNC_PARENT_H

#include "child.h"

#include <poll.h>
#include <sys/types.h>
#include <time.h>

struct launch {
    const struct plan *plan;
    struct progress *progress; /* NULL once the container runs */
    size_t memory_size;        /* of the mapping that begins there */
    struct child child;        /* filled before clone3; the child has its own copy */
    int client_fd;             /* -1 once the client is gone, or the monitor's (clients.c) */
    int attach_fd;             /* where others attach; -1 for nowhere */
    int sync_fd;               /* the launcher's end */
    int pidfd;                 /* -1 before the clone */
    pid_t pid;
    int stdin_fd; /* ends of the container's stdio, -1 for none */
    int stdout_fd;
    int stderr_fd;
    int master_fd;        /* of the container's terminal */
    bool is_held;         /* it waits before its last steps (run --hold) */
    uint32_t traced;      /* records before this index were sent */
    uint64_t start_time;  /* of the child, in clock ticks since boot */
    uint64_t started_ns;  /* CLOCK_REALTIME */
    uint64_t finished_ns; /* the same */
    uint64_t value;       /* for the record of the step */
};

struct exit_status {
    int code; /* as a shell shows it */
    int signal;
    bool oom_killed;
};

/* host.c */
int run_host_step(struct launch *launch, const struct step *step);

/* birth.c */
int clone_in_user_namespace(struct launch *launch, const char *path, struct clone_args *arguments);

/* idmap.c */
int map_mount(struct launch *launch, const struct step *step);

/* client.c */
void client_lost(struct launch *launch);
void send_step(struct launch *launch, uint32_t index);
void send_trace(struct launch *launch);
void send_started(struct launch *launch);
int send_started_to(const struct launch *launch, int socket_fd);
void send_listener(struct launch *launch, int fd);
int start_scope(struct launch *launch, const struct step *step);
void send_hook_report(struct launch *launch);
int call_hooks(struct launch *launch, const struct step *step);

/* record.c */
uint64_t clock_ns(clockid_t clock);
uint64_t process_start_time(pid_t pid);
int write_state(const struct launch *launch);
int write_exit(const struct launch *launch, const struct exit_status *status);

/* cgroup.c */
bool was_oom_killed(const struct plan *plan);
void remove_cgroups(const struct launch *launch);

/* stdio.c */
int open_container_stdio(struct launch *launch);
void close_container_ends(struct launch *launch);
void null_stdio(void);

/* log.c */
void start_log(const struct plan *plan);
void log_output(int stream, const char *text, size_t length);
void end_log(void);

/* How many can be attached at the same time, whoever started the container included. */
enum { CLIENTS = 32 };

/* Places in the table of what the monitor waits for; those of health.c are its own. */
enum { HEALTH_WATCHES = 4 };
enum {
    AT_PROCESS,
    AT_STDOUT,
    AT_STDERR,
    AT_INPUT,
    AT_ATTACH,
    AT_MEMORY,
    AT_HEALTH,
    AT_CLIENT = AT_HEALTH + HEALTH_WATCHES,
    WATCHES = AT_CLIENT + CLIENTS,
};

/* loop.c; moments are ms of CLOCK_MONOTONIC, -1 is never */
bool loop_once(void);
void loop_clients(void);
int64_t now_ms(void);
int64_t earlier(int64_t one, int64_t other);

/* What a client has still to get. */
enum { OWED_STDOUT = 1, OWED_STDERR = 2, OWED_ROOM = 4, OWED_END = 8 };

/* clients.c; `index` is a client's place */
void open_attach_socket(struct launch *launch);
void start_clients(struct launch *launch);
bool has_clients(void);
bool has_starter(void);
bool speaks_for_all(int index);
void owe_output(int stream);
void owe_room(int index);
void owe_end(const struct exit_packet *packet);
bool is_owed(unsigned what);
int64_t clients_next_ms(void);
void clients_watch(struct pollfd watched[WATCHES]);
void clients_ready(const struct pollfd watched[WATCHES], int ready);

/* copy.c */
void start_copy(struct launch *launch);
void copy_rest(void);
void copy_client_gone(int index, bool has_started_it);
const char *output_packet(int stream, size_t *length);
char *input_buffer(void);
void handle_packet(int index, const char *packet, size_t length);
int64_t copy_next_ms(void);
void copy_watch(struct pollfd watched[WATCHES]);
void copy_ready(const struct pollfd watched[WATCHES], int ready);

/* memory_watch.c */
void start_memory_watch(const struct plan *plan);
void memory_watch(struct pollfd *watched);
void memory_ready(void);
bool memory_ran_out(int signal_number);

/* health.c */
void start_health(struct launch *launch);
int64_t health_next_ms(void);
void health_tick(void);
void health_watch(struct pollfd watched[HEALTH_WATCHES]);
void health_ready(const struct pollfd *watched);
void end_health(void);

/* sleeper.c */
_Noreturn void sleep_and_go_on(struct launch *launch);

/* monitor.c */
void become(const struct plan *plan, struct string_list words, char *last);
_Noreturn void monitor(struct launch *launch);
void reap(struct launch *launch, struct exit_status *status);

#define STRING_AND_LENGTH(text) (text), sizeof(text) - 1

#endif
