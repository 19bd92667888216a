# SPDX-License-Identifier: Apache-2.0
#
# Target headers_alone: compiles each header of core/ as the first thing in a
# file of its own, so that none leans on what its users happen to include.

file(GLOB headers RELATIVE ${CMAKE_SOURCE_DIR}/core CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/core/*/*.h)
set(sources "")
foreach(header IN LISTS headers)
  set(source ${CMAKE_BINARY_DIR}/generated/headers/${header}.c)
  # Twice, for the guard; and a typedef, because a file may not be empty.
  file(CONFIGURE OUTPUT ${source} CONTENT "#include \"@header@\"\n#include \"@header@\"\ntypedef int alone;\n" @ONLY)
  list(APPEND sources ${source})
endforeach()

if(sources)
  add_library(headers_alone OBJECT ${sources})
  target_link_libraries(headers_alone PRIVATE dml_app)
  add_dependencies(headers_alone commit)
  if(NOT DML_HEADERS_ALONE)
    set_target_properties(headers_alone PROPERTIES EXCLUDE_FROM_ALL ON)
  endif()
else()
  add_custom_target(headers_alone)
endif()
