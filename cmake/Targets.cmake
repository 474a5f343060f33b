# How targets of this repository are compiled.
#
# memtrace_options         warnings and include path, for everything
# memtrace_host_options    memtrace_options and the sanitizers: tools, tests, benchmarks
# memtrace_shim_options    memtrace_options and what makes code fit to live inside a foreign malloc

add_library(memtrace_options INTERFACE)
target_include_directories(memtrace_options INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_options(memtrace_options INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion -Wnon-virtual-dtor -Wcast-qual
  $<$<COMPILE_LANGUAGE:CXX>:-Woverloaded-virtual>
  $<$<BOOL:${MEMTRACE_WERROR}>:-Werror>)

add_library(memtrace_host_options INTERFACE)
target_link_libraries(memtrace_host_options INTERFACE memtrace_options)
if(MEMTRACE_SANITIZE)
  target_compile_options(memtrace_host_options INTERFACE -fsanitize=${MEMTRACE_SANITIZE} -fno-omit-frame-pointer
    -fno-sanitize-recover=all)
  target_link_options(memtrace_host_options INTERFACE -fsanitize=${MEMTRACE_SANITIZE})
  if(MEMTRACE_SANITIZE MATCHES thread AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # GCC warns that it does not follow fences; what they order here are atomics, which it never takes for races.
    target_compile_options(memtrace_host_options INTERFACE -Wno-tsan)
  endif()
endif()

# Freestanding: no exceptions, RTTI, guards or stack protector, each of which would need a symbol
# of some libc. Frame pointers let the interposed functions name their caller's registers.
add_library(memtrace_freestanding_options INTERFACE)
target_link_libraries(memtrace_freestanding_options INTERFACE memtrace_options)
target_compile_options(memtrace_freestanding_options INTERFACE
  -O2 -g -fPIC -fvisibility=hidden -fno-exceptions -fno-rtti -fno-threadsafe-statics -fno-stack-protector
  -fno-omit-frame-pointer -fasynchronous-unwind-tables -fno-builtin
  -fcf-protection=none -U_FORTIFY_SOURCE -fno-plt
  $<$<CXX_COMPILER_ID:GNU>:-fno-tree-loop-distribute-patterns>)
if(NOT CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  get_target_property(_options memtrace_freestanding_options INTERFACE_COMPILE_OPTIONS)
  list(REMOVE_ITEM _options -fcf-protection=none)
  set_target_properties(memtrace_freestanding_options PROPERTIES INTERFACE_COMPILE_OPTIONS "${_options}")
endif()

# Static thread-local storage; and the kind that a loader without room for more static storage takes too.
foreach(flavour shim late)
  add_library(memtrace_${flavour}_options INTERFACE)
  target_link_libraries(memtrace_${flavour}_options INTERFACE memtrace_freestanding_options)
endforeach()
target_compile_options(memtrace_shim_options INTERFACE -ftls-model=initial-exec)
target_compile_options(memtrace_late_options INTERFACE -ftls-model=local-dynamic)
target_compile_definitions(memtrace_late_options INTERFACE MEMTRACE_TLS_DYNAMIC)

# memtrace_layer(NAME SOURCES...): one layer of the preload library, compiled three times: NAME_shim goes
# into libmemtrace.so, NAME_late into libmemtrace-late.so, NAME (a static library with ordinary flags and
# sanitizers) into tests, tools and benchmarks.
function(memtrace_layer name)
  add_library(${name}_late OBJECT ${ARGN})
  target_link_libraries(${name}_late PRIVATE memtrace_late_options)
  add_library(${name}_shim OBJECT ${ARGN})
  target_link_libraries(${name}_shim PRIVATE memtrace_shim_options)
  add_library(${name} STATIC ${ARGN})
  target_link_libraries(${name} PUBLIC memtrace_host_options)
endfunction()
