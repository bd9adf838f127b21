# The commands a user types, and the embedded image.  Included by CMakeLists.txt.
#
# Wheel:        scripts go to the environment's bin/, everything else into the package.
# Source tree:  scripts go to build/bin/, everything else beside the sources (PYRUNC_IN_TREE=ON).

find_file(PYRUNC_MUSL_SPECS musl-gcc.specs
    PATHS /usr/lib/${CMAKE_SYSTEM_PROCESSOR}-linux-musl /usr/lib/musl/lib /usr/local/musl/lib)
if(NOT PYRUNC_MUSL_SPECS)
    message(WARNING "musl-gcc is missing: the commands are linked with the C library, 0.7 MB each")
endif()

# How every C part is compiled, with musl where it is there.
function(pyrunc_c_options name)
    target_compile_options(${name} PRIVATE -std=gnu11 -Os
        -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wconversion -Wformat=2
        -Wswitch-enum -fstack-protector-strong)
    if(PYRUNC_MUSL_SPECS)
        # The kernel's headers come with the C library's, not with musl's.
        target_compile_options(${name} PRIVATE -specs=${PYRUNC_MUSL_SPECS}
            "SHELL:-idirafter /usr/include"
            "SHELL:-idirafter /usr/include/${CMAKE_LIBRARY_ARCHITECTURE}")
    endif()
endfunction()

# A static program.
function(pyrunc_static_program name)
    add_executable(${name} ${ARGN})
    pyrunc_c_options(${name})
    target_link_options(${name} PRIVATE -static -s)
    if(PYRUNC_MUSL_SPECS)
        target_link_options(${name} PRIVATE -specs=${PYRUNC_MUSL_SPECS})
    endif()
endfunction()

# The interpreter that a command falls back on outside of virtual environments: the one that the build's
# environment was made from, because whoever owns that environment would own what root runs.
set(PYRUNC_PYTHON ${Python_EXECUTABLE})
if(NOT PYRUNC_IN_TREE)
    execute_process(COMMAND ${Python_EXECUTABLE} -c
        "import sys; print(f'{sys.base_exec_prefix}/bin/python{sys.version_info[0]}.{sys.version_info[1]}', end='')"
        OUTPUT_VARIABLE PYRUNC_PYTHON COMMAND_ERROR_IS_FATAL ANY)
endif()

# The file of compiled modules, below.
execute_process(COMMAND ${Python_EXECUTABLE} -c
    "import sys; print(f'modules.{sys.implementation.cache_tag}.bin', end='')"
    OUTPUT_VARIABLE PYRUNC_BUNDLE COMMAND_ERROR_IS_FATAL ANY)

function(pyrunc_command name module failure)
    pyrunc_static_program(${name} command.c ${ARGN})
    target_compile_definitions(${name} PRIVATE
        COMMAND_NAME="${name}" COMMAND_MODULE="${module}" COMMAND_FAILURE=${failure}
        PYTHON_VERSION="${Python_VERSION_MAJOR}.${Python_VERSION_MINOR}"
        PYTHON_PATH="${PYRUNC_PYTHON}" PYTHON_MODULES="${PYRUNC_BUNDLE}")
    if(PYRUNC_IN_TREE)
        target_compile_definitions(${name} PRIVATE PYTHON_SITE="${Python_SITEARCH}")
    endif()
endfunction()

pyrunc_command(pyrunc pyrunc.cli.entry 125)
pyrunc_command(pyrunc-oci pyrunc.cli.oci 1
    quick.c quick_state.c quick_process.c quick_cgroup.c quick_verbs.c small_file.c)
target_compile_definitions(pyrunc-oci PRIVATE COMMAND_IS_QUICK)

pyrunc_static_program(hello hello.c)
add_custom_command(
    OUTPUT hello.tar
    COMMAND ${Python_EXECUTABLE} ${CMAKE_CURRENT_SOURCE_DIR}/embedded_image.py
            $<TARGET_FILE:hello> hello.tar
    DEPENDS hello embedded_image.py
    COMMENT "Packing the embedded image")
add_custom_target(embedded-image ALL DEPENDS hello.tar)

# All modules of the package, compiled, in one file that the commands read (module_finder.py).
file(GLOB_RECURSE PYRUNC_MODULES CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/../pyrunc/*.py)
add_custom_command(
    OUTPUT ${PYRUNC_BUNDLE}
    COMMAND ${Python_EXECUTABLE} ${CMAKE_CURRENT_SOURCE_DIR}/module_bundle.py
            ${CMAKE_CURRENT_SOURCE_DIR}/../pyrunc ${PYRUNC_BUNDLE}
            $<IF:$<BOOL:${PYRUNC_IN_TREE}>,in-tree,installed>
    DEPENDS module_bundle.py module_finder.py ${PYRUNC_MODULES}
    COMMENT "Bundling the compiled modules")
add_custom_target(module-bundle ALL DEPENDS ${PYRUNC_BUNDLE})

if(PYRUNC_IN_TREE)
    set(PYRUNC_SCRIPTS build/bin)
elseif(SKBUILD_SCRIPTS_DIR)
    set(PYRUNC_SCRIPTS ${SKBUILD_SCRIPTS_DIR})
else()
    set(PYRUNC_SCRIPTS bin)
endif()
install(TARGETS pyrunc pyrunc-oci DESTINATION ${PYRUNC_SCRIPTS})
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/hello.tar ${CMAKE_CURRENT_BINARY_DIR}/${PYRUNC_BUNDLE} DESTINATION pyrunc/libexec)
