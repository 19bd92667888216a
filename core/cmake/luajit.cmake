# SPDX-License-Identifier: Apache-2.0
#
# Target luajit: the static library that luajit.sh makes. LUAJIT_SHARE is the
# folder with LuaJIT's own modules (jit/*.lua).

execute_process(COMMAND ${CMAKE_CURRENT_LIST_DIR}/luajit.sh
  OUTPUT_VARIABLE luajit_prefix RESULT_VARIABLE luajit_fault OUTPUT_STRIP_TRAILING_WHITESPACE)
if(luajit_fault)
  message(FATAL_ERROR "LuaJIT could not be built: run core/install-dependencies")
endif()
set(LUAJIT_SHARE ${luajit_prefix}/share)

add_library(luajit STATIC IMPORTED GLOBAL)
set_target_properties(luajit PROPERTIES
  IMPORTED_LOCATION ${luajit_prefix}/libluajit.a
  INTERFACE_INCLUDE_DIRECTORIES ${luajit_prefix}/include
  INTERFACE_LINK_LIBRARIES "m;dl")
