# The launcher and the extension.  Included by CMakeLists.txt.
#
#   pyrunc-init            the launcher, monitor and first process of a container (static)
#   _native.*.so           system calls for Python (cffi, API mode)

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

install(TARGETS _native LIBRARY DESTINATION pyrunc/kernel)
