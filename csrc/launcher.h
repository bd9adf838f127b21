/* launcher.h: what do Python and the launcher agree on?
 *
 * The plan of a launch is one flat buffer in a memfd: a header, the steps, then strings and data.
 * It holds offsets from its beginning and no pointers, in the byte order of the machine.
 * pyrunc/kernel/launch_plan.py writes it (`encode`, `KINDS`); tests/unit/test_launch_plan.py holds
 * both files equal.
 */
#ifndef PYRUNC_LAUNCHER_H
#define PYRUNC_LAUNCHER_H

#include <stdint.h>

#define PLAN_MAGIC "pyrunc\0\1"

/* Descriptors of the launcher, as pyrunc/kernel/launcher.py hands them over. */
enum {
    FD_PLAN = 3,
    FD_CLIENT = 4,
    FD_LOCK = 5,
    FD_FIRST = 6, /* the plan's descriptors, in their order */
};

enum stage {
    STAGE_HOST,
    STAGE_CLONE,
    STAGE_PARENT,
    STAGE_CHILD,
};

/* One constant a kind, in the order of KINDS in launch_plan.py. */
enum step_kind {
    /* host */
    STEP_MAKE_CGROUP,
    STEP_WRITE_CGROUP,
    STEP_ATTACH_DEVICE_PROGRAM,
    STEP_GIVE_CGROUP,
    STEP_JOIN_MONITOR_CGROUP,
    STEP_JOIN_NAMESPACE,
    STEP_MAP_MOUNT,
    STEP_CLONE,
    /* parent */
    STEP_WRITE_ID_MAP,
    STEP_START_SCOPE,
    STEP_CREATE_VETH,
    STEP_MOVE_LINK,
    STEP_AWAIT_LINK,
    STEP_RELEASE,
    STEP_CALL_HOOKS,
    /* child: identity and cgroups */
    STEP_WAIT,
    STEP_AWAIT_HOOKS,
    STEP_RUN_HOOK,
    STEP_DIE_WITH_PARENT,
    STEP_NEW_SESSION,
    STEP_JOIN_CGROUP,
    STEP_UNSHARE,
    STEP_WRITE_TIME_OFFSETS,
    STEP_BECOME_ROOT,
    STEP_ENTER_PID_NAMESPACE,
    STEP_JOIN_KEYRING,
    /* child: network */
    STEP_SET_LINK_UP,
    STEP_ADD_ADDRESS,
    STEP_ADD_ROUTE,
    /* child: mounts */
    STEP_SET_PROPAGATION,
    STEP_ATTACH_ROOTFS,
    STEP_BIND_ROOTFS,
    STEP_OPEN_ROOTFS,
    STEP_MAKE_DIRECTORY,
    STEP_MOUNT,
    STEP_MOUNT_CGROUPS,
    STEP_BIND,
    STEP_SET_MOUNT_ATTRIBUTES,
    STEP_RECONFIGURE,
    STEP_MAKE_NODE,
    STEP_MAKE_LINK,
    STEP_MASK,
    STEP_MAKE_READONLY,
    STEP_OPEN_TERMINAL,
    STEP_PIVOT_ROOT,
    STEP_MOVE_ROOT,
    STEP_CHANGE_ROOT,
    /* child: settings */
    STEP_SET_HOSTNAME,
    STEP_SET_DOMAINNAME,
    STEP_SET_SYSCTL,
    STEP_SET_RLIMIT,
    STEP_SET_OOM_SCORE,
    STEP_SET_UMASK,
    STEP_SET_PERSONALITY,
    STEP_SET_SCHEDULER,
    STEP_SET_IO_PRIORITY,
    STEP_SET_MEMORY_POLICY,
    STEP_SET_SECURITY_LABEL,
    STEP_SET_CPU_AFFINITY,
    STEP_CHANGE_DIRECTORY,
    STEP_FIND_COMMAND,
    STEP_SET_LISTEN_PID,
    STEP_AWAIT_START,
    STEP_HOLD,
    STEP_LET_GO,
    /* child: privileges, last */
    STEP_SET_NO_NEW_PRIVILEGES,
    STEP_DROP_BOUNDING,
    STEP_SET_USER,
    STEP_SET_CAPABILITIES,
    STEP_INSTALL_SECCOMP,
    STEP_START_INIT,
    STEP_CLOSE_DESCRIPTORS,
    STEP_EXECUTE,
    STEP_KINDS,
};

/* Flags of a step. */
enum {
    STEP_FLAG_RECURSIVE = 1,
    STEP_FLAG_CREATE_FILE = 2,
    STEP_FLAG_CREATE_DIRECTORY = 4,
    STEP_FLAG_OPTIONAL = 8,
    STEP_FLAG_NO_FOLLOW = 16,
    STEP_FLAG_COPY_UP = 32,
    STEP_FLAG_DETACHED = 64,
};

