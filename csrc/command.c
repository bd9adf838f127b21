/* command.c: how does `pyrunc` start Python without paying for what it does not need?
 *
 * The installed `pyrunc` and `pyrunc-oci` are this program.  It finds the package and its
 * interpreter by where it lies itself, whatever PATH, HOME and the working directory are, and
 * replaces itself by
 *
 *     python3.X -I -S -X utf8 -c CODE DIRECTORIES MODULES NAME ARGUMENT...
 *
 * -I and -S spare the site module, and with it every .pth file (2 ms); -c spares the search for a
 * script's importer (1 ms); -X utf8 makes arguments read the same under every locale.
 * What pyrunc-oci can do without Python it does itself: quick.c.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#ifdef COMMAND_IS_QUICK
#include "quick.h"
#endif

#if !defined COMMAND_NAME || !defined COMMAND_MODULE || !defined COMMAND_FAILURE
#error "csrc/CMakeLists.txt says which command this is: its name, its module, its exit code"
#endif
#if !defined PYTHON_VERSION || !defined PYTHON_PATH || !defined PYTHON_MODULES
#error "csrc/CMakeLists.txt says which Python the package is built for"
#endif

/* The part between "cannot" and the reason of every message. */
#define CANNOT_START COMMAND_NAME ": cannot start Python " PYTHON_VERSION

/* The first lines of Python, few because they are compiled each time: modules come from the bundle
 * of compiled code if this interpreter's is there (2 ms); pyrunc/cli/prelude.py does the rest. */
static const char code[] =
    "import marshal, posix, sys\n"
    "directories = sys.argv[1].split('\\n')\n"
    "sys.path += directories\n"
    "try:\n"
    "    file = posix.open(sys.argv[2], posix.O_RDONLY | posix.O_CLOEXEC)\n"
    "    head = marshal.loads(posix.read(file, int(posix.read(file, 8))))\n"
    "    exec(head[0], {'file': file, 'head': head, 'package_parent': directories[0]})\n"
    "except OSError:\n"
    "    pass\n"
    "del sys.argv[:3]\n"
    "from pyrunc.cli.prelude import lead\n"
    "lead('" COMMAND_MODULE "')\n";

/* Where packages lie as seen from their scripts: virtual environments and /usr/local, Debian's
 * /usr/local, Debian's /usr, and the source tree, where `make build` leaves build/bin/pyrunc. */
static const char *const package_places[] = {
    "../lib/python" PYTHON_VERSION "/site-packages",
    "../lib/python" PYTHON_VERSION "/dist-packages",
    "../local/lib/python" PYTHON_VERSION "/dist-packages",
    "../lib/python3/dist-packages",
    "../..",
};

/* Where the other libraries may be, beside the directory of the package itself.  A path of the
 * build machine is there for the source tree only: in a wheel, nobody knows whose directory it will
 * be. */
static const char *const library_places[] = {
#ifdef PYTHON_SITE
    PYTHON_SITE,
#endif
    "/usr/local/lib/python" PYTHON_VERSION "/dist-packages",
    "/usr/lib/python3/dist-packages",
};

static const char *const interpreter_places[] = {
    PYTHON_PATH,
    "/usr/bin/python" PYTHON_VERSION,
    "/usr/local/bin/python" PYTHON_VERSION,
};

/* Kernel: a program may be started with 0, 1 or 2 closed; the next file it opens would then be its
 * standard output.  Python would even keep it. */
static void open_missing_stdio(void)
{
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF)
            (void)open("/dev/null", fd == 0 ? O_RDONLY : O_WRONLY);
}

/* Join into a buffer of PATH_MAX bytes; false if it does not fit. */
static bool join(char *into, const char *directory, const char *name)
{
    int length = snprintf(into, PATH_MAX, "%s/%s", directory, name);
    return length > 0 && length < PATH_MAX;
}

/* The directory of this program, links resolved.  /proc is not needed: the kernel tells a program
 * the path it was started by. */
static bool find_own_directory(char *directory)
{
    const char *started_by = (const char *)getauxval(AT_EXECFN);
    ssize_t length = readlink("/proc/self/exe", directory, PATH_MAX - 1);
    if (length > 0)
        directory[length] = '\0';
    else if (!started_by || !realpath(started_by, directory))
        return false;
    char *slash = strrchr(directory, '/');
    if (!slash)
        return false;
    *slash = '\0';
    return true;
}

