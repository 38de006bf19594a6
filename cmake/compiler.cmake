# Stops before anything is compiled if the C++ compiler is older than those that compile fastnn.
set(oldest_GNU 11)
set(oldest_Clang 13)
set(oldest "${oldest_${CMAKE_CXX_COMPILER_ID}}")
if(oldest AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS oldest)
  message(
    FATAL_ERROR
      "fastnn needs GCC ${oldest_GNU} or Clang ${oldest_Clang}, or later; "
      "${CMAKE_CXX_COMPILER} is ${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION}. "
      "The environment variable CXX names another compiler.")
endif()
