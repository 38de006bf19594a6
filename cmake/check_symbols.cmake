# Fails if an object of one instruction set defines a weak symbol outside its
# namespace: of several such symbols the linker keeps one, and any path may then run it.
#   cmake -D NM=nm -D OBJECTS=a.o;b.o -D NAMESPACE=avx2 -P check_symbols.cmake
# It reads mangled names, since a demangler may not know the newest kinds of lambda.
string(LENGTH "${NAMESPACE}" length)
set(inside "^_Z(GV|TV|TI|TS)?Z*NK?6fastnn${length}${NAMESPACE}")
foreach(object IN LISTS OBJECTS)
  execute_process(
    COMMAND ${NM} --defined-only ${object}
    OUTPUT_VARIABLE symbols
    COMMAND_ERROR_IS_FATAL ANY)
  string(REGEX MATCHALL "[0-9a-f]+ [VWu] [^\n]+" weak "${symbols}")
  foreach(line IN LISTS weak)
    string(REGEX REPLACE "^[0-9a-f]+ [VWu] " "" name "${line}")
    # DW.ref.*: the reference to the personality routine, which all objects share.
    if(NOT name MATCHES "${inside}" AND NOT name MATCHES "^DW\\.ref\\.")
      message(SEND_ERROR "${object}: weak symbol outside fastnn::${NAMESPACE}: ${name}")
    endif()
  endforeach()
endforeach()