static bool find_package(char *parent, const char *directory)
{
    char candidate[PATH_MAX];
    char entry[PATH_MAX];
    for (size_t i = 0; i < sizeof package_places / sizeof *package_places; i++) {
        if (!join(candidate, directory, package_places[i]) || !realpath(candidate, parent))
            continue;
        if (join(entry, parent, "pyrunc/cli/entry.py") && access(entry, R_OK) == 0)
            return true;
    }
    return false;
}

static bool is_in_environment(const char *directory)
{
    char mark[PATH_MAX];
    return join(mark, directory, "../pyvenv.cfg") && access(mark, R_OK) == 0;
}

/* A virtual environment's own interpreter first: it is the one that the package was installed for.
 */
static bool find_interpreter(char *interpreter, const char *directory)
{
    if (is_in_environment(directory) && join(interpreter, directory, "python" PYTHON_VERSION) &&
        access(interpreter, X_OK) == 0)
        return true;
    for (size_t i = 0; i < sizeof interpreter_places / sizeof *interpreter_places; i++)
        if (access(interpreter_places[i], X_OK) == 0)
            return snprintf(interpreter, PATH_MAX, "%s", interpreter_places[i]) < PATH_MAX;
    return false;
}

/* Lengthen sys.path, one directory a line: first the package's own, which in a virtual environment
 * holds everything.  A system's packages may be spread over pip's directory and the distribution's.
 */
static void add_libraries(char *directories, size_t size, const char *directory)
{
    size_t used = strlen(directories);
    if (is_in_environment(directory))
        return;
    for (size_t i = 0; i < sizeof library_places / sizeof *library_places; i++) {
        size_t length = strlen(library_places[i]);
        if (used + length + 2 > size || access(library_places[i], X_OK) != 0)
            continue;
        directories[used] = '\n';
        memcpy(directories + used + 1, library_places[i], length + 1);
        used += length + 1;
    }
}

/* Ctrl-C waits while the interpreter starts; the first lines of Python let it through. */
static void block_interrupt(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
}

static int execute(char *interpreter, char *directories, int argc, char **argv)
{
    char modules[PATH_MAX];
    int parent = (int)strcspn(directories, "\n");
    if (snprintf(modules, sizeof modules, "%.*s/pyrunc/libexec/" PYTHON_MODULES, parent,
                 directories) >= (int)sizeof modules)
        return ENAMETOOLONG;
    char *leading[] = {interpreter, "-I",         "-S",        "-X",    "utf8",
                       "-c",        (char *)code, directories, modules, COMMAND_NAME};
    size_t count = sizeof leading / sizeof *leading;
    size_t rest = argc > 0 ? (size_t)argc : 1; /* argc is 0 where a caller passes no argv at all */
    char **arguments = calloc(count + rest, sizeof *arguments);
    if (!arguments)
        return ENOMEM;
    memcpy(arguments, leading, sizeof leading);
    if (argc > 1)
        memcpy(arguments + count, argv + 1, (rest - 1) * sizeof *arguments);
    block_interrupt();
    execv(interpreter, arguments);
    return errno;
}

int main(int argc, char **argv)
{
    char directory[PATH_MAX];
    char directories[4 * PATH_MAX];
    char interpreter[PATH_MAX];

    open_missing_stdio();
#ifdef COMMAND_IS_QUICK
    int served = serve_quickly(argc, argv);
    if (served >= 0)
        return served;
#endif
    if (!find_own_directory(directory)) {
        fprintf(stderr, CANNOT_START ": the directory of this program is unknown\n"
                                     "hint: mount /proc, or call it by its absolute path\n");
    } else if (!find_package(directories, directory)) {
        fprintf(stderr,
                CANNOT_START
                ": no package pyrunc belongs to '%s'\n"
                "hint: install it again with pip; the command and the package go together\n",
                directory);
    } else if (!find_interpreter(interpreter, directory)) {
        fprintf(stderr,
                CANNOT_START ": not beside '%s', at '" PYTHON_PATH "', in /usr/bin or "
                             "/usr/local/bin\nhint: install python" PYTHON_VERSION
                             ", or install pyrunc again with the Python that is there\n",
                directory);
    } else {
        add_libraries(directories, sizeof directories, directory);
        int error = execute(interpreter, directories, argc, argv);
        fprintf(stderr, CANNOT_START ": '%s': %s\n", interpreter, strerror(error));
    }
    return COMMAND_FAILURE;
}
