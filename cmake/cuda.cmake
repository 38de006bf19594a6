# The target _cuda: the kernels for NVIDIA GPUs, in a shared object that _core opens on first
# use and does not link. FASTNN_CUDA_BUILT says what was built, or why nothing was built.
#
#   FASTNN_CUDA  auto  for the GPUs of this machine, if they, their driver and nvcc are found
#                on    for all architectures below
#                off   nothing
#                pypi  like on, with the compiler in the Python packages that pyproject.toml names
#
# The value comes from the config setting fastnn.cuda, else from the environment variable
# FASTNN_CUDA, else it is auto. CMAKE_CUDA_ARCHITECTURES, if given, replaces the architectures.
set(FASTNN_CUDA "" CACHE STRING "Kernels for NVIDIA GPUs: auto, on, off, pypi")
set(cuda_architectures 80-real 86-real 89-real 90a-real 100-real 120-real 120-virtual)

set(cuda "${FASTNN_CUDA}")
if(cuda STREQUAL "")
  set(cuda "$ENV{FASTNN_CUDA}")
endif()
if(cuda STREQUAL "")
  set(cuda auto)
endif()
string(TOLOWER "${cuda}" cuda)
if(NOT cuda MATCHES "^(auto|on|off|pypi)$")
  message(FATAL_ERROR "fastnn.cuda: expected auto, on, off or pypi, got '${cuda}'")
endif()

# Each of these macros sets CMAKE_CUDA_COMPILER, or cuda_missing to a reason in words.
set(cuda_missing "")

macro(fastnn_find_nvcc)
  if(NOT CMAKE_CUDA_COMPILER)
    set(name nvcc)
    if(NOT "$ENV{CUDACXX}" STREQUAL "")
      set(name "$ENV{CUDACXX}")
    endif()
    find_program(
      nvcc "${name}"
      HINTS ENV CUDA_HOME ENV CUDA_PATH
      PATHS /usr/local/cuda
      PATH_SUFFIXES bin
      NO_CACHE)
    if(nvcc)
      set(CMAKE_CUDA_COMPILER "${nvcc}")
    else()
      set(cuda_missing "no ${name} was found (CUDACXX, CUDA_HOME, PATH, /usr/local/cuda)")
    endif()
  endif()
endmacro()

macro(fastnn_find_gpus)
  execute_process(
    COMMAND "${Python_EXECUTABLE}" "${CMAKE_CURRENT_LIST_DIR}/gpus.py"
    RESULT_VARIABLE error
    OUTPUT_VARIABLE gpus
    ERROR_VARIABLE cuda_missing
    OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_STRIP_TRAILING_WHITESPACE)
  if(NOT error)
    set(cuda_missing "")
    list(TRANSFORM gpus APPEND "-real" OUTPUT_VARIABLE cuda_architectures)
  endif()
endmacro()

# An nvcc that does not support these GPUs or this C++ compiler is treated as missing.
macro(fastnn_try_nvcc)
  file(WRITE "${CMAKE_CURRENT_BINARY_DIR}/nothing.cu" "__global__ void nothing() {}\n")
  list(TRANSFORM gpus REPLACE "(.+)" "-gencode=arch=compute_\\1,code=sm_\\1")
  execute_process(
    COMMAND "${CMAKE_CUDA_COMPILER}" -std=c++20 --compress-mode=size ${gpus} -c nothing.cu -o
            nothing.o
    WORKING_DIRECTORY "${CMAKE_CURRENT_BINARY_DIR}"
    RESULT_VARIABLE error
    OUTPUT_VARIABLE words
    ERROR_VARIABLE words)
  if(error)
    set(cuda_missing "${CMAKE_CUDA_COMPILER} does not work here: ${words}")
  endif()
endmacro()

# Its libraries are in lib, but nvcc searches lib64.
macro(fastnn_find_pypi_nvcc)
  execute_process(
    COMMAND
      "${Python_EXECUTABLE}" -c
      "import nvidia, pathlib; print(next(p for p in nvidia.__path__ if (pathlib.Path(p) / 'cu13/bin/nvcc').exists()), end='')"
    RESULT_VARIABLE error
    OUTPUT_VARIABLE found
    ERROR_QUIET)
  if(error)
    set(cuda_missing "there is no nvcc among the Python packages (nvidia/cu13/bin/nvcc)")
  else()
    set(CMAKE_CUDA_COMPILER "${found}/cu13/bin/nvcc")
    string(APPEND CMAKE_CUDA_FLAGS " -L\"${found}/cu13/lib\"")
  endif()
endmacro()

