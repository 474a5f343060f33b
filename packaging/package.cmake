# cpack in the build directory makes the .deb of what was built there.
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME memtrace)
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "Memory profiler for containers")
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION
  "A preload library that records where memory is allocated, in a file that
survives the OOM killer, its helper, and the analyser that says from it who
held the memory and why the container was killed.")
set(CPACK_PACKAGE_CONTACT "The memtrace authors")
set(CPACK_RESOURCE_FILE_LICENSE ${PROJECT_SOURCE_DIR}/LICENSE)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_PRE_BUILD_SCRIPTS ${CMAKE_CURRENT_LIST_DIR}/compress.cmake)
# Loaded when --push or DEBUGINFOD_URLS ask for them.
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS "libcurl4, libdebuginfod1")
set(CPACK_DEBIAN_PACKAGE_SECTION devel)
if(CMAKE_CROSSCOMPILING)
  # dpkg-shlibdeps would look for the other architecture's libraries among those of this machine.
  set(CPACK_DEBIAN_PACKAGE_DEPENDS "libboost-stacktrace1.74.0, libc6, libdw1, libelf1, libfmt9, libgcc-s1, libjemalloc2, \
libprotobuf-lite32, libstdc++6, libyaml-cpp0.7, zlib1g")
  if(CMAKE_SYSTEM_PROCESSOR STREQUAL aarch64)
    set(CPACK_DEBIAN_PACKAGE_ARCHITECTURE arm64)
  endif()
else()
  set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
endif()
include(CPack)
