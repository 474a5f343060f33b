# Before the package is made: manuals and changelog compressed, as Debian's policy has them (12.1, 12.7). `cmake --install` leaves
# them readable.
file(GLOB pages ${CPACK_TEMPORARY_DIRECTORY}/usr/share/man/*/*.[1-9] ${CPACK_TEMPORARY_DIRECTORY}/usr/share/doc/*/changelog)
foreach(page IN LISTS pages)
  execute_process(COMMAND gzip -9nf ${page} COMMAND_ERROR_IS_FATAL ANY)
endforeach()
