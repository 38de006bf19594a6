# Compiler options that follow the user's (CXXFLAGS, CMAKE_CXX_FLAGS, LDFLAGS) and win over them.
#
# Most flags of users are harmless, and packagers have to pass theirs. These are not:
#   - fast math: checks for NaN vanish, sums lose their order, and GCC links code into the module
#     that makes the whole process flush subnormal numbers;
#   - another instruction set (-march=native): the baseline would not run everywhere;
#   - link-time optimization: it inlines across instruction sets;
#   - no exceptions.
#
#   fastnn_strict       options for every C++ file
#   fastnn_strict_link  options for the linker
#   fastnn_flags        all flags of a C++ file, in words
#   fastnn_check_options(name option...)
#                       fails if the user's flags have an effect although these options follow
set(CMAKE_INTERPROCEDURAL_OPTIMIZATION OFF)
set(CMAKE_UNITY_BUILD OFF)

set(fastnn_strict
    -fno-fast-math
    -fno-unsafe-math-optimizations
    -fno-finite-math-only
    -fno-associative-math
    -fno-reciprocal-math
    -fsigned-zeros
    -fno-rounding-math
    -fexceptions
    -frtti
    -fno-lto)
# Not all compilers know these.
set(some_know -fno-single-precision-constant -fno-cx-limited-range -fno-allow-store-data-races
              -fno-approx-func -fdenormal-fp-math=ieee)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  list(APPEND fastnn_strict -march=x86-64)
  # -march does not take back sets that were asked for by name.
  list(APPEND some_know -mno-sse3 -mno-bmi -mno-bmi2 -mno-xsave -mfpmath=sse -mrecip=none)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "aarch64|arm64")
  list(APPEND fastnn_strict -march=armv8-a)
endif()

# Appends to a list those options that the compiler knows. check_cxx_compiler_flag would take a
# tenth of a second for each.
function(fastnn_append_known list)
  foreach(option IN LISTS ARGN)
    execute_process(
      COMMAND ${CMAKE_CXX_COMPILER} -Werror ${option} -fsyntax-only -x c++ /dev/null
      RESULT_VARIABLE error
      OUTPUT_QUIET ERROR_QUIET)
    if(NOT error)
      list(APPEND ${list} ${option})
    endif()
  endforeach()
  set(${list} "${${list}}" PARENT_SCOPE)
endfunction()

fastnn_append_known(fastnn_strict ${some_know})
# For Clang, -fno-unsafe-math-optimizations means trapping math, and an option that takes it back is
# worth a warning, whose name changed in Clang 19; and so is a loop that it does not vectorise.
set(fastnn_quiet "")
if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  fastnn_append_known(fastnn_quiet -Wno-overriding-t-option -Wno-overriding-option -Wno-pass-failed)
endif()
# -O2: after -Ofast, GCC and Clang link the code that flushes subnormal numbers.
set(fastnn_strict_link -O2 -fno-fast-math -fno-unsafe-math-optimizations -fno-lto)
fastnn_append_known(fastnn_strict_link -mno-daz-ftz)

string(TOUPPER "${CMAKE_BUILD_TYPE}" build_type)
set(fastnn_flags "${CMAKE_CXX_FLAGS} ${CMAKE_CXX_FLAGS_${build_type}} ${fastnn_strict}")
string(REGEX REPLACE "[; \n]+" " " fastnn_flags "${fastnn_flags}")
string(STRIP "${fastnn_flags}" fastnn_flags)

# The macros that tell of fast math or of instruction sets: `macros` of a file with these flags.
function(fastnn_telling_macros macros)
  execute_process(
    COMMAND ${CMAKE_CXX_COMPILER} ${ARGN} -x c++ -dM -E /dev/null
    OUTPUT_VARIABLE all
    ERROR_VARIABLE words
    RESULT_VARIABLE error)
  if(error)
    message(FATAL_ERROR "${CMAKE_CXX_COMPILER} refuses the flags ${ARGN}: ${words}")
  endif()
  string(
    REGEX
      MATCHALL
      "#define __(FAST_MATH__|FINITE_MATH_ONLY__ 1|SSE3|SSSE3|SSE4|AVX|FMA|F16C|BMI|POPCNT|LZCNT|MOVBE|XOP|TBM|ADX|SHA|AES|VAES|PCLMUL|VPCLMUL|GFNI|AMX|ARM_FEATURE_SVE|ARM_FEATURE_DOTPROD)[^\n]*"
      found
      "${all}")
  set(${macros} "${found}" PARENT_SCOPE)
endfunction()

function(fastnn_check_options name)
  separate_arguments(user UNIX_COMMAND "${CMAKE_CXX_FLAGS} ${CMAKE_CXX_FLAGS_${build_type}}")
  fastnn_telling_macros(with ${user} ${fastnn_strict} ${ARGN})
  fastnn_telling_macros(without ${fastnn_strict} ${ARGN})
  list(REMOVE_ITEM with ${without})
  if(with)
    list(TRANSFORM with REPLACE "#define ([^ ]*).*" "\\1")
    list(JOIN with ", " with)
    message(
      FATAL_ERROR
        "CXXFLAGS or CMAKE_CXX_FLAGS (${CMAKE_CXX_FLAGS}) change what the code for ${name} "
        "processors means: they set ${with}. Leave out such flags. fastnn chooses the instruction "
        "set at run time, and needs IEEE arithmetic.")
  endif()
endfunction()
