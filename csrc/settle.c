/* settle.c: pyrunc-settle, which sees to it that what a load has acknowledged gets to the disk.
 *
 * Usage: pyrunc-settle WORKSPACE
 *   3  the workspace, a directory, locked; the lock is held until the end
 *
 * Goes on in a process of its own session, syncs the filesystem of the workspace and removes it. If
 * that fails, a link `failed` in the workspace says why, as a number: see storage/settle.py.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { WORKSPACE = 3, NUMBER = 16 };

/* Without settling.json nothing of it is in doubt, so that goes first. */
static int remove_workspace(const char *path)
{
    if (unlinkat(WORKSPACE, "settling.json", 0) < 0 || unlinkat(WORKSPACE, "boot", 0) < 0)
        return -1;
    return rmdir(path);
}

/* The error is told once: without a mark the next sync would succeed. Where there is no room for a
 * new link, the old one is the mark. */
static int mark_failed(int error)
{
    char number[NUMBER];
    snprintf(number, sizeof number, "%d", error);
    if (symlinkat(number, WORKSPACE, "failed") == 0)
        return 0;
    return renameat(WORKSPACE, "boot", WORKSPACE, "failed");
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fputs("usage: pyrunc-settle WORKSPACE\n", stderr);
        return 2;
    }
    /* Before the caller returns: no Ctrl-C meant for what comes after it may end this, and nobody's
     * directory is kept from being unmounted. */
    setsid();
    if (chdir("/") < 0)
        return 1;
    /* Who waits for the child waits no longer; if there can't be one, the caller waits for the
     * sync. */
    if (fork() > 0)
        return 0;
    prctl(PR_SET_NAME, "pyrunc:settle");
    if (syncfs(WORKSPACE) < 0)
        return mark_failed(errno) < 0;
    return remove_workspace(argv[1]) < 0;
}
