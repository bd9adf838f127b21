"""Which commands are there?  Pure data, all that `pyrunc --help` needs.

name -> (module, attribute, what it does); without the last, the help does not show it.
"""

from __future__ import annotations

Entry = tuple[str, str, str]

CONTAINER: dict[str, Entry] = {
    "run": ("commands_run", "RUN", "Create and run a new container from an image"),
    "create": ("commands_run", "CREATE", "Create a container, and leave it to start"),
    "exec": ("commands_run", "EXEC", "Execute a command in a running container"),
    "ls": ("commands_ps", "PS", "List containers"),
    "inspect": ("commands_container", "CONTAINER_INSPECT", "Show all about containers, as JSON"),
    "rm": ("commands_life", "RM", "Remove containers"),
    "logs": ("commands_life", "LOGS", "Print what a container has printed"),
    "attach": ("commands_life", "ATTACH", "Attach to a running container"),
    "start": ("commands_life", "START", "Start containers that do not run"),
    "restart": ("commands_life", "RESTART", "Stop containers, and start them again"),
    "rename": ("commands_life", "RENAME", "Give a container another name"),
    "stop": ("commands_life", "STOP", "Stop containers"),
    "kill": ("commands_life", "KILL", "Send a signal to containers"),
    "wait": ("commands_life", "WAIT", "Wait for containers to end, and print their exit codes"),
    "pause": ("commands_life", "PAUSE", "Make all processes of containers stand still"),
    "unpause": ("commands_life", "UNPAUSE", "Let paused containers go on"),
    "cp": ("commands_files", "CP", "Copy files from a container, or into it"),
    "diff": ("commands_files", "DIFF", "Show what a container changed in its filesystem"),
    "export": ("commands_files", "EXPORT", "Write a container's filesystem as a tar"),
    "commit": ("commands_files", "COMMIT", "Make an image of a container's changes"),
    "top": ("commands_look", "TOP", "Show the processes of a container"),
    "stats": ("commands_look", "STATS", "Show what containers use"),
    "port": ("commands_look", "PORT", "Show which ports of the host lead into a container"),
    "update": ("commands_change", "UPDATE", "Change the limits of containers"),
    "prune": ("commands_change", "PRUNE", "Remove all containers that do not run"),
    "mount": ("commands_container", "MOUNT", "Show a container's root filesystem on the host"),
    "unmount": ("commands_container", "UNMOUNT", "Take such a view away"),
    "cleanup": ("commands_container", "CLEANUP", ""),
    "health-check": ("commands_container", "HEALTH_CHECK", ""),
    "start-again": ("commands_container", "START_AGAIN", ""),
}
IMAGE: dict[str, Entry] = {
    "ls": ("commands_images", "IMAGES", "List images"),
    "history": ("commands_history", "HISTORY", "Show how an image came about"),
    "tag": ("commands_image_names", "TAG", "Give an image one more name"),
    "untag": ("commands_image_names", "UNTAG", "Take names from an image"),
    "exists": ("commands_image_names", "EXISTS", "Tell by the exit code whether an image is there"),
    "rm": ("commands_image_names", "RMI", "Remove images"),
    "prune": ("commands_image_names", "PRUNE", "Remove images that nobody uses"),
    "inspect": ("commands_image", "IMAGE_INSPECT", "Show all about images, as JSON"),
    "load": ("commands_image", "LOAD", "Load images from an archive or an OCI layout"),
    "pull": ("commands_registry", "PULL", "Download an image from a registry"),
    "push": ("commands_registry", "PUSH", "Upload an image to a registry"),
    "save": ("commands_image", "SAVE", "Write images into an archive"),
    "import": ("commands_image", "IMPORT", "Make an image of a root filesystem in a tar"),
    "mount": ("commands_image_look", "MOUNT", "Show images' files on the host"),
    "unmount": ("commands_image_look", "UNMOUNT", "Take away what `image mount` shows"),
    "diff": ("commands_image_look", "DIFF", "Show what is different in another image"),
    "why-big": ("commands_image_look", "WHY_BIG", "Show which bytes later steps hide"),
}
VOLUME: dict[str, Entry] = {
    "create": ("commands_volume", "CREATE", "Make a volume"),
    "ls": ("commands_volume", "LS", "List volumes"),
    "inspect": ("commands_volume", "INSPECT", "Show all about volumes, as JSON"),
    "rm": ("commands_volume", "RM", "Remove volumes that no container uses"),
    "prune": ("commands_volume", "PRUNE", "Remove all anonymous volumes that no container uses"),
}
MANIFEST: dict[str, Entry] = {
    "inspect": ("commands_manifest", "INSPECT", "Show a manifest or a list of them"),
    "create": ("commands_manifest", "CREATE", "Put a list together"),
    "annotate": ("commands_manifest", "ANNOTATE", "Say what platform an entry is for"),
    "push": ("commands_manifest", "PUSH", "Push a list to a registry"),
    "rm": ("commands_manifest", "REMOVE", "Forget lists"),
}
ARTIFACT: dict[str, Entry] = {
    "push": ("commands_artifact", "ARTIFACT_PUSH", "Upload files to a registry"),
    "pull": ("commands_artifact", "ARTIFACT_PULL", "Download the files of an artifact"),
    "ls": ("commands_artifact", "ARTIFACT_LS", "List what refers to an image"),
}
SYSTEM: dict[str, Entry] = {
    "info": ("commands_system", "INFO", "Show what this host offers and what is on it"),
    "check": ("commands_system", "CHECK", "Compare disk, database and kernel; --repair mends"),
    "boot": ("commands_boot", "BOOT", "Start what comes back with the machine; --install"),
    "shutdown": ("commands_boot", "SHUTDOWN", "Stop what runs, as the machine goes down"),
    "events": ("commands_events", "EVENTS", "Show what happens, as it happens"),
    "df": ("commands_disk", "DF", "Show what takes how much disk"),
    "prune": ("commands_disk", "PRUNE", "Remove what nobody uses"),
}
ROOT: dict[str, Entry] = {
    "run": CONTAINER["run"],
    "explain": ("commands_run", "EXPLAIN", "Show the steps that run would take, and take none"),
    **{name: CONTAINER[name] for name in ("exec", "create", "attach", "start")},
    **{name: CONTAINER[name] for name in ("restart", "rename")},
    "ps": CONTAINER["ls"],
    "rm": CONTAINER["rm"],
    **{name: CONTAINER[name] for name in ("logs", "stop", "kill", "wait", "pause", "unpause")},
    **{name: CONTAINER[name] for name in ("cp", "diff", "export", "commit")},
    **{name: CONTAINER[name] for name in ("top", "stats", "port", "update")},
    "inspect": ("commands_container", "INSPECT", "Show all about containers and images, as JSON"),
    "images": IMAGE["ls"],
    **{name: IMAGE[name] for name in ("load", "save", "import", "history", "tag", "untag")},
    **{name: IMAGE[name] for name in ("pull", "push")},
    "rmi": IMAGE["rm"],
    "login": ("commands_login", "LOGIN", "Log in to a registry"),
    "logout": ("commands_login", "LOGOUT", "Log out from a registry"),
    "search": ("commands_login", "SEARCH", "Search a registry for images"),
    "events": SYSTEM["events"],
    "info": SYSTEM["info"],
    "version": ("commands_system", "VERSION", "Show the versions of pyrunc and what it stands on"),
    "completion": ("commands_system", "COMPLETION", "Print a completion script for your shell"),
    "container": ("commands", "CONTAINER", "Manage containers"),
    "image": ("commands", "IMAGE", "Manage images"),
    "volume": ("commands", "VOLUME", "Manage volumes"),
    "system": ("commands", "SYSTEM", "Look after pyrunc itself"),
    "manifest": ("commands", "MANIFEST", "Manage lists of images for several platforms"),
    "artifact": ("commands", "ARTIFACT", "Manage files in registries that are no images"),
}
CONTAINER_ALIASES = {"ps": "ls", "list": "ls", "remove": "rm", "umount": "unmount"}
VOLUME_ALIASES = {"list": "ls", "remove": "rm"}
IMAGE_ALIASES = {"list": "ls", "remove": "rm", "umount": "unmount"}

# docker's commands that a later version brings
ROOT_LATER = (
    "build", "builder", "buildx", "checkpoint", "compose", "config", "context",
    "network", "node", "plugin", "secret", "service", "stack", "swarm", "trust",
)  # fmt: skip
CONTAINER_LATER: tuple[str, ...] = ()
IMAGE_LATER = ("build",)
VOLUME_LATER = ("update",)
SYSTEM_LATER = ("dial-stdio", "service")

# Those of them that want a scheduler, which pyrunc leaves to others.
CLUSTER = ("swarm", "node", "service", "stack", "config", "secret")
