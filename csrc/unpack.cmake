# The confined unpacker of layers, and who syncs them.  Included by CMakeLists.txt.

pyrunc_static_program(pyrunc-unpack
    "unpack.c;unpack_confine.c;unpack_input.c;unpack_header.c;unpack_pax.c;unpack_sparse.c;unpack_tree.c;unpack_below.c;unpack_entry.c;unpack_report.c")
target_compile_options(pyrunc-unpack PRIVATE -O2)

pyrunc_static_program(pyrunc-settle settle.c)

install(TARGETS pyrunc-unpack pyrunc-settle RUNTIME DESTINATION pyrunc/libexec)
