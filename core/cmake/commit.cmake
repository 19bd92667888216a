# SPDX-License-Identifier: Apache-2.0
#
# Run at each build: writes DML_COMMIT (COMMIT, or what git says) into HEADER, and leaves the file alone
# when nothing changed, so that nothing is compiled again for it.

set(commit "${COMMIT}")
find_program(GIT git)
if(GIT AND commit STREQUAL "")
  set(ENV{GIT_OPTIONAL_LOCKS} 0)
  execute_process(
    COMMAND ${GIT} describe --always --dirty --tags --abbrev=12
    WORKING_DIRECTORY ${SOURCE} OUTPUT_VARIABLE commit ERROR_QUIET OUTPUT_STRIP_TRAILING_WHITESPACE)
endif()
if(commit STREQUAL "")
  set(commit unknown)
endif()
file(CONFIGURE OUTPUT ${HEADER} CONTENT "#define DML_COMMIT \"${commit}\"\n")