if(cuda STREQUAL "off")
  set(cuda_missing "by choice (fastnn.cuda=off)")
elseif(cuda STREQUAL "on")
  fastnn_find_nvcc()
elseif(cuda STREQUAL "pypi")
  fastnn_find_pypi_nvcc()
else()
  fastnn_find_gpus()
  if(cuda_missing STREQUAL "")
    fastnn_find_nvcc()
  endif()
  if(cuda_missing STREQUAL "")
    fastnn_try_nvcc()
  endif()
endif()

if(NOT cuda_missing STREQUAL "")
  string(REGEX REPLACE "\n.*" "" cuda_missing "${cuda_missing}")
  set(FASTNN_CUDA_BUILT "not built: ${cuda_missing}")
  if(cuda MATCHES "^(on|pypi)$")
    message(FATAL_ERROR "fastnn.cuda=${cuda}: ${cuda_missing}")
  endif()
  message(STATUS "CUDA: ${FASTNN_CUDA_BUILT}")
  return()
endif()

if(NOT CMAKE_CUDA_ARCHITECTURES)
  set(CMAKE_CUDA_ARCHITECTURES ${cuda_architectures})
endif()
set(CMAKE_CUDA_RUNTIME_LIBRARY Static)
set(CMAKE_CUDA_VISIBILITY_PRESET hidden)
enable_language(CUDA)
if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION) # CMake 3.25 does not know nvcc's option
  set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
endif()

file(GLOB cuda_sources CONFIGURE_DEPENDS csrc/cuda/*.cu)
add_library(_cuda MODULE ${cuda_sources} csrc/cuda/hardware/runtime.cu)
target_include_directories(_cuda PRIVATE csrc)
target_compile_definitions(_cuda PRIVATE FASTNN_TARGET=cuda)
target_compile_options(
  _cuda
  PRIVATE --expt-relaxed-constexpr
          # Sums and products are fused where the code says so: see core/math.h. All four also
          # follow a --use_fast_math of CUDAFLAGS, and win over it.
          --fmad=false
          --ftz=false
          --prec-div=true
          --prec-sqrt=true
          --compress-mode=size
          $<$<NOT:$<CONFIG:Debug>>:-O3>
          -Xcompiler=-Wall,-Wextra
          -Xptxas=--warn-on-spills
          $<$<BOOL:${FASTNN_WERROR}>:-Werror=all-warnings>
          $<$<BOOL:${FASTNN_WERROR}>:-Xptxas=-Werror>)
# A copy in the folder in which the linker runs: the linker's options are split at commas, which the
# path of a folder may contain.
configure_file(cmake/cuda_exports.txt cuda_exports.txt COPYONLY)
set(cuda_exports "${CMAKE_CURRENT_BINARY_DIR}/cuda_exports.txt")
target_link_options(_cuda PRIVATE "LINKER:--version-script=cuda_exports.txt" "LINKER:-z,defs")
target_link_options(_cuda PRIVATE ${fastnn_strict_link})
set_target_properties(
  _cuda
  PROPERTIES PREFIX "" SUFFIX ".so" LINK_DEPENDS "${cuda_exports}" CUDA_STANDARD 20
             CUDA_STANDARD_REQUIRED ON CUDA_EXTENSIONS OFF)
add_custom_command(
  TARGET _cuda
  POST_BUILD
  COMMAND ${CMAKE_COMMAND} -D "NM=${CMAKE_NM}" -D "MODULE=$<TARGET_FILE:_cuda>" -P
          "${PROJECT_SOURCE_DIR}/cmake/check_module.cmake"
  VERBATIM)
if(NOT CMAKE_BUILD_TYPE STREQUAL "Debug")
  add_custom_command(
    TARGET _cuda
    POST_BUILD
    COMMAND ${CMAKE_STRIP} --strip-unneeded "$<TARGET_FILE:_cuda>"
    VERBATIM)
endif()
install(TARGETS _cuda LIBRARY DESTINATION fastnn COMPONENT cuda)

string(REPLACE "-real" "" FASTNN_CUDA_BUILT "${CMAKE_CUDA_ARCHITECTURES}")
string(REPLACE "-virtual" " and later" FASTNN_CUDA_BUILT "${FASTNN_CUDA_BUILT}")
string(REPLACE ";" ", " FASTNN_CUDA_BUILT "${FASTNN_CUDA_BUILT}")
set(FASTNN_CUDA_BUILT "built for ${FASTNN_CUDA_BUILT}")
message(STATUS "CUDA: ${FASTNN_CUDA_BUILT}, by ${CMAKE_CUDA_COMPILER}")
