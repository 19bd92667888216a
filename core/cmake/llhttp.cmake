# SPDX-License-Identifier: Apache-2.0
#
# Target llhttp, which the fuzz targets ask for a second opinion about heads: the
# parser's three files from Debian's package. Strict mode is
# not optional: the loose one accepts what request smuggling is made of.

execute_process(COMMAND ${CMAKE_CURRENT_LIST_DIR}/llhttp.sh
  OUTPUT_VARIABLE llhttp_prefix RESULT_VARIABLE llhttp_fault OUTPUT_STRIP_TRAILING_WHITESPACE)
if(llhttp_fault)
  message(FATAL_ERROR "llhttp is missing: run core/install-dependencies")
endif()

add_library(llhttp STATIC
  ${llhttp_prefix}/share/llhttp/api.c
  ${llhttp_prefix}/share/llhttp/http.c
  ${llhttp_prefix}/share/llhttp/llhttp.c)
target_include_directories(llhttp SYSTEM PUBLIC ${llhttp_prefix}/share/include/llhttp)
target_compile_definitions(llhttp PUBLIC LLHTTP_STRICT_MODE=1)
target_compile_options(llhttp PRIVATE -O3 -w)
# It scans field values sixteen bytes at a time where it may: SSE4.2 is in every x86-64 CPU since 2009.
if(CMAKE_SYSTEM_PROCESSOR STREQUAL "x86_64")
  target_compile_options(llhttp PRIVATE -msse4.2)
endif()
