# Stops at once in a folder where CMake itself fails, or writes files that cannot be built. Spaces,
# parentheses, &, ', $, # and letters of any language are no obstacle.
if("${CMAKE_SOURCE_DIR} ${CMAKE_BINARY_DIR}" MATCHES "([]\"\\;<>|[]|[$][({]|[$]ENV[{])")
  message(
    FATAL_ERROR "CMake cannot build in a folder whose path contains ${CMAKE_MATCH_1}: "
                "${CMAKE_SOURCE_DIR} (build folder: ${CMAKE_BINARY_DIR}). Build elsewhere.")
endif()