struct step {
    uint16_t kind;      /* enum step_kind */
    uint8_t stage;      /* enum stage */
    uint8_t flags;      /* STEP_FLAG_* */
    int32_t fd;         /* number of the descriptor in the launcher, or -1 */
    uint32_t path;      /* offset of a string that ends in NUL, 0 for "" */
    uint32_t target;    /* the same */
    uint32_t data;      /* offset, aligned to 8 */
    uint32_t data_size; /* in bytes */
    uint64_t a;
    uint64_t b;
};
_Static_assert(sizeof(struct step) == 40, "the layout of launch_plan.py");

enum launch_mode {
    MODE_MONITOR, /* copy the container's output to the client, stay until it ends */
    MODE_CREATE,  /* leave once the child waits to be started; the caller supervises */
    MODE_RUN,     /* the container has the launcher's own stdio; stay until it ends */
    MODE_DETACH,  /* leave once the command is executed; the caller supervises */
    MODE_SLEEP,   /* launch nothing: sleep, with the lock, then execute the clean-up command */
};

/* Options of a launch. */
enum {
    LAUNCH_TERMINAL = 1,
    LAUNCH_INTERACTIVE = 2,
    LAUNCH_TRACE = 4,
    LAUNCH_VOLATILE = 8,
    LAUNCH_FOLLOW = 16,      /* leave when the client does: before execve the child dies of it */
    LAUNCH_DETACHED = 32,    /* the client hears of the start and no more */
    LAUNCH_STDIN_STAYS = 64, /* no client ends the input */
    LAUNCH_UNFED = 128,      /* the client has no input, and its end is not the input's */
};

/* An array of offsets of strings. */
struct string_list {
    uint32_t offset;
    uint32_t count;
};

struct plan {
    char magic[8];
    uint32_t size; /* of the whole buffer */
    uint32_t step_count;
    uint32_t descriptor_count;
    uint32_t mode;    /* enum launch_mode */
    uint32_t options; /* LAUNCH_* */
    int32_t fault_step;
    int32_t fault_action; /* an errno, or FAULT_KILL */
    uint32_t container_id;
    uint32_t run_dir; /* "" for none: no state.json is written */
    uint32_t bundle;  /* "" for none: no exit.json is written */
    uint32_t state_prefix;
    uint32_t state_prefix_size;
    struct string_list argv;
    struct string_list environment;
    struct string_list cgroups; /* removed at the end, last one first */
    struct string_list cleanup_argv;
    uint64_t log_max_bytes;  /* of one file; 0 for no limit */
    uint32_t log_path;       /* "" for no log */
    uint32_t log_max_files;  /* the one that is written included */
    uint32_t log_attributes; /* JSON with a comma before it, for every entry */
    uint32_t log_sink;       /* struct log_sink, 0 for none */
    struct string_list log_compress_argv;
    struct string_list health_argv;    /* one health check; none for no checks */
    uint64_t health_interval_ms;       /* from the end of one to the next */
    uint64_t health_start_interval_ms; /* the same, as long as it starts; 0 for no such time */
    uint64_t health_start_period_ms;   /* how long that may be */
    uint64_t sleep_ms;                 /* MODE_SLEEP */
    int64_t patience_ms; /* how long a client that does not read holds up the container */
    struct step steps[];
};
_Static_assert(sizeof(struct plan) == 168, "the layout of launch_plan.py");

enum log_sink_kind { LOG_SINK_JOURNAL, LOG_SINK_SYSLOG };

enum syslog_format { SYSLOG_UNIX, SYSLOG_RFC3164, SYSLOG_RFC5424, SYSLOG_RFC5424_MICRO };

/* Where what a container prints is sent. */
struct log_sink {
    uint32_t kind;         /* enum log_sink_kind */
    uint32_t format;       /* enum syslog_format */
    uint32_t facility;     /* of syslog */
    uint32_t is_stream;    /* a connection, else datagrams */
    uint32_t buffer_bytes; /* what may wait to be sent; 0: the container waits */
    uint32_t address_size;
    uint32_t text_size;
    uint32_t padding;
    char address[112]; /* a struct sockaddr */
    char hostname[72];
    char text[]; /* journal: the fields of every entry, each with its line end; syslog: the tag */
};
_Static_assert(sizeof(struct log_sink) == 216, "the layout of log_sink.py");

enum { FAULT_KILL = -1 };

/* What a step did.  The child leaves its records in memory it shares with the launcher. */
struct step_record {
    uint16_t index;
    uint16_t padding;
    int32_t error; /* an errno, or 0 */
    uint64_t start_ns;
    uint64_t end_ns; /* CLOCK_MONOTONIC; 0 while the step is under way */
    uint64_t value;  /* clone: pid; join, unshare: inode of the namespace */
};
_Static_assert(sizeof(struct step_record) == 32, "the layout of launcher.py");

