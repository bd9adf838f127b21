/* log.h: what do the files of the log share?  log.c makes entries; the others keep them. */
#ifndef PYRUNC_LOG_H
#define PYRUNC_LOG_H

#include "parent.h"

struct log_entry {
    int stream; /* 0 for stdout, 1 for stderr */
    const char *text;
    size_t length;
    bool is_whole; /* the end of the line was printed; it is no part of `text` */
};

/* log_file.c */
void open_log_file(const struct plan *plan);
void write_file_entry(const struct log_entry *entry);
void flush_log_file(void);

/* log_socket.c */
void open_log_socket(const struct plan *plan);
void send_entry(const struct log_entry *entry);

#endif
