# The launcher and the extension.  Included by CMakeLists.txt.
#
#   pyrunc-init            the launcher, monitor and first process of a container (static)
#   _native.*.so           system calls for Python (cffi, API mode)

set(PYRUNC_CHILD_SOURCES
    child.c target.c netlink.c step_identity.c step_hook.c step_network.c step_rootfs.c step_mount.c
    step_copy_up.c step_dev.c step_terminal.c step_settings.c step_privileges.c step_init.c
    step_execute.c)
set(PYRUNC_PARENT_SOURCES
    launcher.c birth.c host.c idmap.c client.c monitor.c loop.c clients.c health.c
    memory_watch.c sleeper.c copy.c
    log.c log_file.c log_socket.c stdio.c cgroup.c small_file.c record.c)

# The child's half is a library of its own: tests/unit checks with nm what it calls.
add_library(pyrunc-child OBJECT ${PYRUNC_CHILD_SOURCES})
pyrunc_static_program(pyrunc-init ${PYRUNC_PARENT_SOURCES})
pyrunc_c_options(pyrunc-child)
target_link_libraries(pyrunc-init PRIVATE pyrunc-child)

set(NATIVE_C ${CMAKE_CURRENT_BINARY_DIR}/_native.c)
add_custom_command(
    OUTPUT ${NATIVE_C}
    COMMAND ${Python_EXECUTABLE} ${CMAKE_CURRENT_SOURCE_DIR}/native_build.py
            ${CMAKE_CURRENT_SOURCE_DIR}/native.h ${NATIVE_C}
    DEPENDS native.h native_build.py
    COMMENT "Writing the extension")
Python_add_library(_native MODULE WITH_SOABI native.c ${NATIVE_C})
target_include_directories(_native PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
target_compile_options(_native PRIVATE -O2)

install(TARGETS pyrunc-init RUNTIME DESTINATION pyrunc/libexec)
install(TARGETS _native LIBRARY DESTINATION pyrunc/kernel)