/* Packets between launcher and client: one character of type, then the body. */
enum packet_type {
    /* launcher to client */
    PACKET_STEP = 'T',        /* struct step_packet */
    PACKET_STARTED = 'S',     /* struct started_packet, with a pidfd as SCM_RIGHTS */
    PACKET_HELD = 'Y',        /* the same, before the last steps: they wait for `start` */
    PACKET_STDOUT = '1',      /* bytes */
    PACKET_STDERR = '2',      /* bytes */
    PACKET_EXIT = 'X',        /* struct exit_packet */
    PACKET_LISTENER = 'N',    /* struct listener_packet, with a filter's descriptor as SCM_RIGHTS */
    PACKET_ROOM = 'R',        /* nothing: the last packet of input is gone, another may come */
    PACKET_HOOKS = 'H',       /* struct hooks_packet: now run those that are yours, then say GO */
    PACKET_HOOK_FAILED = 'F', /* struct hook_report, before the record of its step */
    PACKET_MISSED = 'L', /* struct missed_packet: output that this client did not read in time */
    PACKET_FULL = 'B',   /* nothing: no more clients can attach */
    PACKET_SCOPE = 'U',  /* struct scope_packet: have systemd make the unit, then say GO */
    /* client to launcher */
    PACKET_STDIN = '0',     /* bytes, one packet at a time */
    PACKET_STDIN_END = 'E', /* nothing */
    PACKET_SIGNAL = 'K',    /* struct signal_packet */
    PACKET_RESIZE = 'W',    /* struct resize_packet */
    PACKET_CLOSE = 'C',     /* struct close_packet: whoever read this output is gone */
    PACKET_GO = 'G',        /* nothing: what the launch stopped for is done */
};

enum { PACKET_BYTES = 16384 }; /* of stdin, stdout, stderr at once, the type included */

struct scope_packet {
    char type;
    char padding[3];
    int32_t pid;
};
_Static_assert(sizeof(struct scope_packet) == 8, "the layout of launcher.py");

struct step_packet {
    char type;
    char padding[7];
    struct step_record record;
};
_Static_assert(sizeof(struct step_packet) == 40, "the layout of launcher.py");

struct started_packet {
    char type;
    char padding[3];
    int32_t pid;
    uint64_t start_time; /* clock ticks since boot, field 22 of /proc/PID/stat */
    uint64_t started_ns; /* CLOCK_REALTIME */
};
_Static_assert(sizeof(struct started_packet) == 24, "the layout of launcher.py");

struct listener_packet {
    char type;
    char padding[3];
    int32_t pid;
};
_Static_assert(sizeof(struct listener_packet) == 8, "the layout of launcher.py");

struct exit_packet {
    char type;
    uint8_t oom_killed;
    char padding[2];
    int32_t code;   /* as a shell shows it: 128 + signal for a signal */
    int32_t signal; /* 0 for none */
    int32_t padding2;
    uint64_t started_ns; /* CLOCK_REALTIME */
    uint64_t finished_ns;
};
_Static_assert(sizeof(struct exit_packet) == 32, "the layout of launcher.py");

struct signal_packet {
    char type;
    char padding[3];
    int32_t number;
};
_Static_assert(sizeof(struct signal_packet) == 8, "the layout of launcher.py");

struct resize_packet {
    char type;
    char padding;
    uint16_t rows;
    uint16_t columns;
};
_Static_assert(sizeof(struct resize_packet) == 6, "the layout of launcher.py");

struct close_packet {
    char type;
    char stream; /* PACKET_STDOUT or PACKET_STDERR */
};
_Static_assert(sizeof(struct close_packet) == 2, "the layout of launcher.py");

struct missed_packet {
    char type;
    char padding[7];
    uint64_t bytes;
};
_Static_assert(sizeof(struct missed_packet) == 16, "the layout of launcher.py");

struct hooks_packet {
    char type;
    char padding[3];
    int32_t pid;
    uint64_t start_time; /* as in started_packet */
};
_Static_assert(sizeof(struct hooks_packet) == 16, "the layout of launcher.py");

/* The beginning of what a hook wrote to stdout or stderr. */
struct hook_output {
    uint32_t size;
    char text[1020];
};

/* Why a hook failed: as a packet and, behind `start`, in the FIFO that the step was given. */
struct hook_report {
    char type; /* PACKET_HOOK_FAILED; 0 as long as none failed */
    char padding[3];
    int32_t error;   /* ETIME: it took too long; ECANCELED: see status; else why it did not run */
    uint32_t number; /* among the hooks of its kind */
    int32_t status;  /* as wait4 tells it */
    struct hook_output output[2];
};
_Static_assert(sizeof(struct hook_report) == 2064, "the layout of launcher.py");

static inline const char *plan_string(const struct plan *plan, uint32_t offset)
{
    return offset == 0 ? "" : (const char *)plan + offset;
}

static inline const void *plan_data(const struct plan *plan, const struct step *step)
{
    return (const char *)plan + step->data;
}

static inline const char *plan_list(const struct plan *plan, struct string_list list, uint32_t i)
{
    const uint32_t *offsets = (const void *)((const char *)plan + list.offset);
    return plan_string(plan, offsets[i]);
}

#endif
