# Fails if the module would make its whole process flush subnormal numbers to zero: crtfastmath.o,
# which compilers link for -ffast-math, sets the processor so when the module is loaded.
#   cmake -D NM=nm -D MODULE=_core.so -P check_module.cmake
execute_process(COMMAND "${NM}" "${MODULE}" OUTPUT_VARIABLE symbols COMMAND_ERROR_IS_FATAL ANY)
if(symbols MATCHES " (set_fast_math|__crtfastmath[a-z_]*)\n")
  message(
    FATAL_ERROR
      "${MODULE}: ${CMAKE_MATCH_1} was linked, which flushes subnormal numbers of the whole process. "
      "Leave -ffast-math, -Ofast and the like out of CXXFLAGS and LDFLAGS.")
endif()
